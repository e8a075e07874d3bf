"""``python -m benchmarks.whole``: the whole flow over files, in one process and in two, against a plain loop.

Each round runs, one after the other: reading and decoding alone, the plain loop, the replay in memory, and the command
``orderpulse run`` in one and in two processes. All but the first must give the same alerts. Ratios are within a round.
"""

import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Final

from benchmarks.answers import answers_in, require_equal
from benchmarks.figures import FOUR_DETECTORS, Cost
from benchmarks.lines import Line, line_of
from benchmarks.program import Say, parser, positive, run_program, size
from benchmarks.repeated import cached_copies
from benchmarks.rounds import Rounds
from benchmarks.runs import as_toml, figure_cost, flow_cost
from benchmarks.workload import Workload, WorkloadPlan, cached_workload

READ, PLAIN, REPLAY, ONE, TWO = "read_events", "plain_loop", "replay", "1 process", "2 processes"
_LARGEST_TRADE: Final = 1_000_000  # more is made of copies of one
_AIMED: Final = 1_000_000  # the targets speak of this size and above


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure and report."""
    options = parser("whole", __doc__, rounds=5)
    options.add_argument("--events", type=positive, default=1_000_000, help="size of the workload (default 1000000)")
    options.add_argument("--seed", type=int, default=1, help="another seed, another workload (default 1)")
    given = options.parse_args(arguments)
    title = f"the whole flow, {size(given.events)} events, files in, files out"
    return run_program("whole", title, given.json, lambda say: measured(given.events, given.seed, given.rounds, say))


def trade(events: int, seed: int, say: Say) -> Workload:
    """A workload of about so many events; above a million, of copies of one."""
    say(f"workload of {events:,} events, seed {seed} (made once, then kept)")
    if events <= _LARGEST_TRADE:
        return cached_workload(WorkloadPlan(events, seed))
    copies = events // _LARGEST_TRADE
    return cached_copies(WorkloadPlan(events // copies, seed, whole=True), copies)


def measured(events: int, seed: int, rounds: int, say: Say) -> tuple[list[Line], Any]:
    """The lines, and each round by itself."""
    workload = trade(events, seed, say)
    done = []
    for number in range(1, rounds + 1):
        say(f"{size(events)}, round {number} of {rounds}")
        with TemporaryDirectory(prefix="orderpulse-benchmark-") as scratch:
            done.append(one_round(workload, Path(scratch)))
    return lines(events, Rounds(done)), {"workload": workload, "rounds": done}


def one_round(workload: Workload, scratch: Path) -> Mapping[str, Cost]:
    """All runs once. Raises WrongAnswerError when two of them disagree."""
    events, config = Path(workload.directory), scratch / "config.toml"
    config.write_text(as_toml(FOUR_DETECTORS) + "\n", encoding="utf-8")
    costs = {name: figure_cost(name, events, scratch / name, workload.events) for name in (READ, PLAIN, REPLAY)}
    for processes, name in ((1, ONE), (2, TWO)):
        costs[name] = flow_cost(events, scratch / name, config, processes, workload.events)
    wanted = answers_in(scratch / PLAIN)
    for name in (REPLAY, ONE, TWO):
        require_equal(PLAIN, wanted, name, answers_in(scratch / name))
    return costs


def lines(events: int, rounds: Rounds) -> list[Line]:
    """What the rounds say."""
    at, aimed, loop = size(events), events >= _AIMED, "plain loop"
    found = [
        line_of(f"flow, {TWO} : {loop}, events/s, {at}", rounds.faster(TWO, PLAIN), target=2.2 if aimed else None),
        line_of(f"flow, {ONE} : {loop}, events/s, {at}", rounds.faster(ONE, PLAIN)),
        line_of(f"flow, {TWO} : {ONE}, events/s, {at}", rounds.faster(TWO, ONE), target=1.8 if aimed else None),
        line_of(
            f"flow, {ONE} : {loop}, CPU per event, {at}",
            rounds.dearer(ONE, PLAIN),
            target=1.2 if aimed else None,
            better="less",
        ),
        line_of(f"flow, {TWO} : {loop}, CPU per event, {at}", rounds.dearer(TWO, PLAIN), better="less"),
        line_of(
            f"replay in memory : {loop}, events/s, {at}", rounds.faster(REPLAY, PLAIN), target=1 if aimed else None
        ),
        line_of(f"read and decode alone : {loop}, events/s, {at}", rounds.faster(READ, PLAIN)),
    ]
    for name, title in ((PLAIN, loop), (ONE, f"flow, {ONE}"), (TWO, f"flow, {TWO}")):
        found.append(line_of(f"{title}, {at}", rounds.rate(name), "events/s"))
        found.append(line_of(f"peak RSS, {title}, {at}", rounds.peak_mb(name), "MB", better="less"))
    return found


if __name__ == "__main__":
    sys.exit(main())
