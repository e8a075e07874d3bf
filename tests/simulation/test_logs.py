import json
from collections.abc import Iterator
from pathlib import Path
from zlib import crc32

import msgspec
import pytest

from config.settings import Settings
from events.model import EVENT_TYPES, AnyEvent, Behaviour, Event
from events.topics import topic_of
from sources.simulation.bad_records import BAD_CASES
from sources.simulator import Simulation, SimulationPlan, simulate, write
from tests.simulation.conftest import TROUBLED, Logs, read

TOPICS = {"order": "orders", "behaviour": "behaviour", "actions": "actions"}
Simulated = tuple[Simulation, Logs]


def good_events(simulated: Simulated) -> Iterator[tuple[str, list[Event]]]:
    """The good events of each log in the order of arrival, copies included."""
    simulation, logs = simulated
    bad = {(letter.partition, letter.position) for letter in simulation.dead_letters}
    decode = msgspec.json.Decoder(AnyEvent).decode
    for partition, lines in logs.items():
        position, events = 0, []
        for line in lines:
            if (partition, position) not in bad:
                events.append(decode(line))
            position += len(line) + 1
        yield partition, events


def first_times(events: list[Event]) -> Iterator[tuple[Event, int]]:
    """Each event the first time it comes, with the largest event time before it (0: none)."""
    seen, largest = set(), 0
    for event in events:
        if (event.source, event.id) not in seen:
            yield event, largest
        seen.add((event.source, event.id))
        largest = max(largest, event.time)


def test_the_same_seed_gives_the_same_bytes(settings: Settings, tmp_path: Path) -> None:
    for run in ("one", "two"):
        write(TROUBLED, settings, tmp_path / run)
    files = sorted(path.relative_to(tmp_path / "one") for path in (tmp_path / "one").rglob("*.ndjson"))
    assert len(files) == 3 * TROUBLED.partitions + 2
    for file in files:
        assert (tmp_path / "one" / file).read_bytes() == (tmp_path / "two" / file).read_bytes()


def test_another_seed_gives_another_trade(settings: Settings) -> None:
    one, two = (read(simulate(SimulationPlan(orders=5, seed=seed), settings)) for seed in (1, 2))
    assert one != two


def test_events_on_time_are_never_further_out_of_order_than_allowed(plain: Simulated, settings: Settings) -> None:
    out_of_order = 0
    for _, events in good_events(plain):
        for event, largest in first_times(events):
            assert event.time >= largest - settings.time.out_of_orderness
            out_of_order += event.time < largest
    assert out_of_order > 100


def test_late_events_are_counted_and_come_at_the_share_asked_for(troubled: Simulated, settings: Settings) -> None:
    simulation, _ = troubled
    late = sum(
        event.time < largest - settings.time.out_of_orderness
        for _, events in good_events(troubled)
        for event, largest in first_times(events)
    )
    assert late == simulation.counts.late
    assert late == pytest.approx(TROUBLED.late * simulation.counts.events, rel=0.1)


def test_some_stage_moves_come_late_too(troubled: Simulated, settings: Settings) -> None:
    late = {
        type(event)
        for _, events in good_events(troubled)
        for event, largest in first_times(events)
        if event.time < largest - settings.time.out_of_orderness
    }
    assert {"OrderStage", "PaymentSucceeded", "BehaviourSignal"} <= {kind.__name__ for kind in late}


def test_copies_are_exact_and_come_within_the_horizon(troubled: Simulated, settings: Settings) -> None:
    simulation, _ = troubled
    copies = 0
    for _, events in good_events(troubled):
        known: dict[tuple[str, str], Event] = {}
        largest = 0
        for event in events:
            if (event.source, event.id) in known:
                copies += 1
                assert event == known[event.source, event.id]
                assert largest - event.time < settings.time.duplicate_horizon
            known[event.source, event.id] = event
            largest = max(largest, event.time)
    assert copies == simulation.counts.duplicates
    assert copies == pytest.approx(TROUBLED.duplicates * simulation.counts.events, rel=0.1)


def test_each_log_holds_the_events_of_its_topic_and_key(plain: Simulated) -> None:
    for partition, events in good_events(plain):
        kind, number = partition.removeprefix("events/").removesuffix(".ndjson").split("-")
        for event in events:
            key = getattr(event, "order_id", None) or getattr(event, "customer_id", None) or ""
            assert topic_of(type(event)) == TOPICS[kind]
            assert crc32(key.encode()) % 4 == int(number)


NOT_OF_THE_TRADE = {
    "AlertAcknowledged",
    "BuyerNotice",
    "ContractCounted",
    "FallbackLinked",
    "FallbackRejected",
    "JobHeartbeat",
    "OrderMerged",
    "RulePublished",
}


def test_every_kind_of_event_of_the_ordinary_trade_comes_up(plain: Simulated) -> None:
    seen = {type(event).__name__ for _, events in good_events(plain) for event in events}
    assert seen == {kind.__name__ for kind in EVENT_TYPES} - NOT_OF_THE_TRADE


def test_behaviour_has_the_share_asked_for(plain: Simulated) -> None:
    events = [event for _, log in good_events(plain) for event in log]
    share = sum(isinstance(event, Behaviour) for event in events) / len(events)
    assert share == pytest.approx(0.57, abs=0.01)


def test_without_shares_nothing_is_late_or_doubled_or_bad(plain: Simulated) -> None:
    simulation, logs = plain
    counts = simulation.counts
    assert (counts.late, counts.duplicates, counts.bad) == (0, 0, 0)
    assert sum(map(len, logs.values())) == counts.events


def test_bad_records_stand_where_the_truth_says_and_cannot_be_used(settings: Settings, tmp_path: Path) -> None:
    write(TROUBLED, settings, tmp_path)
    letters = [json.loads(line) for line in (tmp_path / "truth_dead_letters.ndjson").open()]
    for letter in letters:
        with (tmp_path / letter["partition"]).open("rb") as file:
            file.seek(letter["position"])
            assert not is_usable(file.readline().removesuffix(b"\n"), settings), letter["case"]
    assert {letter["case"] for letter in letters} == set(BAD_CASES)


def is_usable(line: bytes, settings: Settings) -> bool:
    try:
        event = msgspec.json.decode(line, type=AnyEvent)
    except (msgspec.MsgspecError, UnicodeDecodeError):
        return False
    return bool(settings.time.earliest <= event.time <= settings.time.latest)


def test_the_number_of_orders_is_the_one_asked_for(plain: Simulated) -> None:
    created = {
        event.order_id  # type: ignore[attr-defined]
        for _, events in good_events(plain)
        for event in events
        if type(event).__name__ == "OrderCreated"
    }
    assert len(created) == plain[0].counts.orders == 300


def test_logs_of_an_earlier_simulation_are_replaced(settings: Settings, tmp_path: Path) -> None:
    write(SimulationPlan(orders=3, seed=1, partitions=6), settings, tmp_path)
    write(SimulationPlan(orders=3, seed=1, partitions=2), settings, tmp_path)
    assert len(list((tmp_path / "events").iterdir())) == 3 * 2
