"""The deployable graph under Bytewax: source, stages of key groups, sinks, and what is kept of them. Wiring only.

An item costs the engine as much as a record costs the flow. So all that one process has for another at a time, in one
stage, is one item, under the other's key.
"""

from collections.abc import Callable, Iterable
from typing import Any

import bytewax.operators as op
from bytewax.dataflow import Dataflow, Stream
from bytewax.outputs import DynamicSink, StatelessSinkPartition

from dataflows.deliveries import Inputs
from dataflows.intake import Delivery
from dataflows.keeping import PLACES
from dataflows.placement import Addresses, group_names
from dataflows.run_parts import Run
from dataflows.source import EventSource, WorkerSource
from dataflows.stage_step import Combined, Stage, StageLogic, Told
from dataflows.store_steps import Hello, Keep, head_logic, place_logic
from events.records import Record
from operators.heart.lateness import BEFORE_TIME
from sources.reader import Input

Watermark = int
Kept = tuple[str, Keep]
ForHead = tuple[str, Keep | Hello]
Outgoing = list[Record] | Watermark | Kept
Addressed = tuple[str, Inputs]


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
    plan = run.worker.plan
    names, addresses = group_names(plan.environment.groups), Addresses(plan.environment.groups, plan.workers)
    flow = Dataflow("orderpulse")
    deliveries = op.input("source", flow, EventSource(source.partitions, reading, run.control))
    outgoing: list[Stream[Outgoing]] = [op.filter_map("refused", deliveries, _records_of)]
    inputs: dict[str, list[Stream[Addressed]]] = {
        stage: [op.flat_map(f"{stage}_events", deliveries, _for_stage(stage, addresses))] for stage in plan.stages
    }
    for stage in plan.stages:
        told = op.stateful_batch(stage, op.merge(f"{stage}_in", *inputs[stage]), _stage_logic(stage, run))
        for target in plan.feeds(stage):
            inputs[target].append(op.flat_map(f"{stage}_to_{target}", told, _notes_for(target, addresses)))
        outgoing.append(op.filter_map(f"{stage}_records", told, _outgoing(names, marks=not plan.feeds(stage))))
    written = op.flat_map_batch("sinks", op.merge("outgoing", *outgoing), _writing(run, names))
    ends: list[Stream[Any]] = [written]
    if run.keeps:
        hello: Stream[ForHead] = op.flat_map("hello", deliveries, _hello(addresses))
        heads = op.stateful_batch("heads", op.merge("heads_in", written, hello), head_logic(run))
        ends = [
            op.stateful_batch(
                f"place_{place}", op.filter(f"for_{place}", heads, _is_for(place)), place_logic(place, run)
            )
            for place in PLACES
        ]
    op.output("end", op.merge("ends", *ends), End())
    return flow


def _records_of(delivery: Delivery) -> list[Record] | None:
    return delivery.records or None


def _hello(addresses: Addresses) -> Callable[[Delivery], Iterable[ForHead]]:
    def said(delivery: Delivery) -> Iterable[ForHead]:
        return [(process, Hello()) for process in addresses.processes] if delivery.first else ()

    return said


def _outgoing(names: tuple[str, ...], *, marks: bool) -> Callable[[tuple[str, Told]], Outgoing | None]:
    """What is for the sinks; ``marks``: nothing follows this stage, so all is written up to its watermark."""

    def picked(keyed: tuple[str, Told]) -> Outgoing | None:
        _, item = keyed
        if isinstance(item, Keep):
            return names[item.number], item
        if not isinstance(item, Combined):
            return item
        return item.watermark if marks and item.watermark > BEFORE_TIME else None

    return picked


def _is_for(place: int) -> Callable[[Kept], bool]:
    return lambda item: item[1].place == place


def _for_stage(stage: str, addresses: Addresses) -> Callable[[Delivery], Iterable[Addressed]]:
    return lambda delivery: addresses.addressed(delivery.inputs.get(stage) or {})


def _notes_for(stage: str, addresses: Addresses) -> Callable[[tuple[str, Told]], Iterable[Addressed]]:
    def addressed(keyed: tuple[str, Told]) -> Iterable[Addressed]:
        _, item = keyed
        return addresses.addressed(item.deliveries[stage]) if isinstance(item, Combined) else ()

    return addressed


def _stage_logic(name: str, run: Run) -> Callable[[Any], StageLogic]:
    stage = Stage(name, run)

    def build(stored: Any) -> StageLogic:
        with run.control.guarded():
            return StageLogic(stage, run, stored)

    return build


def _writing(run: Run, names: tuple[str, ...]) -> Callable[[list[Outgoing]], Iterable[ForHead]]:
    """Writes records as they come, all of a batch at once, then says how far they reach; lets the rest pass.

    What was written must be acknowledged before the epoch is kept, also when no key group was awake in it, as with
    dead letters alone: so some group's head is kept then.
    """
    outlet = run.outlet

    def write(items: list[Outgoing]) -> Iterable[ForHead]:
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
            keeps: list[ForHead] = [item for item in items if isinstance(item, tuple)]
            if records and run.keeps and not keeps:
                keeper = run.worker.any_keeper()
                keeps += [(names[keeper.number], Keep(keeper.number, place)) for place in keeper.announce()]
        return keeps

    return write
