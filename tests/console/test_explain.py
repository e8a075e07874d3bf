"""`orderpulse explain`: the story of an order, for people in two languages and for programs."""

import json
from pathlib import Path
from typing import Any

import msgspec
import pytest
from jsonschema import Draft202012Validator
from typer.testing import CliRunner, Result

from config.explain_texts import load_explain_texts
from config.loader import load_settings
from console.main import app
from dataflows.explain_why_not import rules_of
from events.explanation import DeadLetterEntry, EventEntry, Explanation, TimerEntry
from events.schemas import ROOT, generated
from tests.console.conftest import orderpulse
from tests.console.test_status import settings as topics_of
from tests.operators.timeline import event
from tests.support.kafka_broker import KafkaBroker

SAME = "customer=li card=6222020200112233445 amount=29900"
DAY = (
    f"10:00 created A {SAME} phone=13800001234",
    f"10:01 created B {SAME}",
    "10:03 paid A",
    "10:03:05 chat A text=马上要",
    f"10:05 created C {SAME}",
    "10:03 paid A id=0002",
    "10:04:45 queued A",
    "10:40 created A id=again",
    "10:45 accepted A operator=mei",
)


@pytest.fixture
def shop(tmp_path: Path) -> Path:
    lines = [msgspec.json.encode(event(line, number)) for number, line in enumerate(DAY)]
    folder = tmp_path / "shop"
    folder.mkdir()
    broken = b'{"type":"order.stage","id":"x","source":"wms","time":1778381100000,"order_id":"A","stage":7}'
    (folder / "orders.ndjson").write_bytes(b"\n".join([*lines, broken, b'{"order_id":"A"', b""]))
    return folder


def explain(*words: object, code: int = 0) -> Result:
    result = CliRunner().invoke(app, ["explain", *map(str, words)], env={"COLUMNS": "200"})
    assert result.exit_code == code, result.output
    return result


def told(shop: Path, *words: object) -> Explanation:
    return msgspec.json.decode(explain("A", "--input", shop, "--json", *words).stdout, type=Explanation)


def test_the_timeline_tells_what_came_and_what_came_of_it(shop: Path) -> None:
    lines = [" ".join(line.split()) for line in explain("A", "--input", shop).stdout.splitlines()]
    assert "order A, in 'accepted by the warehouse', version 4" in lines
    expected = [
        "10:03:00 payment payment.succeeded version 2: created → paid",
        "signals 2.2 of 2.5 (orange), of 4 (lock): chat right after payment 1.2, urgent words 1",
        "HOLD held, must not ship (card_burst)",
        "10:45:00 wms (mei) order.stage version 4: in the warehouse queue → accepted by the warehouse",
    ]
    assert [line for line in expected if not any(each.startswith(line) for each in lines)] == []


def test_late_repeated_and_unusable_events_are_told_as_such(shop: Path) -> None:
    printed = explain("A", "--input", shop).stdout
    assert "payment.succeeded  [late: it happened at 2026-05-10 10:03:00]  [delivered again, no effect]" in printed
    assert "order.stage  [late: it happened at 2026-05-10 10:04:45]  version 3" in printed
    assert "invalid_field: Expected `str`, got `int` - at `$.stage`" in printed
    assert "not_json" in printed


def test_the_chain_names_the_other_orders_of_the_window(shop: Path) -> None:
    explanation = told(shop)
    assert explanation.chain.proven
    assert explanation.chain.orders == ("B", "C")
    assert {event.id for event in explanation.chain.events if event.order != "A"} == {"0001", "0004"}
    printed = explain("A", "--input", shop).stdout
    assert "2 of the events are of other orders: B, C" in printed


def test_timers_are_told_as_set_fired_and_cancelled(shop: Path) -> None:
    timers = [entry for entry in told(shop).timeline if isinstance(entry, TimerEntry)]
    assert {entry.action for entry in timers if entry.component == "stage_timeout"} == {"set", "fired", "cancelled"}
    printed = explain("A", "--input", shop, "--all").stdout
    assert "stage_timeout will look at 2026-05-10 10:05:00.001" in printed
    assert "stage_timeout waits no longer for 2026-05-10 10:05:00" in printed


def test_each_event_says_where_it_stands(shop: Path) -> None:
    events = [entry for entry in told(shop).timeline if isinstance(entry, EventEntry)]
    raw = (shop / "orders.ndjson").read_bytes()
    for entry in events:
        assert entry.partition == "orders.ndjson"
        assert entry.position is not None
        assert json.loads(raw[entry.position :].splitlines()[0])["id"] == entry.id


def test_why_a_rule_did_not_alert_says_what_was_missing(shop: Path) -> None:
    printed = explain("A", "--input", shop, "--why-not", "resonance").stdout
    assert "resonance did not alert; the nearest it came:" in printed
    assert "2.2 of 2.5 (88 %)" in printed
    assert "0.3 missing" in printed
    kept = explain("A", "--input", shop, "--why-not", "order_timeout").stdout
    assert "42m of 2h (35 %)" in kept
    assert "kept, 1h18m to spare" in kept


def test_why_not_tells_a_rule_that_never_looked_from_one_that_is_off(shop: Path, tmp_path: Path) -> None:
    never = explain("B", "--input", shop, "--why-not", "order_timeout").stdout
    assert "found nothing to look at: the handling limit starts with the payment, and none came" in never
    off = tmp_path / "off.toml"
    off.write_text("[detectors.resonance]\nenabled = false\n", encoding="utf-8")
    assert (
        "the settings switch it off" in explain("A", "--input", shop, "--why-not", "resonance", "--config", off).stdout
    )
    assert "not about single orders" in explain("A", "--input", shop, "--why-not", "silence").stdout
    assert "card_burst did alert:" in explain("A", "--input", shop, "--why-not", "card_burst").stdout


