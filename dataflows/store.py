"""The recovery store: made, checked before each run, and described; see ``docs/operations.md``.

Bytewax keeps the state in SQLite files and trusts what it finds. Beside them stands a manifest of our own that says
what the state belongs to, so that a run which does not fit is refused with a reason instead of going wrong.
"""

import fcntl
import os
import shutil
import tempfile
import uuid
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from importlib.metadata import version
from pathlib import Path
from typing import Any, Final, Literal, Self

import msgspec
from bytewax.recovery import init_db_dir
from msgspec import Struct

from dataflows.child import supervisor
from dataflows.store_errors import ANEW, RESTORE, StoreError, of_system, require_room
from dataflows.store_files import Progress, check_files, check_names, file_name, files_in, mark, progress
from dataflows.store_lock import StoreLock, held_by, hold

MANIFEST: Final = "store.json"
IDENTITY: Final = "id"
OWNER: Final = ".recovery-store"  # in an output directory: the identity of the store whose run writes there
# 2: a base may stand in several portions, one behind the other. 3: the steps of the stages hold no mark of each group.
FORMAT: Final = 4
# Format of an older manifest -> what makes its values those of the next format.
Step = Callable[[dict[str, Any]], dict[str, Any]]
MIGRATIONS: Final[Mapping[int, Step]] = {1: dict, 2: dict, 3: dict}  # they hold what may be there
# Given by a supervisor to all its processes: the first one checks and marks the files, the others need not again.
RUN: Final = "ORDERPULSE_RUN"
_UNFINISHED: Final = "unfinished"


class Manifest(Struct, frozen=True):
    """What the state in a store belongs to. ``stages``: the components of each, in their order."""

    key_groups: int
    stages: dict[str, tuple[str, ...]]
    input: Literal["kafka", "files"]
    partitions: tuple[str, ...]


class Kept(Struct, frozen=True):
    """The manifest as a store keeps it. ``generation`` counts how often it was opened, ``run`` names the last one.

    ``since``: partition -> the first run that read it; none for those of a store older than this field.
    """

    format: int
    version: str
    files: int
    generation: int
    run: str
    manifest: Manifest
    since: dict[str, int] = {}


class StoreState(Struct, frozen=True):
    """A store for people and metrics. ``epoch``: the last committed; times in epoch ms; ``size`` in bytes.

    ``held_by``: the process that runs on it now.
    """

    directory: str
    format: int
    version: str
    files: int
    size: int
    epoch: int | None
    written_at: int | None
    runs: int
    workers: int | None
    held_by: str | None
    manifest: Manifest


class Store:
    """A store that this process, or the supervisor that started it, holds; ``is_new``: nothing is committed yet."""

    def __init__(self, directory: Path, lock: StoreLock, *, is_new: bool) -> None:
        self.directory = directory
        self.is_new = is_new
        self._lock: StoreLock | None = lock

    def close(self) -> None:
        """Let other runs have it."""
        if self._lock is not None:
            self._lock.release()
            self._lock = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def open_store(directory: Path, manifest: Manifest, files: int) -> Store:
    """Make the store, or check that an existing one fits this run, and hold it until ``close``.

    ``files``: of a new store; an existing one keeps its own number. Raises StoreError.
    """
    lock = hold(directory)
    try:
        with _alone(directory):
            require_room(directory)
            nothing_yet = _open(directory, manifest, files)
    except OSError as error:
        lock.release()
        raise of_system(error, directory) from error
    except BaseException:
        lock.release()
        raise
    return Store(directory, lock, is_new=nothing_yet)


def open_for(process: int | None, directory: Path, manifest: Manifest, files: int) -> Store:
    """The store as a process of a run sees it: shared on one machine, that of process 0 among several hosts."""
    if process and supervisor() is None:
        return open_without_files(directory)
    return open_store(directory, manifest, files)


def open_without_files(directory: Path) -> Store:
    """The store of a process whose state another host keeps: process 0 of several hosts holds all files.

    It is always new, for nothing is kept in it. Raises StoreError when files of a store stand there: they would be a
    second, older truth.
    """
    lock = hold(directory)
    if files := files_in(directory):
        lock.release()
        raise StoreError(
            f"{files[0].name} stands here, but the store of several hosts is that of process 0",
            str(directory),
            "move the files away, or to process 0's directory if they are the newest",
        )
    return Store(directory, lock, is_new=True)


