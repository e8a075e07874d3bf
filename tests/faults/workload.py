"""What the flow is fed in a fault run: a simulated trade with all its troubles, in order of arrival."""

from collections.abc import Iterable, Iterator, Sequence
from itertools import accumulate
from random import Random

import msgspec
from msgspec import Struct

from config.settings import Settings
from events.model import BehaviourSignal
from sources.simulator import Line, SimulationPlan, simulate

KINDS = ("order", "behaviour", "actions")
PULSE_EVERY = 40
CASES = 0.4  # many more orders in trouble than in a real trade, so that a short run has much to say
MINUTE = 60_000
POISON = (
    b"{",
    b"\xff\xfe",
    b"[]",
    b'{"type":"order.created"}',
    b'{"type":"order.teleported","id":"x","source":"s","time":1}',
)
_BROKEN = "broken"  # what the simulator calls the source of its bad records; their times say nothing


class Entry(Struct, frozen=True, gc=False):
    """One record of an input topic. ``kind`` says which topic, ``partition`` which of its partitions.

    ``stamp``, its timestamp: the largest event time so far, so that no trace is left of when it was fed.
    """

    kind: str
    partition: int
    key: str | None
    value: bytes
    stamp: int = 1


class Workload(Struct, frozen=True):
    """Records in their order of arrival. ``bad``: how many of them cannot be used."""

    entries: Sequence[Entry]
    partitions: int
    bad: int

    def logs(self) -> dict[tuple[str, int], list[bytes]]:
        """The records of each partition, by kind and number."""
        logs: dict[tuple[str, int], list[bytes]] = {
            (kind, part): [] for kind in KINDS for part in range(self.partitions)
        }
        for entry in self.entries:
            logs[entry.kind, entry.partition].append(entry.value)
        return logs


class _Header(Struct):
    source: str
    time: int
    order_id: str | None = None
    customer_id: str | None = None


_decoder = msgspec.json.Decoder(_Header)


def trade(orders: int, seed: int, settings: Settings, *, partitions: int = 2, poison: int = 0) -> Workload:
    """Bursts, stuck orders, merges, resonance; 3 % copies, 3 % late events, 1 % bad records.

    ``poison``: in the middle, so many bad records stand in a row in one partition. Every partition gets a pulse now and
    then, an event that has no effect but that time goes on; the last ones come two minutes after everything else. So
    a run that waits for more says all that a run says that is told where the topics end.
    """
    plan = SimulationPlan(orders, seed, partitions=partitions, duplicates=0.03, late=0.03, bad=0.01, cases=CASES)
    simulation = simulate(plan, settings)
    entries = list(_with_pulses(map(_entry, simulation), partitions))
    middle = len(entries) // 2
    entries[middle:middle] = _poison(poison, Random(seed))
    entries += _pulses(max(map(_time, entries)) + 2 * MINUTE, partitions)
    stamps = accumulate((max(1, _time(entry)) for entry in entries), max)
    stamped = [msgspec.structs.replace(entry, stamp=stamp) for entry, stamp in zip(entries, stamps, strict=True)]
    return Workload(stamped, partitions, simulation.counts.bad + poison)


def _with_pulses(entries: Iterable[Entry], partitions: int) -> Iterator[Entry]:
    newest = 0
    for number, entry in enumerate(entries, start=1):
        yield entry
        newest = max(newest, _time(entry))
        if number % PULSE_EVERY == 0:
            yield from _pulses(newest, partitions)


def _pulses(time: int, partitions: int) -> Iterator[Entry]:
    for kind in KINDS:
        for partition in range(partitions):
            name = f"pulse-{kind}-{partition}"
            event = BehaviourSignal(f"{name}-{time}", "pulse", time, customer_id=name, signal="page_view")
            yield Entry(kind, partition, name, msgspec.json.encode(event))


def _poison(count: int, rng: Random) -> Iterator[Entry]:
    return (Entry("order", 0, None, rng.choice(POISON)) for _ in range(count))


def _entry(line: Line) -> Entry:
    kind, _, number = line.partition.removeprefix("events/").removesuffix(".ndjson").rpartition("-")
    header = _header(line.data)
    key = None if header is None else header.order_id or header.customer_id
    return Entry(kind, int(number), key, line.data)


def _time(entry: Entry) -> int:
    """The event time, epoch ms; 0 for a record that cannot be used."""
    header = _header(entry.value)
    return 0 if header is None or header.source == _BROKEN else header.time


def _header(value: bytes) -> _Header | None:
    try:
        return _decoder.decode(value)
    except (msgspec.DecodeError, UnicodeDecodeError):
        return None
