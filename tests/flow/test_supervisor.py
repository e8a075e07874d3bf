"""Several processes: they start together and end together, the first cause is named, and nobody hangs.

The processes are small programs that end, hang, refuse to end and die in the ways in which real ones do.
"""

import json
import os
import signal
import subprocess
import sys
import textwrap
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from threading import Thread, Timer

import msgspec
import pytest

from config.loader import load_settings
from config.settings import SupervisorSettings
from config.units import Duration
from dataflows.failures import Failure
from dataflows.fleet import free_addresses
from dataflows.pauses import Pauses
from dataflows.supervisor import Outcome, Supervisor
from tests.support.linux_processes import marked

PRELUDE = """
import json, os, signal, sys, time
number, mark = int(sys.argv[1]), sys.argv[2]
def fail(text, *, lasting=False, of_peer=False, code=1, at=None):
    at = at or time.time_ns() // 1_000_000
    with open(os.environ["ORDERPULSE_FAILURE_FILE"], "w") as file:
        json.dump(dict(kind="Fake", text=text, trace="", at=at, lasting=lasting, of_peer=of_peer), file)
    sys.exit(code)
def starts():
    with open(f"{mark}/starts-{number}", "a+") as file:
        print(time.monotonic(), file=file)
        file.seek(0)
        return len(file.readlines())
count = starts()
"""
SETTINGS = msgspec.structs.replace(
    load_settings(None).supervisor,
    first_pause=Duration(20),
    longest_pause=Duration(80),
    stop_within=Duration(1_000),
    restarts=3,
)


