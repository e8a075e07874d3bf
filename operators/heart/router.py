"""From raw batches to key groups: reads just enough of a record to know when it happened and who it is for."""

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from operator import attrgetter
from typing import Any, Final, Literal
from zlib import crc32

import msgspec
from msgspec import Struct, field

from config.settings import TimeSettings
from config.units import Duration
from events.batch import RawBatch
from events.model import EVENT_TYPES, UNREADABLE, Event, EventId, Key, RulePublished, SourceName, type_name
from events.records import DeadLetterRecord
from operators.heart.dead_letters import dead_letter
from operators.heart.inputs import Chunk
from operators.heart.lateness import BEFORE_TIME, ClockSnapshot, PartitionClock
from operators.rules.documents import Announced
from operators.rules.rulebook import Rulebook

MAX_RECORD = 1 << 20
KNOWN_TYPES = frozenset(type_name(kind) for kind in EVENT_TYPES)
_RULE: Final = type_name(RulePublished)
_RULES: Final = msgspec.json.Decoder(RulePublished)
NOWHERE: Final = ""
"""The stage of events that nobody wants, but whose times count all the same."""
By = Literal["order", "customer", "order_entity", "entity", "job"]
KeyOf = Callable[[Any], str]


class Header(Struct, gc=False):
    """The fields of an event that decide where it goes and when it counts."""

    type: str
    id: EventId
    source: SourceName
    time: int
    order_id: Key | None = None
    customer_id: Key | None = None
    entity_type: str | None = None
    entity_id: str | None = None
    job: Any = None  # of any type: other events may have a field of that name


class CopyHeader(Header, gc=False):
    """A header with what copies are placed by. Whether these are texts is for whoever decodes the record to say."""

    phone: Any = None
    fallback_id: Any = None


class Copied(Struct, frozen=True):
    """Events of one type that go to a second stage as well; ``key_of`` takes their ``CopyHeader``; "" is nowhere."""

    type: str
    stage: str
    key_of: KeyOf


class Route(Struct, frozen=True):
    """Where events of one type go, and where those go that lack what it is ``by``.

    ``by``: ``order`` the order id; ``customer`` the customer's key; ``order_entity`` the order as an entity;
    ``entity`` the entity that the event names; ``job`` the job that it names.
    """

    stage: str
    by: By
    otherwise: "Route | None" = None


class Routed(Struct):
    """What became of a batch: chunks per stage and key group, rule documents, dead letters, and counts."""

    chunks: dict[str, dict[int, Chunk]] = field(default_factory=dict)
    rules: list[Announced] = field(default_factory=list)
    dead: list[DeadLetterRecord] = field(default_factory=list)
    events: int = 0
    late: int = 0
    forced: int = 0


def key_group(key: str, groups: int) -> int:
    """The key group of a key: a stable hash, the same in every process and every run."""
    return crc32(key.encode()) % groups


