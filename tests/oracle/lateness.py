"""Late events, dead letters and the end of time, judged from the logs alone."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import msgspec

from config.settings import TimeSettings
from events.model import AnyEvent, Behaviour
from tests.oracle.model import AppliedEvent
from tests.oracle.ordering import without_duplicates

Log = Sequence[tuple[bytes | AnyEvent, int | None]]  # records of one partition with their arrival (epoch ms)


@dataclass(frozen=True, slots=True)
class ExpectedDeadLetter:
    """A record that cannot be used.

    ``undecodable``, ``names nobody``, ``future`` or ``outside`` (of ``earliest`` to ``latest``).
    """

    partition: str
    index: int
    reason: str


def applied(
    partitions: Mapping[str, Log], settings: TimeSettings
) -> tuple[list[AppliedEvent], list[ExpectedDeadLetter], int]:
    """The events by the time at which they are applied, each once; the dead letters; and the last event time.

    The last event time is the latest at which an event is applied; 0 where there is none.
    """
    judged: list[AppliedEvent] = []
    dead: list[ExpectedDeadLetter] = []
    for partition in sorted(partitions):
        for item in _judge(partition, partitions[partition], settings):
            if isinstance(item, AppliedEvent):
                judged.append(item)
            else:
                dead.append(item)
    end = max((item.time for item in judged), default=0)
    return without_duplicates(sorted(judged, key=lambda item: item.time)), dead, end


def _judge(partition: str, log: Log, settings: TimeSettings) -> Iterator[AppliedEvent | ExpectedDeadLetter]:
    largest: int | None = None  # event time before the record in its partition
    for index, (record, timestamp) in enumerate(log):
        arrival = timestamp if settings.arrival == "record" else None
        event = _decoded(record)
        if event is None:
            yield ExpectedDeadLetter(partition, index, "undecodable")
            continue
        if isinstance(event, Behaviour) and event.order_id is None and event.customer_id is None:
            yield ExpectedDeadLetter(partition, index, "names nobody")
            continue
        if not settings.earliest <= event.time < settings.latest:
            yield ExpectedDeadLetter(partition, index, "outside")
            continue
        if event.time > _farthest(largest, arrival, settings):
            yield ExpectedDeadLetter(partition, index, "future")
            continue
        bound = _bound(largest, arrival, settings)
        yield AppliedEvent(event, max(event.time, bound))
        largest = event.time if largest is None else max(largest, event.time)


def _decoded(record: bytes | AnyEvent) -> AnyEvent | None:
    if not isinstance(record, bytes):
        return record
    try:
        event: AnyEvent = msgspec.json.decode(record, type=AnyEvent)
    except (msgspec.MsgspecError, UnicodeDecodeError):
        return None
    return event


def _farthest(largest: int | None, arrival: int | None, settings: TimeSettings) -> int:
    """The largest time that the event may have without being a future one."""
    if arrival is not None:
        return arrival + settings.future_tolerance
    return settings.latest if largest is None else largest + settings.max_advance


def _bound(largest: int | None, arrival: int | None, settings: TimeSettings) -> int:
    """What stands before this is late."""
    by_log = settings.earliest if largest is None else largest - settings.out_of_orderness
    by_arrival = settings.earliest if arrival is None else arrival - settings.idle_delay
    return max(by_log, by_arrival)