class Trial:
    """Runs fake processes under a supervisor."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.said: list[str] = []
        self.prepared: list[int] = []

    def command(self, program: str) -> Callable[[int, tuple[str, ...]], Sequence[str]]:
        script = PRELUDE + textwrap.dedent(program)
        return lambda number, addresses: [
            sys.executable, "-c", script, str(number), str(self.directory), ";".join(addresses),
        ]  # fmt: skip

    def supervisor(
        self, program: str, processes: int = 2, *, restarts: bool = False, settings: SupervisorSettings = SETTINGS
    ) -> Supervisor:
        return Supervisor(
            processes, self.command(program), settings,
            restarts=restarts, prepare=self.prepared.append, say=self.said.append,
        )  # fmt: skip

    def run(self, program: str, processes: int = 2, *, restarts: bool = False) -> Outcome:
        return self.supervisor(program, processes, restarts=restarts).run()

    def starts(self, number: int) -> list[float]:
        """When a process was started, one number for each start."""
        path = self.directory / f"starts-{number}"
        return [float(line) for line in path.read_text().splitlines()] if path.exists() else []

    def wait_for_starts(self, processes: int) -> None:
        while not all(self.starts(number) for number in range(processes)):
            time.sleep(0.01)


@pytest.fixture
def trial(tmp_path: Path) -> Trial:
    return Trial(tmp_path)


def test_a_run_ends_when_all_processes_have_ended_their_input(trial: Trial) -> None:
    outcome = trial.run("time.sleep(0.2 * number); print(f'summary {number}')", 3)

    assert (outcome.code, outcome.stopped, outcome.restarts) == (0, False, 0)
    assert outcome.outputs == (b"summary 0\n", b"summary 1\n", b"summary 2\n")


def test_each_process_knows_its_number_and_all_addresses(trial: Trial) -> None:
    outcome = trial.run("print(sys.argv[3])", 3)

    assert len(set(outcome.outputs)) == 1
    assert len(set(outcome.outputs[0].split(b";"))) == 3


def test_what_processes_say_is_passed_on_with_their_number(trial: Trial, capsys: pytest.CaptureFixture[str]) -> None:
    trial.run("print('half', end='', file=sys.stderr); print(' a line', file=sys.stderr)")

    assert sorted(capsys.readouterr().err.splitlines()) == ["[0] half a line", "[1] half a line"]


def test_what_the_engine_says_of_a_lost_peer_is_left_out(trial: Trial, capsys: pytest.CaptureFixture[str]) -> None:
    lines = [
        "RuntimeError: (src/run.rs:292:17) panicked at /x/tcp.rs:21:5:",
        "timely communication error: reading data",
    ]
    trial.run(f"for line in {[*lines, 'a reason']}: print(line, file=sys.stderr)", 1)

    assert capsys.readouterr().err == "[0] a reason\n"


def test_without_a_recovery_store_the_first_failure_ends_the_run(trial: Trial) -> None:
    outcome = trial.run("fail('the disk is gone') if number == 1 else time.sleep(60)")

    assert (outcome.code, outcome.cause, outcome.told) == (1, "process 1: the disk is gone", True)
    assert len(trial.starts(0)) == 1


def test_with_a_recovery_store_all_processes_start_again(trial: Trial) -> None:
    outcome = trial.run(
        "fail('a bad moment') if number == 1 and count < 3 else time.sleep(60 if count < 3 else 0)", restarts=True
    )

    assert (outcome.code, outcome.restarts) == (0, 2)
    assert len(trial.starts(0)) == len(trial.starts(1)) == 3
    assert trial.prepared == [0, 1, 2]
    assert trial.said == [
        "process 1: a bad moment; all processes start again in 0.02 s",
        "process 1: a bad moment; all processes start again in 0.04 s",
    ]


def test_a_process_that_was_killed_is_started_again_with_all_others(trial: Trial) -> None:
    outcome = trial.run("if number == 0 and count == 1: os.kill(os.getpid(), signal.SIGKILL)\n", 3, restarts=True)

    assert (outcome.code, outcome.restarts) == (0, 1)
    assert "process 0 was ended by SIGKILL" in trial.said[0]


def test_after_too_many_restarts_it_gives_up_and_says_why(trial: Trial) -> None:
    outcome = trial.run("fail(f'reason {count}') if number == 0 else time.sleep(60)", restarts=True)

    assert outcome.code == 1
    assert "reason 4; gave up after 3 restarts" in outcome.cause
    assert "supervisor.restarts" in outcome.remedy
    assert len(trial.starts(0)) == 4


def test_a_failure_that_comes_again_and_again_is_not_tried_to_the_end(trial: Trial) -> None:
    settings = msgspec.structs.replace(SETTINGS, restarts=100)
    outcome = trial.supervisor("fail('KeyError')", restarts=True, settings=settings).run()

    assert outcome.code == 1
    assert "KeyError; the same 6 times in a row" in outcome.cause
    assert outcome.restarts == 5


def test_deaths_without_a_reason_are_not_counted_as_the_same(trial: Trial) -> None:
    settings = msgspec.structs.replace(SETTINGS, restarts=100)
    program = "if number == 0 and count < 8: os.kill(os.getpid(), signal.SIGKILL)\n"

    assert trial.supervisor(program, restarts=True, settings=settings).run().code == 0


@pytest.mark.parametrize("how", ["code=2", "lasting=True"])
def test_what_no_restart_mends_is_not_started_again(trial: Trial, how: str) -> None:
    outcome = trial.run(f"fail('stages were removed', {how})", restarts=True)

    assert outcome.code == (2 if how == "code=2" else 1)
    assert "stages were removed" in outcome.cause
    assert len(trial.starts(0)) == 1


def test_a_refused_configuration_needs_no_reason_in_a_file(trial: Trial) -> None:
    outcome = trial.run("sys.exit(2)", restarts=True)

    assert outcome.code == 2
    assert len(trial.starts(0)) == 1


def test_a_lost_connection_does_not_hide_who_failed_first(trial: Trial) -> None:
    outcome = trial.run(
        """
        if number == 2:
            time.sleep(0.3)
            fail('topic orders: the disk is full')
        while not os.path.exists(os.environ["ORDERPULSE_FAILURE_FILE"].replace(f"-{number}.", "-2.")):
            time.sleep(0.001)
        fail('Send thread panic', of_peer=True, at=1)
        """,
        3,
    )

    assert outcome.cause == "process 2: topic orders: the disk is full"


def test_of_two_reasons_the_earlier_one_is_named(trial: Trial) -> None:
    outcome = trial.run("fail(f'reason {number}', at=1000 - number)")

    assert outcome.cause == "process 1: reason 1"


def test_a_killed_process_counts_as_the_cause_although_its_peers_said_more(trial: Trial) -> None:
    outcome = trial.run("fail('lost', of_peer=True) if number else os.kill(os.getpid(), signal.SIGKILL)", 3)

    assert "process 0 was ended by SIGKILL" in outcome.cause
    assert not outcome.told


def test_a_process_that_waits_for_a_dead_peer_is_ended(trial: Trial) -> None:
    began = time.monotonic()
    outcome = trial.run("fail('died while starting') if number == 0 else time.sleep(600)")

    assert outcome.cause == "process 0: died while starting"
    assert time.monotonic() - began < 10


def test_a_slow_start_of_one_process_is_waited_for(trial: Trial) -> None:
    assert trial.run("time.sleep(1.5 * number)").code == 0


ORDERLY = """
def end(*_):
    print("ended in order")
    sys.exit(0)
