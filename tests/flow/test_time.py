"""How time passes in a run: with events, with silence that is confirmed, and to the end that was asked for."""

from collections.abc import Iterable

from dataflows.memory import MemoryDriver
from events.batch import RawBatch
from events.model import AnyEvent
from events.records import LateRecord, Record
from operators.heart.component import Environment
from operators.topology import topology
from tests.operators.timeline import SETTINGS, alerts, at, event, of_kind, say
from tests.support.flow import batch

IDLE = int(SETTINGS.time.idle_delay)


def flow(*partitions: str, until: int | None = None) -> MemoryDriver:
    return MemoryDriver(topology(Environment(SETTINGS, 4)), partitions, until=until)


def told(records: Iterable[Record]) -> list[str]:
    return [say(step) for step in alerts("stage_timeout", records)]


def batch_of(partition: str, *lines: str, number: int = 0, finished: bool = False) -> RawBatch:
    log: list[tuple[bytes | AnyEvent, int | None]] = [
        (event(line, number), None) for number, line in enumerate(lines, start=number)
    ]
    return batch(partition, log, number, finished=finished)


def silence(partition: str, confirmed_at: str, milliseconds: int = 0) -> RawBatch:
    """Nothing new, and the source saw at that wall time that nothing follows yet."""
    return RawBatch(partition, "events", [], [], end_confirmed_at=at(confirmed_at) + milliseconds)


def test_the_end_of_all_input_is_the_last_event_not_infinity() -> None:
    run = flow("a")
    assert told(run.feed(batch_of("a", "10:00 created", "10:04 created B", finished=True))) == []
    assert run.intake.watermark == at("10:04")


def test_until_lets_time_go_on_after_the_end_of_all_input() -> None:
    run = flow("a", until=at("10:05"))
    assert told(run.feed(batch_of("a", "10:00 created", finished=True))) == ["10:05 opened breach"]
    assert run.intake.watermark == at("10:05")


def test_until_does_not_cut_off_what_came_after_it() -> None:
    run = flow("a", until=at("10:01"))
    assert told(run.feed(batch_of("a", "10:00 created", "10:09 created B", finished=True))) == ["10:05 opened breach"]


def test_until_waits_for_the_end_of_all_input() -> None:
    run = flow("a", "b", until=at("12:00"))
    assert told(run.feed(batch_of("a", "10:00 created", finished=True))) == []
    assert told(run.feed(batch_of("b", finished=True))) == ["10:05 opened breach"]


def test_a_log_that_goes_on_lets_time_follow_it_at_the_out_of_orderness() -> None:
    run = flow("a")
    assert told(run.feed(batch_of("a", "10:00 created", "10:05:10 created B"))) == []
    assert told(run.feed(batch_of("a", "10:05:10.001 created C", number=2))) == ["10:05 opened breach"]


def test_time_goes_on_in_silence_that_is_confirmed() -> None:
    run = flow("a")
    run.feed(batch_of("a", "10:00 created"))
    assert told(run.feed(silence("a", "10:05", IDLE))) == []
    assert told(run.feed(silence("a", "10:05", IDLE + 1))) == ["10:05 opened breach"]


def test_silence_that_nobody_confirms_holds_time_back() -> None:
    run = flow("a", "b")
    run.feed(batch_of("a", "10:00 created"))
    assert told(run.feed(silence("a", "12:00"))) == []
    assert run.intake.watermark < at("10:00")
    assert told(run.feed(silence("b", "12:00"))) == ["10:05 opened breach"]


def test_an_unfinished_partition_holds_time_back_for_finished_ones() -> None:
    run = flow("a", "b")
    assert told(run.feed(batch_of("a", "10:00 created", "11:00 created B", finished=True))) == []
    assert told(run.feed(batch_of("b", finished=True))) == ["10:05 opened breach"]


def test_a_partition_that_never_had_an_event_does_not_move_the_end() -> None:
    run = flow("a", "b")
    run.feed(batch_of("a", "10:00 created", finished=True), batch_of("b", finished=True))
    assert run.intake.watermark == at("10:00")


def test_an_old_confirmation_does_not_take_time_back() -> None:
    run = flow("a")
    run.feed(batch_of("a", "10:00 created"), silence("a", "10:30"))
    before = run.intake.watermark
    run.feed(silence("a", "10:10"))
    assert run.intake.watermark == before


def test_an_event_behind_the_confirmed_silence_is_late_and_not_lost() -> None:
    run = flow("a")
    opened = run.feed(batch_of("a", "10:00 created"), silence("a", "10:10"))
    resolved = run.feed(batch_of("a", "10:04 paid", number=1, finished=True))
    assert told(opened) == ["10:05 opened breach"]
    assert told(resolved) == ["10:09:30 resolved breach paid_late"]
    (late,) = of_kind(LateRecord, resolved)
    assert (late.time, late.applied_at) == (at("10:04"), at("10:10") - IDLE)


def test_an_event_exactly_at_the_bound_is_in_time_and_one_before_it_is_not() -> None:
    run = flow("a")
    records = run.feed(
        batch_of("a", "10:00 created", "10:05:10 created B", "10:05 paid", "10:04:59.999 paid C", finished=True)
    )
    assert told(records) == []
    (late,) = of_kind(LateRecord, records)
    assert (late.entity_id, late.time, late.applied_at) == ("C", at("10:04:59.999"), at("10:05"))


def test_late_events_of_two_orders_that_share_an_id_are_told_apart() -> None:
    """Systems number their events by order: what tells records apart must name the order as well."""
    log: list[tuple[bytes | AnyEvent, int | None]] = [
        (event("12:00 created A", 0), None),
        (event("10:00 created B", 1), None),
        (event("10:00 created C", 1), None),
    ]
    records = flow("a").feed(batch("a", log, finished=True))
    late = of_kind(LateRecord, records)
    assert {record.event_id for record in late} == {late[0].event_id}
    assert len({record.id for record in late}) == 2
