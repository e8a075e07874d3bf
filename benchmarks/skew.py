"""``python -m benchmarks.skew``: trades of other shapes beside the even one.

Hot keys, bursts of alerts, few and many partitions, wide events. In each round every shape runs through the plain loop
and through the flow, and both must give the same alerts. The hot customer also runs in two processes, one of which has
that customer to itself.
"""

import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Final

from benchmarks.answers import answers_in, require_equal
from benchmarks.figures import FLOW, FOUR_DETECTORS, PLAIN, Cost
from benchmarks.lines import Line, line_of
from benchmarks.program import Say, parser, positive, run_program, size
from benchmarks.rounds import Rounds
from benchmarks.runs import as_toml, figure_cost, flow_cost
from benchmarks.shapes import EVEN, SHAPES, cached_shape
from benchmarks.workload import Workload

_AIMED: Final = "hot_customer"
_TARGET: Final = 0.8
_SHARED: Final = (EVEN, _AIMED)


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure and report."""
    options = parser("skew", __doc__, rounds=5)
    options.add_argument("--events", type=positive, default=200_000, help="size of each workload (default 200000)")
    options.add_argument("--seed", type=int, default=1, help="another seed, another workload (default 1)")
    options.add_argument("--shapes", nargs="+", choices=SHAPES, default=list(SHAPES), help="only these, and the even")
    given = options.parse_args(arguments)
    shapes = [EVEN, *(name for name in given.shapes if name != EVEN)]
    title = f"trades of other shapes, {size(given.events)} events each"

    def measure(say: Say) -> tuple[list[Line], Any]:
        say("making workloads (once, then kept)")
        workloads = {name: cached_shape(name, given.events, given.seed) for name in shapes}
        return measured(workloads, given.rounds, say)

    return run_program("skew", title, given.json, measure)


def measured(workloads: Mapping[str, Workload], rounds: int, say: Say) -> tuple[list[Line], Any]:
    """The lines, and each round by itself."""
    done = []
    for number in range(1, rounds + 1):
        say(f"round {number} of {rounds}")
        costs: dict[str, Cost] = {}
        for name, workload in workloads.items():
            with TemporaryDirectory(prefix="orderpulse-benchmark-") as scratch:
                costs |= _one_shape(name, workload, Path(scratch))
        done.append(costs)
    found = [line for name in workloads for line in _lines(name, Rounds(done))]
    return found, {"workloads": workloads, "rounds": done}


def _one_shape(name: str, workload: Workload, scratch: Path) -> dict[str, Cost]:
    events, config = Path(workload.directory), scratch / "config.toml"
    config.write_text(as_toml(FOUR_DETECTORS) + "\n", encoding="utf-8")
    costs = {
        _run(name, 0): figure_cost(PLAIN, events, scratch / "0", workload.events),
        _run(name, 1): figure_cost(FLOW, events, scratch / "1", workload.events),
    }
    if name in _SHARED:
        costs[_run(name, 2)] = flow_cost(events, scratch / "2", config, 2, workload.events)
    for number in range(1, len(costs)):
        title = f"flow, {_processes(number)}, {SHAPES[name].title}"
        require_equal("plain loop", answers_in(scratch / "0"), title, answers_in(scratch / str(number)))
    return costs


def _run(shape: str, processes: int) -> str:
    """The name of a run; no process of the flow means the plain loop."""
    return f"{shape}/{processes}"


def _processes(number: int) -> str:
    return f"{number} process{'es' if number > 1 else ''}"


def _lines(name: str, rounds: Rounds) -> list[Line]:
    title, target = SHAPES[name].title, _TARGET if name == _AIMED else None
    loop = line_of(f"{title}: flow : plain loop, events/s, 1 process", rounds.faster(_run(name, 1), _run(name, 0)))
    if name == EVEN:
        return [loop]
    beside = [
        line_of(
            f"{title} : even load, events/s, {_processes(number)}",
            rounds.faster(_run(name, number), _run(EVEN, number)),
            target=target,
        )
        for number in ((1, 2) if name in _SHARED else (1,))
    ]
    return [*beside, loop]


if __name__ == "__main__":
    sys.exit(main())
