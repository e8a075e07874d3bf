"""Where a measurement was made: machine, versions, commit."""

import os
import platform
import subprocess
from importlib.metadata import version
from pathlib import Path

from msgspec import Struct

from operators.heart.built import BUILT

_LIBRARIES = ("bytewax", "msgspec", "orjson", "prometheus-client")
_ROOT = Path(__file__).parent.parent


class Machine(Struct, frozen=True):
    """Figures of two measurements compare only where these agree. ``load`` is the load average at the start."""

    processor: str
    cores: int
    memory_gb: float | None
    system: str
    load: float
    python: str
    libraries: dict[str, str]
    commit: str
    uncommitted_changes: bool
    compiled: bool


def this_machine() -> Machine:
    """The machine, as far as it tells."""
    return Machine(
        processor=_processor(),
        cores=len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1,
        memory_gb=_memory_gb(),
        system=f"{platform.system()} {platform.release()} {platform.machine()}",
        load=round(os.getloadavg()[0], 2),
        python=f"{platform.python_implementation()} {platform.python_version()}",
        libraries={name: version(name) for name in _LIBRARIES},
        commit=_git("rev-parse", "--short=12", "HEAD") or "unknown",
        uncommitted_changes=bool(_git("status", "--porcelain")),
        compiled=BUILT,
    )


def _processor() -> str:
    info = Path("/proc/cpuinfo")
    lines = info.read_text().splitlines() if info.exists() else []
    names = (line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    return next(names, "") or platform.processor() or platform.machine()


def _memory_gb() -> float | None:
    try:
        return round(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30, 1)
    except (ValueError, OSError):
        return None


def _git(*arguments: str) -> str:
    try:
        done = subprocess.run(["git", *arguments], cwd=_ROOT, capture_output=True, text=True, check=False)
    except OSError:
        return ""
    return done.stdout.strip() if done.returncode == 0 else ""
