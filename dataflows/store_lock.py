"""One run at a time on one recovery store."""

import fcntl
import os
from pathlib import Path
from typing import Final

from dataflows.store_errors import StoreError, of_system

LOCK: Final = "lock"
# A supervisor holds the lock and hands its descriptor down, so that the lock lives as long as any of its processes.
INHERITED: Final = "ORDERPULSE_STORE_LOCK"


class StoreLock:
    """Held until ``release``, or until every process that was given the descriptor has ended."""

    def __init__(self, descriptor: int) -> None:
        self.descriptor = descriptor

    def release(self) -> None:
        """Let go of it; a descriptor that was inherited stays locked by the supervisor."""
        os.close(self.descriptor)


def hold(directory: Path) -> StoreLock:
    """Take the lock of a store, making its directory; raises StoreError naming the process that has it."""
    try:
        directory.mkdir(parents=True, exist_ok=True)
        descriptor = os.open(directory / LOCK, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
    except OSError as error:
        raise of_system(error, directory) from error
    if _is_inherited(descriptor):
        return StoreLock(descriptor)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        os.ftruncate(descriptor, 0)
        os.pwrite(descriptor, f"{os.getpid()}\n".encode(), 0)
    except BlockingIOError:
        holder = _holder(descriptor)
        os.close(descriptor)
        raise StoreError(
            f"another run uses this recovery store (process {holder}, or one that it started)",
            str(directory),
            "end that run first, or give each run a directory of its own with --recovery",
        ) from None
    except OSError as error:
        os.close(descriptor)
        raise of_system(error, directory / LOCK) from error
    return StoreLock(descriptor)


def held_by(directory: Path) -> str | None:
    """The process that runs on a store, or None."""
    try:
        descriptor = os.open(directory / LOCK, os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        return None
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return _holder(descriptor)
    finally:
        os.close(descriptor)
    return None


def _is_inherited(descriptor: int) -> bool:
    """Whether the supervisor that started this process holds the lock of the same file."""
    given = os.environ.get(INHERITED, "")
    if not given.isdigit():
        return False
    try:
        return os.path.samestat(os.fstat(int(given)), os.fstat(descriptor))
    except OSError:
        return False


def _holder(descriptor: int) -> str:
    return os.pread(descriptor, 32, 0).decode(errors="replace").strip() or "unknown"
