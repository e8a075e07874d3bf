"""Runs logs through the in-memory driver, cut into batches in any way a test likes."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Final

import msgspec

from config.settings import Settings
from dataflows.memory import MemoryDriver
from events.batch import RawBatch
from events.model import AnyEvent
from events.records import AlertRecord, HoldRecord, ReadModelOnly, Record
from operators.heart.component import Environment
from operators.topology import topology
from tests.oracle import ExpectedStep

Log = Sequence[tuple[bytes | AnyEvent, int | None]]
REASONED = ("updated", "resolved")
LIVE_CELLS: Final = 2_048
NAMING = ("card_burst", "merge_candidate")


def driver(
    settings: Settings,
    partitions: Iterable[str],
    groups: int = 8,
    until: int | None = None,
    live_cells: int = LIVE_CELLS,
    *,
    compiled: bool = True,
) -> MemoryDriver:
    """A fresh driver. ``live_cells``: of how many keys a key group keeps the state as objects. ``compiled``: with the
    compiled part of the heart, where it was built.
    """
    plan = topology(Environment(settings, groups, live_cells=live_cells, compiled=compiled))
    return MemoryDriver(plan, partitions, until=until)


def line(event: bytes | AnyEvent) -> bytes:
    """An event as it stands in a log."""
    return event if isinstance(event, bytes) else msgspec.json.encode(event)


def batch(partition: str, log: Log, start: int = 0, *, finished: bool = False) -> RawBatch:
    """Part of a log as a source hands it over; positions are indexes in the log."""
    arrivals = [arrival for _, arrival in log]
    return RawBatch(
        partition=partition,
        topic="events",
        lines=[line(event) for event, _ in log],
        positions=range(start, start + len(log)),
        arrivals=[arrival for arrival in arrivals if arrival is not None] if all(_known(arrivals)) else None,
        finished=finished,
    )


def _known(arrivals: Iterable[int | None]) -> Iterator[bool]:
    return (arrival is not None for arrival in arrivals)


def run(logs: Mapping[str, Log], settings: Settings, groups: int = 8, size: int = 1_000) -> list[Record]:
    """All records of a run over whole logs, partition after partition in batches of ``size``, in turn."""
    flow = driver(settings, logs, groups)
    records: list[Record] = []
    longest = max((len(log) for log in logs.values()), default=0)
    for start in range(0, longest, size):
        for name, log in logs.items():
            if start < len(log):
                records += flow.feed(batch(name, log[start : start + size], start))
    for name in logs:
        records += flow.feed(batch(name, (), finished=True))
    return records


def outputs(records: Iterable[Record]) -> list[bytes]:
    """What sinks would write, sorted; snapshots for the read model depend on batches by design and are left out."""
    kept = (record for record in records if not isinstance(record, ReadModelOnly))
    return sorted(
        type(record).__name__.encode() + msgspec.json.encode(record, order="deterministic") for record in kept
    )


def steps(records: Iterable[Record], end: int) -> list[ExpectedStep]:
    """The alert steps up to ``end``, in the oracle's words."""
    return [
        ExpectedStep(
            rule=record.rule,
            step=record.step,
            entity_type=record.entity_type,
            entity_id=record.entity_id,
            time=record.time,
            level=record.level,
            reason=record.reason if record.step in REASONED else None,
            orders=record.orders if record.rule in NAMING else (),
            variant=record.episode.split("/")[4] if record.rule == "card_burst" else None,
        )
        for record in records
        if isinstance(record, AlertRecord) and record.step != "acknowledged" and record.time <= end
    ]


def holds(records: Iterable[Record]) -> list[HoldRecord]:
    """The hold records."""
    return [record for record in records if isinstance(record, HoldRecord)]
