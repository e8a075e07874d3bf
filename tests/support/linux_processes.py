"""Processes as Linux shows them: who belongs to a run, and how much memory they hold."""

import os
import signal
import sys
from pathlib import Path

SUPPORTED = sys.platform == "linux"
_PROC = Path("/proc")


def marked(mark: str) -> list[int]:
    """The living processes whose environment holds ``mark`` (``NAME=value``), by number; inherited marks count."""
    wanted = mark.encode()
    return sorted(int(path.name) for path in _PROC.iterdir() if path.name.isdigit() and wanted in _environment(path))


def resident_bytes(number: int) -> int:
    """The memory that a process holds; 0 when it is gone."""
    for line in _text(number, "status").splitlines():
        if line.startswith("VmRSS:"):
            return int(line.split()[1]) * 1024
    return 0


def send(number: int, what: signal.Signals) -> bool:
    """Sends a signal; False when the process is gone."""
    try:
        os.kill(number, what)
    except ProcessLookupError:
        return False
    return True


def _environment(process: Path) -> list[bytes]:
    try:
        return (process / "environ").read_bytes().split(b"\0")  # empty for one that has ended
    except OSError:
        return []


def _text(number: int, name: str) -> str:
    try:
        return (_PROC / str(number) / name).read_text()
    except OSError:
        return ""