signal.signal(signal.SIGTERM, end)
open(f"{mark}/ready-{number}", "w").close()
while True:
    time.sleep(1)
"""
DEAF = """
signal.signal(signal.SIGTERM, signal.SIG_IGN)
open(f"{mark}/ready-{number}", "w").close()
while True:
    time.sleep(1)
"""


def stopped_when_ready(trial: Trial, program: str, times: int = 1) -> Outcome:
    """Run until both processes are ready, then stop."""
    supervisor = trial.supervisor(program)

    def stop() -> None:
        while not all((trial.directory / f"ready-{number}").exists() for number in range(2)):
            time.sleep(0.01)
        for _ in range(times):
            supervisor.stop()

    thread = Thread(target=stop)
    thread.start()
    try:
        return supervisor.run()
    finally:
        thread.join()


def test_a_stop_is_handed_on_and_ends_the_run_in_order(trial: Trial) -> None:
    outcome = stopped_when_ready(trial, ORDERLY)

    assert (outcome.code, outcome.stopped) == (0, True)
    assert outcome.outputs == (b"ended in order\n", b"ended in order\n")


def test_who_does_not_end_in_time_is_killed_and_named(trial: Trial) -> None:
    began = time.monotonic()
    outcome = stopped_when_ready(
        trial, f"if number:\n{textwrap.indent(DEAF, '    ')}\nelse:\n{textwrap.indent(ORDERLY, '    ')}"
    )

    assert 1 <= time.monotonic() - began < 10
    assert outcome.code == 1
    assert outcome.cause == "process 1 did not end within 1s of being told to and was killed"
    assert "supervisor.stop_within" in outcome.remedy


def test_a_second_stop_ends_all_at_once(trial: Trial) -> None:
    supervisor = trial.supervisor(DEAF, settings=msgspec.structs.replace(SETTINGS, stop_within=Duration(600_000)))

    def stop_twice() -> None:
        trial.wait_for_starts(2)
        supervisor.stop()
        time.sleep(0.3)
        supervisor.stop()

    Thread(target=stop_twice).start()
    outcome = supervisor.run()

    assert outcome.code == 1
    assert "was told to stop twice" in outcome.cause


def test_a_process_that_was_still_starting_when_told_to_stop_ended_in_order(trial: Trial) -> None:
    supervisor = trial.supervisor("time.sleep(60)")

    def stop() -> None:
        trial.wait_for_starts(2)
        supervisor.stop()

    Thread(target=stop).start()

    assert supervisor.run().code == 0


def test_a_failure_during_the_stop_is_told(trial: Trial) -> None:
    program = """
    def end(*_):
        fail('cannot flush') if number else time.sleep(60)
    signal.signal(signal.SIGTERM, end)
    open(f"{mark}/ready-{number}", "w").close()
    time.sleep(60)
    """
    outcome = stopped_when_ready(trial, program)

    assert (outcome.code, outcome.cause) == (1, "process 1: cannot flush")


def test_a_stop_during_a_pause_starts_nothing_again(trial: Trial) -> None:
    settings = msgspec.structs.replace(SETTINGS, first_pause=Duration(60_000), longest_pause=Duration(60_000))
    supervisor = trial.supervisor("fail('bad') if number == 0 else time.sleep(60)", restarts=True, settings=settings)
    Timer(1.0, supervisor.stop).start()

    outcome = supervisor.run()

    assert (outcome.code, outcome.cause) == (1, "process 0: bad")
    assert len(trial.starts(0)) == 1


SUPERVISING = """
import sys
from pathlib import Path
from tests.flow.test_supervisor import Trial
program = Path(sys.argv[1], "program").read_text()
outcome = Trial(Path(sys.argv[1])).supervisor(program).run()
print(outcome.code)
"""


def supervising(trial: Trial, program: str) -> subprocess.Popen[str]:
    """A supervisor in a process of its own, in a group of its own, with both processes ready."""
    (trial.directory / "program").write_text(program)
    process = subprocess.Popen(
        [sys.executable, "-c", SUPERVISING, str(trial.directory)],
        stdout=subprocess.PIPE,
        text=True,
        process_group=0,
        env={**os.environ, "TRIAL": str(trial.directory)},
    )
    while not all((trial.directory / f"ready-{number}").exists() for number in range(2)):
        assert process.poll() is None
        time.sleep(0.01)
    return process


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_signals_stop_the_run(trial: Trial, number: signal.Signals) -> None:
    process = supervising(trial, ORDERLY)
    process.send_signal(number)

    assert process.communicate(timeout=20)[0] == "0\n"


def test_ctrl_c_reaches_the_processes_once_though_a_terminal_sends_it_to_all(trial: Trial) -> None:
    program = ORDERLY.replace("signal.SIGTERM, end)", "signal.SIGTERM, end); signal.signal(signal.SIGINT, fail)")
    process = supervising(trial, program)
    os.killpg(process.pid, signal.SIGINT)

    assert process.communicate(timeout=20)[0] == "0\n"


KEEPING = """
import sys, time
from dataflows.child import kept_in_bounds
with kept_in_bounds(60, lambda: True):
    open(f"{sys.argv[2]}/ready-{sys.argv[1]}", "w").close()
    time.sleep(600)
