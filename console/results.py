"""The files of a run's output directory: one of each kind, or one of each kind and process."""

import re
from collections.abc import Iterator
from pathlib import Path

from console.errors import FailedError, WrongUseError

KINDS = ("alerts", "holds", "versions", "diffs", "late", "dead_letters")
_PART = re.compile(r"(?P<kind>[a-z_]+?)(-(?P<number>\d+))?\.ndjson")


def files_of(directory: Path, kind: str) -> list[Path]:
    """``alerts.ndjson``, ``alerts-0.ndjson``, ``alerts-1.ndjson`` ... as far as they exist."""
    found = []
    for path in directory.iterdir():
        match = _PART.fullmatch(path.name)
        if match and match["kind"] == kind:
            found.append((int(match["number"] or -1), path))
    return [path for _, path in sorted(found)]


def holds_results(directory: Path) -> bool:
    """Whether a run wrote into this directory."""
    return directory.is_dir() and any(files_of(directory, kind) for kind in KINDS)


def require_results(directory: Path) -> None:
    """Refuse a directory that no run wrote into."""
    if not directory.is_dir():
        raise WrongUseError(f"{directory}: is no directory", "name the directory that `orderpulse run --output` wrote")
    if not holds_results(directory):
        raise WrongUseError(
            f"{directory}: holds no results of a run ({KINDS[0]}.ndjson and so on)",
            "name the directory that `orderpulse run --output` wrote",
        )


def require_free(directory: Path, *, overwrite: bool) -> None:
    """Refuse to write where another run's results stand, unless they may be replaced."""
    if directory.exists() and not directory.is_dir():
        raise WrongUseError(f"{directory}: is a file", "name a directory")
    if not overwrite and holds_results(directory):
        raise WrongUseError(
            f"{directory}: holds the results of an earlier run", "name another directory, or add --overwrite"
        )


def lines_of(directory: Path, kind: str) -> Iterator[bytes]:
    """All lines of one kind, without their ends, file after file."""
    for path in files_of(directory, kind):
        with path.open("rb") as file:
            for line in file:
                yield line.rstrip(b"\n")


def damaged(place: str, why: str) -> FailedError:
    """A line that no run writes; most often the end of a file that was cut off."""
    return FailedError(f"{place}: {why}", "run again: a file of results that was cut off or edited cannot be compared")
