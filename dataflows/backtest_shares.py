"""The passes of a backtest over several processes: each reads the history once, under its share of the rule sets."""

import multiprocessing
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from multiprocessing.sharedctypes import SynchronizedArray
from typing import Any, Final

import msgspec

from dataflows.backtest_walk import Walk, Walked, walk
from dataflows.history import HistoryPosition
from sources.reader import SourceError

_LOOK_EVERY_SECONDS: Final = 0.2
_ACROSS: Final = 1_000_000
# What a process tells of itself: events read, watermark, share read in millionths (negative: not known).
_FIELDS: Final = 3
_ENDED: Final = "one of its processes was ended from outside, most often for want of memory"
_FEWER: Final = "give fewer --processes, or a shorter range"
_told: "SynchronizedArray[int] | None" = None


class Shares:
    """A walk in at most ``processes`` processes; with one, in this process."""

    def __init__(self, task: Walk, processes: int) -> None:
        self._task = task
        self._parts = _parts(task, min(processes, len(task.sides)))

    def run(self, on_progress: Callable[[HistoryPosition], None] | None) -> Walked:
        """All sides in their order, and the first error that a process met."""
        if len(self._parts) == 1:
            return walk(self._task, on_progress)
        context = multiprocessing.get_context("spawn")
        told = context.Array("q", [0] * _FIELDS * len(self._parts))
        with ProcessPoolExecutor(len(self._parts), context, _remember, (told,)) as pool:
            running = [pool.submit(_walk_part, number, part) for number, part in enumerate(self._parts)]
            try:
                _await(running, told, on_progress)
                results = [future.result() for future in running]
            except BrokenProcessPool:
                raise SourceError(_ENDED, "backtest", _FEWER) from None
            except BaseException:
                # Nobody waits for what the others would find.
                for process in multiprocessing.active_children():
                    process.terminate()
                raise
        first = results[0]
        return msgspec.structs.replace(first, episodes=[side for result in results for side in result.episodes])


def _parts(task: Walk, count: int) -> list[Walk]:
    """The sides in turn, about as many in each; what counts for the first side alone goes to the first part."""
    cuts = [round(len(task.sides) * number / count) for number in range(count + 1)]
    parts = [msgspec.structs.replace(task, sides=task.sides[cuts[at] : cuts[at + 1]]) for at in range(count)]
    return [parts[0], *(msgspec.structs.replace(part, conditions=frozenset(), published=False) for part in parts[1:])]


def _remember(told: "SynchronizedArray[int]") -> None:
    global _told  # noqa: PLW0603  # what a process is given when it starts has nowhere else to stand
    _told = told


def _walk_part(number: int, task: Walk) -> Walked:
    return walk(task, lambda progress: _tell(number, progress))


def _tell(number: int, progress: HistoryPosition) -> None:
    if _told is not None:
        share = -1 if progress.share is None else round(progress.share * _ACROSS)
        _told[number * _FIELDS : (number + 1) * _FIELDS] = [progress.events, progress.watermark, share]


def _await(running: Sequence[Future[Walked]], told: Any, on_progress: Callable[[HistoryPosition], None] | None) -> None:
    """Until all have ended; raises what the first one raised that failed."""
    left = set(running)
    while left:
        done, left = wait(left, _LOOK_EVERY_SECONDS)
        for future in done:
            future.result()
        if on_progress is not None:
            rows = [told[at : at + _FIELDS] for at in range(0, len(told), _FIELDS)]
            slowest = min(rows, key=lambda row: row[0])
            on_progress(HistoryPosition(slowest[0], slowest[1], None if slowest[2] < 0 else slowest[2] / _ACROSS))
