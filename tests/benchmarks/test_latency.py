"""Each illegal move of the stream gives one alert, and the benchmark notices each that is missing or doubled."""

from collections import Counter
from collections.abc import Mapping

import msgspec
import pytest
import redis

from benchmarks.answers import WrongAnswerError
from benchmarks.latency import CatchingUp, Latency, _require_all, counted, due_of, quantile, stretches
from benchmarks.live_metrics import Histogram, Key, Samples, histograms, least, total
from benchmarks.live_sender import Opening, Sender, Stream, open_shop
from benchmarks.live_trade import ILLEGAL_EVERY, Sent, Shop, events_to_open, reserved_for
from benchmarks.live_watch import RULE, Alert, RedisWatch
from config.loader import load_settings
from events.model import AnyEvent, Event
from events.records import AlertRecord
from sinks.read_model import ReadModelSink
from tests.sinks.samples import alert, redis_settings
from tests.support.flow import Log, run

ORDERS, PARTITIONS, EVENTS, RESERVED = 400, 4, 4_000, 60
BEGIN = 1_772_323_200_000


def shop() -> list[Sent]:
    """All that opens a shop and what comes then, a second apart."""
    opening, working = Shop(ORDERS, PARTITIONS), Shop(ORDERS, PARTITIONS, RESERVED)
    events = events_to_open(ORDERS)
    sent = [opening.opening(BEGIN + number * 1_000) for number in range(events)]
    return sent + [working.event(BEGIN + (events + number) * 1_000) for number in range(EVENTS)]


def decoded(sent: Sent) -> Event:
    event: Event = msgspec.json.decode(sent.line.encode(), type=AnyEvent)
    return event


def test_every_line_is_an_event_with_an_id_of_its_own_and_each_partition_has_its_share() -> None:
    sent = shop()
    assert len({decoded(each).id for each in sent}) == len(sent)
    shares = Counter((each.topic, each.partition) for each in sent)
    assert len(shares) == 2 * PARTITIONS + 1
    assert 2 * min(shares.values()) > len(sent) / len(shares)


def test_misbehaving_orders_do_so_once_each_and_as_often_as_was_reserved_for() -> None:
    orders = [each.illegal for each in shop() if each.illegal]
    assert len(set(orders)) == len(orders) == EVENTS * 2 // 5 // ILLEGAL_EVERY
    assert reserved_for(100, EVENTS / 100) >= len(orders)


def test_the_number_of_open_orders_stays() -> None:
    kinds = Counter(msgspec.json.decode(each.line)["type"] for each in shop()[events_to_open(ORDERS) :])
    cancelled = kinds["order.stage"] - EVENTS * 2 // 5 // ILLEGAL_EVERY
    assert abs(kinds["order.created"] - cancelled) < 20
    assert kinds["behaviour.signal"] == EVENTS * 3 // 5


def test_each_illegal_move_gives_one_alert_at_its_own_time_and_nothing_else_does() -> None:
    logs: dict[str, Log] = {}
    expected = set()
    for each in shop():
        name = f"{each.topic}/{each.partition}"
        logs[name] = [*logs.get(name, ()), (each.line.encode(), None)]
        if each.illegal:
            expected.add((each.illegal, decoded(each).time))
    settings = load_settings(overrides={"detectors": {"stage_timeout": {"factor": 1000}}})
    opened = [one for one in run(logs, settings) if isinstance(one, AlertRecord) and one.step == "opened"]
    found = [(one.entity_id, one.time) for one in opened if one.rule == RULE]
    assert set(found) == expected
    assert len(found) == len(expected)


SENT = Stream(100, 0, [("A", 1_000), ("B", 2_000), ("C", 60_000)], [11_010, 12_010], 1.0)
DUE = due_of(SENT, 10_000)
ALL: Mapping[Alert, float] = {("A", 1_000): 11_050.0, ("B", 2_000): 12_070.0}


def test_all_that_time_has_passed_must_have_come() -> None:
    _require_all(SENT, DUE, ALL, ALL, 0)


@pytest.mark.parametrize(
    ("topic", "read_model", "doubled", "said"),
    [
        ({("A", 1_000): 1.0}, ALL, 0, "1 are missing in the topic"),
        (ALL, {}, 0, "2 are missing in the read model"),
        ({**ALL, ("Z", 5): 1.0}, ALL, 0, "1 others came"),
        (ALL, ALL, 1, "twice"),
    ],
)
def test_a_wrong_answer_is_refused(
    topic: Mapping[Alert, float], read_model: Mapping[Alert, float], doubled: int, said: str
) -> None:
    with pytest.raises(WrongAnswerError, match=said):
        _require_all(SENT, DUE, topic, read_model, doubled)


