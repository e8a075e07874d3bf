"""What a process of several keeps to, so that none outlives its supervisor and none hangs in a stop.

Python's own signal handlers wait until the engine lets Python run again, which it does not while it waits for its
peers to connect. A thread can act all the same.
"""

import ctypes
import os
import select
import signal
import socket
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from threading import Event, Thread
from typing import Final

from dataflows.failures import Failure, leave

SUPERVISOR: Final = "ORDERPULSE_SUPERVISOR"  # the process id of the supervisor
RESTARTS: Final = "ORDERPULSE_RESTARTS"  # how often it has started its processes again
_LOOK_SECONDS: Final = 0.25
_PR_SET_PDEATHSIG: Final = 1
_NO_SIGNAL: Final = b"\0"  # wakes the guard, which looks whether all is over
_STOPS: Final = frozenset({signal.SIGTERM, signal.SIGINT})


def restarts() -> int:
    """How often the supervisor has started this process again."""
    number = os.environ.get(RESTARTS, "")
    return int(number) if number.isdigit() else 0


def supervisor() -> int | None:
    """The process that started this one to watch over it."""
    number = os.environ.get(SUPERVISOR, "")
    return int(number) if number.isdigit() else None


def follow_supervisor() -> None:
    """From now on this process ends with its supervisor, if it has one; as early as possible, in the main thread."""
    watched = supervisor()
    if watched is None:
        return
    _die_with_parent()
    if os.getppid() != watched:
        _end(1, "its supervisor is gone")


@contextmanager
def kept_in_bounds(stop_within: float, begun: Callable[[], bool]) -> Iterator[None]:
    """End this process when its supervisor is gone, or when a stop takes longer than ``stop_within`` seconds.

    A process that is told to stop before it has ``begun`` ends at once: there is nothing to end in order, and the
    engine may be waiting for peers that never come. A second signal ends it at once, too. Call it in the main thread.
    """
    follow_supervisor()
    watched = supervisor()
    reading, writing = socket.socketpair()
    for end in (reading, writing):
        end.setblocking(False)
    before = signal.set_wakeup_fd(writing.fileno(), warn_on_full_buffer=False)
    over = Event()
    guard = Thread(target=_guard, args=(reading, watched, stop_within, begun, over), name="bounds", daemon=True)
    guard.start()
    try:
        yield
    finally:
        over.set()
        signal.set_wakeup_fd(before)
        with suppress(BlockingIOError):  # so full of signals that the guard is awake
            writing.send(_NO_SIGNAL)
        guard.join()
        reading.close()
        writing.close()


def _guard(
    reading: socket.socket, watched: int | None, stop_within: float, begun: Callable[[], bool], over: Event
) -> None:
    deadline: float | None = None
    while not over.is_set():
        if watched is not None and os.getppid() != watched:
            _end(1, "its supervisor is gone")
        if deadline is not None and time.monotonic() > deadline:
            _end(1, f"it did not end within {stop_within:g} s of being told to")
        ready, _, _ = select.select([reading], [], [], _LOOK_SECONDS)
        if not ready:
            continue
        for number in reading.recv(64):
            if number not in _STOPS:
                continue
            if deadline is not None:
                _end(128 + number, "it was told to stop twice")
            if not begun():
                _end(0)
            deadline = time.monotonic() + stop_within


def _end(code: int, why: str | None = None) -> None:
    if why is not None:
        leave(Failure("Stopped", f"the process ended because {why}", "", time.time_ns() // 1_000_000))
        with suppress(OSError, ValueError):  # past the stream's own buffer, which another thread may hold
            os.write(sys.stderr.fileno(), f"error: the process ended because {why}\n".encode())
    os._exit(code)  # nothing is flushed: the thread that holds a stream may be the one that hangs


def _die_with_parent() -> None:
    """Have the kernel kill this process when the thread that started it ends; elsewhere than on Linux, look on."""
    if sys.platform == "linux":
        ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