def identity(directory: Path) -> str:
    """The store's name for life, made when there is none yet; raises StoreError.

    Of several processes that find none one makes it: the file is never replaced, as its lock is theirs together.
    """
    path = directory / IDENTITY
    try:
        directory.mkdir(parents=True, exist_ok=True)
        if not path.exists():
            with _written(path, uuid.uuid4().hex.encode()) as whole, suppress(FileExistsError):
                os.link(whole, path)
        return path.read_text(encoding="ascii").strip()
    except OSError as error:
        raise of_system(error, path) from error


def owns(directory: Path, output: Path) -> bool:
    """Whether an output directory holds what runs on this store wrote; raises StoreError."""
    try:
        return (output / OWNER).read_text(encoding="ascii").strip() == identity(directory)
    except FileNotFoundError:
        return False
    except (OSError, UnicodeDecodeError) as error:
        raise StoreError(f"cannot be read ({error})", str(output / OWNER), "check the directory's rights") from error


def claim(directory: Path, output: Path) -> None:
    """Have an output directory say which store its contents belong to; raises StoreError."""
    try:
        output.mkdir(parents=True, exist_ok=True)
        _write(output / OWNER, identity(directory).encode())
    except OSError as error:
        raise of_system(error, output) from error


def read_manifest(directory: Path) -> Kept | None:
    """What a store was made for; None when there is no store. Raises StoreError when it cannot be read."""
    path = directory / MANIFEST
    try:
        values = msgspec.json.decode(path.read_bytes())
        found = values["format"]
        if not isinstance(found, int):
            raise TypeError(f"format is {found!r}")
    except FileNotFoundError:
        return None
    except OSError as error:
        raise of_system(error, path) from error
    except (msgspec.DecodeError, KeyError, TypeError, UnicodeDecodeError) as error:
        raise StoreError(f"is damaged ({error!r})", str(path), RESTORE) from error
    if found > FORMAT:
        raise StoreError(
            f"was written by OrderPulse {values.get('version', '?')} in format {found}; this one reads up to {FORMAT}",
            str(path),
            f"run it with that version or a later one, or {ANEW}",
        )
    try:
        return msgspec.convert(_migrated(values, found, path), Kept)
    except msgspec.ValidationError as error:
        raise StoreError(f"is damaged ({error})", str(path), RESTORE) from error


def is_new(directory: Path) -> bool:
    """Whether a run would find nothing committed there; raises StoreError."""
    return read_manifest(directory) is None or progress(files_in(directory)).epoch is None


def describe(directory: Path) -> StoreState:
    """How far a store reaches and how large it is, also while a run uses it; raises StoreError."""
    kept = read_manifest(directory)
    if kept is None:
        raise StoreError(
            "holds no recovery store", str(directory), "name the directory that `orderpulse run --recovery` was given"
        )
    paths = files_in(directory)
    reached = progress(paths)
    return StoreState(
        directory=str(directory),
        format=kept.format,
        version=kept.version,
        files=kept.files,
        size=sum(map(_size, directory.iterdir())),
        epoch=reached.epoch,
        written_at=reached.written_at,
        runs=reached.runs,
        workers=reached.workers,
        held_by=held_by(directory),
        manifest=kept.manifest,
    )


def _size(path: Path) -> int:
    with suppress(FileNotFoundError):  # SQLite removes its logs when it closes a file
        return path.stat().st_size if path.is_file() else 0
    return 0


def _open(directory: Path, manifest: Manifest, files: int) -> bool:
    """Whether nothing is committed there yet."""
    kept = read_manifest(directory)
    run = os.environ.get(RUN) or uuid.uuid4().hex
    if kept is None:
        _create(directory, files)
        since = dict.fromkeys(manifest.partitions, 0)
        _keep(directory, Kept(FORMAT, version("orderpulse"), files, 1, run, manifest, since))
        return True
    paths = [directory / file_name(number) for number in range(kept.files)]
    is_first = kept.run != run  # of the processes of a supervisor
    if is_first:
        check_names(directory, kept.files)
        check_files(paths, kept.generation)
    reached = progress(paths)
    nothing_yet = reached.epoch is None
    since = dict.fromkeys(manifest.partitions, reached.runs)
    if not nothing_yet:
        _compare(directory, kept.manifest, manifest)
        since = {**dict.fromkeys(set(manifest.partitions) - set(kept.manifest.partitions), reached.runs), **kept.since}
        _require_places(directory, reached, since)
        partitions = tuple(sorted({*kept.manifest.partitions, *manifest.partitions}))
        manifest = msgspec.structs.replace(manifest, partitions=partitions)
    generation = kept.generation + is_first
    _keep(directory, Kept(FORMAT, version("orderpulse"), kept.files, generation, run, manifest, since))
    return nothing_yet