def test_quantiles_of_all_and_of_each_stretch() -> None:
    seen = [(at, float(at)) for at in range(100)]
    assert quantile([latency_ms for _, latency_ms in seen], 0.99) == 99
    assert stretches(seen, 4, 1.0) == [24, 49, 74, 99]
    with pytest.raises(RuntimeError, match="no alert"):
        quantile([], 0.5)


def test_the_histogram_counts_each_alert_once() -> None:
    found = counted([Latency(0, beyond, 0.0) for beyond in (-1.0, 5.0, 5.1, 9_000.0)])
    assert {name: count for name, count in found.items() if count} == {"<= 5": 2, "<= 10": 1, "> 2500": 1}


def samples(*counts: float) -> Samples:
    name, of_read = "orderpulse_alert_latency_part_seconds", ("part", "read")
    bounds = ("0.01", "0.1", "+Inf")
    found: dict[Key, float] = {
        (f"{name}_bucket", (("le", le), of_read)): count for le, count in zip(bounds, counts, strict=True)
    }
    return [found | {(f"{name}_sum", (of_read,)): counts[-1] / 16, (f"{name}_count", (of_read,)): counts[-1]}]


def test_what_came_between_two_looks_is_a_histogram_of_its_own() -> None:
    found = histograms(samples(1, 1, 1), samples(1, 11, 11))["read"]
    assert found == Histogram({0.01: 0, 0.1: 10}, 0.625, 10)
    assert found.mean_ms == 62.5
    assert found.quantile_ms(0.5) == pytest.approx(55)


def test_processes_are_added_up_and_the_slowest_counts() -> None:
    both: Samples = [{("a_total", (("x", "1"),)): 3.0, ("a_total", ()): 1.0}, {("a_total", ()): 2.0}]
    assert (total(both, "a_total"), least(both, "a_total"), least(both, "other")) == (6, 1, 0)


def test_an_alert_in_the_read_model_is_seen(redis_server: str) -> None:
    settings = redis_settings(redis_server)
    episode = f"{RULE}/order/O-1/1767240000123/"
    opened = alert(rule=RULE, episode=episode, opened_at=1_767_240_000_123)
    with redis.Redis.from_url(redis_server, decode_responses=True) as client:
        watch = RedisWatch(client, settings.prefix)
        sink = ReadModelSink(settings)
        sink.write([alert(), opened])
        while not watch.seen:
            watch.look()
        watch.close()
        sink.close()
        client.config_set("notify-keyspace-events", "")
    assert list(watch.seen) == [("O-1", 1_767_240_000_123)]


class Clerk(Sender):
    """A sender that keeps what it is given."""

    def __init__(self) -> None:
        self.given: list[tuple[Sent, int]] = []

    def send(self, sent: Sent, at: int) -> None:
        self.given.append((sent, at))

    def serve(self) -> None: ...

    def close(self) -> None: ...


def test_a_large_shop_opens_with_orders_alone_and_says_since_when_behaviour_comes() -> None:
    clerk, now = Clerk(), BEGIN + 600_000
    opening = open_shop(clerk, 101_000, 4, now)
    kinds = Counter(sent.topic for sent, _ in clerk.given[:1_000])
    assert kinds == {"orders": 1_000}
    assert len(clerk.given) == opening.events
    assert Counter(sent.topic for sent, _ in clerk.given)["orders"] == 101_000
    assert clerk.given[-1][1] <= opening.until == now


def test_a_small_shop_opens_amid_behaviour() -> None:
    opening = open_shop(Clerk(), 100, 4, BEGIN)
    assert (opening.events, opening.until) == (250, BEGIN)


def test_the_rate_of_catching_up_is_from_the_first_read_until_the_stages_have_come_to_the_end() -> None:
    course = CatchingUp(Opening(events=1_000, until=100_000), behind=10.0)
    assert course.look(0, 0, 1.0) is None
    assert course.look(0, 0, 2.0) is None
    assert course.look(1_000, 0, 3.0) is None
    assert course.look(900, 95.0, 4.0) is None
    assert course.look(1_000, 88.9, 5.0) is None
    assert course.look(1_000, 89.0, 6.0) == 1_000 / 4


def test_a_flow_that_has_read_all_at_the_first_look_has_a_rate_too() -> None:
    course = CatchingUp(Opening(events=10, until=100_000), behind=10.0)
    assert course.look(10, 95.0, 1.0) is None
    assert course.look(10, 95.0, 1.5) == 20
