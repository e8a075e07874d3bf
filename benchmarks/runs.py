"""One measured run: a figure in a process of its own, or the command as a user starts it, with all its processes.

Start-up and imports are left out of both. A figure begins to count when it has them behind it. So does the time that
the command itself reports: from the opening of its input to the last record written, the wait for its other processes
in it. Of its CPU time, which the kernel counts over all its processes from their start, that of the same command over a
single event is taken off: it starts and ends the same processes, in the same round.
"""

import json
import os
import subprocess
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from threading import Event, Thread
from typing import Any, Final

import msgspec
from msgspec import Struct

from benchmarks.figures import FIGURES, Cost

ROOT: Final = Path(__file__).parent.parent
_SAMPLE_SECONDS: Final = 0.2
_PATIENCE: Final = 3_600
_LEAST_S: Final = 0.001


class Spent(Struct, frozen=True):
    """A whole command. ``cpu_s``: of all its processes, their start included; ``peak_rss_mb``: the sum of their peaks.

    ``wall_s`` is from start to end as seen from outside, ``flow_s`` what the command reports.
    """

    events: int
    wall_s: float
    flow_s: float
    cpu_s: float
    peak_rss_mb: float


def figure_cost(name: str, events: Path, output: Path, expected: int) -> Cost:
    """A figure of ``benchmarks.figures``. Raises CalledProcessError, and RuntimeError when it read too few events."""
    output.mkdir(parents=True)
    command = [sys.executable, "-m", "benchmarks.figures", name, str(events), str(output)]
    done = subprocess.run(command, cwd=ROOT, stdout=subprocess.PIPE, check=True)
    cost = msgspec.json.decode(done.stdout.splitlines()[-1], type=Cost)
    if cost.events != expected:
        raise RuntimeError(f"{FIGURES[name].title} read {cost.events} of {expected} events")
    return cost


def flow_command(events: Path, output: Path, config: Path, processes: int = 1) -> list[str]:
    """The command that a user would give."""
    shared = ["--config", str(config), "--input", str(events), "--output", str(output), "--bounded", "--overwrite"]
    return [sys.executable, "-m", "console.main", "run", *shared, "--processes", str(processes), "--json"]


def flow_cost(events: Path, output: Path, config: Path, processes: int, expected: int) -> Cost:
    """The flow as a command, without what the same command takes for one event.

    Raises CalledProcessError, and RuntimeError when it read too few events.
    """
    one = _first_event(events, output.with_name(f"{output.name}-start"))
    start = spent(flow_command(one, output.with_name(f"{output.name}-started"), config, processes))
    whole = spent(flow_command(events, output, config, processes))
    if whole.events != expected:
        raise RuntimeError(f"the flow in {processes} processes read {whole.events} of {expected} events")
    return Cost(whole.events, whole.flow_s, beyond(whole.cpu_s, start.cpu_s), whole.peak_rss_mb)


def beyond(whole_s: float, start_s: float) -> float:
    """What a run took beyond one that did little more than start.

    Where too few events are lost in the noise of a start, the figure is absurd, and not a division by zero.
    """
    return max(whole_s - start_s, _LEAST_S)


def spent(command: list[str]) -> Spent:
    """Run a command that prints a summary as JSON, and say what it took. Raises CalledProcessError."""
    began = time.perf_counter()
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE) as process:
        watch = _Peaks(process.pid)
        watch.start()
        assert process.stdout is not None
        printed = process.stdout.read()
        _, status, usage = os.wait4(process.pid, 0)  # what its own processes took is in it
        wall = time.perf_counter() - began
        process.returncode = os.waitstatus_to_exitcode(status)
        watch.end()
    if process.returncode:
        raise subprocess.CalledProcessError(process.returncode, command)
    # Without /proc; with it, this would be no less than the peak of whoever started the command.
    peak = watch.total_mb or usage.ru_maxrss / 1024
    events, seconds = _summary(printed)
    return Spent(events, wall, seconds, usage.ru_utime + usage.ru_stime, peak)


def as_toml(values: Mapping[str, Any], name: str = "") -> str:
    """Overrides of the settings as a configuration file."""
    tables = {key: value for key, value in values.items() if isinstance(value, Mapping)}
    plain = [f"{key} = {json.dumps(value)}" for key, value in values.items() if key not in tables]
    inner = [as_toml(value, f"{name}.{key}".lstrip(".")) for key, value in tables.items()]
    heading = [f"[{name}]"] if name and plain else []
    return "\n".join([*heading, *plain, *inner])


def _summary(printed: bytes) -> tuple[int, float]:
    """Events and seconds of a run, as it says itself."""
    told = json.loads(printed[printed.index(b"{") :])
    return int(told["events"]), float(told["seconds"])


def _first_event(events: Path, directory: Path) -> Path:
    """The same partitions with one event in all: each process has its share, and next to nothing to do."""
    directory.mkdir(parents=True)
    given = False
    for path in sorted(events.iterdir()):
        with path.open("rb") as whole:
            line = whole.readline()
        (directory / path.name).write_bytes(b"" if given else line)
        given = given or bool(line)
    return directory


class _Peaks(Thread):
    """Looks at the memory of a process and of all that descend from it, as each of them ends without a word."""

    def __init__(self, root: int) -> None:
        super().__init__(daemon=True)
        self._root = root
        self._over = Event()
        self._peaks: dict[int, float] = {}

    @property
    def total_mb(self) -> float:
        return sum(self._peaks.values())

    def run(self) -> None:
        while not self._over.wait(_SAMPLE_SECONDS):
            for pid in family(self._root):
                self._peaks[pid] = max(_peak_mb(pid), self._peaks.get(pid, 0.0))

    def end(self) -> None:
        self._over.set()
        self.join()


def family(pid: int) -> list[int]:
    """A process and all that descend from it, as far as they are there."""
    try:
        tasks = Path(f"/proc/{pid}/task").iterdir()
        children = [int(child) for task in tasks for child in (task / "children").read_text().split()]
    except OSError:
        return [pid]
    return [pid, *(one for child in children for one in family(child))]


def _peak_mb(pid: int) -> float:
    try:
        lines = Path(f"/proc/{pid}/status").read_text(encoding="ascii").splitlines()
    except OSError:
        return 0.0
    return next((int(line.split()[1]) / 1024 for line in lines if line.startswith("VmHWM:")), 0.0)