def _require_places(directory: Path, reached: Progress, since: Mapping[str, int]) -> None:
    """What an epoch was committed of must be there: a file may have lost what was written last, without a trace."""
    lost = sorted(name for name, run in since.items() if run <= reached.committed and name not in reached.places)
    if lost:
        named = lost[0] + (f" and {len(lost) - 1} more" if lost[1:] else "")
        raise StoreError(f"does not know any more where the run stood in {named}", str(directory), RESTORE)


def _create(directory: Path, files: int) -> None:
    """The manifest comes last: without it there is no store, only what a run left that was killed while making one."""
    for path in files_in(directory):
        if progress([path]).runs or progress([path]).written_at is not None:
            raise StoreError(
                f"{path.name} stands here without a manifest ({MANIFEST})",
                str(directory),
                f"put the manifest of the same store beside it, or {ANEW}",
            )
        path.unlink()
    made = directory / _UNFINISHED
    shutil.rmtree(made, ignore_errors=True)
    made.mkdir()
    init_db_dir(made, files)  # type: ignore[no-untyped-call]
    paths = [made / file_name(number) for number in range(files)]
    mark(paths, 1)
    for path in paths:
        path.rename(directory / path.name)
    made.rmdir()


def _keep(directory: Path, kept: Kept) -> None:
    before = read_manifest(directory)
    if before is not None and before.generation != kept.generation:
        # Files first: a run that is killed in between leaves some that are one ahead, and none that is behind.
        mark([directory / file_name(number) for number in range(kept.files)], kept.generation)
    if kept != before:
        _write(directory / MANIFEST, msgspec.json.format(msgspec.json.encode(kept), indent=2))


def _compare(directory: Path, kept: Manifest, wanted: Manifest) -> None:
    where = str(directory / MANIFEST)
    if kept.input != wanted.input:
        raise StoreError(
            f"holds the state of a run over {kept.input}, this one reads {wanted.input}",
            where,
            f"read {kept.input}, or use another directory",
        )
    if kept.key_groups != wanted.key_groups:
        raise StoreError(
            f"was made with {kept.key_groups} key groups, this run has {wanted.key_groups}",
            where,
            f"set key_groups = {kept.key_groups}, or {ANEW}",
        )
    if differing := list(_differences(kept.stages, wanted.stages)):
        raise StoreError(
            f"holds the state of other stages: {'; '.join(differing)}",
            where,
            f"switch on and off what it was made with, or {ANEW}",
        )
    if gone := sorted({*kept.partitions} - {*wanted.partitions}):
        named = ", ".join(gone[:3]) + (f" and {len(gone) - 3} more" if len(gone) > 3 else "")
        raise StoreError(
            f"knows input that this run does not have: {named}",
            where,
            f"give the run all its inputs again (topics and their names, or files), or {ANEW}",
        )


def _differences(kept: Mapping[str, tuple[str, ...]], wanted: Mapping[str, tuple[str, ...]]) -> Iterator[str]:
    for stage in dict.fromkeys((*kept, *wanted)):
        before, now = kept.get(stage, ()), wanted.get(stage, ())
        for name in before:
            if name not in now:
                yield f"{name} of stage {stage} is missing in this run"
        for name in now:
            if name not in before:
                yield f"{name} of stage {stage} is new in this run"
        if before != now and {*before} == {*now}:
            yield f"stage {stage} has its components in another order ({', '.join(before)})"


def _migrated(values: dict[str, Any], found: int, path: Path) -> dict[str, Any]:
    for number in range(found, FORMAT):
        step = MIGRATIONS.get(number)
        if step is None:
            raise StoreError(f"is of format {found}, which this version cannot read any more", str(path), ANEW)
        values = {**step(values), "format": number + 1}
    return values


@contextmanager
def _alone(directory: Path) -> Iterator[None]:
    """The processes of one supervisor open the store one after the other."""
    identity(directory)
    with (directory / IDENTITY).open("r+b") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def _write(path: Path, content: bytes) -> None:
    """Whole or not at all, also when the machine fails."""
    with _written(path, content) as whole:
        whole.replace(path)


@contextmanager
def _written(path: Path, content: bytes) -> Iterator[Path]:
    """The content in a file beside ``path`` that is gone afterwards."""
    descriptor, name = tempfile.mkstemp(prefix=f"{path.name}-", dir=path.parent)
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        yield Path(name)
    finally:
        Path(name).unlink(missing_ok=True)