def test_one_alert_is_told_without_the_others(shop: Path) -> None:
    episode = next(
        entry["record"]["episode"]
        for entry in json.loads(explain("A", "--input", shop, "--json").stdout)["timeline"]
        if entry["what"] == "alert" and entry["record"]["rule"] == "stage_timeout"
    )
    printed = explain("A", "--input", shop, "--alert", f"{episode}#1").stdout
    assert "stage_timeout breach opened" in printed
    assert "card_burst" not in printed


def test_until_ends_time_before_or_after_the_last_event(shop: Path) -> None:
    early = told(shop, "--until", "2026-05-10T10:04:00+08:00")
    assert early.version == 2
    assert max(entry.at for entry in early.timeline) <= 1_778_378_640_000
    late = explain("A", "--input", shop, "--until", "2026-05-10T18:00:00+08:00").stdout
    assert "no_progress no_progress opened" in late


def test_what_was_left_out_before_from_is_said(shop: Path) -> None:
    printed = explain("A", "--input", shop, "--from", "2026-05-10T10:02:00+08:00").stdout
    assert "what was before 2026-05-10 10:02:00 was not read and is not known" in printed
    assert "10:00:00" not in printed


def test_chinese_is_whole(shop: Path) -> None:
    printed = explain("A", "--input", shop, "--language", "zh", "--all").stdout
    for word in ("订单 A,环节「仓库已接单」", "事件链", "告警", "挂起", "未采用", "重复投递", "看过的规则", "定时器"):
        assert word in printed
    for english in ("reached", "missing", "window ", "opened:", "late:"):
        assert english not in printed


def test_personal_data_is_masked(shop: Path) -> None:
    for words in (("--json",), ("--all",)):
        printed = explain("A", "--input", shop, *words).stdout
        assert "138****1234" in printed
        for clear in ("13800001234", "6222020200112233445", "马上要"):
            assert clear not in printed


def test_the_json_is_what_its_schema_says(shop: Path) -> None:
    schema = json.loads((ROOT / "docs/schemas/explanation.v1.json").read_text(encoding="utf-8"))
    assert schema == json.loads(generated()["docs/schemas/explanation.v1.json"])
    Draft202012Validator(schema).validate(
        json.loads(explain("A", "--input", shop, "--json", "--why-not", "resonance").stdout)
    )


@pytest.mark.parametrize(
    ("words", "code", "says"),
    [
        (("Z",), 1, "no event names order 'Z'"),
        (("A", "--why-not", "luck"), 2, "there is no such rule"),
        (("A", "--alert", "no/such"), 2, "has no such alert"),
        (("A", "--from", "2026-05-10T10:00:00Z", "--until", "2026-05-10T10:00:00Z"), 2, "--from is not before --until"),
        (("A", "--input", "kafka"), 2, "names kafka and files"),
    ],
)
def test_what_cannot_be_explained_is_refused_with_a_remedy(
    shop: Path, words: tuple[str, ...], code: int, says: str
) -> None:
    result = explain(*words, "--input", shop, code=code)
    assert says in result.stderr
    assert "to do:" in result.stderr


def test_every_sentence_is_there_in_both_languages() -> None:
    tables: dict[str, dict[str, Any]] = msgspec.to_builtins(load_explain_texts())
    for table in tables.values():
        for name, pair in table.items():
            assert pair["zh"], name
            assert pair["en"], name
            assert set(_places(pair["zh"])) == set(_places(pair["en"])), name


def test_every_rule_says_why_it_found_nothing() -> None:
    rules = set(rules_of(load_settings())) - {"silence", "contract"}
    assert rules <= load_explain_texts().never.keys()


def _places(text: str) -> list[str]:
    return [part.split("}")[0] for part in text.split("{")[1:]]


def test_topics_explain_an_order_as_the_files_do(
    trade: Path, results: Path, kafka: KafkaBroker, tmp_path: Path
) -> None:
    config = topics_of(tmp_path, kafka.bootstrap, "explain")
    assert orderpulse("topics", "create", "--config", config).code == 0
    assert orderpulse("topics", "load", trade / "events", "--config", config).code == 0
    alerts = [json.loads(line) for line in (results / "alerts.ndjson").read_bytes().splitlines()]
    order = next(alert["orders"][0] for alert in alerts if alert["rule"] == "card_burst")

    of_topics = explain(order, "--input", "kafka", "--config", config, "--json")
    of_files = explain(order, "--input", trade / "events", "--json")

    found, expected = (msgspec.json.decode(each.stdout, type=Explanation) for each in (of_topics, of_files))
    assert found.chain.proven
    assert story(found) == story(expected)
    assert {name.rpartition("/")[0] for name in found.read.inputs} == {f"explain.{name}" for name in TOPICS}


TOPICS = ("actions", "behaviour.events", "order.events", "rules")


def story(explanation: Explanation) -> list[tuple[str, int, str]]:
    """The timeline without the places where events stand."""
    return [
        (type(entry).__name__, entry.at, entry.id if isinstance(entry, EventEntry) else entry.key)
        for entry in explanation.timeline
        if not isinstance(entry, DeadLetterEntry)
    ]
