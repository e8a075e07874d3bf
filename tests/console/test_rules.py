"""``orderpulse rules`` over a file of events: list, show, check, publish, rollback."""

import json
from pathlib import Path
from typing import Any

import pytest

from tests.console.conftest import Outcome, orderpulse

GOOD = """
rule = "card_burst"
effective_at = 2026-05-10T10:00:00+08:00
reason = "a fourth order was fraud"
[settings]
any_amount = { count = 4 }
"""


class Desk:
    """A directory with documents, and the commands on the file in which they are published."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.log = directory / "rules.ndjson"

    def document(self, text: str, name: str = "rule.toml") -> Path:
        path = self.directory / name
        path.write_text(text, encoding="utf-8")
        return path

    def publish(self, text: str, *options: object) -> Outcome:
        return orderpulse("rules", "publish", self.document(text), "--to", self.log, *options)

    def check(self, text: str, *options: object) -> Outcome:
        return orderpulse("rules", "check", self.document(text), "--input", self.log, *options)

    def rollback(self, *options: object) -> Outcome:
        return orderpulse("rules", "rollback", *options, "--to", self.log)

    def rules(self) -> dict[str, dict[str, Any]]:
        told = orderpulse("rules", "list", "--input", self.log, "--json").value
        return {rule["rule"]: rule for rule in told["rules"]}

    def versions(self, rule: str = "card_burst") -> list[tuple[int, str]]:
        told = orderpulse("rules", "show", rule, "--input", self.log, "--json").value
        return [(each["version"], each["status"]) for each in told]

    def events(self) -> list[dict[str, Any]]:
        return [json.loads(line) for line in self.log.read_text(encoding="utf-8").splitlines()]


@pytest.fixture
def desk(tmp_path: Path) -> Desk:
    return Desk(tmp_path)


def test_without_documents_the_file_counts(desk: Desk) -> None:
    assert desk.rules()["card_burst"] == {
        "rule": "card_burst",
        "kind": "detector",
        "version": 1,
        "enabled": True,
        "from": "file",
        "effective_at": None,
        "waiting": [],
    }
    assert not desk.rules()["silence"]["enabled"]


def test_a_document_is_checked_and_what_it_changes_is_shown(desk: Desk) -> None:
    checked = desk.check(GOOD)
    assert checked.code == 0, checked.complained
    assert checked.said.split() == [
        "setting", "now", "then", "any_amount.count", "5", "4",
        str(desk.directory / "rule.toml"), "is", "in", "order:", "card_burst,", "version", "2",
    ]  # fmt: skip
    assert desk.check(GOOD, "--json").value["changes"] == [{"setting": "any_amount.count", "now": 5, "then": 4}]
    assert not desk.log.exists()


def test_every_mistake_is_told_at_once_with_its_field(desk: Desk) -> None:
    wrong = (
        'rule = "resonance"\nversion = 1\n[settings]\nwindow = 30\nweihts = { x = 1 }\nweights = { night = "much" }\n'
    )
    checked = desk.check(wrong)

    assert checked.code == 2
    for problem in (
        'settings.window: a duration needs a unit: write "30s", "30m" or "30h", not 30',
        "settings.weihts: unknown setting; did you mean 'weights'?",
        "settings.weights.night: 'much' is not a number",
        "version: 1 is not larger than 1, which resonance has had: leave it out, or write 2",
    ):
        assert problem in checked.complained
    told = desk.check(wrong, "--json")
    assert (told.code, told.value["ok"], len(told.value["problems"])) == (2, False, 4)


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ('rule = "card_burst"\n', "settings: is missing"),
        ('ruel = "card_burst"\n[settings]\n', "ruel: unknown setting; did you mean 'rule'?"),
        ('rule = "card_burst"\neffective_at = 5\n[settings]\n', "effective_at: "),
        ("rule = ", "(file): is not TOML"),
        ('rule = "card_brust"\n[settings]\n', "rule: 'card_brust' is not a rule; did you mean 'card_burst'?"),
    ],
)
def test_a_file_that_is_no_document_is_refused(desk: Desk, text: str, problem: str) -> None:
    checked = desk.check(text)
    assert checked.code == 2
    assert problem in checked.complained


def test_a_file_that_is_not_there_is_refused(desk: Desk) -> None:
    checked = orderpulse("rules", "check", desk.directory / "none.toml", "--input", desk.log)
    assert (checked.code, "(file): cannot be read: No such file or directory" in checked.complained) == (2, True)


def test_a_published_document_is_an_event_and_in_effect(desk: Desk) -> None:
    assert desk.publish(GOOD, "--operator", "mei").code == 0

    (event,) = desk.events()
    assert (event["type"], event["source"], event["operator"]) == ("rule.published", "rules", "mei")
    assert event["time"] == event["effective_at"] == 1_778_378_400_000, (
        "in a file of the past it counts from the past on"
    )
    rule = desk.rules()["card_burst"]
    assert (rule["version"], rule["from"], rule["effective_at"]) == (2, "document", 1_778_378_400_000)
    assert desk.versions() == [(2, "in_effect")]


def test_a_dry_run_writes_nothing(desk: Desk) -> None:
    told = desk.publish(GOOD, "--dry-run")
    assert told.code == 0
    assert "not published (--dry-run)" in told.said
    assert not desk.log.exists()


def test_the_next_version_is_given_and_one_that_was_published_is_refused(desk: Desk) -> None:
    desk.publish(GOOD)
    desk.publish(GOOD)
    again = desk.publish(GOOD.replace("[settings]", "version = 3\n[settings]"))

    assert desk.versions() == [(2, "replaced"), (3, "in_effect")]
    assert again.code == 2
    assert "version: 3 is not larger than 3" in again.complained


def test_what_waits_is_listed_and_a_newer_version_before_it_is_warned_of(desk: Desk) -> None:
    desk.publish(GOOD, "--effective-at", "2099-01-01T00:00:00+08:00")
    overtaking = desk.publish(GOOD)

    assert "warning: version: version 2 waits for 2099-01-01 00:00:00+08:00, and will have no effect" in (
        overtaking.complained
    )
    assert desk.versions() == [(2, "overtaken"), (3, "in_effect")]


def test_a_rollback_is_a_new_version_with_older_settings(desk: Desk) -> None:
    desk.publish(GOOD)
    desk.publish(GOOD.replace("count = 4", "count = 3"))
    assert desk.rollback("card_burst").code == 0
    assert desk.rollback("card_burst", "--version", 1).code == 0

    versions = [(each["version"], each.get("settings"), each["reason"]) for each in desk.events()][2:]
    assert versions == [(4, {"any_amount": {"count": 4}}, "as version 2"), (5, None, "as version 1")]
    assert desk.rules()["card_burst"]["version"] == 5


def test_where_there_is_no_way_back_that_is_said(desk: Desk) -> None:
    nothing = desk.rollback("card_burst")
    assert (nothing.code, "no document of card_burst is in effect" in nothing.complained) == (2, True)
    desk.publish(GOOD)
    unknown = desk.rollback("card_burst", "--version", 7)
    assert (unknown.code, "name one of 1, 2" in unknown.complained) == (2, True)


def test_a_refused_document_is_shown_with_its_problems(desk: Desk) -> None:
    desk.publish(GOOD)
    (event,) = desk.events()
    broken = event | {"version": 3, "id": "x", "settings": {"hold": "maybe"}}
    desk.log.write_text("\n".join(map(json.dumps, (event, broken, {"type": "rule.published"}))), encoding="utf-8")

    shown = orderpulse("rules", "show", "card_burst", "--input", desk.log, "--language", "zh")
    assert desk.versions() == [(2, "in_effect"), (3, "refused")]
    assert "被拒绝: settings.hold: Expected `bool`, got `str`" in shown.said
    assert desk.rules()["card_burst"]["version"] == 2
    assert "rules.ndjson@" in orderpulse("rules", "list", "--input", desk.log).said, "what cannot be read is told"


def test_tables_are_in_either_language(desk: Desk) -> None:
    desk.publish(GOOD)
    chinese = orderpulse("rules", "list", "--input", desk.log, "--language", "zh").said
    english = orderpulse("rules", "list", "--input", desk.log).said
    assert "规则文档" in chinese
    assert "(switched off)" in english


def test_an_unknown_rule_is_named_with_those_there_are(desk: Desk) -> None:
    shown = orderpulse("rules", "show", "nothing", "--input", desk.log)
    assert (shown.code, "name one of card_burst, contract" in shown.complained) == (2, True)


def test_a_run_over_the_files_goes_by_the_published_rule(desk: Desk) -> None:
    orders = [
        json.dumps({
            "type": "order.created", "id": str(number), "source": "oms", "order_id": f"O{number}", "card": "c",
            "time": 1_778_378_400_000 + number * 1_000, "amount": number,
        })
        for number in range(4)
    ]  # fmt: skip
    (desk.directory / "order.ndjson").write_text("\n".join(orders), encoding="utf-8")
    desk.publish(GOOD)

    outcome = orderpulse(
        "run", "--input", desk.directory / "order.ndjson", desk.log, "--output", desk.directory / "out"
    )

    assert outcome.code == 0, outcome.complained
    alerts = [json.loads(line) for line in (desk.directory / "out" / "alerts.ndjson").read_text("utf-8").splitlines()]
    assert [(alert["rule"], alert["rule_version"], alert["evidence"]["limit"]) for alert in alerts] == [
        ("card_burst", 2, 4)
    ]
