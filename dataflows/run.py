"""One run of the flow: opens what it needs, runs it under Bytewax, closes it, and says what happened."""

import gc
import os
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Literal

from bytewax.run import cli_main
from msgspec import Struct

from config.settings import Settings
from dataflows.control import Control
from dataflows.flow import build_flow
from dataflows.intake import Intake
from dataflows.observer import Observer
from dataflows.outlet import Outlet
from operators.heart.component import Environment
from operators.topology import Topology, topology
from sinks.files import FileSink
from sinks.health import HealthServer
from sinks.kafka import KafkaSink
from sinks.metrics import Metrics
from sinks.read_model import ReadModelSink
from sinks.sink import Sink
from sources.files import FileReader
from sources.kafka import KafkaReader
from sources.reader import Reader

KAFKA: Literal["kafka"] = "kafka"
# Almost all that a run makes is freed by reference counting; at Python's own thresholds the collector walks the state
# of open orders again and again and finds nothing.
_COLLECT_AFTER = (10_000, 20, 100)


class RunPlan(Struct, frozen=True):
    """What to read, where to write. ``bounded``: Kafka input ends where the topics end at the start of the run."""

    settings: Settings
    inputs: Sequence[Path] | Literal["kafka"]
    output: Path | Literal["kafka"] | None = None
    redis: bool = False
    overwrite: bool = False
    bounded: bool = False
    until: int | None = None
    serve: bool = True


class Summary(Struct, frozen=True):
    """What a run did. ``watermark`` in epoch ms."""

    events: int
    duplicates: int
    late: int
    forced: int
    watermark: int
    seconds: float


def wall_clock() -> int:
    """Now, in epoch milliseconds."""
    return time.time_ns() // 1_000_000


def environment_of(settings: Settings, *, read_model: bool) -> Environment:
    """What the components share; the hash key comes from the environment variable that the settings name."""
    hash_key = os.environ.get(settings.privacy.hash_key_env, "").encode()[:64]
    return Environment(settings, settings.key_groups, hash_key, read_model)


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

    Raises the first error that a part of the run raised: SourceError, SinkError, HealthServerError and others.
    """
    control = control or Control()
    metrics = metrics or Metrics()
    observer = Observer(metrics, wall_clock)
    stages = topology(environment_of(plan.settings, read_model=plan.redis))
    began = time.monotonic()
    # Inputs are opened first: a mistyped path must not leave an empty output directory behind.
    source = open_reader(plan)
    reader = wrap_reader(source) if wrap_reader is not None else source
    outlet = Outlet([], metrics)
    try:
        outlet = open_outlet(plan, observer, metrics, extra_sinks)
        _serve_and_run(plan, stages, reader, outlet, control, observer, metrics, on_serving)
        outlet.close()
        if isinstance(source, KafkaReader):
            # Only now, when the sinks have acknowledged everything, may a run that starts at "committed" go on here.
            source.commit()
    finally:
        reader.close()
        outlet.close()
    return Summary(
        events=observer.events,
        duplicates=observer.duplicates,
        late=observer.late,
        forced=observer.forced,
        watermark=observer.watermark,
        seconds=time.monotonic() - began,
    )


def open_reader(plan: RunPlan) -> Reader:
    """The reader of a plan's input; raises SourceError."""
    if plan.inputs != KAFKA:
        return FileReader([Path(path) for path in plan.inputs])
    kafka = plan.settings.kafka
    topics = (kafka.topics.orders, kafka.topics.behaviour, kafka.topics.actions)
    return KafkaReader(kafka, topics, start=kafka.start, bounded=plan.bounded, now=wall_clock)


def open_outlet(plan: RunPlan, observer: Observer, metrics: Metrics, extra_sinks: Sequence[Sink]) -> Outlet:
    """The sinks of a plan; raises SinkError."""
    sinks: list[Sink] = []
    if plan.output == KAFKA:
        sinks.append(KafkaSink(plan.settings.kafka))
    elif isinstance(plan.output, Path):
        sinks.append(FileSink(plan.output, overwrite=plan.overwrite))
    mark = None
    if plan.redis:
        read_model = ReadModelSink(plan.settings.redis)
        sinks.append(read_model)

        def mark(watermark: int) -> None:
            counts = {"events": observer.events, "late": observer.late, "duplicates": observer.duplicates}
            read_model.mark(watermark, wall_clock(), counts)

    return Outlet([*sinks, *extra_sinks], metrics, mark)


def _serve_and_run(
    plan: RunPlan,
    stages: Topology,
    reader: Reader,
    outlet: Outlet,
    control: Control,
    observer: Observer,
    metrics: Metrics,
    on_serving: Callable[[int], None] | None,
) -> None:
    def open_source() -> tuple[Reader, Intake]:
        return reader, Intake(stages, reader.partitions, until=plan.until)

    flow = build_flow(stages, open_source, outlet, control, observer)
    server = None
    address = plan.settings.metrics
    if plan.serve and address.port:
        server = HealthServer(address.host, address.port, metrics, control.readiness)
        if on_serving is not None:
            on_serving(server.port)
    try:
        with control.stopped_by_signals(), _patient_collector():
            cli_main(flow)  # type: ignore[no-untyped-call]
    except BaseException:
        # Bytewax wraps the error and loses its text; the first one is what the owner wants to read.
        if control.failure is not None:
            raise control.failure from None
        raise
    finally:
        if server is not None:
            server.close()


@contextmanager
def _patient_collector() -> Iterator[None]:
    """Collect garbage seldom, and leave alone what was there before; then as it was, for whoever called the run."""
    thresholds, frozen = gc.get_threshold(), gc.get_freeze_count()
    gc.freeze()
    gc.set_threshold(*_COLLECT_AFTER)
    try:
        yield
    finally:
        gc.set_threshold(*thresholds)
        if not frozen:
            gc.unfreeze()
