"""Bounded input from files: JSON lines, plain or compressed, and Parquet. Each file is one partition."""

import os
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final, Protocol

from events.batch import RawBatch
from sources.lines import LineLog
from sources.reader import SourceError, Unreachable, chosen

LINE_SUFFIXES = (".ndjson", ".jsonl")
SUFFIXES = (
    *(f"{suffix}{packing}" for suffix in LINE_SUFFIXES for packing in ("", ".gz", ".zst")),
    ".parquet",
)
SIMULATED = "events"


class Log(Protocol):
    """One file, read from its start position to its end."""

    position: int
    finished: bool

    def read(self, limit: int) -> tuple[list[bytes], Sequence[int], Sequence[int] | None]:
        """At most ``limit`` records with their positions and, where the file keeps them, arrivals."""
        ...

    def close(self) -> None:
        """Closes the file."""
        ...


class FileInput:
    """Files and directories of event files; each file is one partition, called after its path.

    In a directory, at any depth, every ``*.ndjson``, ``*.jsonl``, ``.gz`` and ``.zst`` of these, and ``*.parquet``
    is read; a file named itself is read as JSON lines unless it ends in ``.parquet``. A directory with event files in
    a folder ``events/`` of its own is one that was simulated: only that folder is read. ``topic``: the kind of input
    that the records count as; their dead letters are called after it. ``batch``: records per read. Raises SourceError
    for a path that does not exist and for a directory without event files.
    """

    def __init__(self, paths: Sequence[Path], *, topic: str = "files", batch: int = 20_000) -> None:
        self._files = dict(named_files(paths))
        self._topic = topic
        self._batch = batch
        self.partitions: Sequence[str] = tuple(self._files)

    def open(self, positions: Mapping[str, int | None] | None = None) -> "FileReader":
        """A reader of these files; a position is a byte offset in the unpacked content, in Parquet a row number.

        None: from the beginning. Whether a file still fits its position is seen with the first read of it.
        """
        logs = {
            name: _open_log(self._files[name], position or 0)
            for name, position in chosen(self.partitions, positions).items()
        }
        return FileReader(logs, self._topic, self._batch)

    def close(self) -> None:
        """Nothing: only readers hold files open."""


class FileReader:
    """Reads files to their ends; made by ``FileInput.open``."""

    waiting: Final = None  # a file that cannot be read is an error, not a reason to wait

    def __init__(self, logs: Mapping[str, Log], topic: str, batch: int) -> None:
        self._topic = topic
        self._batch = batch
        self._logs = logs
        self._unfinished = list(logs)
        self.partitions: Sequence[str] = tuple(logs)

    @property
    def finished(self) -> bool:
        """Whether every file is wholly delivered."""
        return not self._unfinished

    def read(self, prefer: str | None) -> list[RawBatch]:
        """The next records of the preferred file; without one, or when that is finished, the files take turns.

        Raises SourceError when a file is missing or damaged, once everything before the damage was delivered.
        """
        if not self._unfinished:
            return []
        name = prefer if prefer in self._unfinished else self._unfinished[0]
        batch = self._read_log(name, self._logs[name])
        self._unfinished.remove(name)
        if not batch.finished:
            self._unfinished.append(name)
        return [batch] if batch.lines or batch.finished else []

    def positions(self) -> dict[str, int]:
        """The next position in each file."""
        return {name: log.position for name, log in self._logs.items()}

    def lag(self) -> dict[str, int]:
        """Nothing: files do not grow, so none can be fallen behind."""
        return {}

    def unreachable(self) -> Mapping[str, Unreachable]:
        """None of them ever is."""
        return {}

    def close(self) -> None:
        """Closes the files."""
        for log in self._logs.values():
            log.close()

    def _read_log(self, name: str, log: Log) -> RawBatch:
        lines, positions, arrivals = log.read(self._batch)
        return RawBatch(name, self._topic, lines, positions, arrivals, finished=log.finished)


def named_files(paths: Sequence[Path]) -> list[tuple[str, Path]]:
    """The files with their partitions' names, sorted by name: the path within the directory given, or the file's name.

    Where two would have the same name, both are called by their whole path. Raises SourceError for a path that does
    not exist and for a directory without event files.
    """
    found: dict[Path, str] = {}
    for given in paths:
        for path in _files_at(given):
            found.setdefault(path, str(path.relative_to(given)) if path != given else path.name)
    uses = Counter(found.values())
    return sorted((name if uses[name] == 1 else str(path), path) for path, name in found.items())


def _files_at(path: Path) -> list[Path]:
    if path.is_dir():
        # What was simulated has the truth beside its events, and that is no input.
        files = _event_files(path / SIMULATED) or _event_files(path)
        if not files:
            raise SourceError("no event files in this directory", str(path), f"expected are files named {_patterns()}")
        return files
    if not path.exists():
        raise SourceError("does not exist", str(path), "check the path")
    if not os.access(path, os.R_OK):
        raise SourceError("may not be read", str(path), "give this user the right to read it")
    return [path]


def _event_files(directory: Path) -> list[Path]:
    return [file for file in directory.rglob("*") if file.name.endswith(SUFFIXES) and file.is_file()]


def _patterns() -> str:
    return ", ".join(f"*{suffix}" for suffix in SUFFIXES)


def _open_log(path: Path, start: int) -> Log:
    if path.suffix != ".parquet":
        return LineLog(path, start)
    # The library behind it takes as long to load as all else of a start.
    from sources.tables import TableLog  # noqa: PLC0415

    return TableLog(path, start)
