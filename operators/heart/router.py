"""From raw batches to key groups: reads just enough of a record to know when it happened and who it is for."""

from collections.abc import Callable, Collection, Iterable, Mapping
from functools import partial
from itertools import chain
from operator import attrgetter
from typing import Any, Final, Literal
from zlib import crc32

import msgspec
from msgspec import Struct, field

from config.settings import TimeSettings
from config.units import Duration
from events.batch import RawBatch
from events.model import EVENT_TYPES, UNREADABLE, Event, RulePublished, type_name
from events.records import DeadLetterRecord
from operators.heart.dead_letters import dead_letter
from operators.heart.headers import CopyHeader, Header, HeaderReader, Headers, Kind
from operators.heart.inputs import Chunk
from operators.heart.keys import Key, KeyOf, by_field
from operators.heart.lateness import BEFORE_TIME, ClockSnapshot, PartitionClock
from operators.heart.sorting import Indexes, PlainSorter, Sorter
from operators.rules.documents import Announced
from operators.rules.rulebook import Rulebook

KNOWN_TYPES = frozenset(type_name(kind) for kind in EVENT_TYPES)
_RULE: Final = type_name(RulePublished)
_RULES: Final = msgspec.json.Decoder(RulePublished)
NOWHERE: Final = ""
"""The stage of events that nobody wants, but whose times count all the same."""
By = Literal["order", "customer", "order_entity", "entity", "job"]
MakeSorter = Callable[[dict[Kind, str], dict[Kind, str], int], Sorter]
Pick = Callable[[list[Any], list[int]], list[Any]]
"""``pick(items, indexes)``: the items at these indexes."""


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


def picked(items: list[Any], indexes: list[int]) -> list[Any]:
    """The items at these indexes."""
    return list(map(items.__getitem__, indexes))


def newlines(text: bytes) -> int:
    """How many newlines are in it."""
    return text.count(b"\n")


class Loops(Struct, frozen=True):
    """The loops over the records of a batch."""

    sorter: MakeSorter = PlainSorter
    pick: Pick = picked
    count_newlines: Callable[[bytes], int] = newlines


