"""What ended a process, written down for the supervisor, which sees nothing but an exit code."""

import os
import time
import traceback
from contextlib import suppress
from pathlib import Path
from typing import Final

import msgspec
from msgspec import Struct

from config.problems import ConfigurationError
from dataflows.store_errors import StoreError
from operators.heart.snapshots import SnapshotError
from operators.platform.open_alerts import PlatformSnapshotError
from operators.platform.watch import DeadLetterLimitError
from sinks.sink import SinkError
from sources.reader import SourceError

VARIABLE: Final = "ORDERPULSE_FAILURE_FILE"
_LAST_LINES: Final = 12
# A source or a sink that is merely away waits and never fails, so what they do raise needs a person.
_LASTING: Final = (
    SourceError,
    SinkError,
    SnapshotError,
    ConfigurationError,
    DeadLetterLimitError,
    PlatformSnapshotError,
)


class Failure(Struct, frozen=True):
    """Why a process ended, and when (epoch ms). ``lasting``: no restart mends it; ``of_peer``: another ended first."""

    kind: str
    text: str
    trace: str
    at: int
    lasting: bool = False
    of_peer: bool = False


def failure_of(error: BaseException) -> Failure:
    """An exception as a failure."""
    kind = type(error).__name__
    lasting = error.lasting if isinstance(error, StoreError) else isinstance(error, _LASTING)
    says_it_all = isinstance(error, (StoreError, *_LASTING))
    trace = "".join(traceback.format_exception(error)).splitlines()[-_LAST_LINES:]
    return Failure(
        kind=kind,
        text=str(error) if says_it_all else f"{kind}: {error}",
        trace="\n".join(trace),
        at=time.time_ns() // 1_000_000,
        lasting=lasting,
        # All that the engine says when the connection to another process is gone, or one of its own threads.
        of_peer=kind == "PanicException" and "thread panic" in str(error),
    )


def leave(failure: Failure) -> None:
    """Write it where the supervisor looks, if there is one; the first one stays."""
    name = os.environ.get(VARIABLE)
    if not name or Path(name).exists():
        return
    beside = Path(f"{name}.{os.getpid()}")
    with suppress(OSError):  # a full disk must not hide the failure itself: its text goes to stderr, too
        beside.write_bytes(msgspec.json.encode(failure))
        beside.replace(name)


def find(path: Path) -> Failure | None:
    """What a process left there."""
    try:
        return msgspec.json.decode(path.read_bytes(), type=Failure)
    except (OSError, msgspec.DecodeError):
        return None
