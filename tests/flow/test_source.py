"""The source of a worker: a partition's place says what was given out of it, whatever waits and whoever dies."""

from base64 import b64decode
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime
from random import Random

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from config.loader import load_settings
from dataflows.control import Control
from dataflows.intake import Delivery
from dataflows.keeping import BASE, GroupKeeper
from dataflows.lookout import Lookout
from dataflows.observer import Observer
from dataflows.placement import groups_of
from dataflows.seals import sealed, unsealed
from dataflows.source import EventSource, Place, SourcePart, WorkerSource
from dataflows.worker import Worker
from events.batch import RawBatch
from events.model import UNREADABLE, AnyEvent
from events.records import DeadLetterRecord
from operators.heart.component import Environment
from operators.heart.lateness import BEFORE_TIME, ClockSnapshot
from operators.heart.snapshots import SnapshotError
from operators.topology import Topology, topology
from sinks.metrics import Metrics
from sources.clock import SteadyClock
from sources.reader import Reader, SourceError, Unreachable, chosen
from tests.operators.timeline import at
from tests.oracle.generate import Log, logs
from tests.support.flow import batch, line

SETTINGS = load_settings()
LOGS = logs(SETTINGS)
NOW = 1_800_000_000_000
DECODER = msgspec.json.Decoder(AnyEvent)
DOWN = SourceError("does not answer", "Kafka at broker:9092", "check that the broker is up", passing=True)


class Shelf:
    """An input of logs that are known beforehand; a position is a record's index. ``chance`` says what comes when."""

    def __init__(self, content: Mapping[str, Log], chance: Random | None = None) -> None:
        self.partitions: Sequence[str] = sorted(content)
        self.content = content
        self.chance = chance
        self.opened: list[dict[str, int | None]] = []
        self.failures: list[SourceError] = []

    def open(self, positions: Mapping[str, int | None] | None = None) -> "ShelfReader":
        if self.failures:
            raise self.failures.pop()
        start = chosen(self.partitions, positions)
        self.opened.append(start)
        return ShelfReader(self, {name: position or 0 for name, position in start.items()})

    def close(self) -> None: ...


class ShelfReader:
    """Gives a batch of each partition at once, or of some."""

    waiting = None

    def __init__(self, shelf: Shelf, positions: dict[str, int]) -> None:
        self._shelf = shelf
        self._positions = positions
        self._unfinished = set(positions)
        self.partitions: Sequence[str] = tuple(positions)
        self.reads = 0

    @property
    def finished(self) -> bool:
        return not self._unfinished

    def read(self, prefer: str | None) -> list[RawBatch]:
        self.reads += 1
        return [self._next(name) for name in sorted(self._unfinished) if self._comes()]

    def _comes(self) -> bool:
        chance = self._shelf.chance
        return chance is None or chance.random() < 0.6

    def _next(self, name: str) -> RawBatch:
        log, start, chance = self._shelf.content[name], self._positions[name], self._shelf.chance
        size = 2 if chance is None else chance.choice((0, 1, 2, 5))
        finished = start + size >= len(log)
        if finished:
            self._unfinished.discard(name)
        found = log[start : start + size]
        self._positions[name] = start + len(found)
        return batch(name, found, start, finished=finished)

    def positions(self) -> dict[str, int]:
        return dict(self._positions)

    def lag(self) -> dict[str, int]:
        return {}

    def unreachable(self) -> Mapping[str, Unreachable]:
        return {}

    def close(self) -> None: ...


class Nothing(Random):
    """No partition has anything."""

    def random(self) -> float:
        return 1.0


