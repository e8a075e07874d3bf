"""Which of several processes a run is, and whether its store and outputs belong together: checked before it begins."""

from pathlib import Path

from msgspec import Struct

from console.errors import WrongUseError
from console.results import holds_results, require_free
from dataflows.child import supervisor
from dataflows.store import claim, owns, read_manifest


class Place(Struct, frozen=True):
    """One of several processes, or the only one (no addresses)."""

    process_id: int | None = None
    addresses: tuple[str, ...] = ()


def place_of(processes: int, process_id: int | None, addresses: str | None) -> Place:
    """Read ``--process-id`` and ``--addresses``; raises WrongUseError when they do not fit together."""
    if process_id is None and addresses is None:
        return Place()
    if process_id is None:
        raise WrongUseError("--addresses without --process-id", "say which of them this process is, from 0 on")
    if addresses is None:
        raise WrongUseError(
            f"--process-id {process_id} without --addresses",
            "add --addresses HOST:PORT;HOST:PORT, one for each process, the same for all; "
            "or start all of them here with --processes N",
        )
    if processes != 1:
        raise WrongUseError(
            f"--processes {processes} and --process-id {process_id}",
            "--processes starts all of them on this machine; --process-id is one of several that are started elsewhere",
        )
    listed = tuple(each.strip() for each in addresses.split(";"))
    for address in listed:
        _require_address(address)
    if len(set(listed)) < len(listed):
        raise WrongUseError(f"--addresses {addresses}: one stands there twice", "give each process its own")
    if len(listed) < 2:
        raise WrongUseError(f"--addresses {addresses}: names one process", "leave both options out to run in one")
    if process_id >= len(listed):
        raise WrongUseError(
            f"--process-id {process_id}: --addresses names {len(listed)} processes",
            f"count them from 0: the last one is {len(listed) - 1}",
        )
    return Place(process_id, listed)


def may_replace(output: Path, recovery: Path | None, place: Place, *, overwrite: bool) -> bool:
    """Check that a run may write into a directory; whether it may delete what it does not go on with.

    Raises WrongUseError when results stand there that are not this run's own, and StoreError.
    """
    if supervisor() is not None:
        return False
    if recovery is None:
        require_free(output, overwrite=overwrite)
        return overwrite
    if output.resolve() == recovery.resolve():
        raise WrongUseError(f"--recovery {recovery}: is the output directory", "give the store one of its own")
    is_own = owns(recovery, output)
    if place.process_id:  # the store itself is that of process 0, elsewhere
        require_free(output, overwrite=overwrite or is_own)
    elif read_manifest(recovery) is None:
        require_free(output, overwrite=overwrite)
    elif holds_results(output) and not is_own:
        raise WrongUseError(
            f"{output}: holds results, but not those of the recovery store {recovery}",
            "name the directory that the run on this store wrote to, or an empty one",
        )
    claim(recovery, output)
    # Before the first snapshot, what stands there is of a run that was killed at its start: nothing but empty files.
    return overwrite or is_own


def require_store_place(recovery: Path, *, overwrite: bool) -> None:
    """Refuse what can be no store, and to overwrite what a store goes on with; raises WrongUseError, StoreError."""
    if recovery.exists() and not recovery.is_dir():
        raise WrongUseError(f"--recovery {recovery}: is a file", "name a directory")
    if overwrite and read_manifest(recovery) is not None:
        raise WrongUseError(
            f"--overwrite: the recovery store {recovery} goes on with the results that an earlier run wrote",
            "leave --overwrite out to go on; to begin anew, move the store away",
        )


def _require_address(address: str) -> None:
    host, _, port = address.rpartition(":")
    if not host or not port.isdigit() or not 0 < int(port) < 65_536:
        raise WrongUseError(
            f"--addresses: {address!r} is no address", "write HOST:PORT;HOST:PORT, e.g. 10.0.0.1:2101;10.0.0.2:2101"
        )
