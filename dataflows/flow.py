"""The deployable graph under Bytewax: source, stages of key groups, sinks. Wiring only."""

from collections.abc import Callable, Iterable
from datetime import UTC, datetime, timedelta
from typing import Any

import bytewax.operators as op
from bytewax.dataflow import Dataflow, Stream
from bytewax.inputs import FixedPartitionedSource, StatefulSourcePartition
from bytewax.operators import StatefulBatchLogic
from bytewax.outputs import DynamicSink, StatelessSinkPartition

from dataflows.control import Control
from dataflows.intake import Delivery, Intake
from dataflows.observer import Observer
from dataflows.outlet import Outlet
from events.records import Record
from operators.heart.inputs import GroupInput, GroupOutput
from operators.heart.key_group import KeyGroup
from operators.heart.lateness import BEFORE_TIME
from operators.topology import Combiner, Topology
from sources.reader import Reader

IDLE_PAUSE = timedelta(milliseconds=20)
Watermark = int
Outgoing = list[Record] | Watermark
Keyed = tuple[str, GroupInput]
Done = tuple[str, GroupOutput]


def group_name(number: int) -> str:
    """The key under which Bytewax sees a key group."""
    return f"{number:03d}"


class SourcePart(StatefulSourcePartition[Delivery, None]):
    """Reads what is there, furthest behind in event time first, and routes it."""

    def __init__(self, reader: Reader, intake: Intake, control: Control, observer: Observer) -> None:
        self._reader = reader
        self._intake = intake
        self._control = control
        self._observer = observer
        self._awake: datetime | None = None
        control.reading = True

    def next_batch(self) -> Iterable[Delivery]:
        """One delivery, or none when nothing is new."""
        with self._control.guarded():
            if self._control.stopping or self._reader.finished:
                raise StopIteration
            batches = self._reader.read(self._intake.router.slowest())
            if not batches:
                self._awake = datetime.now(UTC) + IDLE_PAUSE
                return ()
            self._awake = None
            delivery = self._intake.take(batches)
            self._observer.delivery(delivery, self._reader, self._intake)
            return (delivery,)

    def next_awake(self) -> datetime | None:
        """A short pause when nothing was new."""
        return self._awake

    def snapshot(self) -> None:
        """Nothing is kept across restarts yet."""


class EventSource(FixedPartitionedSource[Delivery, None]):
    """One part: one reader for all partitions of the input."""

    def __init__(self, build: Callable[[], SourcePart]) -> None:
        self._build = build

    def list_parts(self) -> list[str]:
        """The one part."""
        return ["source-0"]

    def build_part(self, step_id: str, for_part: str, resume_state: None) -> SourcePart:
        """Open the reader."""
        return self._build()


class KeyGroupLogic(StatefulBatchLogic[GroupInput, GroupOutput, None]):
    """A key group as Bytewax runs it."""

    def __init__(self, group: KeyGroup, control: Control) -> None:
        self._group = group
        self._control = control

    def on_batch(self, values: list[GroupInput]) -> tuple[Iterable[GroupOutput], bool]:
        """Take all deliveries, then apply what the watermark allows."""
        with self._control.guarded():
            for value in values:
                self._group.push(value)
            return (self._group.advance(),), StatefulBatchLogic.RETAIN

    def snapshot(self) -> None:
        """Nothing is kept across restarts yet."""


class OutletPart(StatelessSinkPartition[Outgoing]):
    """Writes records as they come."""

    def __init__(self, outlet: Outlet, control: Control) -> None:
        self._outlet = outlet
        self._control = control

    def write_batch(self, items: list[Outgoing]) -> None:
        """All records of a batch as one write, then how far they reach."""
        with self._control.guarded():
            records = [record for item in items if isinstance(item, list) for record in item]
            if records:
                self._outlet.write(records)
            for item in items:
                if isinstance(item, int):
                    self._outlet.mark(item)


class OutletSink(DynamicSink[Outgoing]):
    """The outlet as Bytewax sees it."""

    def __init__(self, outlet: Outlet, control: Control) -> None:
        self._outlet = outlet
        self._control = control

    def build(self, step_id: str, worker_index: int, worker_count: int) -> OutletPart:
        """The same outlet for the one worker."""
        return OutletPart(self._outlet, self._control)


def build_flow(
    plan: Topology,
    open_source: Callable[[], tuple[Reader, Intake]],
    outlet: Outlet,
    control: Control,
    observer: Observer,
) -> Dataflow:
    """The graph of a topology."""

    def open_part() -> SourcePart:
        with control.guarded():
            reader, intake = open_source()
            return SourcePart(reader, intake, control, observer)

    flow = Dataflow("orderpulse")
    source = op.input("source", flow, EventSource(open_part))
    outgoing: list[Stream[Outgoing]] = [op.filter_map("refused", source, _records_of)]
    inputs: dict[str, list[Stream[Keyed]]] = {
        stage: [op.flat_map(f"{stage}_events", source, _for_stage(stage))] for stage in plan.stages
    }
    for stage in plan.stages:
        done = op.stateful_batch(stage, op.merge(f"{stage}_in", *inputs[stage]), _logic(plan, stage, control))
        outgoing.append(op.filter_map(f"{stage}_records", done, lambda item: item[1].records or None))
        combined = op.flat_map_batch(f"{stage}_combined", done, _combining(plan, stage, observer))
        for target in plan.feeds(stage):
            inputs[target].append(op.flat_map(f"{stage}_to_{target}", combined, _notes_for(target)))
        if not plan.feeds(stage):
            outgoing.append(op.filter_map(f"{stage}_watermark", combined, _watermark_of))
    op.output("sinks", op.merge("outgoing", *outgoing), OutletSink(outlet, control))
    return flow


Combined = tuple[Watermark, dict[str, dict[int, GroupInput]]]


def _records_of(delivery: Delivery) -> list[Record] | None:
    return delivery.records or None


def _watermark_of(combined: Combined) -> Watermark | None:
    return combined[0] if combined[0] > BEFORE_TIME else None


def _for_stage(stage: str) -> Callable[[Delivery], Iterable[Keyed]]:
    def keyed(delivery: Delivery) -> Iterable[Keyed]:
        return [(group_name(number), item) for number, item in delivery.inputs[stage].items()]

    return keyed


def _notes_for(stage: str) -> Callable[[Combined], Iterable[Keyed]]:
    def keyed(combined: Combined) -> Iterable[Keyed]:
        return [(group_name(number), item) for number, item in combined[1][stage].items()]

    return keyed


def _logic(plan: Topology, stage: str, control: Control) -> Callable[[Any], KeyGroupLogic]:
    return lambda _: KeyGroupLogic(plan.key_group(stage), control)


def _combining(plan: Topology, stage: str, observer: Observer) -> Callable[[list[Done]], Iterable[Combined]]:
    numbers = range(plan.environment.groups)
    by_name = {group_name(number): number for number in numbers}
    combiner = Combiner(plan, stage, numbers)

    def combine(items: list[Done]) -> Iterable[Combined]:
        outputs = [(by_name[name], output) for name, output in items]
        deliveries = combiner.combine(outputs)
        observer.stage(stage, outputs, combiner.watermark)
        return ((combiner.watermark, deliveries),)

    return combine