class Router:
    """Keeps the clock of each partition it is given and sorts their records into key groups.

    ``routes`` maps an event type to its route; a known type without one is wanted by nobody and is left out. Events
    that are ``copied`` go to a second stage as well. Rule documents are judged by the ``rulebook``; without one nobody
    wants them. Time does not go by them, and their own topic, ``rules_topic``, is silent for days: its partitions are
    believed to be silent sooner than others, so that they do not hold time back.
    """

    def __init__(
        self,
        settings: TimeSettings,
        groups: int,
        routes: Mapping[str, Route],
        copied: Copied | None = None,
        rulebook: Rulebook | None = None,
        rules_topic: str = "",
    ) -> None:
        self._settings = settings
        self._quiet = msgspec.structs.replace(settings, idle_delay=Duration(settings.out_of_orderness // 2))
        self._rulebook = rulebook
        self._rules_topic = rules_topic
        self._silent_rules: frozenset[str] = frozenset()
        self._groups = groups
        self._routes = routes
        # Most events go by their order id, and of the others most by their customer's: for them the type alone says
        # the stages.
        self._usual = {name: _usual(route) for name, route in routes.items() if route.by == "order"}
        self._copied = copied
        self._decoder: msgspec.json.Decoder[Header] = msgspec.json.Decoder(Header if copied is None else CopyHeader)
        self._arrival_counts = settings.arrival == "record"
        self.clocks: dict[str, PartitionClock] = {}
        self._left_out: frozenset[str] = frozenset()

    def expect(self, partitions: Iterable[str]) -> None:
        """Name partitions before their first record: time does not pass them by."""
        for partition in partitions:
            if partition not in self.clocks:
                settings = self._quiet if self._is_of_rules(partition) else self._settings
                self.clocks[partition] = PartitionClock(settings)

    def _is_of_rules(self, partition: str) -> bool:
        return bool(self._rules_topic) and partition.rpartition("/")[0] == self._rules_topic

    @property
    def watermark(self) -> int:
        """The least watermark of all partitions but those left out; AFTER_TIME once all are finished."""
        aside = self._left_out | self._silent_rules
        waited_for = self.clocks.keys() - aside if aside else self.clocks
        return min((self.clocks[name].watermark for name in waited_for), default=BEFORE_TIME)

    def leave_out(self, partitions: Collection[str], told: int) -> None:
        """Do not wait for these partitions. Others that were left out are back: nothing of theirs falls behind
        ``told``, the watermark that the stages know, and what is applied later than a replay would counts as forced.
        """
        for name in self._left_out.difference(partitions):
            clock = self.clocks[name]
            clock.idle_until = max(clock.idle_until, told + 1)
        self._left_out = frozenset(partitions)

    @property
    def last_applied(self) -> int:
        """The latest time at which a record of any partition is applied."""
        return max((max(clock.largest, clock.last_applied) for clock in self.clocks.values()), default=BEFORE_TIME)

    def slowest(self) -> str | None:
        """The unfinished partition whose event time is furthest behind: reading it first keeps buffers small."""
        open_clocks = [(clock.watermark, name) for name, clock in self.clocks.items() if not clock.finished]
        return min(open_clocks)[1] if open_clocks else None

    def route(self, batch: RawBatch) -> Routed:
        """Judge and sort the records of one batch; the partition's clock moves on."""
        self.expect((batch.partition,))
        clock = self.clocks[batch.partition]
        routed = Routed(events=len(batch.lines))
        forced = clock.forced
        if batch.lines:
            self._sort_in(batch, clock, routed)
            routed.chunks.pop(NOWHERE, None)
        routed.forced = clock.forced - forced
        if batch.end_confirmed_at:
            self._end_confirmed(batch.partition, clock, batch.end_confirmed_at)
        if batch.finished:
            clock.finished = True
        return routed

    def _end_confirmed(self, partition: str, clock: PartitionClock, at: int) -> None:
        """Where arrivals say nothing, wall time does not either: time goes on only with the events.

        But not for rules, of which none may come for months: then nothing is waited for.
        """
        if self._arrival_counts:
            clock.idle(at)
        elif self._is_of_rules(partition):
            self._silent_rules |= {partition}

    def _sort_in(self, batch: RawBatch, clock: PartitionClock, routed: Routed) -> None:  # noqa: C901, PLR0912, PLR0915
        """The hot loop: one pass over the headers of a batch, where each call counts.

        What is refused does not move the clock.
        """
        groups, judge = self._groups, clock.judge
        usual, chunks = self._usual, routed.chunks
        arrivals = batch.arrivals if self._arrival_counts else None
        envelopes = arrivals is not None or batch.headers is not None
        copied = None if self._copied is None else self._copied.type
        arrival = None
        lines, positions = batch.lines, batch.positions
        for index, header in enumerate(self._headers(batch, routed)):
            if header is None:
                continue
            stages = usual.get(header.type)
            key = header.order_id
            if stages is None or key is None:
                if stages is None or stages[1] is None or header.customer_id is None:
                    stage, key = self._unusual(batch, index, header, routed)
                    if stage is None:
                        continue
                else:
                    stage, key = stages[1], f"customer:{header.customer_id}"
            else:
                stage = stages[0]
            time = header.time
            if arrivals is not None:
                arrival = arrivals[index]
            bound = judge(time, arrival)
            if bound is None:
                self._refuse_time(batch, index, time, arrival, routed)
                continue
            of_stage = chunks.get(stage)
            if of_stage is None:
                of_stage = chunks[stage] = {}
            group = crc32(key.encode()) % groups
            chunk = of_stage.get(group)
            if chunk is None:
                chunk = of_stage[group] = Chunk(batch.partition, batch.topic, [], [])
            if time < bound:
                routed.late += 1
                chunk.late = chunk.late or {}
                chunk.late[len(chunk.lines)] = bound
            if envelopes:
                _keep_envelope(chunk, batch, index, arrival)
            chunk.lines.append(lines[index])
            chunk.positions.append(positions[index])
            if copied is not None and header.type == copied:
                self._copy(batch, index, header, bound, routed)

    def _copy(self, batch: RawBatch, index: int, header: Header, bound: int, routed: Routed) -> None:
        """The same record for the second stage, at the same time. What is wrong with it the first stage says."""
        assert self._copied is not None
        key = self._copied.key_of(header)
        if not key:
            return
        of_stage = routed.chunks.setdefault(self._copied.stage, {})
        chunk = of_stage.setdefault(key_group(key, self._groups), Chunk(batch.partition, batch.topic, [], []))
        if header.time < bound:
            chunk.late = chunk.late or {}
            chunk.late[len(chunk.lines)] = bound
        chunk.lines.append(batch.lines[index])
        chunk.positions.append(batch.positions[index])

    def _unusual(self, batch: RawBatch, index: int, header: Header, routed: Routed) -> tuple[str | None, str]:
        """Stage and key of an event that does not go by its order id; no stage if it is not wanted or refused."""
        route = self._routes.get(header.type)
        if route is None:
            if header.type == _RULE and self._rulebook is not None:
                self._announce(batch, index, self._rulebook, routed)
            elif header.type not in KNOWN_TYPES:
                self._refuse(batch, index, "unknown_type", f"type {header.type!r} is not known", routed)
            return None, ""
        key, route = _key_of(header, route)
        if key is None:
            self._refuse(batch, index, "names_no_entity", f"{header.type} names nobody", routed)
            return None, ""
        return route.stage, key

    def _announce(self, batch: RawBatch, index: int, rulebook: Rulebook, routed: Routed) -> None:
        """A rule document: examined here, once, and told to all key groups."""
        line = batch.lines[index]
        try:
            document = _RULES.decode(line)
        except UNREADABLE as error:
            self._refuse(batch, index, "invalid_rule", str(error), routed)
            return
        if problems := rulebook.problems(document):
            what = "; ".join(map(str, problems))
            self._refuse(batch, index, "invalid_rule", f"{document.rule}, version {document.version}: {what}", routed)
            return
        arrival = batch.arrivals[index] if batch.arrivals is not None and self._arrival_counts else None
        bound = self._place(batch.partition, document.time, arrival)
        if bound is None:
            self._refuse_time(batch, index, document.time, arrival, routed)
            return
        routed.late += document.time < bound
        headers = (batch.headers or {}).get(index, ())
        position = batch.positions[index]
        applied_at = max(document.time, bound)
        routed.rules.append(
            Announced(applied_at, document, batch.topic, batch.partition, position, line, arrival, headers)
        )

    def _place(self, partition: str, time: int, arrival: int | None) -> int | None:
        clock = self.clocks[partition]
        if partition in self._silent_rules:
            # Time went on without it: nothing of it falls behind what the stages know.
            clock.idle_until = max(clock.idle_until, self.watermark + 1)
            self._silent_rules -= {partition}
        return clock.place(time, arrival)

    def _headers(self, batch: RawBatch, routed: Routed) -> Sequence[Header | None]:
        """Headers of all records; None where a record has none and went to the dead letters."""
        lines = batch.lines
        joined = b"\n".join(lines)
        if len(joined) <= MAX_RECORD or max(map(len, lines)) <= MAX_RECORD:
            try:
                headers: Sequence[Header | None] = self._decoder.decode_lines(joined)
            except UNREADABLE:
                pass
            else:
                if len(headers) == len(lines) == joined.count(b"\n") + 1:
                    return headers
        return [self._header(batch, index, line, routed) for index, line in enumerate(lines)]

    def _header(self, batch: RawBatch, index: int, line: bytes, routed: Routed) -> Header | None:
        if len(line) > MAX_RECORD:
            self._refuse(batch, index, "too_large", f"{len(line)} bytes", routed)
            return None
        try:
            return self._decoder.decode(line)
        except msgspec.ValidationError as error:
            self._refuse(batch, index, "not_an_event", str(error), routed)
        except UNREADABLE as error:
            self._refuse(batch, index, "not_json", str(error), routed)
        return None

    def _refuse_time(self, batch: RawBatch, index: int, time: int, arrival: int | None, routed: Routed) -> None:
        earliest, latest = int(self._settings.earliest), int(self._settings.latest)
        if earliest <= time < latest:
            limit = "its arrival" if arrival is not None else "the log so far"
            self._refuse(batch, index, "future_time", f"time {time} is too far ahead of {limit}", routed)
        else:
            reason = "time_in_seconds" if earliest <= time * 1000 < latest else "time_out_of_range"
            self._refuse(batch, index, reason, f"time {time} is not in the range of epoch milliseconds", routed)

    def _refuse(self, batch: RawBatch, index: int, reason: str, detail: str, routed: Routed) -> None:
        arrival = batch.arrivals[index] if batch.arrivals else None
        headers = (batch.headers or {}).get(index, ())
        position, line = batch.positions[index], batch.lines[index]
        routed.dead.append(dead_letter(batch.topic, batch.partition, position, line, reason, detail, arrival, headers))

    def snapshot(self) -> dict[str, ClockSnapshot]:
        """The clocks by partition."""
        return {name: clock.snapshot() for name, clock in self.clocks.items()}

    def restore(self, snapshot: Mapping[str, ClockSnapshot]) -> None:
        """Take over the clocks of a snapshot."""
        self.expect(snapshot)
        for name, clock in snapshot.items():
            self.clocks[name].restore(clock)


# Of a header as of an event: both have these fields.
KEYS: Final[Mapping[By, KeyOf]] = {
    "order": attrgetter("order_id"),
    "customer": lambda event: f"customer:{event.customer_id}",
    "order_entity": lambda event: f"order:{event.order_id}",
    "entity": lambda event: f"{event.entity_type}:{event.entity_id}",
    "job": lambda event: f"job:{event.job}",
}
_NAMED_BY: Final[Mapping[By, KeyOf]] = {
    "order": attrgetter("order_id"),
    "customer": attrgetter("customer_id"),
    "order_entity": attrgetter("order_id"),
    "entity": attrgetter("entity_id"),
    "job": attrgetter("job"),
}


def _usual(route: Route) -> tuple[str, str | None]:
    """Where events go that name an order, and where those that name only a customer; None: that is to be looked at."""
    other = route.otherwise
    return route.stage, other.stage if other is not None and other.by == "customer" else None


def _key_of(header: Header, route: Route) -> tuple[str | None, Route]:
    """The key of an event, and the route that applies to it."""
    if _NAMED_BY[route.by](header) is not None:
        return KEYS[route.by](header), route
    return (None, route) if route.otherwise is None else _key_of(header, route.otherwise)


def _keep_envelope(chunk: Chunk, batch: RawBatch, index: int, arrival: int | None) -> None:
    """Arrival and headers go along, so that a record refused later still has all that it came with."""
    here = len(chunk.lines)
    if arrival is not None:
        chunk.arrivals = chunk.arrivals or {}
        chunk.arrivals[here] = arrival
    if batch.headers and index in batch.headers:
        chunk.headers = chunk.headers or {}
        chunk.headers[here] = batch.headers[index]


def routes_by_type(routes: Mapping[type[Event], Route]) -> dict[str, Route]:
    """Routes by the wire name of their event type."""
    return {type_name(kind): route for kind, route in routes.items()}


def keys_in(stage: str, routes: Mapping[type[Event], Route]) -> dict[type[Event], KeyOf]:
    """Whose event each event is that comes to a stage."""
    found: dict[type[Event], KeyOf] = {}
    for kind, first in routes.items():
        route: Route | None = first
        while route is not None:
            if route.stage == stage:
                found[kind] = KEYS[route.by]
            route = route.otherwise
    return found
