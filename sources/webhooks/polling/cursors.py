"""How far each poll has come: a small file, replaced as a whole."""

import os
from pathlib import Path

import msgspec

from sources.reader import SourceError


class Cursor(msgspec.Struct, frozen=True):
    """``since_ms``: the newest change known. ``seen``: hash -> moment of the changes that may be told once more."""

    since_ms: int
    seen: dict[str, int] = {}

    def with_seen(self, fresh: dict[str, int], now_ms: int, overlap_ms: int) -> "Cursor":
        """After these changes. A moment in the future counts as now: it must not make later changes invisible."""
        since = max([self.since_ms, *(min(moment, now_ms) for moment in fresh.values())])
        kept = {digest: moment for digest, moment in (self.seen | fresh).items() if moment >= since - 2 * overlap_ms}
        return Cursor(since, kept)


class CursorFiles:
    """One file per poll in a directory."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        directory.mkdir(parents=True, exist_ok=True)

    def load(self, poll: str) -> Cursor | None:
        """Where a poll stands; None before its first. Raises SourceError for a file that is damaged."""
        path = self._path(poll)
        try:
            return msgspec.json.decode(path.read_bytes(), type=Cursor)
        except FileNotFoundError:
            return None
        except (OSError, msgspec.DecodeError) as error:
            remedy = "restore it, or remove it and set intake.polls.<poll>.start to where to begin again"
            raise SourceError(f"the cursor cannot be read: {error}", str(path), remedy) from error

    def save(self, poll: str, cursor: Cursor) -> None:
        """Replace the file; after a power cut either the old or the new one stands there."""
        path = self._path(poll)
        part = path.with_suffix(".part")
        with part.open("wb") as stream:
            stream.write(msgspec.json.encode(cursor))
            stream.flush()
            os.fsync(stream.fileno())
        part.replace(path)

    def _path(self, poll: str) -> Path:
        return self._directory / f"{poll}.json"