class Bench:
    """One worker's source with its parts, asked as Bytewax asks them."""

    def __init__(
        self,
        shelf: Shelf,
        places: Mapping[str, bytes | None] | None = None,
        index: int = 0,
        workers: int = 1,
        *,
        step: float = 0.0,
    ) -> None:
        self.control = Control()
        self.readers: list[Reader] = []
        self.control.wrap_readers(self._noted)
        self.plan: Topology = topology(Environment(SETTINGS, 8), workers=workers)
        self.worker = Worker(self.plan, index)
        self.source = WorkerSource(
            shelf,
            self.worker,
            self.control,
            Observer(Metrics(), SteadyClock(lambda: NOW, lambda: 0)),
            Lookout(SETTINGS, lambda: NOW, dict, live=False),
            step=step,
        )
        known = places or {}
        engine = EventSource(shelf.partitions, self.source, self.control)
        mine = shelf.partitions[index::workers]
        self.parts: dict[str, SourcePart] = {
            name: engine.build_part("source", name, known.get(name)) for name in engine.list_parts() if name in mine
        }
        (hello,) = self.parts[mine[0]].next_batch()
        assert hello.first
        assert not hello.inputs

    def _noted(self, reader: Reader) -> Reader:
        self.readers.append(reader)
        return reader

    def ask(self, name: str) -> Delivery | None:
        """The next delivery of a partition; None when there is none now."""
        found = list(self.parts[name].next_batch())
        assert len(found) <= 1
        return found[0] if found else None

    def place(self, name: str) -> Place:
        """What would be stored of a partition now."""
        stored = self.parts[name].snapshot()
        assert stored is not None
        return msgspec.msgpack.decode(unsealed(stored), type=Place)

    def places(self) -> dict[str, bytes | None]:
        """An epoch ends."""
        return {name: part.snapshot() for name, part in self.parts.items()}


def log_of(*moments: str) -> Log:
    return [
        (b'{"type":"order.created","id":"%d","source":"oms","time":%d,"order_id":"%d"}' % (n, at(moment), n), None)
        for n, moment in enumerate(moments)
    ]


TWO = {"a": log_of("10:00", "10:01", "10:02"), "b": log_of("10:00", "10:03", "10:05")}


def test_what_waits_for_its_part_is_not_given_out_and_its_place_says_so() -> None:
    bench = Bench(Shelf(TWO))
    assert bench.ask("a") is not None  # the reader gave two records of each
    assert bench.place("a").position == 2
    assert bench.place("b") == Place(0, bench.place("b").clock)
    assert bench.place("b").clock == Bench(Shelf(TWO)).source._intake.router.clocks["b"].snapshot()
    assert bench.ask("b") is not None
    assert bench.place("b").position == 2
    assert bench.place("b").clock.largest == at("10:03")


def test_nothing_more_is_read_before_what_waits_was_given_out() -> None:
    bench = Bench(Shelf(TWO))
    bench.ask("a")
    assert bench.ask("a") is None
    reader = bench.readers[0]
    assert isinstance(reader, ShelfReader)
    assert reader.reads == 1
    bench.ask("b")
    assert bench.ask("a") is not None
    assert reader.reads == 2


def test_a_part_for_which_something_waits_is_to_be_asked_at_once_the_others_soon() -> None:
    bench = Bench(Shelf(TWO))
    bench.ask("a")
    assert bench.parts["b"].next_awake() is None
    soon = bench.parts["a"].next_awake()
    assert soon is not None
    assert 0 <= (soon - datetime.now(UTC)).total_seconds() * 1000 + 5 < 10


def test_when_nothing_is_new_the_reader_is_left_alone_for_a_moment() -> None:
    bench = Bench(Shelf(TWO, Nothing()))
    assert bench.ask("a") is None
    awake = bench.parts["a"].next_awake()
    assert awake is not None
    assert 0.005 < (awake - datetime.now(UTC)).total_seconds() < 0.05


def test_a_part_ends_when_all_was_read_and_all_of_it_given_out() -> None:
    bench = Bench(Shelf(TWO))
    given_out = [bench.ask(name) for name in ("a", "b", "a")]
    assert None not in given_out
    with pytest.raises(StopIteration):
        bench.ask("a")
    assert bench.ask("b") is not None
    with pytest.raises(StopIteration):
        bench.ask("b")


