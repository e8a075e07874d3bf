"""One run of the flow, or one process of it: opens what it needs, runs it under Bytewax, says what happened."""

import logging
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from datetime import timedelta
from pathlib import Path
from typing import Final, Literal

import msgspec
from bytewax.recovery import RecoveryConfig
from bytewax.run import cli_main
from msgspec import Struct

from config.settings import Settings
from dataflows.alert_latency import AlertLatency
from dataflows.child import kept_in_bounds, restarts, supervisor
from dataflows.collector import patient_collector
from dataflows.control import Control
from dataflows.environment import environment_of
from dataflows.flow import build_flow
from dataflows.keeping import least
from dataflows.lookout import Lookout
from dataflows.observer import Observer
from dataflows.outlet import Outlet
from dataflows.peers import await_listening
from dataflows.run_parts import Run
from dataflows.source import WorkerSource
from dataflows.store import Manifest, open_for, read_manifest
from dataflows.store_errors import RESTORE, StoreError
from dataflows.summary import Summary
from dataflows.worker import Worker
from events.topics import INPUT_TOPICS
from operators.topology import Topology, topology
from sinks.files import FileSink, mend, prepare_directory
from sinks.health import HealthServer
from sinks.kafka import KafkaSink
from sinks.metrics import Metrics
from sinks.sink import Sink
from sources.clock import SteadyClock
from sources.files import FileInput
from sources.kafka import KafkaInput
from sources.kafka_reader import KafkaReader
from sources.reader import Input, Reader, SourceError

KAFKA: Literal["kafka"] = "kafka"
# Where the sinks stood before the first run on a store, by process.
_FIRST: Final = "outputs-*.json"
_FIRST_PAUSE: Final = 0.1
_STEP_SECONDS: Final = 0.04  # between two steps of a run that follows topics as they grow
_MARK_SECONDS: Final = 0.25  # after which such a run says again in the read model how far it is
_LONGEST_PAUSE: Final = 5.0
_PEERS_SECONDS: Final = 10.0  # for which a process waits for others to listen; then the engine calls them in vain
LOGGER = logging.getLogger(__name__)


class RunPlan(Struct, frozen=True):
    """What to read, where to write. ``bounded``: Kafka input ends where the topics end at the start of the run.

    ``process_id`` and ``addresses``: this is one of ``len(addresses)`` processes. ``recovery``: the store.
    """

    settings: Settings
    inputs: Sequence[Path] | Literal["kafka"]
    output: Path | Literal["kafka"] | None = None
    redis: bool = False
    overwrite: bool = False
    bounded: bool = False
    until: int | None = None
    serve: bool = True
    process_id: int | None = None
    addresses: tuple[str, ...] = ()
    recovery: Path | None = None

    @property
    def workers(self) -> int:
        """How many processes share the run."""
        return len(self.addresses) or 1


def follows(plan: RunPlan) -> bool:
    """Whether topics are read as they grow, for as long as they do."""
    return plan.inputs == KAFKA and not plan.bounded


def is_live(plan: RunPlan) -> bool:
    """Whether wall time says something about the input: its records come as they are appended."""
    return follows(plan) and plan.settings.time.arrival == "record"


def wall_clock() -> int:
    """Now, in epoch milliseconds."""
    return time.time_ns() // 1_000_000


def topology_of(plan: RunPlan, source: Input) -> Topology:
    """The stages of a plan, shared by its processes; those without a partition of the input send no events."""
    environment = environment_of(plan.settings, read_model=plan.redis)
    return topology(environment, sources=min(plan.workers, len(source.partitions)), workers=plan.workers)


def manifest_of(plan: RunPlan, stages: Topology, source: Input) -> Manifest:
    """What a recovery store of this plan belongs to."""
    return Manifest(
        key_groups=plan.settings.key_groups,
        stages={name: tuple(part.name for part in parts) for name, parts in stages.stages.items()},
        input="kafka" if plan.inputs == KAFKA else "files",
        partitions=tuple(source.partitions),
    )


