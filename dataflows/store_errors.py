"""How the recovery store says that it cannot be used, also in place of the engine, which says it with a panic."""

import errno
import os
import tempfile
from pathlib import Path
from typing import Final

ANEW: Final = "move the directory away and start anew: the run then reads its input from kafka.start on"
RESTORE: Final = f"put back a copy of the whole directory that was made while no run used it, or {ANEW}"
_FULL: Final = "free space there; the run goes on from the last snapshot"

# What SQLite's codes, in the words of the engine, mean for whoever runs the flow.
_ENGINE_CODES: Final = {
    "DiskFull": ("no space is left for snapshots", _FULL, False),
    "DatabaseCorrupt": ("a file of the store is damaged", RESTORE, True),
    "NotADatabase": ("a file of the store is damaged", RESTORE, True),
    "ReadOnly": ("the store cannot be written", "give this user the right to write there", True),
    "PermissionDenied": ("the store cannot be written", "give this user the right to write there", True),
    "CannotOpen": ("a file of the store cannot be opened", "check the directory's owner and rights", True),
    "DatabaseBusy": ("another program holds a file of the store", "end it; nothing else may open these files", False),
    "SystemIoFailure": ("the disk failed to read or write", "check the disk and its file system", False),
}
_ENGINE_ERRORS: Final = {
    "MissingPartitionsError": ("files of the store are missing", RESTORE),
    "InconsistentPartitionsError": ("the files of the store are from different times", RESTORE),
}
_NO_SPACE: Final = (errno.ENOSPC, errno.EDQUOT)
_ROOM: Final = 1 << 20
_SCARCE: Final = 64 << 20


class StoreError(Exception):
    """The recovery store cannot be used: what, where, and what to do. ``lasting``: no restart mends it by itself."""

    def __init__(self, what: str, where: str, remedy: str, *, lasting: bool = True) -> None:
        super().__init__(what, where, remedy)
        self.what = what
        self.where = where
        self.remedy = remedy
        self.lasting = lasting

    def __str__(self) -> str:
        return f"{self.where}: {self.what}; {self.remedy}"


def of_system(error: OSError, where: Path) -> StoreError:
    """What a failed call of the operating system means for the store."""
    if error.errno in _NO_SPACE:
        return StoreError("no space is left for snapshots", str(where), _FULL, lasting=False)
    what = f"cannot be used: {error.strerror or error}"
    lasting = error.errno != errno.EIO
    return StoreError(what, str(where), "check the directory's owner, rights and file system", lasting=lasting)


def of_engine(error: BaseException, directory: Path) -> StoreError | None:
    """The StoreError behind an engine's failure; None when it has another cause.

    With one process the engine hands on what SQLite said. With several it says only that a thread of it panicked; then
    the disk itself is asked.
    """
    kind = type(error).__name__
    if kind in _ENGINE_ERRORS:
        what, remedy = _ENGINE_ERRORS[kind]
        return StoreError(f"{what} ({error})", str(directory), remedy)
    _, found, rest = str(error).partition("SqliteFailure(Error { code: ")
    if found and isinstance(error, RuntimeError):
        code = rest.partition(",")[0]
        what, remedy, lasting = _ENGINE_CODES.get(code, (f"SQLite says {code}", RESTORE, False))
        return StoreError(what, str(directory), remedy, lasting=lasting)
    return _of_disk(directory) if kind == "PanicException" else None


def require_room(directory: Path) -> None:
    """Refuse a full or read-only disk now: the engine would meet it in the middle of a snapshot. Raises StoreError."""
    try:
        with tempfile.TemporaryFile(dir=directory) as probe:
            probe.write(bytes(_ROOM))
            probe.flush()
            os.fsync(probe.fileno())
    except OSError as error:
        raise of_system(error, directory) from error


def _of_disk(directory: Path) -> StoreError | None:
    try:
        require_room(directory)
        disk = os.statvfs(directory)
    except StoreError as error:
        return error
    except OSError as error:
        return of_system(error, directory)
    free = disk.f_bavail * disk.f_frsize
    if free < _SCARCE:
        return StoreError(
            f"only {free >> 20} MiB are left for snapshots, and the engine failed", str(directory), _FULL, lasting=False
        )
    return None
