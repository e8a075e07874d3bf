"""Configuration: every problem is named at once with its place and remedy; what is shipped loads."""

from pathlib import Path

import pytest

from config.loader import CHAINS, HERE, load_settings, warnings
from config.problems import ConfigurationError

EXAMPLES = sorted((HERE / "examples").glob("*.toml"))


def refused(directory: Path, text: str) -> dict[str, str]:
    """The problems of a configuration by field."""
    path = directory / "orderpulse.toml"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(ConfigurationError) as raised:
        load_settings(path)
    assert raised.value.where == str(path)
    for problem in raised.value.problems:
        assert str(problem) in str(raised.value)
    return {problem.field: problem.what for problem in raised.value.problems}


def test_three_errors_are_all_named_at_once(tmp_path: Path) -> None:
    problems = refused(
        tmp_path,
        """
        [time]
        out_of_orderness = 10
        [detectors.card_burst]
        any_amount = { count = 1, window = "10m" }
        [detectors.resonance]
        orange = "many"
        """,
    )
    assert set(problems) == {
        "time.out_of_orderness",
        "detectors.card_burst.any_amount.count",
        "detectors.resonance.orange",
    }


def test_an_unknown_setting_comes_with_the_one_that_was_meant(tmp_path: Path) -> None:
    problems = refused(tmp_path, "[detectors.stage_timeout]\nreminder_led = '5m'\n")
    assert problems == {"detectors.stage_timeout.reminder_led": "unknown setting; did you mean 'reminder_lead'?"}


def test_an_unknown_setting_like_no_other_comes_with_those_that_are_known(tmp_path: Path) -> None:
    problems = refused(tmp_path, "[versions]\nzzz = 1\n")
    assert problems == {"versions.zzz": "unknown setting; known here: enabled"}


@pytest.mark.parametrize(
    ("value", "remedy"), [("90", '"90s"'), ('"90"', "1h30m"), ('"90 sec"', "1h30m"), ("true", "1h30m")]
)
def test_a_duration_without_its_unit_is_answered_with_how_to_write_it(value: str, remedy: str, tmp_path: Path) -> None:
    problems = refused(tmp_path, f"[detectors.merge_candidate]\nwindow = {value}\n")
    assert remedy in problems["detectors.merge_candidate.window"]


def test_an_unknown_chain_is_answered_with_those_that_are_shipped(tmp_path: Path) -> None:
    problems = refused(tmp_path, 'chain = "six_stage"\n')
    assert all(chain.stem in problems["chain"] for chain in CHAINS.glob("*.toml"))


def test_a_chain_may_be_a_file_beside_the_configuration(tmp_path: Path) -> None:
    (tmp_path / "mine.toml").write_text((CHAINS / "fulfilment.toml").read_text("utf-8").replace("5m", "7m"), "utf-8")
    (tmp_path / "orderpulse.toml").write_text('chain = "mine.toml"\n', encoding="utf-8")
    assert load_settings(tmp_path / "orderpulse.toml").stages["created"].norm == 420_000


@pytest.mark.parametrize(
    ("text", "field"),
    [
        ("[stages.created]\nnext = ['nowhere']\n", "stages.created.next"),
        ("[stages.cancelled]\nnext = ['created']\n", "stages.cancelled.next"),
        ("[stages.created]\nnorm = '0s'\n", "stages.created.norm"),
        ("[flow]\ninitial = 'nowhere'\n", "flow.initial"),
        ("[flow]\npayment_stage = 'nowhere'\n", "flow.payment_stage"),
        ("[flow]\nfrom_any = ['nowhere']\n", "flow.from_any"),
        ("[flow.scans]\nseen = 'nowhere'\n", "flow.scans.seen"),
        ("[status.systems.oms]\nVOID = { stage = 'nowhere' }\n", "status.systems.oms.VOID.stage"),
        (
            "[detectors.stage_timeout.by_category]\nfresh = { nowhere = '1m' }\n",
            "detectors.stage_timeout.by_category.fresh.nowhere",
        ),
        ("[detectors.resonance]\nlock = 1\n", "detectors.resonance.lock"),
        ("[detectors.resonance]\nseason = 'summer'\n", "detectors.resonance.season"),
        ("[detectors.resonance.weights]\nteleported = 1\n", "detectors.resonance.weights.teleported"),
        ("[detectors.resonance.seasons.peak]\ndates = ['13-01/13-02']\n", "detectors.resonance.seasons.peak.dates"),
        ("[time]\nidle_delay = '1s'\n", "time.idle_delay"),
        ("[time]\nearliest = 2060-01-01T00:00:00Z\n", "time.earliest"),
        ("[time]\nearliest = 2000-01-01T00:00:00\n", "time.earliest"),
        ("zone = 'Mars/Olympus'\n", "zone"),
        ("detectors = 3\n", "detectors"),
    ],
)
def test_what_points_nowhere_is_refused(text: str, field: str, tmp_path: Path) -> None:
    assert field in refused(tmp_path, text)


@pytest.mark.parametrize(
    ("content", "what"),
    [(b"zone = ", "is not TOML"), (b"zone = '\xff'", "is not UTF-8")],
)
def test_a_file_that_cannot_be_read_says_why(content: bytes, what: str, tmp_path: Path) -> None:
    path = tmp_path / "orderpulse.toml"
    path.write_bytes(content)
    with pytest.raises(ConfigurationError, match=what):
        load_settings(path)


def test_a_file_that_does_not_exist_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match=r"nothing\.toml.*\n.*does not exist"):
        load_settings(tmp_path / "nothing.toml")


@pytest.mark.parametrize(
    ("overrides", "field"),
    [
        ({"detectors": {"stage_timeout": {"reminder_lead": "5m"}}}, "detectors.stage_timeout.reminder_lead"),
        ({"detectors": {"order_timeout": {"reminder_lead": "30m"}}}, "detectors.order_timeout.reminder_lead"),
        ({"stages": {"paid": {"norm": "3h"}}}, "stages.paid.norm"),
        ({"time": {"out_of_orderness": "5m", "idle_delay": "5m"}}, "time.out_of_orderness"),
    ],
)
def test_limits_that_contradict_each_other_are_warned_about(overrides: dict[str, object], field: str) -> None:
    assert field in {problem.field for problem in warnings(load_settings(overrides=overrides))}


def test_the_defaults_contradict_nothing() -> None:
    assert warnings(load_settings()) == []


@pytest.mark.parametrize("chain", sorted(path.stem for path in CHAINS.glob("*.toml")))
def test_every_shipped_chain_loads(chain: str) -> None:
    settings = load_settings(overrides={"chain": chain})
    assert settings.flow.initial in settings.stages
    assert any(stage.terminal for stage in settings.stages.values())


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.stem)
def test_every_example_configuration_loads_without_a_warning(path: Path) -> None:
    assert warnings(load_settings(path)) == []


def test_the_configuration_of_the_containers_loads() -> None:
    assert load_settings(HERE / "docker" / "orderpulse.toml").stages


def test_a_file_overrides_single_values_and_leaves_the_rest(tmp_path: Path) -> None:
    path = tmp_path / "orderpulse.toml"
    path.write_text("[detectors.resonance.weights]\nservice_chat = 2\n", encoding="utf-8")
    weights = load_settings(path).detectors.resonance.weights
    assert (weights["service_chat"], weights["rating_threat"]) == (2000, 1500)
