"""Rule documents and time: they are judged in their log as any event, but time does not go by them."""

import msgspec

from events.batch import RawBatch
from events.model import RulePublished
from operators.heart.component import Environment
from operators.heart.lateness import AFTER_TIME, BEFORE_TIME
from operators.heart.router import Router
from operators.topology import topology
from tests.operators.timeline import SETTINGS, at, event, settings
from tests.support.rules import document

ORDERS, RULES = "orders.order.events.v1/0", "orders.rules.v1/0"
TOPIC = SETTINGS.kafka.topics.rules


def router(**changes: object) -> Router:
    rules = settings(**changes)
    plan = topology(Environment(rules, 8))
    made = Router(rules.time, 8, plan.routes, plan.copied, plan.rulebook, TOPIC)
    made.expect((ORDERS, RULES))
    return made


def read(partition: str, *lines: str | RulePublished, confirmed: str | None = None, arrival: str = "") -> RawBatch:
    """What a reader gives; with ``confirmed``, nothing more stood in the log at that moment."""
    events = [event(line, number) if isinstance(line, str) else line for number, line in enumerate(lines)]
    return RawBatch(
        partition,
        partition.rpartition("/")[0],
        [msgspec.json.encode(each) for each in events],
        range(len(events)),
        arrivals=[at(arrival) if arrival else each.time for each in events],
        end_confirmed_at=at(confirmed) if confirmed else 0,
    )


def published(moment: str, version: int = 2) -> RulePublished:
    return document("card_burst", version, at(moment), hold=False)


def test_a_silent_rules_topic_does_not_hold_time_back() -> None:
    flow = router()
    flow.route(read(ORDERS, "10:00 created"))
    assert flow.watermark <= BEFORE_TIME, "what was published before must be known first"
    flow.route(read(RULES, confirmed="10:00"))
    assert flow.watermark == at("09:59:50") - 1, "as the orders alone say"


def test_a_document_that_comes_while_the_topic_is_silent_is_on_time() -> None:
    flow = router()
    flow.route(read(RULES, confirmed="10:00"))
    routed = flow.route(read(RULES, published("10:00:01"), arrival="10:00:02"))
    assert (routed.late, routed.forced, [each.time for each in routed.rules]) == (0, 0, [at("10:00:01")])


def test_a_document_long_on_its_way_is_late_by_its_arrival_wherever_it_is_read() -> None:
    for confirmed in (None, "10:00:01"):
        flow = router()
        flow.route(read(RULES, confirmed=confirmed))
        routed = flow.route(read(RULES, published("10:00"), arrival="10:00:08"))
        assert (routed.late, routed.forced, [each.time for each in routed.rules]) == (1, 0, [at("10:00:03")])


def test_where_arrivals_say_nothing_a_silent_rules_topic_is_not_waited_for() -> None:
    flow = router(time={"arrival": "ignore"})
    flow.route(read(ORDERS, "10:00 created"))
    flow.route(read(RULES, confirmed="10:00"))
    assert flow.watermark == at("09:59:50") - 1
    routed = flow.route(read(RULES, published("09:00")))
    assert [each.time for each in routed.rules] == [at("09:59:50")], "never behind what the stages know"
    assert routed.forced == 1


def test_a_document_from_the_future_is_refused_as_any_event_is() -> None:
    routed = router().route(read(RULES, published("11:00"), arrival="10:00"))
    assert [letter.reason for letter in routed.dead] == ["future_time"]
    assert routed.rules == []


def test_a_document_leaves_the_clock_of_its_log_where_it_is() -> None:
    flow = router()
    flow.route(read(ORDERS, "10:00 created", published("12:00"), "10:00:30 paid"))
    assert flow.clocks[ORDERS].watermark == at("10:00:20") - 1
    assert flow.last_applied == at("10:00:30")
    flow.route(RawBatch(RULES, TOPIC, [], [], finished=True))
    flow.route(RawBatch(ORDERS, "orders", [], [], finished=True))
    assert flow.watermark == AFTER_TIME


def test_what_is_no_document_at_all_is_a_dead_letter_too() -> None:
    flow = router()
    batch = read(RULES, published("10:00"))
    batch.lines = [batch.lines[0].replace(b'"version":2', b'"version":"two"')]
    (letter,) = flow.route(batch).dead
    assert (letter.reason, letter.detail) == ("invalid_rule", "Expected `int`, got `str` - at `$.version`")


def test_where_no_rule_can_change_nobody_wants_documents() -> None:
    flow = Router(SETTINGS.time, 8, {}, None, None, TOPIC)
    routed = flow.route(read(RULES, published("10:00")))
    assert (routed.dead, routed.rules, routed.events) == ([], [], 1)
