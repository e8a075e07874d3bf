"""A flow that runs live, as a command with all its processes, for as long as a benchmark needs it."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

from benchmarks.live_metrics import Samples, scrape
from benchmarks.runs import ROOT, family
from benchmarks.servers import cpu_seconds
from tests.support.ports import free_port, is_free

_STOP_SECONDS = 40.0


class LiveFlow:
    """``ports``: where its processes serve their metrics."""

    def __init__(self, process: "subprocess.Popen[bytes]", ports: Sequence[int], log: Path) -> None:
        self._process = process
        self._ports = ports
        self._log = log

    def metrics(self) -> Samples:
        """All metrics of each process; empty while it starts. Raises RuntimeError when the flow has ended."""
        if self._process.poll() is not None:
            raise RuntimeError(f"the flow ended with {self._process.returncode}: {self._log.read_text()[-2000:]}")
        return scrape(self._ports)

    def cpu_seconds(self) -> float:
        """User and system time of all its processes so far."""
        return sum(cpu_seconds(pid) for pid in family(self._process.pid))

    def resident_mb(self) -> float:
        """What all its processes hold in memory now."""
        return sum(_resident_mb(pid) for pid in family(self._process.pid))

    def stop(self) -> None:
        """End it in order; raises RuntimeError when it does not."""
        self._process.send_signal(signal.SIGTERM)
        if self._process.wait(_STOP_SECONDS):
            raise RuntimeError(f"the flow ended with {self._process.returncode}: {self._log.read_text()[-2000:]}")


@contextmanager
def live_flow(place: Path, config: Path, redis: str, processes: int) -> Iterator[LiveFlow]:
    """Kafka in, Kafka and Redis out, with a recovery store: until ``stop``, or killed at the end of the block."""
    ports = _ports(processes)
    options: Mapping[str, str] = {
        "--config": str(config),
        "--input": "kafka",
        "--output": "kafka",
        "--redis": redis,
        "--recovery": str(place / "store"),
        "--processes": str(processes),
        "--metrics-port": str(ports[0]),
    }
    command = [sys.executable, "-m", "console.main", "run", *(text for pair in options.items() for text in pair)]
    log = place / "flow.log"
    with log.open("wb") as out:
        process = subprocess.Popen(command, cwd=ROOT, stdout=out, stderr=out, start_new_session=True)
    try:
        yield LiveFlow(process, ports, log)
    finally:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)  # its processes end with it
            process.wait()


def _ports(processes: int) -> Sequence[int]:
    """Neighbours that are all free: process n serves at the n-th."""
    while True:
        first = free_port()
        if all(is_free(first + number) for number in range(processes)):
            return range(first, first + processes)
        time.sleep(0.01)


def _resident_mb(pid: int) -> float:
    lines = Path(f"/proc/{pid}/status").read_text(encoding="ascii").splitlines()
    return next((int(line.split()[1]) / 1024 for line in lines if line.startswith("VmRSS:")), 0.0)
