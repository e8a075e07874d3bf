"""The events that are measured: a seeded simulated trade as NDJSON partitions, each in event-time order."""

import re
import tempfile
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from shutil import rmtree

import msgspec
from msgspec import Struct

from config.loader import load_settings
from config.settings import Settings
from sources.simulator import Line, SimulationPlan, simulate

_EVENTS_PER_ORDER = 33  # a little less than the simulator makes, so that there is something to cut
_SPARE_ORDERS = 20
_TIME = re.compile(rb'"time":(\d+)')
# What the plain loop does not know: parcels, and moves that the chain does not allow.
_LEFT_OUT_CASES = (
    "parcel_stalls",
    "unknown_stage",
    "goes_backwards",
    "skips_and_catches_up",
    "created_twice",
    "paid_after_cancelling",
)


class WorkloadPlan(Struct, frozen=True):
    """``events`` in all; ``cases``: the share of the orders that give a detector something to say.

    ``whole``: nothing is cut off, every order goes on to its end, and there are only about as many events as asked for.
    """

    events: int
    seed: int = 1
    partitions: int = 4
    cases: float = 0.08
    whole: bool = False

    @property
    def name(self) -> str:
        """The directory of the workload, the same for the same plan."""
        whole = "-whole" if self.whole else ""
        return f"v1-{self.events}-{self.seed}-{self.partitions}-{round(self.cases * 1000)}{whole}"


class Workload(Struct, frozen=True):
    """What was written. ``directory`` holds the partitions; ``span_ms`` is from the first event to the last."""

    directory: str
    events: int
    behaviour: int
    bytes: int
    span_ms: int


class _Stamped(Struct):
    """What deciding about a line needs of it."""

    type: str
    time: int
    order_id: str | None = None
    parcel_id: str | None = None
    stage: str | None = None


def cached_workload(plan: WorkloadPlan, cache: Path | None = None) -> Workload:
    """The workload of a plan, made unless an earlier run has left it in the temporary directory."""
    return kept(cache_place(cache) / plan.name, lambda directory: _write(plan, directory))


def cache_place(cache: Path | None = None) -> Path:
    """Where workloads are kept, if nothing else is asked for."""
    return cache or Path(tempfile.gettempdir()) / "orderpulse-benchmarks"


def kept(home: Path, make: Callable[[Path], Workload]) -> Workload:
    """The workload that stands in ``home``; ``make`` writes it into ``home/events`` unless an earlier run has."""
    manifest = home / "workload.json"
    if manifest.is_file():
        return msgspec.json.decode(manifest.read_bytes(), type=Workload)
    rmtree(home, ignore_errors=True)
    (home / "events").mkdir(parents=True)
    workload = make(home / "events")
    manifest.write_bytes(msgspec.json.encode(workload))
    return workload


def _write(plan: WorkloadPlan, directory: Path) -> Workload:
    lines = _simulated(plan)
    partitions: dict[str, list[bytes]] = {}
    first = last = 0
    for time, line in _each_in_its_own_millisecond(lines):
        first, last = first or time, time
        partitions.setdefault(Path(line.partition).name, []).append(line.data)
    for name, content in partitions.items():
        (directory / name).write_bytes(b"\n".join(content) + b"\n")
    return Workload(
        directory=str(directory),
        events=len(lines),
        behaviour=sum(len(content) for name, content in partitions.items() if name.startswith("behaviour")),
        bytes=sum(path.stat().st_size for path in directory.iterdir()),
        span_ms=last - first,
    )


def _simulated(plan: WorkloadPlan) -> list[tuple[int, Line]]:
    """The first so many events; orders in trouble end sooner, so a trade full of them takes more orders."""
    orders = plan.events // _EVENTS_PER_ORDER + _SPARE_ORDERS
    settings = load_settings()
    while True:
        simulation = simulate(
            SimulationPlan(
                orders=orders,
                seed=plan.seed,
                partitions=plan.partitions,
                behaviour=0.6,
                cases=plan.cases,
                case_weights=dict.fromkeys(_LEFT_OUT_CASES, 0),
            ),
            settings,
        )
        lines = _in_time_order(simulation, _terminal(settings) if plan.whole else None)
        if plan.whole:
            return lines
        if len(lines) >= plan.events:
            return lines[: plan.events]
        orders += orders // 10 + 1


def _terminal(settings: Settings) -> frozenset[str]:
    return frozenset(name for name, stage in settings.stages.items() if stage.terminal)


def _in_time_order(simulation: Iterable[Line], ends: frozenset[str] | None) -> list[tuple[int, Line]]:
    """All lines by event time, without those of orders that ship in parcels.

    ``ends``: also without those of orders that come to none of these stages.
    """
    decoder = msgspec.json.Decoder(_Stamped)
    stamped = [(decoder.decode(line.data), line) for line in simulation]
    left_out = {head.order_id for head, _ in stamped if head.parcel_id is not None or head.type == "order.split"}
    if ends is not None:
        left_out |= {head.order_id for head, _ in stamped} - {
            head.order_id for head, _ in stamped if head.stage in ends
        }
    left_out.discard(None)
    kept = [(head.time, line) for head, line in stamped if head.order_id not in left_out]
    return sorted(kept, key=lambda item: (item[0], item[1].partition, item[1].data))


def _each_in_its_own_millisecond(lines: Iterable[tuple[int, Line]]) -> Iterator[tuple[int, Line]]:
    """The plain loop merges by time alone and knows no order within a millisecond: so none holds two events."""
    free = 0
    for time, line in lines:
        moved = max(time, free)
        free = moved + 1
        data = line.data if moved == time else _TIME.sub(b'"time":%d' % moved, line.data, count=1)
        yield moved, Line(line.partition, data)