def execute(
    plan: RunPlan,
    *,
    extra_sinks: Sequence[Sink] = (),
    control: Control | None = None,
    metrics: Metrics | None = None,
    on_serving: Callable[[int], None] | None = None,
    wrap_reader: Callable[[Reader], Reader] | None = None,
) -> Summary:
    """Run to the end of the input, or until the control stops it. ``wrap_reader`` may watch or pace what is read.

    Raises the first error that a part of the run raised: SourceError, SinkError, StoreError, HealthServerError and
    others.
    """
    control = control or Control(plan.settings.supervisor.stop_within / 2000)
    metrics = metrics or Metrics()
    clock = SteadyClock()
    observer = Observer(metrics, clock)
    metrics.refresh_with(control.tell_waiting)
    metrics.add("orderpulse_restarts_total", restarts())
    if wrap_reader is not None:
        control.wrap_readers(wrap_reader)
    began = time.monotonic()
    with ExitStack() as open_things:
        open_things.enter_context(_stopped_in_order(plan, control))
        _serve(plan, metrics, control, on_serving, open_things)
        # Inputs are opened first: a mistyped path must not leave an empty output directory behind.
        source = _open_patiently(plan, clock, control)
        open_things.callback(source.close)
        worker = Worker(topology_of(plan, source), plan.process_id or 0, plan.recovery, live=follows(plan))
        if worker.plan.rulebook is not None:
            observer.rules(worker.plan.rulebook.versions())
        going_on = False
        if plan.recovery is not None:
            stages = manifest_of(plan, worker.plan, source)
            files = plan.settings.recovery.files
            store = open_things.enter_context(open_for(plan.process_id, plan.recovery, stages, files))
            going_on = goes_on(plan.recovery, is_new=store.is_new)
        outlet = open_outlet(plan, observer, metrics, extra_sinks, control, going_on=going_on)
        try:
            _run(plan, Run(worker, outlet, control, observer, keeps=plan.recovery is not None), source)
            outlet.close()
            if isinstance(control.reader, KafkaReader):
                # Only now that the sinks have acknowledged everything may a run that starts at "committed" go on here.
                control.reader.commit()
        finally:
            if control.reader is not None:
                control.reader.close()
            outlet.close()
    return Summary(
        events=observer.events,
        duplicates=observer.duplicates,
        late=observer.late,
        forced=observer.forced,
        watermark=observer.watermark,
        seconds=time.monotonic() - began,
    )


@contextmanager
def _stopped_in_order(plan: RunPlan, control: Control) -> Iterator[None]:
    stop_within = plan.settings.supervisor.stop_within / 1000
    with control.stopped_by_signals(), kept_in_bounds(stop_within, begun=lambda: control.begun):
        yield


def _serve(
    plan: RunPlan,
    metrics: Metrics,
    control: Control,
    on_serving: Callable[[int], None] | None,
    open_things: ExitStack,
) -> None:
    address = plan.settings.metrics
    if plan.serve and address.port:
        # Processes of one machine cannot share a port; those of several hosts are looked for at one.
        port = address.port + (plan.process_id or 0) if supervisor() is not None else address.port
        server = HealthServer(address.host, port, metrics, control.readiness)
        open_things.callback(server.close)
        if on_serving is not None:
            on_serving(server.port)


def _open_patiently(plan: RunPlan, clock: SteadyClock, control: Control) -> Input:
    """The input. A run that goes on where an earlier one stopped waits for a broker that is away."""
    pause = _FIRST_PAUSE
    while True:
        try:
            return open_input(plan, clock)
        except SourceError as error:
            begun = plan.recovery is not None and read_manifest(plan.recovery) is not None
            if not (error.passing and begun) or control.stopping:
                raise
            LOGGER.warning("%s; trying again", error)
            control.starting = str(error)
        time.sleep(pause)
        pause = min(2 * pause, _LONGEST_PAUSE)


def open_input(plan: RunPlan, clock: SteadyClock) -> Input:
    """The input of a plan; raises SourceError."""
    kafka = plan.settings.kafka
    if plan.inputs != KAFKA:
        paths = [Path(path) for path in plan.inputs]
        # Their dead letters go to a topic that exists.
        return FileInput(paths, topic=kafka.topics.orders) if plan.output == KAFKA else FileInput(paths)
    topics = [str(getattr(kafka.topics, name)) for name in INPUT_TOPICS]
    # Rules hold from their moment on, however long ago that was.
    whole = (kafka.topics.rules,)
    return KafkaInput(kafka, topics, start=kafka.start, bounded=plan.bounded, whole=whole, clock=clock)


def goes_on(store: Path, *, is_new: bool) -> bool:
    """Whether a run on this store goes on with outputs that an earlier one began."""
    return not is_new or any(store.glob(_FIRST))


