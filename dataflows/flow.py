"""The deployable graph under Bytewax: source, stages of key groups, sinks, and what is kept of them. Wiring only."""

from collections.abc import Callable, Iterable
from datetime import UTC, datetime, timedelta
from typing import Any, Final

import bytewax.operators as op
from bytewax.dataflow import Dataflow, Stream
from bytewax.operators import StatefulBatchLogic
from bytewax.outputs import DynamicSink, StatelessSinkPartition
from msgspec import Struct

from dataflows.control import Control
from dataflows.intake import Delivery
from dataflows.keeping import PLACES
from dataflows.observer import Observer
from dataflows.outlet import Outlet
from dataflows.placement import group_names
from dataflows.source import EventSource, WorkerSource
from dataflows.worker import Worker
from events.records import Record
from operators.heart.inputs import GroupInput, GroupOutput
from operators.heart.lateness import BEFORE_TIME
from operators.topology import Combiner
from sources.reader import Input

_RETRY: Final = timedelta(milliseconds=5)
_UNKNOWN: Final = -1


class Keep(Struct, frozen=True, gc=False):
    """A group's state is to be kept at the end of this epoch, in its head and in ``place``."""

    number: int
    place: int


Watermark = int
Outgoing = list[Record] | Watermark | tuple[str, Keep]
Keyed = tuple[str, GroupInput]
Done = tuple[str, GroupOutput | Keep]
Combined = tuple[Watermark, dict[str, dict[int, GroupInput]]]


class Run(Struct, frozen=True):
    """What the parts of one process's flow share. ``keeps``: there is a recovery store."""

    worker: Worker
    outlet: Outlet
    control: Control
    observer: Observer
    keeps: bool


class KeyGroupLogic(StatefulBatchLogic[GroupInput, GroupOutput | Keep, bool]):
    """A key group as Bytewax runs it. Its state is kept by ``HeadLogic`` and ``PlaceLogic``."""

    def __init__(self, stage: str, run: Run, *, resumed: bool) -> None:
        self._stage = stage
        self._run = run
        self._resumed = resumed
        self._early: list[GroupInput] = []
        self._silent = True

    def on_batch(self, values: list[GroupInput]) -> tuple[Iterable[GroupOutput | Keep], bool]:
        """Take all deliveries, then apply what the watermark allows."""
        with self._run.control.guarded():
            if self._early:
                self._early.extend(values)
                return self.on_notify()
            number = values[0].group
            group = self._run.worker.group(self._stage, number, resumed=self._resumed)
            if group is None:
                self._run.worker.await_parts()
                self._early.extend(values)
                return (), StatefulBatchLogic.RETAIN
            before = group.watermark
            for value in values:
                group.push(value)
            output = group.advance()
            given: list[GroupOutput | Keep] = []
            # Most that is only pushed has nothing to say before time goes on: then nobody behind is woken.
            if self._silent or output.watermark > before or output.records:
                self._silent = False
                given.append(output)
            if self._run.keeps:
                keeper = self._run.worker.keeper(number)
                if keeper is not None:
                    given += [Keep(number, place) for place in keeper.announce()]
            return given, StatefulBatchLogic.RETAIN

    def on_notify(self) -> tuple[Iterable[GroupOutput | Keep], bool]:
        """Stored parts of the group may have come in the meantime."""
        early, self._early = self._early, []
        return self.on_batch(early) if early else ((), StatefulBatchLogic.RETAIN)

    def notify_at(self) -> datetime | None:
        """Soon, while stored parts are awaited."""
        return datetime.now(UTC) + _RETRY if self._early else None

    def snapshot(self) -> bool:
        """That the group has begun."""
        return True


class HeadLogic(StatefulBatchLogic[Keep, Keep, bytes]):
    """Keeps the head of a group. It stands behind the sinks: what an epoch wrote is acknowledged before it is kept."""

    def __init__(self, run: Run, number: int, stored: bytes) -> None:
        self._run = run
        self._number = number
        self._stored = stored

    def on_batch(self, values: list[Keep]) -> tuple[Iterable[Keep], bool]:
        """The group's state is to be kept."""
        self._number = values[0].number
        return values, StatefulBatchLogic.RETAIN

    def on_eof(self) -> tuple[Iterable[Keep], bool]:
        """The flow ends."""
        keeper = self._run.worker.keeper(self._number)
        if keeper is not None:
            keeper.end()
        return (), StatefulBatchLogic.RETAIN

    def snapshot(self) -> bytes:
        """The head; the rest is ready for its place from here on."""
        worker = self._run.worker
        keeper = worker.keeper(self._number)
        if keeper is None:
            return self._stored
        with self._run.control.guarded():
            outputs = self._run.outlet.settle()
            return self._run.observer.snapshot(self._number, lambda: worker.lay_down(keeper, outputs))


class PlaceLogic(StatefulBatchLogic[Keep, Any, bytes]):
    """Keeps what a group has laid down for one of its places."""

    def __init__(self, run: Run, place: int, number: int) -> None:
        self._run = run
        self._place = place
        self._number = number

    def on_batch(self, values: list[Keep]) -> tuple[Iterable[Any], bool]:
        """Something will be laid down."""
        self._number = values[0].number
        return (), StatefulBatchLogic.RETAIN

    def snapshot(self) -> bytes:
        """The base, or the changes of this epoch."""
        with self._run.control.guarded():
            part = self._run.worker.take(self._number, self._place)
            self._run.observer.laid(self._number, len(part))
            return part


class _Nowhere(StatelessSinkPartition[Any]):
    def write_batch(self, items: list[Any]) -> None:
        """Nothing comes: everything was written before."""