def test_a_stop_gives_nothing_more_out_and_what_waits_is_read_again() -> None:
    bench = Bench(Shelf(TWO))
    bench.ask("a")
    bench.control.stop()
    for name in "ab":
        with pytest.raises(StopIteration):
            bench.ask(name)
    assert (bench.place("a").position, bench.place("b").position) == (2, 0)


def test_a_run_goes_on_where_the_store_says_and_new_partitions_begin_where_the_settings_say() -> None:
    before = Bench(Shelf({"a": TWO["a"]}))
    before.ask("a")
    shelf = Shelf(TWO)
    bench = Bench(shelf, before.places())
    bench.ask("a")
    assert shelf.opened == [{"a": 2, "b": None}]


def test_before_anything_was_read_a_place_is_what_it_was() -> None:
    stored = sealed(msgspec.msgpack.encode(Place(2, ClockSnapshot(1, 2, 3))))
    bench = Bench(Shelf(TWO), {"a": stored})
    assert bench.places() == {"a": stored, "b": None}


def test_nothing_is_read_while_stored_parts_of_a_key_group_are_on_their_way() -> None:
    shelf = Shelf(TWO)
    bench = Bench(shelf)
    keeper = GroupKeeper(3)
    bench.worker.add_head(keeper.head({}))
    assert bench.ask("a") is None
    assert shelf.opened == []
    bench.worker.add_part(BASE, keeper.take(BASE))
    assert bench.ask("a") is not None


