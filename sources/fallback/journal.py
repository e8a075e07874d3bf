"""The journal: an order stands on this machine's disk before its number is given, and goes to the broker from there.

A directory with segments (``00000001.journal``), one line per batch of orders: a checksum and JSON. A line is there
whole or not at all. ``delivered`` says up to where the broker has everything; after a crash a little is delivered
twice, with the same ids.
"""

import fcntl
import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Final
from zlib import crc32

import msgspec
from msgspec import Struct

from sources.fallback.taking import Taken
from sources.reader import SourceError

_SEGMENT: Final = "{:08d}.journal"
_DELIVERED: Final = "delivered"
_LOCK: Final = "lock"
_SUM_BYTES: Final = 9  # eight hex digits and a space
_SEGMENT_BYTES: Final = 16 << 20
_BATCH: Final = msgspec.json.Decoder(tuple[Taken, ...])


class Place(Struct, frozen=True, order=True):
    """A position in the journal."""

    segment: int
    offset: int


class Entry(Struct, frozen=True):
    """A batch of orders, and the place behind it."""

    orders: tuple[Taken, ...]
    end: Place


class Journal:
    """One process's journal; another process on the same directory is refused.

    Not safe for several threads at once, except that ``delivered`` may be called beside ``append``.
    """

    def __init__(self, directory: Path, segment_bytes: int = _SEGMENT_BYTES) -> None:
        """Open it, or make it. Raises SourceError for one that is in use or damaged."""
        self.directory = directory
        self._segment_bytes = segment_bytes
        self._broken = False
        try:
            directory.mkdir(parents=True, exist_ok=True, mode=0o700)
            self._lock = os.open(directory / _LOCK, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        except OSError as error:
            raise self._error(f"the journal cannot be opened: {error.strerror}", "check the directory") from error
        try:
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            os.close(self._lock)
            raise self._error("another process has this journal", "give each process a --journal of its own") from None
        self.waiting = list(self._read())
        self._segment = self._segments()[-1] if self._segments() else 1
        self._file = self._open_segment(self._segment)
        self._size = os.fstat(self._file).st_size

    def append(self, batches: Sequence[tuple[Taken, ...]]) -> list[Entry]:
        """Write batches, and return when all of them are on the disk. Raises OSError; then none of them is there."""
        if self._broken:
            raise OSError("the journal could not be mended after a failed write: restart the service")
        if self._size >= self._segment_bytes:
            self._next_segment()
        entries, lines, end = [], [], self._size
        for batch in batches:
            line = _line(batch)
            end += len(line)
            lines.append(line)
            entries.append(Entry(batch, Place(self._segment, end)))
        try:
            _write(self._file, b"".join(lines))
            os.fdatasync(self._file)
        except OSError:
            self._cut()
            raise
        self._size = end
        return entries

    def delivered(self, end: Place) -> None:
        """The broker has everything before ``end``: segments that lie before it are gone."""
        temporary = self.directory / f"{_DELIVERED}.new"
        temporary.write_bytes(msgspec.json.encode(end))
        temporary.replace(self.directory / _DELIVERED)
        for number in self._segments():
            if number < end.segment:
                (self.directory / _SEGMENT.format(number)).unlink(missing_ok=True)

    def close(self) -> None:
        """Let go of files and lock."""
        os.close(self._file)
        os.close(self._lock)

    def _cut(self) -> None:
        """Take back what a failed write left."""
        try:
            os.ftruncate(self._file, self._size)
            os.lseek(self._file, self._size, os.SEEK_SET)
        except OSError:
            self._broken = True

    def _next_segment(self) -> None:
        file = self._open_segment(self._segment + 1)
        os.close(self._file)
        self._file, self._segment, self._size = file, self._segment + 1, 0

    def _open_segment(self, number: int) -> int:
        path = self.directory / _SEGMENT.format(number)
        try:
            file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)
            _sync_directory(self.directory)
        except OSError as error:
            raise self._error(f"{path.name} cannot be written: {error.strerror}", "check rights and space") from error
        return file

    def _segments(self) -> list[int]:
        return sorted(int(path.stem) for path in self.directory.glob("*.journal") if path.stem.isdigit())

    def _read(self) -> Iterator[Entry]:
        """What the broker may not have yet. What a crash left half written at the very end was never answered."""
        start = self._start()
        segments = [number for number in self._segments() if number >= start.segment]
        for number in segments:
            path = self.directory / _SEGMENT.format(number)
            data = path.read_bytes()
            offset = min(start.offset, len(data)) if number == start.segment else 0
            while offset < len(data):
                end = data.find(b"\n", offset) + 1
                orders = _orders(data[offset:end]) if end else None
                if orders is None:
                    if number != segments[-1] or any(_orders(line + b"\n") for line in data[offset:].split(b"\n")[1:]):
                        what = f"{path.name} is damaged at byte {offset}"
                        raise self._error(
                            what, "restore it, or move the directory away and enter what is missing again"
                        )
                    os.truncate(path, offset)
                    break
                yield Entry(orders, Place(number, end))
                offset = end

    def _start(self) -> Place:
        try:
            return msgspec.json.decode((self.directory / _DELIVERED).read_bytes(), type=Place)
        except (FileNotFoundError, msgspec.DecodeError):  # then it is delivered again, with the same ids
            return Place(0, 0)

    def _error(self, what: str, remedy: str) -> SourceError:
        return SourceError(what, str(self.directory), remedy)


def read_journal(directory: Path) -> list[Taken]:
    """All orders that stand in a journal, also one that another process writes. Raises SourceError."""
    if not directory.is_dir():
        raise SourceError("there is no journal", str(directory), "name the directory that --journal named")
    found: list[Taken] = []
    for path in sorted(directory.glob("*.journal")):
        for line in path.read_bytes().splitlines(keepends=True):
            found += _orders(line) or ()
    return found


def _line(batch: tuple[Taken, ...]) -> bytes:
    body = msgspec.json.encode(batch)
    return b"%08x %s\n" % (crc32(body), body)


def _orders(line: bytes) -> tuple[Taken, ...] | None:
    """The orders of a line; None when it is not whole."""
    body = line[_SUM_BYTES:-1]
    if not line.endswith(b"\n") or line[:_SUM_BYTES] != b"%08x " % crc32(body):
        return None
    return _BATCH.decode(body)


def _write(file: int, data: bytes) -> None:
    view = memoryview(data)
    while view:
        view = view[os.write(file, view) :]


def _sync_directory(directory: Path) -> None:
    handle = os.open(directory, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
