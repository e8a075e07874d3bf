"""``orderpulse run`` as a user starts it: its processes, its log, its memory, and how to kill it."""

import os
import signal
import subprocess
import sys
import threading
import time
import uuid
from collections.abc import Iterable, Sequence
from pathlib import Path

from tests.support.linux_processes import marked, resident_bytes, send

ROOT = Path(__file__).resolve().parents[2]
_MARK = "ORDERPULSE_FAULT_RUN"
_LOG_TAIL = 30
_SAMPLE_SECONDS = 0.2


class FlowCommand:
    """Runs the command with given options, once or again and again; its log grows in one file."""

    def __init__(self, options: Sequence[str], log: Path, cwd: Path = ROOT) -> None:
        self.options = tuple(options)
        self.log = log
        self.peak_bytes: dict[int, int] = {}
        self._cwd = cwd
        self._mark = f"{_MARK}={uuid.uuid4().hex}"
        self._root: subprocess.Popen[bytes] | None = None
        self._sampling = threading.Event()

    def start(self, processes: int = 1, *more: str) -> None:
        """Starts it, with so many worker processes."""
        command = [sys.executable, "-m", "console.main", "run", *self.options, "--processes", str(processes), *more]
        name, _, value = self._mark.partition("=")
        environment = os.environ | {name: value, "ORDERPULSE_HASH_KEY": "fault-runs"}
        with self.log.open("ab") as log:
            log.write(f"--- {time.strftime('%H:%M:%S')} {' '.join(command[2:])}\n".encode())
            log.flush()
            self._root = subprocess.Popen(
                command,
                cwd=self._cwd,
                env=environment,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )

    @property
    def exit_code(self) -> int | None:
        """Of the process that was started; None while it runs."""
        return None if self._root is None else self._root.poll()

    @property
    def running(self) -> bool:
        """Whether the process that was started is there."""
        return self._root is not None and self._root.poll() is None

    def members(self) -> list[int]:
        """All its processes."""
        return marked(self._mark)

    def workers(self) -> list[int]:
        """The processes that do the work: the one that was started only when it has no others."""
        members = self.members()
        others = [number for number in members if self._root is None or number != self._root.pid]
        return others or members

    def supervisor(self) -> list[int]:
        """The process that was started, if it runs."""
        return [self._root.pid] if self._root is not None and self.running else []

    def kill(self, numbers: Iterable[int]) -> None:
        """SIGKILL to some of its processes."""
        for number in numbers:
            send(number, signal.SIGKILL)

    def terminate(self) -> None:
        """SIGTERM to the process that was started: an orderly stop."""
        if self._root is not None:
            self._root.terminate()

    def wait(self, seconds: float) -> int | None:
        """Waits for the end of the process that was started; its exit code, or None when it runs on."""
        if self._root is None:
            return None
        try:
            return self._root.wait(seconds)
        except subprocess.TimeoutExpired:
            return None

    def wait_gone(self, seconds: float) -> list[int]:
        """Waits until none of its processes is left; those that are after all."""
        deadline = time.monotonic() + seconds
        while (left := self._living()) and time.monotonic() < deadline:
            time.sleep(0.02)
        return left

    def end(self) -> None:
        """Kills whatever is left of it."""
        self._sampling.set()
        while left := self._living():
            self.kill(left)
            time.sleep(0.02)

    def sample_memory(self) -> None:
        """Notes from now on the largest memory of each process, in ``peak_bytes``."""
        threading.Thread(target=self._sample, name="memory", daemon=True).start()

    def log_tail(self) -> str:
        """The end of its log."""
        lines = self.log.read_text(encoding="utf-8", errors="replace").splitlines() if self.log.exists() else []
        return "\n".join(lines[-_LOG_TAIL:])

    def said_since_start(self) -> str:
        """What stands in its log since it was started last."""
        return self.log.read_text(encoding="utf-8", errors="replace").rpartition("\n--- ")[2].partition("\n")[2]

    def _living(self) -> list[int]:
        if self._root is not None:
            self._root.poll()  # reaps it
        return self.members()

    def _sample(self) -> None:
        while not self._sampling.wait(_SAMPLE_SECONDS):
            for number in self.members():
                self.peak_bytes[number] = max(self.peak_bytes.get(number, 0), resident_bytes(number))