def test_a_broker_that_does_not_answer_yet_is_asked_again_by_a_run_that_goes_on(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("dataflows.source._TRY_SECONDS", 0.0)
    shelf = Shelf(TWO)
    known = Place(1, ClockSnapshot(at("10:00"), at("10:00"), 0))
    bench = Bench(shelf, {"a": sealed(msgspec.msgpack.encode(known))})
    shelf.failures = [DOWN, DOWN]
    assert [bench.ask("a"), bench.ask("b")] == [None, None]
    assert bench.ask("a") is not None
    assert shelf.opened == [{"a": 1, "b": None}]


def test_a_broker_that_does_not_answer_at_the_very_first_start_ends_the_run() -> None:
    shelf = Shelf(TWO)
    shelf.failures = [DOWN]
    bench = Bench(shelf)
    with pytest.raises(SourceError, match="does not answer"):
        bench.ask("a")
    assert bench.control.failure is DOWN


def test_a_damaged_place_is_refused_with_the_name_of_the_partition() -> None:
    with pytest.raises(SnapshotError, match="partition b in the store cannot be read"):
        Bench(Shelf(TWO), {"b": b"\x93"})


def test_a_partition_on_the_wrong_worker_is_refused() -> None:
    bench = Bench(Shelf(TWO), index=0, workers=2)
    with pytest.raises(SnapshotError, match="partition b was placed on worker 0, which does not own it"):
        bench.source.add("b", None)


@pytest.mark.parametrize("index", [0, 1])
def test_each_worker_reads_its_own_partitions_and_says_who_it_is(index: int) -> None:
    shelf = Shelf(TWO)
    bench = Bench(shelf, index=index, workers=2)
    delivery = bench.ask("ab"[index])
    assert delivery is not None
    assert shelf.opened == [{"ab"[index]: None}]
    origins = {item.origin for groups in delivery.inputs.values() for item in groups.values()}
    assert origins == {f"source/{index}"}
    assert bench.worker.numbers == groups_of(index, 2, 8)


Found = dict[str, Counter[tuple[str, int | None]]]  # by partition: record, and when a late event is applied


@given(LOGS, st.integers(0, 2**32))
def test_whoever_dies_every_record_is_given_out_once_and_judged_the_same(drawn: Mapping[str, Log], seed: int) -> None:
    chance = Random(seed)
    expected = given_out(Bench(Shelf(drawn)), Random(0), {})
    shelf = Shelf(drawn, chance)
    committed: Found = {name: Counter() for name in shelf.partitions}
    places: dict[str, bytes | None] = {}
    for _ in range(chance.randint(0, 4)):
        bench, found = Bench(shelf, places), {**committed}
        for _ in range(chance.randint(0, 12)):
            ask(bench, chance.choice(shelf.partitions), found)
            if chance.random() < 0.3:  # an epoch ends; what comes after the last one comes again
                places, committed = bench.places(), {**found}
    assert given_out(Bench(shelf, places), chance, committed) == expected
    assert {name: Counter(record for record, _ in seen.elements()) for name, seen in expected.items()} == {
        name: Counter(told_as(line(event)) for event, _ in log) for name, log in drawn.items()
    }


def given_out(bench: Bench, chance: Random, found: Found) -> Found:
    """Asks the parts in any order until all have ended."""
    found, left = {name: found.get(name, Counter()) for name in bench.parts}, [*bench.parts]
    while left:
        name = chance.choice(left)
        if not ask(bench, name, found):
            left.remove(name)
    return found


def ask(bench: Bench, name: str, found: Found) -> bool:
    """Notes what a part gives; whether it has not ended."""
    try:
        delivery = bench.ask(name)
    except StopIteration:
        return False
    if delivery is not None:
        found[name] = found[name] + Counter(judged(delivery))
    return True


def judged(delivery: Delivery) -> Iterator[tuple[str, int | None]]:
    """What became of each record of a delivery."""
    for groups in delivery.inputs.values():
        for chunk in [chunk for item in groups.values() for chunk in item.chunks]:
            for index, record in enumerate(map(str, chunk.events) if chunk.events else map(told_as, chunk.lines)):
                yield record, (chunk.late or {}).get(index)
    for letter in delivery.records:
        assert isinstance(letter, DeadLetterRecord)
        yield told_as(b64decode(letter.payload)), None


def told_as(record: bytes) -> str:
    """One form for a record, whether as a line or as an event."""
    try:
        return str(DECODER.decode(record))
    except UNREADABLE:
        return str(record)


def watermark_in(delivery: Delivery | None) -> int:
    """What a delivery tells of the time."""
    assert delivery is not None
    return max((item.watermark for by_group in delivery.inputs.values() for item in by_group.values()), default=0)


def test_a_step_gives_out_all_that_has_come_and_tells_of_time_with_the_last_of_it() -> None:
    bench = Bench(Shelf(TWO), step=1_000.0)
    assert watermark_in(bench.ask("a")) == BEFORE_TIME
    assert watermark_in(bench.ask("b")) == at("10:01") - int(SETTINGS.time.out_of_orderness) - 1


def test_between_two_steps_nothing_is_read_and_no_part_is_asked() -> None:
    bench = Bench(Shelf(TWO), step=1_000.0)
    bench.ask("a")
    bench.ask("b")
    assert [bench.ask("a"), bench.ask("b")] == [None, None]
    reader = bench.readers[0]
    assert isinstance(reader, ShelfReader)
    assert reader.reads == 1
    for name in "ab":
        awake = bench.parts[name].next_awake()
        assert awake is not None
        assert 900 < (awake - datetime.now(UTC)).total_seconds() < 1_000
    bench.source._next_read = 0.0
    assert bench.ask("a") is not None


def test_a_backlog_is_read_without_a_pause_and_time_is_told_once_a_step(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("dataflows.source._BACKLOG", 4)
    shelf = Shelf({name: log_of(*(f"10:{minute:02d}" for minute in range(20))) for name in "ab"})
    bench = Bench(shelf, step=1_000.0)
    told = [watermark_in(bench.ask(name)) for name in "ababa"]
    assert told[0] == BEFORE_TIME < told[1]
    assert told[2:] == [told[1]] * 3
    assert bench.parts["b"].next_awake() is None
    assert watermark_in(bench.ask("b")) == told[1]
    shelf.chance = Nothing()
    assert bench.ask("a") is None
    bench.source._next_telling = 0.0
    last = bench.ask("a")
    assert last is not None
    assert last.events == {}
    assert watermark_in(last) > told[1]
    assert bench.ask("a") is None
