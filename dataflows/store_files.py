"""The SQLite files of a recovery store, which Bytewax writes: whether they are whole, and how far they reach."""

import re
import sqlite3
from collections.abc import Iterable, Iterator, Sequence
from contextlib import closing, contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

from msgspec import Struct

from dataflows.store_errors import RESTORE, StoreError

_NAME: Final = re.compile(r"part-(\d+)\.sqlite3")
_HEADER: Final = b"SQLite format 3\x00"
_BUSY_SECONDS: Final = 10.0
_PLACES: Final = "SELECT DISTINCT state_key FROM snaps WHERE step_id = 'orderpulse.source'"


class Progress(Struct, frozen=True):
    """How far a store reaches. ``epoch``: the last committed one; ``written_at``: of the newest snapshot, epoch ms.

    ``committed``: the last run that committed an epoch, -1 for none; ``places``: the partitions whose place it knows.
    """

    epoch: int | None
    written_at: int | None
    runs: int
    workers: int | None
    committed: int = -1
    places: frozenset[str] = frozenset()


def file_name(number: int) -> str:
    """As Bytewax names the files."""
    return f"part-{number}.sqlite3"


def files_in(directory: Path) -> list[Path]:
    """Every file that Bytewax would take for one of the store's."""
    return sorted(directory.glob("*.sqlite3"))


def check_names(directory: Path, count: int) -> None:
    """Exactly the ``count`` files of a store stand there; raises StoreError.

    Bytewax reads each ``*.sqlite3``, and of two copies of a file one at random.
    """
    found = {path.name for path in files_in(directory)}
    wanted = {file_name(number) for number in range(count)}
    if missing := sorted(wanted - found):
        raise StoreError(f"{', '.join(missing)} of the store's {count} files missing", str(directory), RESTORE)
    if extra := sorted(found - wanted):
        raise StoreError(
            f"{', '.join(extra)}: not one of the store's {count} files",
            str(directory),
            "move what does not belong to the store out of its directory",
        )


def check_files(paths: Sequence[Path], generation: int) -> None:
    """Each file is whole, stands under its own name, and was last opened by the same run; raises StoreError."""
    for path in paths:
        _check_header(path)
        with _opened(path, "rw") as store:
            _check_content(path, store)
            _check_place(path, store, len(paths))
            (marked,) = store.execute("PRAGMA application_id").fetchone()
            if marked not in (generation, generation + 1):  # one ahead: a run was killed while it marked them
                raise StoreError(
                    f"is from another time than the rest of the store (opened {marked} times, the store {generation})",
                    str(path),
                    RESTORE,
                )


def mark(paths: Iterable[Path], generation: int) -> None:
    """Write into each file how often the store was opened; raises StoreError.

    SQLite leaves the field to applications, and Bytewax does not use it. A file that was put back from an older copy
    of the store is known by it: its state would be older than that of the others, and nothing else would tell.
    """
    for path in paths:
        with _opened(path, "rw") as store:
            store.execute(f"PRAGMA application_id = {int(generation)}")


def progress(paths: Sequence[Path]) -> Progress:
    """How far the files reach together; raises StoreError."""
    executions: dict[int, tuple[int, int]] = {}
    frontiers: dict[tuple[int, int], int] = {}
    newest: list[str] = []
    places: set[str] = set()
    for path in paths:
        with _opened(path, "ro") as store:
            for number, workers, resume in store.execute("SELECT ex_num, worker_count, resume_epoch FROM exs"):
                executions[number] = workers, resume
            for number, worker, frontier in store.execute("SELECT ex_num, worker_index, worker_frontier FROM fronts"):
                frontiers[number, worker] = frontier
            places.update(name for (name,) in store.execute(_PLACES))
            # Rows are appended, so the last one is the newest; anything else would walk the whole table.
            newest += [at for (at,) in store.execute("SELECT created_at FROM snaps ORDER BY rowid DESC LIMIT 1")]
    if not executions:
        return Progress(None, None, 0, None)
    last = max(executions)
    workers, resume = executions[last]
    reached = min(frontiers.get((last, worker), resume) for worker in range(workers))
    committed = [
        run
        for run, (count, first) in executions.items()
        if min(frontiers.get((run, worker), first) for worker in range(count)) > first
    ]
    written_at = max(map(_epoch_ms, newest)) if newest else None
    # Before the first commit the frontier is epoch 1: nothing but the beginning of the input.
    epoch = reached - 1 if reached > 1 else None
    return Progress(epoch, written_at, last + 1, workers, max(committed, default=-1), frozenset(places))


def _check_header(path: Path) -> None:
    with path.open("rb") as file:
        head = file.read(len(_HEADER))
    if head != _HEADER:
        what = "is empty" if not head else "is cut off or overwritten: it does not begin as a file of SQLite does"
        raise StoreError(what, str(path), RESTORE)


def _check_content(path: Path, store: sqlite3.Connection) -> None:
    (verdict,) = store.execute("PRAGMA quick_check(1)").fetchone()
    if verdict != "ok":
        raise StoreError(f"is damaged ({' '.join(verdict.split())})", str(path), RESTORE)


def _check_place(path: Path, store: sqlite3.Connection, count: int) -> None:
    row = store.execute("SELECT part_index, part_count FROM parts").fetchone()
    named = _NAME.fullmatch(path.name)
    if row is None or named is None or row != (int(named[1]), count):
        is_file = "holds nothing" if row is None else f"is file {row[0]} of a store of {row[1]} files"
        raise StoreError(f"{is_file}, not the one that its name says of {count}", str(path), RESTORE)


@contextmanager
def _opened(path: Path, mode: str) -> Iterator[sqlite3.Connection]:
    try:
        uri = f"{path.resolve().as_uri()}?mode={mode}"
        with closing(sqlite3.connect(uri, uri=True, timeout=_BUSY_SECONDS, isolation_level=None)) as store:
            yield store
    except sqlite3.DatabaseError as error:
        raise _explained(error, path) from error


def _explained(error: sqlite3.DatabaseError, path: Path) -> StoreError:
    if isinstance(error, sqlite3.OperationalError):
        full = getattr(error, "sqlite_errorname", "") == "SQLITE_FULL"
        remedy = "free space there" if full else "check the file's owner and rights, and that no other program holds it"
        return StoreError(f"cannot be opened ({error})", str(path), remedy, lasting=False)
    return StoreError(f"is damaged ({error})", str(path), RESTORE)


def _epoch_ms(text: str) -> int:
    """SQLite's CURRENT_TIMESTAMP: UTC, to the second."""
    return int(datetime.fromisoformat(text).replace(tzinfo=UTC).timestamp() * 1000)
