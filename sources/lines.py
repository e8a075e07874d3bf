"""One text file of JSON lines as a log: lines in chunks, each with its byte offset."""

import operator
from collections.abc import Iterator, Sequence
from itertools import accumulate, compress
from pathlib import Path
from typing import overload

from sources.reader import SourceError
from sources.unpacking import ByteStream, changed, open_bytes, too_short, unreadable

CHUNK = 256 << 10  # split while it is still in the processor's cache
READ_AHEAD = 8 << 20  # for one read; more would take too long where the file is compressed
LONGEST_LINE = 64 << 20
SHORTEST_EVENT = 32  # type, id, source and time do not fit into less, so only lines below can be blank
LOOK = 3  # bytes at a position, to see whether a line begins there: the one before it, and perhaps a newline
BOM = b"\xef\xbb\xbf"


class LineOffsets(Sequence[int]):
    """Byte offsets of lines that follow each other. Few readers ask for them, so they are counted on demand."""

    def __init__(self, base: int, lengths: list[int]) -> None:
        self._base = base
        self._lengths = lengths
        self._offsets: list[int] | None = None

    def __len__(self) -> int:
        return len(self._lengths)

    @overload
    def __getitem__(self, index: int) -> int: ...
    @overload
    def __getitem__(self, index: slice) -> list[int]: ...
    def __getitem__(self, index: int | slice) -> int | list[int]:
        return self._all()[index]

    def __iter__(self) -> Iterator[int]:
        return iter(self._all())

    def end(self) -> int:
        """The offset behind the last line and its newline."""
        return self._base + sum(self._lengths) + len(self._lengths)

    def _all(self) -> list[int]:
        if self._offsets is None:
            starts = accumulate(self._lengths[:-1], initial=self._base)
            self._offsets = list(map(operator.add, starts, range(len(self._lengths))))
        return self._offsets


class LineLog:
    """Reads the lines of one file. Positions are byte offsets in the (unpacked) content."""

    def __init__(self, path: Path, start: int = 0) -> None:
        self._path = path
        self._stream: ByteStream | None = None
        self._stream_ended = False
        self._unterminated = False  # the file's last line has no newline
        self._rest = bytearray()  # the beginning of a line whose end has not been read yet
        self._lines: list[bytes] = []  # read ahead, not yet delivered, blank ones too
        self.position = start
        self.finished = False

    def read(self, limit: int) -> tuple[list[bytes], Sequence[int], None]:
        """At most ``limit`` lines with their positions; no more than READ_AHEAD of the file is read for them.

        Blank lines are left out, and so is a byte-order mark at the beginning of the file.
        """
        self._read_ahead(limit)
        lines = self._lines[:limit]
        del self._lines[:limit]
        lengths = list(map(len, lines))
        offsets = LineOffsets(self.position, lengths)
        if self.position == 0 and lines:
            lines[0] = lines[0].removeprefix(BOM)
        self.finished = self._stream_ended and not self._lines
        self.position = offsets.end()
        if self.finished and self._unterminated:
            self.position -= 1
        if lines and lines[-1].endswith(b"\r"):
            lines = [line.removesuffix(b"\r") for line in lines]
        if lines and min(lengths) < SHORTEST_EVENT:
            filled = list(map(bytes.strip, lines))
            return list(compress(lines, filled)), list(compress(offsets, filled)), None
        return lines, offsets, None

    def close(self) -> None:
        """Closes the file; what was read of it stays delivered."""
        if self._stream is not None:
            self._stream.close()

    def _read_ahead(self, limit: int) -> None:
        for _ in range(READ_AHEAD // CHUNK):
            if self._stream_ended or len(self._lines) >= limit:
                return
            try:
                self._add(self._read_chunk())
            except SourceError:
                if self._lines:  # they come first; the next read meets the damage again
                    return
                raise

    def _read_chunk(self) -> bytes:
        try:
            if self._stream is None:
                return self._first_chunk()
            return self._stream.read(CHUNK)
        except OSError as error:
            raise unreadable(self._path, error) from error

    def _first_chunk(self) -> bytes:
        """From the position on; where that is not the beginning, the content is looked at from a byte before it.

        A position stands behind a newline, or at the end of a last line that had none. Anything else there means that
        the content is not the one that was read. Only these bytes are compared: more would mean to read it all again.
        """
        start = self.position
        if not start:
            self._stream = open_bytes(self._path)
            return self._stream.read(CHUNK)
        stream = open_bytes(self._path, start, look_back=1)
        seen = b""
        while len(seen) < LOOK and (more := stream.read(CHUNK)):
            seen += more
        before, first = seen[:1], seen[1:]
        if before and (before == b"\n" or not first or first.startswith((b"\n", b"\r\n"))):
            self._stream = stream
            return first
        stream.close()
        raise changed(self._path, start) if before else too_short(self._path, start)

    def _add(self, chunk: bytes) -> None:
        if not chunk:
            self._end()
            return
        lines = chunk.split(b"\n")
        rest = lines.pop()
        if lines:
            lines[0] = bytes(self._rest) + lines[0]
            self._lines += lines
            self._rest.clear()
        self._rest += rest
        if len(self._rest) > LONGEST_LINE:
            begin = LineOffsets(self.position, list(map(len, self._lines))).end()
            raise SourceError(
                f"the line at byte {begin} is longer than {LONGEST_LINE >> 20} MiB",
                str(self._path),
                "write one JSON object per line; is this a JSON array or a binary file?",
            )

    def _end(self) -> None:
        self._stream_ended = True
        self.close()
        if self._rest:
            self._lines.append(bytes(self._rest))
            self._unterminated = True
