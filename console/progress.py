"""Progress bars of bounded work, on stderr and on a terminal only."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from time import monotonic
from types import TracebackType
from typing import TYPE_CHECKING, Self

from rich.progress import (
    BarColumn,
    DownloadColumn,
    Progress,
    SpinnerColumn,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)

from console.output import local_time, to_stderr
from console.readers import WatchedReader
from operators.heart.lateness import BEFORE_TIME
from sources.files import named_files
from sources.reader import Reader

if TYPE_CHECKING:
    from dataflows.history import HistoryPosition

_PLAIN = (".ndjson", ".jsonl")


class FileProgress:
    """How far files are read: in bytes where all are plain; a file that is packed does not tell how much is in it."""

    def __init__(self, inputs: Sequence[Path]) -> None:
        files = [path for _, path in named_files(inputs)]
        plain = all(path.suffix in _PLAIN for path in files)
        self._total = sum(path.stat().st_size for path in files) if plain else None
        columns = (BarColumn(), DownloadColumn(), TimeRemainingColumn()) if plain else (TimeElapsedColumn(),)
        self._progress = Progress(
            SpinnerColumn(),
            TextColumn("{task.description}"),
            *columns,
            TextColumn("{task.fields[records]:,} events"),
            console=to_stderr(),
            transient=True,
        )
        self._task = self._progress.add_task("reading", total=self._total, records=0)

    def __enter__(self) -> Self:
        self._progress.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._progress.stop()

    def watch(self, reader: Reader) -> Reader:
        """The reader, watched."""
        return WatchedReader(reader, self._seen)

    def _seen(self, position: int, records: int) -> None:
        self._progress.update(self._task, completed=position if self._total is not None else records, records=records)


class HistoryProgress:
    """How far a pass over history is: its event time, its rate, and its share of what there is to read."""

    def __init__(self, zone: str) -> None:
        self._zone = zone
        self._console = to_stderr()
        self._progress = Progress(
            SpinnerColumn(),
            BarColumn(),
            TextColumn("{task.fields[time]}"),
            TextColumn("{task.fields[events]:,} events, {task.fields[rate]:,.0f} a second"),
            TimeRemainingColumn(),
            console=self._console,
            transient=True,
            disable=not self._console.is_terminal,
        )
        self._task = self._progress.add_task("", total=None, time="", events=0, rate=0.0)
        self._began = monotonic()

    def __enter__(self) -> Self:
        self._progress.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._progress.stop()

    def show(self, now: "HistoryPosition") -> None:
        """Take over where the pass is."""
        self._progress.update(
            self._task,
            total=None if now.share is None else 1.0,
            completed=now.share or 0.0,
            time=local_time(now.watermark // 1000 * 1000, self._zone) if now.watermark > BEFORE_TIME else "",
            events=now.events,
            rate=now.events / max(monotonic() - self._began, 1e-9),
        )


@contextmanager
def counted(description: str, unit: str, total: int | None = None) -> Iterator[Callable[[int], None]]:
    """A bar that is told how many more are done; without a total it only counts. Nothing where no terminal is."""
    console = to_stderr()
    if not console.is_terminal:
        yield lambda _: None
        return
    bar = (BarColumn(), TimeRemainingColumn()) if total is not None else (TimeElapsedColumn(),)
    columns = (SpinnerColumn(), TextColumn("{task.description}"), *bar, TextColumn("{task.completed:,} " + unit))
    with Progress(*columns, console=console, transient=True) as progress:
        task = progress.add_task(description, total=total)
        yield lambda more: progress.advance(task, more)
