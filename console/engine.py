"""Runs the flow for a command, without the engine's own trace on stderr when a part of the run fails."""

import io
import os
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def quiet_engine(*, enabled: bool = True) -> Iterator[None]:
    """Keep what the engine itself writes to stderr; Python's stderr stays what it is.

    The engine answers every exception with a trace of its own that says nothing of the reason; the exception says it.
    """
    if not enabled:
        yield
        return
    sys.stderr.flush()
    visible = os.dup(2)
    python_stderr = sys.stderr
    writes_there = _descriptor(python_stderr) == 2
    try:
        with tempfile.TemporaryFile() as kept:
            os.dup2(kept.fileno(), 2)
            if writes_there:
                sys.stderr = os.fdopen(os.dup(visible), "w", encoding=python_stderr.encoding, buffering=1)
            yield
    finally:
        os.dup2(visible, 2)
        os.close(visible)
        if writes_there:
            sys.stderr.close()
            sys.stderr = python_stderr


def _descriptor(stream: object) -> int:
    try:
        return stream.fileno() if isinstance(stream, io.TextIOBase) else -1
    except (OSError, ValueError):  # a stream without a descriptor, as tests put there
        return -1
