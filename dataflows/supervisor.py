"""Runs a flow in several processes of this machine: all start together, and when one ends, all end and start again.

One process alone cannot go on: the engine's workers share each epoch. See ``docs/operations.md`` for the rules.
"""

import logging
import signal
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from threading import Event
from types import FrameType
from typing import Final

from msgspec import Struct

from config.settings import SupervisorSettings
from dataflows.fleet import FINE, REFUSED, Command, Ending, Fleet, first_cause, in_words
from dataflows.pauses import Pauses
from dataflows.store_errors import StoreError

LOGGER = logging.getLogger(__name__)

FAILED: Final = 1
SAME_FAILURES: Final = 5
_LOOK_SECONDS: Final = 0.05


class Outcome(Struct, frozen=True):
    """How a run of several processes ended: its one exit code, each process's stdout, and the first cause if it failed.

    ``told``: the process that failed has printed the reason itself.
    """

    code: int
    outputs: tuple[bytes, ...] = ()
    cause: str = ""
    remedy: str = ""
    told: bool = False
    stopped: bool = False
    restarts: int = 0


class Supervisor:
    """``command`` gives the arguments of process number i among all addresses. ``lock``: of the recovery store.

    ``prepare`` is called before each start, with the number of restarts until then.
    """

    def __init__(
        self,
        processes: int,
        command: Command,
        settings: SupervisorSettings,
        *,
        restarts: bool,
        lock: int | None = None,
        prepare: Callable[[int], None] = lambda _: None,
        say: Callable[[str], None] = LOGGER.warning,
    ) -> None:
        self._processes = processes
        self._command = command
        self._settings = settings
        self._may_restart = restarts
        self._lock = lock
        self._prepare = prepare
        self._say = say
        self._stop = Event()
        self._at_once = False

    def stop(self) -> None:
        """End the run in order; a second time: at once."""
        self._at_once = self._stop.is_set()
        self._stop.set()

    def run(self) -> Outcome:
        """Until the input has ended, a stop was asked for, or a failure that no restart mends."""
        pauses = Pauses(self._settings)
        restarts = 0
        same = _Repetition()
        with tempfile.TemporaryDirectory(prefix="orderpulse-") as directory, self._stopped_by_signals():
            while True:
                self._prepare(restarts)
                outcome, cause = self._once(Path(directory), restarts)
                if cause is None:
                    return _counted(outcome, restarts)
                if not self._restart_helps(cause):
                    return _counted(outcome, restarts)
                pause = None if same.is_seen_too_often(cause) else pauses.next(time.monotonic())
                if pause is None:
                    return _counted(self._given_up(outcome, same.count, restarts), restarts)
                self._say(f"{in_words(cause)}; all processes start again in {pause:g} s")
                if self._stop.wait(pause):
                    return _counted(outcome, restarts)
                restarts += 1

    def _once(self, directory: Path, restarts: int) -> tuple[Outcome, Ending | None]:
        """One start of all processes to its end; and the first cause when that was a failure."""
        fleet = Fleet(self._processes, self._command, directory, self._lock, restarts)
        try:
            while not fleet.failed() and not fleet.ended() and not self._stop.is_set():
                time.sleep(_LOOK_SECONDS)
            if self._stop.is_set() and not fleet.ended():
                return self._stopped(fleet), None
            endings = fleet.endings()
        except BaseException:
            fleet.kill()
            raise
        cause = first_cause(endings)
        if cause is None:
            return Outcome(FINE, _outputs(fleet), stopped=self._stop.is_set()), None
        code = REFUSED if cause.code == REFUSED else FAILED
        return Outcome(code, cause=in_words(cause), told=_has_told(cause)), cause

    def _stopped(self, fleet: Fleet) -> Outcome:
        """Hand the stop on, and wait no longer than the settings say."""
        within = self._settings.stop_within
        deadline = time.monotonic() + within / 1000
        fleet.send(signal.SIGTERM)
        while not fleet.ended() and not fleet.failed() and not self._at_once and time.monotonic() < deadline:
            time.sleep(_LOOK_SECONDS)
        hung = [member.number for member in fleet.members if member.poll() is None]
        failed = fleet.failed()
        endings = fleet.endings() if failed else fleet.kill()
        cause = first_cause(endings)
        if cause is not None:
            return Outcome(FAILED, cause=in_words(cause), told=_has_told(cause), stopped=True)
        if hung:
            named = ", ".join(map(str, hung))
            when = "was told to stop twice" if self._at_once else f"did not end within {within} of being told to"
            return Outcome(
                FAILED, cause=f"process {named} {when} and was killed", remedy=self._after_kill(), stopped=True
            )
        return Outcome(FINE, _outputs(fleet), stopped=True)

    def _restart_helps(self, cause: Ending) -> bool:
        lasting = cause.failure is not None and cause.failure.lasting
        return self._may_restart and cause.code != REFUSED and not lasting and not self._stop.is_set()

    def _given_up(self, outcome: Outcome, same: int, restarts: int) -> Outcome:
        if same > SAME_FAILURES:
            why, remedy = (
                f"the same {same} times in a row",
                "mend the cause; the next run goes on from the last snapshot",
            )
        else:
            why = f"gave up after {restarts} restarts, the last ones within {self._settings.restart_window}"
            remedy = "mend the cause, or raise supervisor.restarts"
        return Outcome(outcome.code, cause=f"{outcome.cause}; {why}", remedy=remedy)

    def _after_kill(self) -> str:
        if self._may_restart:
            return "nothing is lost: the next run goes on from the last snapshot; raise supervisor.stop_within"
        return "raise supervisor.stop_within; a run with --recovery goes on from its last snapshot"

    @contextmanager
    def _stopped_by_signals(self) -> Iterator[None]:
        def handle(number: int, frame: FrameType | None) -> None:
            self.stop()

        before = {number: signal.signal(number, handle) for number in (signal.SIGTERM, signal.SIGINT)}
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)


class _Repetition:
    """How often the same failure has come in a row: the same input and state fail in the same way for ever."""

    def __init__(self) -> None:
        self.count = 0
        self._last: tuple[str, str] | None = None

    def is_seen_too_often(self, cause: Ending) -> bool:
        """Take note of one more; a store without space is waited for, and an end without a reason is none."""
        failure = cause.failure
        says_nothing = failure is None or failure.of_peer or failure.kind == StoreError.__name__
        now = None if failure is None or says_nothing else (failure.kind, failure.text)
        self.count = self.count + 1 if now is not None and now == self._last else 1
        self._last = now
        return self.count > SAME_FAILURES


def _counted(outcome: Outcome, restarts: int) -> Outcome:
    return Outcome(
        outcome.code, outcome.outputs, outcome.cause, outcome.remedy, outcome.told, outcome.stopped, restarts
    )


def _outputs(fleet: Fleet) -> tuple[bytes, ...]:
    return tuple(member.output() for member in fleet.members)


def _has_told(cause: Ending) -> bool:
    return cause.code == REFUSED or (cause.failure is not None and not cause.failure.of_peer)


def this_command(arguments: list[str]) -> Command:
    """The same command of this program, as one of several processes."""

    def command(number: int, addresses: tuple[str, ...]) -> list[str]:
        place = ["--process-id", str(number), "--addresses", ";".join(addresses)]
        return [sys.executable, "-m", "console.main", *arguments, *place]

    return command