def prepare_outputs(plan: RunPlan, *, going_on: bool) -> None:
    """Have the output directory ready, once, before any process of the run begins. Raises SinkError."""
    if isinstance(plan.output, Path):
        if going_on:
            mend(plan.output)
        else:
            prepare_directory(plan.output, overwrite=plan.overwrite)


def open_outlet(
    plan: RunPlan,
    observer: Observer,
    metrics: Metrics,
    extra_sinks: Sequence[Sink],
    control: Control,
    *,
    going_on: bool,
) -> Outlet:
    """The sinks of a plan; raises SinkError."""
    sinks: list[Sink] = []
    if plan.output == KAFKA:
        sinks.append(KafkaSink(plan.settings.kafka, patient=going_on, give_up=control.give_up))
    elif isinstance(plan.output, Path):
        if supervisor() is None:
            prepare_outputs(plan, going_on=going_on)
        part = plan.process_id if plan.workers > 1 else None
        sinks.append(FileSink(plan.output, resume=True, part=part, give_up=control.give_up))
    mark = None
    if plan.redis:
        from sinks.read_model import ReadModelSink  # noqa: PLC0415  # its library is slow to load

        worker = plan.process_id or 0
        read_model = ReadModelSink(
            plan.settings.redis, worker=worker, workers=plan.workers, patient=going_on, give_up=control.give_up
        )
        sinks.append(read_model)

        def mark(watermark: int) -> None:
            counts = {"events": observer.events, "late": observer.late, "duplicates": observer.duplicates}
            read_model.mark(watermark, wall_clock(), counts)

    sinks += extra_sinks
    latency = AlertLatency(metrics, observer.now, sinks) if is_live(plan) else None
    outlet = Outlet(sinks, metrics, mark, latency, mark_every=_MARK_SECONDS if follows(plan) else 0.0)
    control.waiting = outlet.waiting
    if plan.recovery is not None:
        outlet.first = _first_positions(plan, outlet)
    return outlet


def _first_positions(plan: RunPlan, outlet: Outlet) -> Mapping[str, int]:
    """Where the sinks stood before anything was written for this store, noted down before it is.

    A run that is killed before its first snapshot has written records that no snapshot knows of.
    """
    assert plan.recovery is not None
    noted = [_noted_positions(path) for path in plan.recovery.glob(_FIRST)]
    if noted:
        return least(noted)
    positions = outlet.positions()
    path = plan.recovery / _FIRST.replace("*", str(plan.process_id or 0))
    beside = path.with_suffix(".new")
    beside.write_bytes(msgspec.json.encode(positions))
    beside.replace(path)
    return positions


def _noted_positions(path: Path) -> dict[str, int]:
    try:
        return msgspec.json.decode(path.read_bytes(), type=dict[str, int])
    except msgspec.DecodeError as error:
        raise StoreError(f"is damaged ({error})", str(path), RESTORE) from error


def _run(plan: RunPlan, run: Run, source: Input) -> None:
    control = run.control
    lookout = Lookout(
        plan.settings,
        run.observer.now,
        control.waiting,
        name=f"flow/{run.worker.index}" if plan.workers > 1 else "flow",
        live=is_live(plan),
    )
    run.outlet.on_dead_letter = lookout.dead_letter
    reading = WorkerSource(
        source,
        run.worker,
        control,
        run.observer,
        lookout,
        until=plan.until,
        step=_STEP_SECONDS if follows(plan) else 0.0,
        latency=run.outlet.latency,
    )
    flow = build_flow(run, source, reading)
    if supervisor() is not None:
        await_listening(plan.addresses[: plan.process_id], _PEERS_SECONDS)
    try:
        with patient_collector():
            cli_main(
                flow,
                process_id=plan.process_id,
                addresses=list(plan.addresses) or None,
                epoch_interval=timedelta(milliseconds=plan.settings.recovery.interval),
                recovery_config=_recovery(plan),
            )  # type: ignore[no-untyped-call]
    except BaseException:
        # Bytewax wraps the error and loses its text; the first one is what the owner wants to read.
        if control.failure is not None:
            raise control.failure from None
        raise


def _recovery(plan: RunPlan) -> RecoveryConfig | None:
    if plan.recovery is None:
        return None
    keep = timedelta(milliseconds=plan.settings.recovery.keep)
    return RecoveryConfig(plan.recovery, backup_interval=keep)  # type: ignore[no-untyped-call]
