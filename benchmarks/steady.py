"""``python -m benchmarks.steady``: whether memory grows over a long load in which orders open and close.

The load is many copies of one trade, one behind the other: weeks of event time, in which ids of events leave the
horizon of duplicates and closed orders their retention. Memory is noted while the flow runs in one process. From where
both have passed, and as many orders have come as the flow keeps at hand anyway, the peak of each copy is taken; a line
through these peaks says how much memory grows. The plain loop, which forgets nothing, goes through the same load for
the alerts to be compared.
"""

import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Final

import msgspec
from msgspec import Struct

from benchmarks.answers import answers_in, require_equal
from benchmarks.figures import PLAIN, four_detectors
from benchmarks.lines import Line, line_of
from benchmarks.program import Say, parser, positive, run_program, size
from benchmarks.repeated import repeat
from benchmarks.runs import ROOT, figure_cost
from benchmarks.watch import Moment, Watched, moment
from benchmarks.workload import Workload, WorkloadPlan, cached_workload
from dataflows.environment import environment_of
from dataflows.run import RunPlan, execute

COPIES: Final = 20
_TARGET_MB: Final = 2.0  # what allocators move by on their own
_NOTE_EVERY: Final = 20_000
_LEAST: Final = 5  # copies of a plateau
_CREATED: Final = b'{"type":"order.created"'


class Sample(Struct, frozen=True):
    """Memory when so many events were read."""

    events: int
    rss_mb: float


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure and report."""
    options = parser("steady", __doc__, rounds=1)
    options.add_argument("--events", type=positive, default=2_000_000, help="of the whole load (default 2000000)")
    options.add_argument("--seed", type=int, default=1, help="another seed, another workload (default 1)")
    given = options.parse_args(arguments)
    title = f"a steady load of {size(given.events)} events, 1 process"

    def measure(say: Say) -> tuple[list[Line], Any]:
        say(f"workload of {given.events:,} events")
        once = cached_workload(WorkloadPlan(given.events // COPIES, given.seed, whole=True))
        return measured(once, size(given.events), given.rounds, say)

    return run_program("steady", title, given.json, measure)


def measured(once: Workload, at: str, rounds: int, say: Say) -> tuple[list[Line], Any]:
    """The lines, and each round by itself. The load is written for this run alone: it is large."""
    first = _plateau(once)
    with TemporaryDirectory(prefix="orderpulse-steady-") as scratch:
        place = Path(scratch)
        (place / "events").mkdir()
        load = repeat(once, COPIES, place / "events")
        figure_cost(PLAIN, place / "events", place / "plain", load.events)
        wanted = answers_in(place / "plain")
        done = []
        for number in range(1, rounds + 1):
            say(f"round {number} of {rounds}: {load.events:,} events, {load.span_ms / 86_400_000:.0f} days")
            done.append(_child(place / "events", place / f"flow-{number}"))
            require_equal("plain loop", wanted, "flow", answers_in(place / f"flow-{number}"))
    return lines(once, done, first, at), {"load": load, "plateau_from_copy": first, "rounds": done}


def lines(once: Workload, rounds: Sequence[Sequence[Sample]], first: int, at: str) -> list[Line]:
    """What the samples say; ``first``: the copy with which the plateau begins; ``at``: the size of the load."""
    peaks = [_peaks(samples, once.events)[first:] for samples in rounds]
    growth = [slope(each) * 1_000_000 / once.events for each in peaks]
    return [
        line_of(f"growth of RSS per million events, {at}", growth, "MB", target=_TARGET_MB, better="less"),
        line_of(f"RSS on the plateau, {at}", [max(each) for each in peaks], "MB", better="less"),
    ]


def slope(values: Sequence[float]) -> float:
    """How much the values grow from one to the next: the least-squares line through them."""
    middle, mean = (len(values) - 1) / 2, sum(values) / len(values)
    up = sum((place - middle) * (value - mean) for place, value in enumerate(values))
    return up / sum((place - middle) ** 2 for place in range(len(values)))


def _plateau(once: Workload) -> int:
    """The first copy in which nothing is new: what is forgotten in time is, and what is kept at hand is full."""
    settings = four_detectors()
    longest = max(int(settings.flow.closed_retention), int(settings.time.duplicate_horizon))
    first = max(longest // once.span_ms, kept_at_hand() // _orders(once)) + 2
    if first > COPIES - _LEAST:
        raise RuntimeError(f"{COPIES} times {_orders(once):,} orders make no plateau, which begins with copy {first}")
    return first


def kept_at_hand() -> int:
    """How many orders the flow keeps as objects, however long they have been closed."""
    environment = environment_of(four_detectors(), read_model=False)
    return environment.live_cells * environment.groups


def _orders(once: Workload) -> int:
    """In one copy."""
    lines = (line for path in Path(once.directory).glob("order-*") for line in path.read_bytes().splitlines())
    return sum(line.startswith(_CREATED) for line in lines)


def _peaks(samples: Sequence[Sample], of_copy: int) -> list[float]:
    peaks = [0.0] * COPIES
    for sample in samples:
        number = min(sample.events // of_copy, COPIES - 1)
        peaks[number] = max(peaks[number], sample.rss_mb)
    return peaks


def _child(events: Path, output: Path) -> list[Sample]:
    command = [sys.executable, "-m", "benchmarks.steady", "--child", str(events), str(output)]
    done = subprocess.run(command, cwd=ROOT, stdout=subprocess.PIPE, check=True)
    return msgspec.json.decode(done.stdout.splitlines()[-1], type=list[Sample])


def _run(events: Path, output: Path) -> list[Sample]:
    """The flow in this process, with its memory noted as it reads."""
    samples: list[Sample] = []

    def note(read: int) -> None:
        if not samples or read - samples[-1].events >= _NOTE_EVERY:
            now: Moment = moment()
            samples.append(Sample(read, now.rss_mb))

    plan = RunPlan(four_detectors(), [events], output, serve=False, overwrite=True)
    execute(plan, wrap_reader=lambda reader: Watched(reader, note))
    return samples


if __name__ == "__main__":
    if sys.argv[1:2] == ["--child"]:
        print(msgspec.json.encode(_run(Path(sys.argv[2]), Path(sys.argv[3]))).decode())
    else:
        sys.exit(main())
