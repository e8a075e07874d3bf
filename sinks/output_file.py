"""One file that only grows, line by line, whatever becomes of the disk."""

import errno
import os
from pathlib import Path

from sinks.patience import Patience

_BUFFER_BYTES = 1 << 20
_FULL = frozenset({errno.ENOSPC, errno.EDQUOT})


class OutputFile:
    """Appends to a file through a buffer of its own, which knows what is left when the disk is full in mid-line.

    Every method may raise OSError; a full disk is waited for instead.
    """

    def __init__(self, path: Path, patience: Patience) -> None:
        self._path = path
        self._patience = patience
        self._descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o666)
        self._rest = bytearray()
        self._synced = True

    def write(self, lines: bytes) -> None:
        """Append whole lines."""
        self._rest += lines
        if len(self._rest) >= _BUFFER_BYTES:
            self.flush()

    def flush(self) -> None:
        """Hand everything over to the operating system; wait while the disk is full."""
        while self._rest:
            try:
                written = os.write(self._descriptor, self._rest)
            except OSError as error:
                if error.errno not in _FULL:
                    raise
                self._patience.pause(f"{self._path}: {error.strerror}; free some space")
            else:
                del self._rest[:written]
                self._synced = False
                self._patience.over()

    def sync(self) -> int:
        """Bring what was flushed onto the disk, and tell the length of the file in bytes."""
        if not self._synced:
            # Not tried again: after a failure the system may have dropped what it held. A restart writes it again.
            os.fdatasync(self._descriptor)
            self._synced = True
        return os.fstat(self._descriptor).st_size

    def close(self) -> None:
        """Flush, and close in any case."""
        try:
            self.flush()
        finally:
            os.close(self._descriptor)