"""


@pytest.mark.parametrize("by_kernel", [True, False])
def test_no_process_outlives_a_supervisor_that_was_killed(trial: Trial, by_kernel: bool) -> None:
    program = KEEPING if by_kernel else "import dataflows.child as c; c._die_with_parent = lambda: None" + KEEPING
    process = supervising(trial, program)
    mark = f"TRIAL={trial.directory}"
    assert len(marked(mark)) == 3

    process.kill()
    process.communicate()

    deadline = time.monotonic() + 10
    while marked(mark) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert marked(mark) == []


ENGINE = """
import signal, sys
import bytewax.operators as op
from bytewax.dataflow import Dataflow
from bytewax.run import cli_main
from bytewax.testing import TestingSink, TestingSource
from dataflows.child import kept_in_bounds
flow = Dataflow("flow")
op.output("out", op.input("in", flow, TestingSource([1])), TestingSink([]))
signal.signal(signal.SIGTERM, lambda *_: None)
with kept_in_bounds(float(sys.argv[1]), lambda: sys.argv[2] == "begun"):
    print("waiting", flush=True)
    cli_main(flow, process_id=0, addresses=sys.argv[3].split(";"))
"""


def engine_alone(stop_within: float, begun: str) -> subprocess.Popen[str]:
    """One of two processes of the real engine; the other never comes."""
    process = subprocess.Popen(
        [sys.executable, "-c", ENGINE, str(stop_within), begun, ";".join(free_addresses(2))],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "waiting\n"
    time.sleep(0.5)
    return process


@pytest.mark.parametrize(("begun", "stops", "code"), [("starting", 1, 0), ("begun", 1, 1), ("begun", 2, 128 + 15)])
def test_a_process_that_hangs_in_the_engine_ends_when_told(begun: str, stops: int, code: int) -> None:
    process = engine_alone(0.5 if stops == 1 else 60, begun)

    for _ in range(stops):
        process.terminate()
        time.sleep(0.1)

    assert process.wait(timeout=10) == code
    process.communicate()


BOUNDED = """
import dataflows.child as child
child._LOOK_SECONDS = 3600
with child.kept_in_bounds(60, lambda: True):
    pass
print("done")
"""


def test_a_run_that_is_over_does_not_wait_for_the_next_look_at_its_supervisor() -> None:
    done = subprocess.run([sys.executable, "-c", BOUNDED], capture_output=True, text=True, check=True, timeout=60)

    assert done.stdout == "done\n"


def test_pauses_grow_and_begin_anew_after_a_quiet_time() -> None:
    settings = msgspec.structs.replace(SETTINGS, restarts=100, restart_window=Duration(60_000))
    pauses = Pauses(settings)

    grown = [pauses.next(now) for now in (0.0, 1.0, 2.0, 3.0)]

    assert grown == [0.02, 0.04, 0.08, 0.08]
    assert pauses.next(64.0) == 0.02


def test_restarts_are_counted_within_a_window_that_moves() -> None:
    pauses = Pauses(msgspec.structs.replace(SETTINGS, restarts=2, restart_window=Duration(10_000)))

    assert [pauses.next(now) is not None for now in (0.0, 6.0, 9.0, 10.5, 11.0, 16.5)] == [
        True, True, False, True, False, True,
    ]  # fmt: skip


def test_no_restart_at_all_can_be_asked_for() -> None:
    assert Pauses(msgspec.structs.replace(SETTINGS, restarts=0)).next(0.0) is None


def test_what_a_process_leaves_can_be_read_by_others() -> None:
    # The fake processes above write by hand what real ones write.
    left = json.loads(msgspec.json.encode(Failure("Fake", "text", "", 1)))
    assert set(left) == {"kind", "text", "trace", "at", "lasting", "of_peer"}
