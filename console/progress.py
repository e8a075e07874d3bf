"""Progress bars of bounded work, on stderr and on a terminal only."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import Self

from rich.progress import (
    BarColumn,
    DownloadColumn,
    Progress,
    SpinnerColumn,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)

from console.output import to_stderr
from console.readers import WatchedReader
from sources.files import named_files
from sources.reader import Reader

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