class End(DynamicSink[Any]):
    """Bytewax wants a flow to end in a sink."""

    def build(self, step_id: str, worker_index: int, worker_count: int) -> _Nowhere:
        """One that is never told anything."""
        return _Nowhere()


def build_flow(run: Run, source: Input, reading: WorkerSource) -> Dataflow:
    """The graph of a topology."""
    plan, names = run.worker.plan, group_names(run.worker.plan.environment.groups)
    flow = Dataflow("orderpulse")
    deliveries = op.input("source", flow, EventSource(source.partitions, reading, run.control))
    outgoing: list[Stream[Outgoing]] = [op.filter_map("refused", deliveries, _records_of)]
    inputs: dict[str, list[Stream[Keyed]]] = {
        stage: [op.flat_map(f"{stage}_events", deliveries, _for_stage(stage, names))] for stage in plan.stages
    }
    for stage in plan.stages:
        done = op.stateful_batch(stage, op.merge(f"{stage}_in", *inputs[stage]), _logic(stage, run))
        outgoing.append(op.filter_map(f"{stage}_records", done, _outgoing))
        combined = op.flat_map_batch(f"{stage}_combined", done, _combining(stage, run, names))
        for target in plan.feeds(stage):
            inputs[target].append(op.flat_map(f"{stage}_to_{target}", combined, _notes_for(target, names)))
        if not plan.feeds(stage):
            outgoing.append(op.filter_map(f"{stage}_watermark", combined, _watermark_of))
    written = op.flat_map_batch("sinks", op.merge("outgoing", *outgoing), _writing(run, names))
    ends: list[Stream[Any]] = [written]
    if run.keeps:
        heads = op.stateful_batch("heads", written, _head_logic(run))
        ends = [
            op.stateful_batch(
                f"place_{place}", op.filter(f"for_{place}", heads, _is_for(place)), _place_logic(place, run)
            )
            for place in PLACES
        ]
    op.output("end", op.merge("ends", *ends), End())
    return flow


def _records_of(delivery: Delivery) -> list[Record] | None:
    return delivery.records or None


def _outgoing(item: Done) -> list[Record] | tuple[str, Keep] | None:
    name, output = item
    return (name, output) if isinstance(output, Keep) else output.records or None


def _watermark_of(combined: Combined) -> Watermark | None:
    return combined[0] if combined[0] > BEFORE_TIME else None


def _is_for(place: int) -> Callable[[tuple[str, Keep]], bool]:
    return lambda item: item[1].place == place


def _for_stage(stage: str, names: tuple[str, ...]) -> Callable[[Delivery], Iterable[Keyed]]:
    def keyed(delivery: Delivery) -> Iterable[Keyed]:
        return [(names[number], item) for number, item in delivery.inputs[stage].items()]

    return keyed


def _notes_for(stage: str, names: tuple[str, ...]) -> Callable[[Combined], Iterable[Keyed]]:
    def keyed(combined: Combined) -> Iterable[Keyed]:
        return [(names[number], item) for number, item in combined[1][stage].items()]

    return keyed


def _logic(stage: str, run: Run) -> Callable[[Any], KeyGroupLogic]:
    return lambda known: KeyGroupLogic(stage, run, resumed=known is not None)


def _head_logic(run: Run) -> Callable[[bytes | None], HeadLogic]:
    def build(stored: bytes | None) -> HeadLogic:
        with run.control.guarded():
            if stored is None:
                return HeadLogic(run, _UNKNOWN, b"")
            return HeadLogic(run, run.worker.add_head(stored), stored)

    return build


def _place_logic(place: int, run: Run) -> Callable[[bytes | None], PlaceLogic]:
    def build(stored: bytes | None) -> PlaceLogic:
        with run.control.guarded():
            return PlaceLogic(run, place, _UNKNOWN if stored is None else run.worker.add_part(place, stored))

    return build


def _combining(stage: str, run: Run, names: tuple[str, ...]) -> Callable[[list[Done]], Iterable[Combined]]:
    by_name = {name: number for number, name in enumerate(names)}
    combiner = Combiner(run.worker.plan, stage, run.worker.numbers, run.worker.index)

    def combine(items: list[Done]) -> Iterable[Combined]:
        outputs = [(by_name[name], output) for name, output in items if not isinstance(output, Keep)]
        if not outputs:
            return ()
        deliveries = combiner.combine(outputs)
        run.observer.stage(stage, outputs, combiner.watermark)
        return ((combiner.watermark, deliveries),)

    return combine


def _writing(run: Run, names: tuple[str, ...]) -> Callable[[list[Outgoing]], Iterable[tuple[str, Keep]]]:
    """Writes records as they come, all of a batch at once, then says how far they reach; lets the rest pass.

    What was written must be acknowledged before the epoch is kept, also when no key group was awake in it, as with
    dead letters alone: so some group's head is kept then.
    """
    outlet = run.outlet

    def write(items: list[Outgoing]) -> Iterable[tuple[str, Keep]]:
        with run.control.guarded():
            outlet.begin(run.worker.outputs)
            records = [record for item in items if isinstance(item, list) for record in item]
            if records:
                outlet.write(records)
            marks = [item for item in items if isinstance(item, int)]
            for mark in marks:
                outlet.mark(mark)
            if marks and run.keeps:  # what was to be written by now is written
                run.observer.bases_due(run.worker.get_ahead())
            keeps = [item for item in items if isinstance(item, tuple)]
            if records and run.keeps and not keeps:
                keeper = run.worker.any_keeper()
                if keeper is not None:
                    keeps += [(names[keeper.number], Keep(keeper.number, place)) for place in keeper.announce()]
        return keeps

    return write
