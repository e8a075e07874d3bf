"""``python -m benchmarks.windows``: the engine's own windows over the behaviour of a trade.

One ``count_window`` and one ``collect_window`` of half an hour per order or customer, beside a dict that counts the
same, and beside the flow, which does all its four detectors over the whole trade. Each runs in a process of its own,
start and imports left out. The windows must hold what the dict holds. They are treated kindly: events come merged by
time, are waited for long enough that none is late, and no window wakes up by the system's clock.
"""

import subprocess
import sys
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, datetime, timedelta
from heapq import merge
from operator import itemgetter
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Final
from zlib import crc32

import bytewax.operators as op
import msgspec
from bytewax.dataflow import Dataflow, Stream
from bytewax.operators.windowing import EventClock, TumblingWindower, WindowOut, collect_window, count_window
from bytewax.run import cli_main
from bytewax.testing import TestingSink, TestingSource
from msgspec import Struct

from benchmarks.answers import WrongAnswerError
from benchmarks.figures import FLOW, Cost, cost_of
from benchmarks.lines import Line, line_of
from benchmarks.program import Say, parser, positive, run_program, size
from benchmarks.rounds import Rounds
from benchmarks.runs import ROOT, figure_cost
from benchmarks.workload import Workload, WorkloadPlan, cached_workload

_ALIGNED: Final = datetime(2026, 1, 1, tzinfo=UTC)
_LENGTH: Final = timedelta(minutes=30)
_BATCH: Final = 1_000
_DICT, _COUNT, _COLLECT = "dict", "count_window", "collect_window"

Seen = tuple[str, datetime]
Found = dict[tuple[str, int], int]


class _Behaviour(Struct):
    time: int
    customer_id: str = ""
    order_id: str = ""


class Counted(Struct, frozen=True):
    """What a run took, how many windows it found, and a sum that tells two sets of windows apart."""

    cost: Cost
    windows: int
    check: int


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure and report."""
    options = parser("windows", __doc__, rounds=5)
    options.add_argument("--events", type=positive, default=100_000, help="size of the trade (default 100000)")
    given = options.parse_args(arguments)
    title = f"the engine's own windows over the behaviour of {size(given.events)} events"

    def measure(say: Say) -> tuple[list[Line], Any]:
        return measured(cached_workload(WorkloadPlan(given.events)), given.rounds, say)

    return run_program("windows", title, given.json, measure)


def measured(workload: Workload, rounds: int, say: Say) -> tuple[list[Line], Any]:
    """The lines, and each round by itself. Raises WrongAnswerError when the ways do not count the same."""
    done = []
    for number in range(1, rounds + 1):
        say(f"round {number} of {rounds}")
        found = {name: _child(name, workload) for name in WAYS}
        if len({(each.windows, each.check) for each in found.values()}) != 1:
            raise WrongAnswerError(f"the windows differ: {found}")
        costs = {name: each.cost for name, each in found.items()}
        with TemporaryDirectory(prefix="orderpulse-benchmark-") as scratch:
            costs[FLOW] = figure_cost(FLOW, Path(workload.directory), Path(scratch) / FLOW, workload.events)
        done.append(costs)
    each = Rounds(done)
    return [
        line_of(f"flow, four detectors : one {_COUNT}, events/s", each.faster(FLOW, _COUNT)),
        line_of(f"flow, four detectors : one {_COLLECT}, events/s", each.faster(FLOW, _COLLECT)),
        line_of(f"{_COUNT} : dict, events/s", each.faster(_COUNT, _DICT)),
        line_of(_COUNT, each.rate(_COUNT), "events/s"),
        line_of(_COLLECT, each.rate(_COLLECT), "events/s"),
    ], {"workload": workload, "rounds": done}


def behaviour(directory: Path) -> Iterator[Seen]:
    """Order or customer, and time, of all behaviour, merged by time."""
    decode = msgspec.json.Decoder(_Behaviour).decode

    def read(path: Path) -> Iterator[Seen]:
        with path.open("rb") as lines:
            for line in lines:
                event = decode(line)
                yield event.order_id or event.customer_id, datetime.fromtimestamp(event.time / 1000, UTC)

    return merge(*map(read, sorted(directory.glob("behaviour-*"))), key=itemgetter(1))


def by_dict(seen: Iterator[Seen]) -> Found:
    """How many in each window."""
    return Counter((key, (at - _ALIGNED) // _LENGTH) for key, at in seen)


def by_count(seen: Iterator[Seen]) -> Found:
    """The same by ``count_window``."""
    clock, windower = _windowing()
    return dict(_run(seen, lambda up: count_window("count", up, clock, windower, itemgetter(0)), int))


def by_collect(seen: Iterator[Seen]) -> Found:
    """The same by ``collect_window``."""
    clock, windower = _windowing()

    def collect(up: Stream[Seen]) -> WindowOut[Seen, list[Seen]]:
        return collect_window("collect", op.key_on("keyed", up, itemgetter(0)), clock, windower)

    return dict(_run(seen, collect, len))


WAYS: Final[dict[str, Callable[[Iterator[Seen]], Found]]] = {_DICT: by_dict, _COUNT: by_count, _COLLECT: by_collect}


def _windowing() -> tuple[EventClock[Seen], TumblingWindower]:
    clock = EventClock[Seen](itemgetter(1), timedelta(hours=12), to_system_utc=lambda _: None)
    return clock, TumblingWindower(length=_LENGTH, align_to=_ALIGNED)


def _run(
    seen: Iterator[Seen], window: Callable[[Stream[Seen]], WindowOut[Seen, Any]], count: Callable[[Any], int]
) -> Iterator[tuple[tuple[str, int], int]]:
    flow = Dataflow("windows")
    out: list[tuple[str, tuple[int, Any]]] = []
    events: Stream[Seen] = op.input("input", flow, TestingSource(seen, batch_size=_BATCH))
    op.output("output", window(events).down, TestingSink(out))
    cli_main(flow)  # type: ignore[no-untyped-call]
    for key, (number, found) in out:
        yield (key, number), count(found)


def _child(name: str, workload: Workload) -> Counted:
    command = [sys.executable, "-m", "benchmarks.windows", "--child", name, workload.directory]
    done = subprocess.run(command, cwd=ROOT, stdout=subprocess.PIPE, check=True)
    return msgspec.json.decode(done.stdout.splitlines()[-1], type=Counted)


def counted(name: str, directory: Path) -> Counted:
    """One way, once, in this process."""
    found: Found = {}

    def run() -> int:
        found.update(WAYS[name](behaviour(directory)))
        return sum(found.values())

    cost = cost_of(run)
    check = sum(crc32(f"{key}/{number}".encode()) * count for (key, number), count in found.items())
    return Counted(cost, len(found), check % (1 << 53))


if __name__ == "__main__":
    if sys.argv[1:2] == ["--child"]:
        print(msgspec.json.encode(counted(sys.argv[2], Path(sys.argv[3]))).decode())
    else:
        sys.exit(main())
