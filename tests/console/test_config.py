"""`orderpulse config`: checks, and what is in force."""

import tomllib
from pathlib import Path

from tests.console.conftest import orderpulse

BAD = """
chain = "five_stage"
zone = "Mars/Olympus"
[time]
out_of_orderness = 10
[detectors.card_burst]
enabeld = true
"""


def written(tmp_path: Path, text: str) -> Path:
    file = tmp_path / "my.toml"
    file.write_text(text, encoding="utf-8")
    return file


def test_every_problem_is_reported_at_once_and_refused(tmp_path: Path) -> None:
    outcome = orderpulse("config", "check", written(tmp_path, BAD))

    assert outcome.code == 2
    assert "detectors.card_burst.enabeld: unknown setting; did you mean 'enabled'?" in outcome.complained
    assert "time.out_of_orderness: a duration needs a unit" in outcome.complained


def test_a_program_reads_the_problems_as_json(tmp_path: Path) -> None:
    outcome = orderpulse("config", "check", written(tmp_path, BAD), "--json")

    assert outcome.code == 2
    assert not outcome.value["ok"]
    fields = {problem["field"] for problem in outcome.value["problems"]}
    assert fields == {"time.out_of_orderness", "detectors.card_burst.enabeld"}


def test_limits_that_contradict_each_other_are_warned_about(tmp_path: Path) -> None:
    outcome = orderpulse("config", "check", written(tmp_path, '[detectors.stage_timeout]\nreminder_lead = "6m"\n'))

    assert outcome.code == 0
    assert "warning: detectors.stage_timeout.reminder_lead: is not shorter" in outcome.complained
    assert outcome.said.endswith("is in order, with warnings\n")


def test_effective_settings_say_where_they_come_from(tmp_path: Path) -> None:
    shown = orderpulse("config", "show", written(tmp_path, 'chain = "olist"\n[time]\nidle_delay = "1m"\n')).said

    assert 'idle_delay = "1m"  # my.toml' in shown
    assert 'out_of_orderness = "10s"  # default' in shown
    assert 'initial = "created"  # chain olist' in shown


def test_what_is_shown_is_a_configuration_again(tmp_path: Path) -> None:
    source = written(tmp_path, '[detectors.resonance]\nurgency_words = ["a\\"b", "马上"]\n[detectors.stage_timeout.by_category."cold chain"]\npaid = "5m"\n')  # fmt: skip  # noqa: E501
    shown = orderpulse("config", "show", source).said

    again = tmp_path / "again.toml"
    again.write_text(shown, encoding="utf-8")
    settings = tomllib.loads(shown)

    assert orderpulse("config", "check", again).code == 0
    assert settings["detectors"]["resonance"]["urgency_words"] == ['a"b', "马上"]
    assert settings["detectors"]["stage_timeout"]["by_category"]["cold chain"] == {"paid": "5m"}
    strip = [line.partition("  # ")[0] for line in orderpulse("config", "show", again).said.splitlines()]
    assert strip == [line.partition("  # ")[0] for line in shown.splitlines()]


def test_secrets_are_not_shown(tmp_path: Path) -> None:
    shown = orderpulse("config", "show", written(tmp_path, """
[kafka.client]
"sasl.password" = "hunter2"
"sasl.username" = "${USER_NAME}"
"ssl.key.password" = "${KEY}"
[redis]
url = "redis://me:hunter3@host:6379/0"
""")).said  # fmt: skip

    assert "hunter" not in shown
    assert '"sasl.password" = "***"' in shown
    assert '"ssl.key.password" = "${KEY}"' in shown
    assert 'url = "redis://me:***@host:6379/0"' in shown


def test_the_shipped_chains_are_listed() -> None:
    chains = orderpulse("config", "chains", "--json").value

    assert chains["five_stage"][:2] == ["created", "paid"]
    assert set(chains) >= {"five_stage", "fulfilment", "olist", "ocel_order_process"}
