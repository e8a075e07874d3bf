"""The chain: the fewest events, as far as one can tell, that alone give the same alerts of an order."""

from bisect import bisect_right
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Final, NamedTuple

import msgspec
from msgspec import Struct
from msgspec.structs import replace

from dataflows.explain_scan import Found, Keys
from dataflows.memory import MemoryDriver
from events.batch import RawBatch
from events.explanation import Chain, ChainEvent
from events.model import type_name
from events.records import AlertRecord, HoldRecord, Record
from operators.heart.component import Environment
from operators.heart.lateness import BEFORE_TIME
from operators.topology import MATCHING, Topology, topology
from operators.trace.trace import Node, Told, Trace

_GROUPS: Final = 4
_LAST: Final = (8, 24, 72)
Cuts = dict[str, int]
"""Related order -> the time up to which its events matter."""


class Steps(Struct, frozen=True):
    """What a history gave: the alert steps and holds of the order, and up to when time went."""

    records: Sequence[Record]
    until: int


def concerns(record: Record, order_id: str) -> bool:
    """Whether an alert step or a hold is about an order, alone or among others."""
    if isinstance(record, AlertRecord):
        own = record.entity_type in ("order", "parcel") and record.entity_id.split("/")[0] == order_id
        return own or order_id in record.orders
    return isinstance(record, HoldRecord) and record.order_id == order_id


def replayed_alone(environment: Environment, events: Iterable[Found], until: int) -> list[Record]:
    """All records that some events give without any others, each applied when it was applied, time going to ``until``.

    Each stands in a log of its own, with an arrival that lets it be applied at that moment, be it late or not.
    """
    time = replace(environment.settings.time, arrival="record")
    plan = topology(replace(environment, settings=replace(environment.settings, time=time), groups=_GROUPS))
    delay = int(time.idle_delay)
    batches = [
        RawBatch(f"{number}", "chain", [each.line], (0,), (each.at + delay,), finished=True)
        for number, each in enumerate({each.place: each for each in events}.values())
    ]
    driver = MemoryDriver(plan, [batch.partition for batch in batches], until=until)
    return driver.feed(*batches)


class Level(NamedTuple):
    """How much is tried: other orders, and whether what came to shared keys themselves is among it."""

    cuts: Cuts
    shared: bool


class ChainSearch:
    """Tries ever more events of ever more orders until they give what the whole history gave.

    First the order's own, then those of the orders that its alerts name, then those who last told anything to what
    told the order something, at the end all who did.
    """

    def __init__(
        self, plan: Topology, trace: Trace, own: Sequence[Found], steps: Steps, scan: Callable[[Keys], list[Found]]
    ) -> None:
        self._plan = plan
        self._trace = trace
        self._own = own
        self._steps = steps
        self._scan = scan
        self._wanted = _said(steps.records, trace.order_id)
        shared = {
            stage: frozenset(key for key in keys if stage == "alerts" or not trace.is_own(key))
            for stage, keys in trace.watched.items()
        }
        self._shared = {stage: keys for stage, keys in shared.items() if keys and stage != "orders"}

    def chain(self) -> Chain:
        """The chain; ``proven`` when its events alone give the same."""
        nobody, named, told = Cuts(), self._named(), self._trace.told
        near = [
            Level(nobody, shared=False),
            Level(named, shared=False),
            Level(nobody, shared=True),
            Level(named, shared=True),
            *(Level(self._last(count, self._proven()), shared=True) for count in _LAST),
        ]
        far = [Level(self._last(None, nodes), shared=True) for nodes in (self._proven(), told)]
        best: list[Found] = list(self._own)
        for levels in (near, far):
            found = self._found({order for level in levels for order in level.cuts})
            for level in levels:
                best = list(self._chosen(found, level))
                if self._gives_the_same(best):
                    return self._told(best, proven=True)
        return self._told(best, proven=False)

    def _gives_the_same(self, events: Sequence[Found]) -> bool:
        records = replayed_alone(self._plan.environment, events, self._steps.until)
        return _said(records, self._trace.order_id) == self._wanted

    def _found(self, orders: Iterable[str]) -> list[Found]:
        """The events of these orders, and those that came to what the order shares with others."""
        wanted = {**self._shared, "orders": frozenset(orders)}
        found = self._scan(wanted)
        if MATCHING in self._plan.stages:
            key_of = self._plan.keys_of(MATCHING)
            created = [each.event for each in (*self._own, *found) if each.stage == "orders"]
            keys = {key_of[type(event)].of(event) for event in created if type(event) in key_of}
            found += self._scan({MATCHING: frozenset(keys - {""})})
        return found

    def _chosen(self, found: Iterable[Found], level: Level) -> Iterator[Found]:
        yield from self._own
        for each in found:
            if each.stage == "orders":
                if each.at <= level.cuts.get(each.key, BEFORE_TIME):
                    yield each
            elif level.shared:
                yield each

    def _named(self) -> Cuts:
        """The orders that alerts of this one name, up to the last time that they do."""
        cuts: Cuts = {}
        for record in self._steps.records:
            if isinstance(record, AlertRecord):
                for order in record.orders:
                    cuts[order] = max(cuts.get(order, record.time), record.time)
        for node, at in self._trace.answered.items():
            if node.stage == "orders":
                cuts[node.key] = max(cuts.get(node.key, at), at)
        cuts.pop(self._trace.order_id, None)
        return cuts

    def _proven(self) -> dict[Node, list[Told]]:
        """Who told what the order shares with others anything, where it had an answer or an alert."""
        entities = {
            f"{record.entity_type}:{record.entity_id}"
            for record in self._steps.records
            if isinstance(record, AlertRecord)
        }
        return {
            node: told
            for node, told in self._trace.told.items()
            if node in self._trace.answered or node.key in entities
        }

    def _last(self, count: int | None, nodes: Mapping[Node, Sequence[Told]]) -> Cuts:
        """The orders that told these nodes something: the last ``count`` before this order came to each, and all later.

        None: all of them.
        """
        cuts = self._named()
        for told in nodes.values():
            by_time = sorted(told, key=lambda each: each.at)
            first = next((at for at, each in enumerate(by_time) if self._trace.is_own(each.by.key)), len(by_time))
            end = bisect_right(by_time, self._steps.until, key=lambda each: each.at)
            for each in by_time[0 if count is None else max(0, first - count) : end]:
                if each.by.stage == "orders" and not self._trace.is_own(each.by.key):
                    cuts[each.by.key] = max(cuts.get(each.by.key, each.at), each.at)
        return cuts

    def _told(self, events: Iterable[Found], *, proven: bool) -> Chain:
        unique = sorted({each.place: each for each in events}.values(), key=lambda each: (each.at, each.place))
        orders = [getattr(each.event, "order_id", None) or "" for each in unique]
        return Chain(
            events=tuple(
                ChainEvent(
                    at=each.at,
                    source=each.event.source,
                    id=each.event.id,
                    type=type_name(type(each.event)),
                    order=order,
                    partition=each.partition,
                    position=each.position,
                )
                for each, order in zip(unique, orders, strict=True)
            ),
            orders=tuple(sorted(set(orders) - {"", self._trace.order_id})),
            proven=proven,
        )


def _said(records: Iterable[Record], order_id: str) -> list[bytes]:
    found = (record for record in records if concerns(record, order_id))
    return sorted(msgspec.json.encode(record, order="deterministic") for record in found)
