"""The mapping of raw records, batch by batch: read, map, write, and only then commit."""

import base64
import time
from collections import Counter
from collections.abc import Callable, Mapping
from typing import Protocol, cast

from confluent_kafka import Message
from msgspec import Struct

from events.model import ContractCounted, Event, type_name
from events.records import DeadLetterRecord
from sources.mapping.contract import ContractCounts
from sources.mapping.mapper import Refusal
from sources.webhooks.contract_slices import ContractSlices
from sources.webhooks.counting import Counting
from sources.webhooks.raw import raw_delivery
from sources.webhooks.raw_reading import RawReading
from sources.webhooks.record_mapper import RecordMapper

_TOLD = 3  # refusals of one raw record that its dead letter tells of


class RouteMapper(Struct, frozen=True):
    """The mapper of one route."""

    route: str
    mapper: RecordMapper


class Target(Protocol):
    """Where events and dead letters go."""

    def event(self, event: Event) -> None:
        """Hand an event over."""

    def dead_letter(self, letter: DeadLetterRecord) -> None:
        """Hand a dead letter over."""

    def flush(self) -> bool:
        """Return when all is kept; False when that was given up."""
        ...


class MapSummary(Struct, frozen=True):
    """What a mapping did: ``by_type``: events per type; ``by_reason``: dead letters per reason."""

    records: int
    by_type: dict[str, int]
    by_reason: dict[str, int]


class MapRun:
    """Maps until the reading ends or ``stopping`` says so.

    Events are written before their raw records are committed: after a crash some are written again, under the same
    ids, and the flow leaves those out.
    """

    def __init__(
        self,
        reading: RawReading,
        mappers: Mapping[str, RouteMapper],
        target: Target,
        counts: Counting,
        stopping: Callable[[], bool],
        slices: ContractSlices | None = None,
        clock: Callable[[], float] = time.time,
    ) -> None:
        """``mappers``: raw topic -> its route's mapper. ``slices``: count what the records look like."""
        self._slices = slices
        self._clock = clock
        self._reading = reading
        self._mappers = mappers
        self._target = target
        self._counts = counts
        self._stopping = stopping
        self._records = 0
        self._by_type: Counter[str] = Counter()
        self._by_reason: Counter[str] = Counter()

    def run(self, batch: int) -> MapSummary:
        """Map; raises SourceError when it cannot go on."""
        while not (self._stopping() or self._reading.finished):
            messages = self._reading.read(batch)
            if self._slices is not None:
                for place in self._reading.reassigned():
                    self._slices.forget(place)
            for message in messages:
                self._map(message)
            ended = self._end_slices() if not messages else 0
            if (messages or ended) and not self._target.flush():
                break
            self._reading.done()
        return MapSummary(self._records, dict(sorted(self._by_type.items())), dict(sorted(self._by_reason.items())))

    def _map(self, message: "Message[bytes, bytes]") -> None:
        route = self._mappers[message.topic() or ""]
        delivery = raw_delivery(_headers(message), route.route)
        counts = self._counted(message, route, pushed=delivery.origin != "poll")
        mapped = route.mapper.map(message.value() or b"", delivery, counts)
        if self._slices is not None and self._reading.is_again(message):
            return
        self._records += 1
        for event in mapped.events:
            self._target.event(event)
            kind = type_name(type(event))
            self._by_type[kind] += 1
            self._counts.add("orderpulse_intake_mapped_events_total", route=route.route, type=kind)
        if mapped.refusals:
            letter = _dead_letter(message, mapped.refusals)
            self._target.dead_letter(letter)
            self._by_reason[letter.reason] += 1
            self._counts.add("orderpulse_intake_unmapped_total", route=route.route, reason=letter.reason)

    def _counted(self, message: "Message[bytes, bytes]", route: RouteMapper, *, pushed: bool) -> ContractCounts | None:
        """Where to count a record; the slice that it ends goes out before its events."""
        if self._slices is None:
            return None
        place, offset = (message.topic() or "", message.partition() or 0), message.offset() or 0
        stamp = max(message.timestamp()[1], 0)
        counts, ended = self._slices.begin(place, offset, stamp, route.mapper.source)
        if ended is not None:
            self._tell(ended)
        counts.begin(offset, stamp, pushed=pushed)
        return counts

    def _end_slices(self) -> int:
        if self._slices is None:
            return 0
        ended = list(self._slices.overdue(int(self._clock() * 1000), self._reading.at_end))
        for counted in ended:
            self._tell(counted)
        return len(ended)

    def _tell(self, counted: ContractCounted) -> None:
        self._target.event(counted)
        self._counts.add("orderpulse_contract_records_total", counted.records, source=counted.source)
        for field in counted.fields:
            for deviation in field.deviations:
                self._counts.add(
                    "orderpulse_contract_deviations_total",
                    deviation.count,
                    source=counted.source,
                    field=field.field,
                    what=deviation.what,
                )


def _dead_letter(message: "Message[bytes, bytes]", refusals: list[Refusal]) -> DeadLetterRecord:
    """One for each raw record, whatever number of events it did not give."""
    topic, partition, offset = message.topic() or "", message.partition() or 0, message.offset() or 0
    first = refusals[0]
    told = [str(refusal) for refusal in refusals[:_TOLD]]
    more = [f"and {len(refusals) - _TOLD} more"] if len(refusals) > _TOLD else []
    stamp = message.timestamp()[1]
    return DeadLetterRecord(
        id=f"{topic}/{partition}/{offset}",
        topic=topic,
        partition=f"{topic}/{partition}",
        position=offset,
        reason=first.reason,
        detail="; ".join(told + more),
        remedy=f"{first.remedy}; then map again: orderpulse intake map --from",
        arrival=stamp if stamp >= 0 else None,
        payload=base64.b64encode(message.value() or b"").decode(),
        headers=tuple(
            (name, None if value is None else base64.b64encode(value).decode()) for name, value in _headers(message)
        ),
    )


# The stubs know headers as they are written; read, they are always pairs with bytes.
_read_headers = cast("Callable[[Message], list[tuple[str, bytes | None]] | None]", Message.headers)


def _headers(message: "Message[bytes, bytes]") -> list[tuple[str, bytes | None]]:
    return _read_headers(message) or []
