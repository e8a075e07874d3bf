"""Byte streams of plain, gzip and Zstandard files, which deliver all that stands before any damage."""

import io
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import BinaryIO, Protocol

import zstandard

from sources.reader import SourceError

# Small, because what is unpacked in the same step as the damage is lost with it.
PACKED_STEP = 4096
SKIP_STEP = 1 << 20


class ByteStream(Protocol):
    """Bytes in order; ``read`` gives b"" at the end only."""

    def read(self, size: int, /) -> bytes:
        """At most about ``size`` bytes."""
        ...

    def close(self) -> None:
        """Closes the file."""
        ...


class Decoder(Protocol):
    """What the decompression libraries agree on: one object per packed frame."""

    @property
    def eof(self) -> bool:
        """Whether the frame is whole."""
        ...

    @property
    def unused_data(self) -> bytes:
        """What stands behind the frame."""
        ...

    def decompress(self, data: bytes, /) -> bytes:
        """Unpacks the next bytes of the frame."""
        ...


def open_bytes(path: Path, start: int = 0, *, look_back: int = 0) -> ByteStream:
    """The file's bytes, unpacked, from ``look_back`` bytes before ``start`` on.

    Raises SourceError when it cannot be opened or is shorter than the first of them.
    """
    try:
        file = path.open("rb")
        if path.suffix == ".gz":
            return Unpacked(path, file, lambda: zlib.decompressobj(wbits=31), start, look_back)
        if path.suffix == ".zst":
            return Unpacked(path, file, lambda: zstandard.ZstdDecompressor().decompressobj(), start, look_back)
        if start:
            if file.seek(0, io.SEEK_END) < start:
                raise too_short(path, start)
            file.seek(start - look_back)
    except OSError as error:
        raise unreadable(path, error) from error
    return file


def unreadable(path: Path, error: OSError) -> SourceError:
    """The error for a file that the system does not let us read."""
    return SourceError(
        f"cannot be read: {error.strerror or error}", str(path), "check that it exists and that you may read it"
    )


def too_short(path: Path, start: int) -> SourceError:
    """The error for a file that ends before the position at which reading was to go on."""
    return SourceError(
        f"ends before position {start}, where reading was to go on",
        str(path),
        "it was cut or replaced: restore it, or start anew from its beginning",
    )


def changed(path: Path, start: int) -> SourceError:
    """The error for a file in which no line begins at the position at which reading was to go on."""
    return SourceError(
        f"no line begins at position {start}, where reading was to go on",
        str(path),
        "its content was replaced or changed: restore it, or start anew from its beginning",
    )


class Unpacked:
    """A compressed file as a stream of its content: frame after frame, as ``cat a.gz b.gz`` leaves them."""

    def __init__(
        self, path: Path, file: BinaryIO, new_decoder: Callable[[], Decoder], start: int, look_back: int
    ) -> None:
        self._path = path
        self._file = file
        self._new_decoder = new_decoder
        self._decoder = new_decoder()
        self._inside_frame = False
        self._frames = 0
        self._damage: SourceError | None = None
        self._ended = False
        self._ahead = b""
        self._skip(start, look_back)

    def read(self, size: int, /) -> bytes:
        """About ``size`` bytes while there are so many; damage is raised once all before it was given."""
        parts = [self._ahead]
        length = len(self._ahead)
        self._ahead = b""
        while length < size and not self._ended and self._damage is None:
            part = self._step()
            parts.append(part)
            length += len(part)
        if not length and self._damage is not None:
            raise self._damage
        return b"".join(parts)

    def _skip(self, start: int, look_back: int) -> None:
        left = start - look_back
        while left:
            part = self.read(SKIP_STEP)
            if not part:
                raise too_short(self._path, start)
            self._ahead = part[left:]
            left -= min(left, len(part))

    def close(self) -> None:
        """Closes the file."""
        self._file.close()

    def _step(self) -> bytes:
        packed = self._file.read(PACKED_STEP)
        if not packed:
            self._end()
            return b""
        try:
            return self._unpack(packed)
        except (zlib.error, zstandard.ZstdError) as error:
            self._damage = self._damaged(f"damaged in its compressed data ({error})")
            return b""

    def _unpack(self, packed: bytes) -> bytes:
        parts = []
        while packed:
            if not self._inside_frame and self._frames:
                packed = packed.lstrip(b"\0")  # tapes and some tools pad with zeros behind the last frame
                if not packed:
                    break
            self._inside_frame = True
            parts.append(self._decoder.decompress(packed))
            packed = b""
            if self._decoder.eof:
                packed = self._decoder.unused_data
                self._decoder = self._new_decoder()
                self._inside_frame = False
                self._frames += 1
        return b"".join(parts)

    def _end(self) -> None:
        if self._inside_frame:
            self._damage = self._damaged("cut off: the compressed data ends in the middle")
        self._ended = True

    def _damaged(self, what: str) -> SourceError:
        return SourceError(what, str(self._path), "copy or export it again; everything before the damage was delivered")