LOOPS: Final = Loops()


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
    believed to be silent sooner than others, so that they do not hold time back. ``whole``: key groups get events, not
    lines, wherever a whole batch can be read. ``loops``: in Python unless told.
    """

    def __init__(
        self,
        settings: TimeSettings,
        groups: int,
        routes: Mapping[str, Route],
        copied: Copied | None = None,
        rulebook: Rulebook | None = None,
        rules_topic: str = "",
        *,
        whole: bool = False,
        loops: Loops = LOOPS,
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
        usual = {name: route for name, route in routes.items() if route.by == "order"}
        self._by_order = _by_kind({name: route.stage for name, route in usual.items()})
        others = {name: route.otherwise for name, route in usual.items()}
        by_customer = _by_kind(
            {name: other.stage for name, other in others.items() if other is not None and other.by == "customer"}
        )
        self._sorter = loops.sorter(self._by_order, by_customer, groups)
        self._pick = loops.pick
        self._copied = copied
        self._reader = HeaderReader(
            Header if copied is None else CopyHeader, loops.count_newlines, whole=whole and copied is None
        )
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

    def _sort_in(self, batch: RawBatch, clock: PartitionClock, routed: Routed) -> None:
        """What is refused does not move the clock."""
        arrivals = list(batch.arrivals) if self._arrival_counts and batch.arrivals is not None else None
        read = self._reader.read(batch.lines, partial(self._refuse, batch, routed))
        placed, late = self._sorter.sort(
            read.kinds,
            read.headers,
            arrivals,
            clock,
            partial(clock.ceiling, arrives=arrivals is not None),
            partial(self._unusual, batch, routed),
            partial(self._judge, batch, routed, clock),
        )
        routed.late += len(late)
        if self._copied is not None:
            self._copy(self._copied, read, placed)
        placed.pop(NOWHERE, None)
        positions = [] if read.whole else list(batch.positions)
        for stage, by_group in placed.items():
            routed.chunks[stage] = {
                group: self._chunk(batch, indexes, read, positions, arrivals, late)
                for group, indexes in by_group.items()
            }

    def _judge(
        self, batch: RawBatch, routed: Routed, clock: PartitionClock, index: int, time: int, arrival: int | None
    ) -> int | None:
        """What the clock says of a record; one that has no place in time is refused."""
        bound = clock.judge(time, arrival)
        if bound is None:
            self._refuse_time(batch, index, time, arrival, routed)
        return bound

    def _chunk(
        self,
        batch: RawBatch,
        indexes: list[int],
        read: Headers,
        positions: list[int],
        arrivals: list[int] | None,
        late: Mapping[int, int],
    ) -> Chunk:
        """The records of a batch for one key group; with all that they came with, in case one is refused later."""
        chunk, pick = Chunk(batch.partition, batch.topic), self._pick
        if late:
            chunk.late = {place: late[index] for place, index in enumerate(indexes) if index in late} or None
        if read.whole:
            chunk.events = pick(read.headers, indexes)
            return chunk
        chunk.lines = pick(batch.lines, indexes)
        chunk.positions = pick(positions, indexes)
        if arrivals is not None:
            chunk.arrivals = pick(arrivals, indexes)
        if batch.headers:
            kept = {place: batch.headers[index] for place, index in enumerate(indexes) if index in batch.headers}
            chunk.headers = kept or None
        return chunk

    def _copy(self, copied: Copied, read: Headers, placed: dict[str, Indexes]) -> None:
        """The same records for the second stage, at the same time. What is wrong with them the first stage says."""
        kinds = read.kinds or ()
        there = placed.get(self._by_order[copied.type], {})
        copies = placed.setdefault(copied.stage, {})
        for index in sorted(chain.from_iterable(there.values())):
            if _name(kinds[index]) == copied.type and (key := copied.key_of(read.headers[index])):
                copies.setdefault(key_group(key, self._groups), []).append(index)

    def _unusual(self, batch: RawBatch, routed: Routed, index: int, kind: Kind, header: Any) -> tuple[str, str] | None:
        """Stage and key of an event that does not go by its order id; None if it is not wanted or refused."""
        if kind is None:
            return None
        name = _name(kind)
        route = self._routes.get(name)
        if route is None:
            if name == _RULE and self._rulebook is not None:
                self._announce(batch, index, self._rulebook, routed)
            elif name not in KNOWN_TYPES:
                self._refuse(batch, routed, index, "unknown_type", f"type {name!r} is not known")
            return None
        key, route = _key_of(header, route)
        if key is None:
            self._refuse(batch, routed, index, "names_no_entity", f"{name} names nobody")
            return None
        return route.stage, key

    def _announce(self, batch: RawBatch, index: int, rulebook: Rulebook, routed: Routed) -> None:
        """A rule document: examined here, once, and told to all key groups."""
        line = batch.lines[index]
        try:
            document = _RULES.decode(line)
        except UNREADABLE as error:
            self._refuse(batch, routed, index, "invalid_rule", str(error))
            return
        if problems := rulebook.problems(document):
            what = "; ".join(map(str, problems))
            self._refuse(batch, routed, index, "invalid_rule", f"{document.rule}, version {document.version}: {what}")
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

    def _refuse_time(self, batch: RawBatch, index: int, time: int, arrival: int | None, routed: Routed) -> None:
        earliest, latest = int(self._settings.earliest), int(self._settings.latest)
        if earliest <= time < latest:
            limit = "its arrival" if arrival is not None else "the log so far"
            self._refuse(batch, routed, index, "future_time", f"time {time} is too far ahead of {limit}")
        else:
            reason = "time_in_seconds" if earliest <= time * 1000 < latest else "time_out_of_range"
            self._refuse(batch, routed, index, reason, f"time {time} is not in the range of epoch milliseconds")

    def _refuse(self, batch: RawBatch, routed: Routed, index: int, reason: str, detail: str) -> None:
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
KEYS: Final[Mapping[By, Key]] = {
    "order": by_field("order_id"),
    "customer": by_field("customer_id", "customer"),
    "order_entity": by_field("order_id", "order"),
    "entity": Key(lambda event: f"{event.entity_type}:{event.entity_id}"),
    "job": by_field("job", "job"),
}
_NAMED_BY: Final[Mapping[By, KeyOf]] = {
    "order": attrgetter("order_id"),
    "customer": attrgetter("customer_id"),
    "order_entity": attrgetter("order_id"),
    "entity": attrgetter("entity_id"),
    "job": attrgetter("job"),
}


def _name(kind: Kind) -> str:
    return kind if isinstance(kind, str) else type_name(kind) if kind is not None else ""


def _by_kind(stages: Mapping[str, str]) -> dict[Kind, str]:
    """Stages of event types by their wire names and by their classes."""
    found: dict[Kind, str] = {kind: stages[type_name(kind)] for kind in EVENT_TYPES if type_name(kind) in stages}
    found.update(stages)
    return found


def _key_of(header: Header, route: Route) -> tuple[str | None, Route]:
    """The key of an event, and the route that applies to it."""
    if _NAMED_BY[route.by](header) is not None:
        return KEYS[route.by].of(header), route
    return (None, route) if route.otherwise is None else _key_of(header, route.otherwise)


def routes_by_type(routes: Mapping[type[Event], Route]) -> dict[str, Route]:
    """Routes by the wire name of their event type."""
    return {type_name(kind): route for kind, route in routes.items()}


def keys_in(stage: str, routes: Mapping[type[Event], Route]) -> dict[type[Event], Key]:
    """Whose event each event is that comes to a stage."""
    found: dict[type[Event], Key] = {}
    for kind, first in routes.items():
        route: Route | None = first
        while route is not None:
            if route.stage == stage:
                found[kind] = KEYS[route.by]
            route = route.otherwise
    return found
