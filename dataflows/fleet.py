"""Several processes of one run: started together, watched, and ended together."""

import os
import signal
import socket
import subprocess
import sys
import time
import uuid
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from threading import Thread
from typing import IO, Final

from msgspec import Struct

from dataflows.child import RESTARTS, SUPERVISOR
from dataflows.failures import VARIABLE, Failure, find
from dataflows.store import RUN
from dataflows.store_lock import INHERITED

FINE: Final = 0
REFUSED: Final = 2
# A peer of one that failed follows within milliseconds; what it knows of the cause is worth waiting for.
_GRACE_SECONDS: Final = 1.0
_LOOK_SECONDS: Final = 0.02
# What the engine itself says when it has lost a peer: the reason is said by the one that was lost.
_ENGINE_TALK: Final = ("RuntimeError: (src/run.rs", "timely communication error:")

Command = Callable[[int, tuple[str, ...]], Sequence[str]]


class Ending(Struct, frozen=True):
    """How one process ended: its exit code (a signal's number below zero), and what it left about the reason."""

    number: int
    code: int
    failure: Failure | None
    killed_here: bool


class Member:
    """One process with its outputs: stderr is passed on line by line with its number, stdout is kept."""

    def __init__(
        self, number: int, command: Sequence[str], directory: Path, lock: int | None, environment: Mapping[str, str]
    ) -> None:
        self.number = number
        self.code: int | None = None
        self.killed = False
        self._told = False
        self._failure_file = directory / f"failure-{number}.json"
        self._failure_file.unlink(missing_ok=True)
        self._output_file = directory / f"output-{number}"
        with self._output_file.open("wb") as output:
            self._process = subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.PIPE,
                env={**environment, VARIABLE: str(self._failure_file)},
                pass_fds=() if lock is None else (lock,),
                process_group=0,  # Ctrl-C at a terminal reaches the supervisor alone, which hands it on once
            )
        assert self._process.stderr is not None
        self._passing = Thread(target=_pass_on, args=(self._process.stderr, number), daemon=True)
        self._passing.start()

    def poll(self) -> int | None:
        """Its exit code once it has ended."""
        if self.code is None:
            code = self._process.poll()
            # One that was still starting had no handler for it yet, and nothing to end in order.
            self.code = FINE if self._told and code == -signal.SIGTERM else code
        return self.code

    def send(self, what: signal.Signals) -> None:
        """A signal, if it has not ended."""
        if self.poll() is None:
            self.killed = self.killed or what == signal.SIGKILL
            self._told = self._told or what == signal.SIGTERM
            self._process.send_signal(what)

    def ending(self) -> Ending:
        """How it ended; waits until it has."""
        self._process.wait()
        code = self.poll()
        assert code is not None
        self._passing.join(timeout=_GRACE_SECONDS)
        return Ending(self.number, code, find(self._failure_file), self.killed)

    def output(self) -> bytes:
        """What it wrote to stdout."""
        return self._output_file.read_bytes()


class Fleet:
    """All processes of one start."""

    def __init__(
        self, processes: int, command: Command, directory: Path, lock: int | None = None, restarts: int = 0
    ) -> None:
        addresses = free_addresses(processes)
        environment = {**os.environ, SUPERVISOR: str(os.getpid()), RUN: uuid.uuid4().hex, RESTARTS: str(restarts)}
        if lock is not None:
            environment[INHERITED] = str(lock)
        self.members: list[Member] = []
        try:
            for number in range(processes):
                self.members.append(Member(number, command(number, addresses), directory, lock, environment))
        except BaseException:
            self.kill()
            raise

    def send(self, what: signal.Signals) -> None:
        """A signal to all."""
        for member in self.members:
            member.send(what)

    def kill(self) -> list[Ending]:
        """End all at once; returns how each ended."""
        self.send(signal.SIGKILL)
        return [member.ending() for member in self.members]

    def failed(self) -> bool:
        """Whether one ended otherwise than in order."""
        return any(member.poll() not in (None, FINE) for member in self.members)

    def ended(self) -> bool:
        """Whether all have ended."""
        return all(member.poll() is not None for member in self.members)

    def endings(self) -> list[Ending]:
        """After one has failed: let its peers follow for a moment, then kill the rest."""
        deadline = time.monotonic() + _GRACE_SECONDS
        while not self.ended() and time.monotonic() < deadline:
            time.sleep(_LOOK_SECONDS)
        return self.kill()


def first_cause(endings: Iterable[Ending]) -> Ending | None:
    """The process that failed first, among those that were not merely drawn along by it."""
    failed = [each for each in endings if each.code != FINE and not each.killed_here]
    return min(failed, key=_rank, default=None)


def in_words(ending: Ending) -> str:
    """How a process ended, for people."""
    who = f"process {ending.number}"
    if ending.failure is not None and not ending.failure.of_peer:
        return f"{who}: {ending.failure.text or ending.failure.kind}"
    if ending.code < 0:
        by_kernel = ", by hand or by the kernel for want of memory" if ending.code == -signal.SIGKILL else ""
        return f"{who} was ended by {_signal_name(-ending.code)}{by_kernel}"
    if ending.failure is not None:
        return f"{who} ended because another one did, and none said why"
    return f"{who} ended with exit code {ending.code}"


def free_addresses(count: int) -> tuple[str, ...]:
    """So many addresses of this machine that nobody listens on."""
    sockets = [socket.socket() for _ in range(count)]
    try:
        for each in sockets:
            each.bind(("127.0.0.1", 0))
        return tuple(f"127.0.0.1:{each.getsockname()[1]}" for each in sockets)
    finally:
        for each in sockets:
            each.close()


def _rank(ending: Ending) -> tuple[int, int]:
    """A refusal or a reason of its own says most, then a signal from outside; who lost a peer only followed."""
    failure = ending.failure
    if failure is not None and not failure.of_peer:
        return 0, failure.at
    if ending.code == REFUSED:
        return 0, 0
    if ending.code < 0 and ending.code != -signal.SIGABRT:
        return 1, 0
    return (3, failure.at) if failure is not None else (2, 0)


def _signal_name(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"signal {number}"


def _pass_on(stream: IO[bytes], number: int) -> None:
    with stream:
        for line in stream:
            text = line.decode(errors="replace").rstrip("\n")
            if text.startswith(_ENGINE_TALK):
                continue
            sys.stderr.write(f"[{number}] {text}\n")
            sys.stderr.flush()
