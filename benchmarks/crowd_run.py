"""One run over a shop with many open orders, in this process.

``python -m benchmarks.crowd_run RUNNER PLAN ROUNDS OUTPUT`` prints one JSON line. It takes a while until the orders are
all there, so the rounds are stretches of one and the same run. The first two and the last are not timed: what is read
is applied later, by the batches of files and the out-of-orderness, and at the end there is the flow's own end besides.
"""

import gc
import sys
from collections.abc import Callable, Iterator
from itertools import pairwise
from pathlib import Path
from typing import Final, Literal

import msgspec
from msgspec import Struct

from benchmarks.figures import ALERTS, FOUR_DETECTORS
from benchmarks.open_orders import OpenOrders, cached
from benchmarks.plain_loop import PlainLoop, read_in_order
from benchmarks.watch import Moment, Watched, moment
from config.loader import load_settings
from config.settings import Settings
from dataflows.run import RunPlan, execute
from events.model import Event

UNTIMED: Final = 3
_NOBODY_IS_LATE: Final = 10_000


class Stretch(Struct, frozen=True):
    """What so many events took."""

    events: int
    wall_s: float
    cpu_s: float


class Steady(Struct, frozen=True):
    """The stretches of a run; ``peak_rss_mb``: of the whole of it."""

    stretches: list[Stretch]
    peak_rss_mb: float


class Clock:
    """Is told how many events were read; notes the moment when it was ``after``, and again after each ``every``."""

    def __init__(self, after: int, every: int) -> None:
        self._next = after
        self._every = every
        self.marks: list[tuple[int, Moment]] = []

    def read(self, events: int) -> None:
        """So many were read up to now."""
        if events >= self._next:
            self._next += self._every
            self.marks.append((events, moment()))

    def stretches(self) -> list[Stretch]:
        """From mark to mark."""
        return [
            Stretch(read - before, ended.wall_s - begun.wall_s, ended.cpu_s - begun.cpu_s)
            for (before, begun), (read, ended) in pairwise(self.marks)
        ]


def settings() -> Settings:
    """The four detectors; no order is late, however long it stays open."""
    overrides = msgspec.to_builtins(FOUR_DETECTORS)
    overrides["detectors"]["stage_timeout"] = {"factor": _NOBODY_IS_LATE}
    return load_settings(overrides=overrides)


def flow(events: Path, output: Path, clock: Clock) -> int:
    """The flow in one process."""
    plan = RunPlan(settings(), [events], output, serve=False, overwrite=True)
    return execute(plan, wrap_reader=lambda reader: Watched(reader, clock.read)).events


def plain(events: Path, output: Path, clock: Clock) -> int:
    """The plain loop. It makes no cycles, and a collector would walk all of its orders again and again."""
    gc.disable()

    def told(given: Iterator[Event]) -> Iterator[Event]:
        for number, event in enumerate(given):
            clock.read(number)
            yield event

    with (output / ALERTS).open("wb") as out:
        return PlainLoop(settings(), out).run(told(read_in_order(events)))


Runner = Literal["flow", "plain"]
_RUNNERS: Final[dict[str, Callable[[Path, Path, Clock], int]]] = {"flow": flow, "plain": plain}


def main(arguments: list[str]) -> int:
    """Run once and print what it took."""
    runner, given, rounds, output = arguments
    plan = msgspec.json.decode(given, type=OpenOrders)
    every = plan.touches // (int(rounds) + UNTIMED)
    clock = Clock(plan.orders + 2 * every, every)
    count = _RUNNERS[runner](cached(plan), Path(output), clock)
    stretches = clock.stretches()[: int(rounds)]
    if count != plan.orders + plan.touches or len(stretches) < int(rounds):
        raise RuntimeError(f"{count} of {plan.orders + plan.touches} events were read, in {len(stretches)} stretches")
    print(msgspec.json.encode(Steady(stretches, moment().peak_rss_mb)).decode())
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
