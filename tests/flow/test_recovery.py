"""Killed, stopped, started again with another number of processes: the files end as if nothing had happened."""

import shutil
import signal
import sqlite3
import sys
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from random import Random
from typing import Any

import msgspec
import pytest

from config.loader import load_settings
from console.compare import compare_runs
from dataflows import worker
from dataflows.fleet import Ending, Fleet
from dataflows.run import RunPlan, execute, goes_on, prepare_outputs
from dataflows.store import is_new
from dataflows.store_errors import StoreError
from dataflows.store_lock import hold
from sources.simulator import SimulationPlan, write
from tests.flow.paced_run import PacedPlan

ORDERS = 120
OFTEN: dict[str, Any] = {"recovery": {"interval": "30ms"}}
NEVER: dict[str, Any] = {"recovery": {"interval": "10m"}}
END_SECONDS = 60.0
SLOW = 0.02  # seconds per read
Ground = tuple[Path, Path]  # the events, and what an undisturbed run makes of them


@pytest.fixture(scope="module")
def ground(tmp_path_factory: pytest.TempPathFactory) -> Ground:
    directory = tmp_path_factory.mktemp("ground")
    settings = load_settings()
    plan = SimulationPlan(ORDERS, 11, duplicates=0.03, late=0.03, bad=0.02, behaviour=0.2, partitions=2)
    write(plan, settings, directory / "trade")
    execute(RunPlan(settings, [directory / "trade" / "events"], output=directory / "undisturbed", serve=False))
    return directory / "trade" / "events", directory / "undisturbed"


class Trial:
    """Runs over one input into one directory with one store, again and again."""

    def __init__(self, directory: Path, events: Path, **more: Any) -> None:
        self.directory = directory
        self.output, self.store = directory / "out", directory / "store"
        plan = PacedPlan(str(events), str(self.output), str(self.store), OFTEN)
        self.plan = msgspec.structs.replace(plan, **more)
        self.read = 0
        self._mark = directory / "reading"

    def run(
        self, processes: int = 1, *, stop: signal.Signals | None = None, after: float = 0.0, begun: bool = True
    ) -> list[Ending]:
        """Start; ``stop``: send all a signal after so many seconds, counted from when the first ones read.

        ``begun`` false: counted from the start. Returns how each ended.
        """
        lock = hold(self.store)
        try:
            prepare_outputs(self.plan.plan(), going_on=goes_on(self.store, is_new=is_new(self.store)))
            self._mark.unlink(missing_ok=True)
            fleet = Fleet(processes, self._command, self.directory, lock.descriptor)
            if stop is not None:
                waited_for(lambda: not begun or self._mark.exists() or over(fleet))
                if not waited_for(lambda: over(fleet), after):
                    fleet.send(stop)
            waited_for(lambda: over(fleet))
            self.read = sum(events_read(member.output()) for member in fleet.members)
            return fleet.kill()
        finally:
            lock.release()

    def _command(self, number: int, addresses: tuple[str, ...]) -> list[str]:
        plan = msgspec.structs.replace(self.plan, mark=str(self._mark))
        if len(addresses) > 1:
            plan = msgspec.structs.replace(plan, process_id=number, addresses=addresses)
        return [sys.executable, "-m", "tests.flow.paced_run", msgspec.json.encode(plan).decode()]

    def lines(self) -> list[tuple[str, bytes]]:
        """All that stands in the output directory."""
        return sorted((path.name, path.read_bytes()) for path in self.output.glob("*.ndjson"))


def events_read(output: bytes) -> int:
    """What a process says at its end; what Bytewax says of its connections stands before it."""
    last = output.splitlines()[-1:]
    return int(last[0]) if last and last[0].isdigit() else 0


def over(fleet: Fleet) -> bool:
    return fleet.ended() or fleet.failed()


def waited_for(happened: Callable[[], bool], within: float = END_SECONDS) -> bool:
    """Whether it happened in so many seconds."""
    deadline = time.monotonic() + within
    while not happened() and time.monotonic() < deadline:
        time.sleep(0.005)
    return happened()


def assert_fine(endings: Iterable[Ending]) -> None:
    assert [(ending.code, ending.failure) for ending in endings if ending.code != 0] == []


def assert_equal(found: Path, expected: Path) -> None:
    differing = [report for report in compare_runs(expected, found) if not report.equal]
    assert differing == []


@pytest.mark.parametrize("seed", range(3))
def test_killed_at_random_moments_and_started_with_other_numbers_of_processes(
    seed: int, ground: Ground, tmp_path: Path
) -> None:
    events, expected = ground
    chance = Random(seed)
    trial = Trial(tmp_path, events, pause=SLOW)
    for _ in range(3):
        begun = chance.random() < 0.8
        trial.run(chance.choice((1, 2, 3)), stop=signal.SIGKILL, after=chance.uniform(0.0, 1.0), begun=begun)
    assert_fine(trial.run(chance.choice((1, 2, 3))))
    assert_equal(trial.output, expected)


def test_a_run_that_is_killed_before_its_first_snapshot_writes_nothing_twice(ground: Ground, tmp_path: Path) -> None:
    events, expected = ground
    trial = Trial(tmp_path, events, pause=SLOW, settings=NEVER)
    trial.run(2, stop=signal.SIGKILL, after=0.8)
    trial.run(1, stop=signal.SIGKILL, after=0.8)
    assert_fine(trial.run(2))
    assert_equal(trial.output, expected)


@pytest.mark.parametrize("processes", [(2, 1), (1, 3)])
def test_a_run_that_was_stopped_in_order_goes_on_where_it_stopped(
    processes: tuple[int, int], ground: Ground, tmp_path: Path
) -> None:
    events, expected = ground
    trial = Trial(tmp_path, events, pause=SLOW)
    assert_fine(trial.run(processes[0], stop=signal.SIGTERM, after=0.4))
    read_first = trial.read
    assert_fine(trial.run(processes[1]))
    assert_equal(trial.output, expected)
    assert read_first + trial.read == sum(len(path.read_bytes().splitlines()) for path in events.iterdir())
    assert min(read_first, trial.read) > 0


@pytest.mark.parametrize("processes", [1, 2])
def test_a_run_over_what_was_read_to_its_end_reads_and_writes_nothing(
    processes: int, ground: Ground, tmp_path: Path
) -> None:
    events, expected = ground
    trial = Trial(tmp_path, events)
    assert_fine(trial.run())
    assert_equal(trial.output, expected)
    before = [entry for entry in trial.lines() if entry[1]]
    for _ in range(2):
        assert_fine(trial.run(processes))
        assert trial.read == 0
        assert [entry for entry in trial.lines() if entry[1]] == before


@pytest.mark.parametrize("processes", [(1, 1), (2, 3)])
def test_files_that_have_grown_are_read_on(processes: tuple[int, int], ground: Ground, tmp_path: Path) -> None:
    whole, growing, expected = tmp_path / "whole", tmp_path / "growing", tmp_path / "expected"
    moment = in_order_of_time(ground[0], whole)
    execute(RunPlan(load_settings(), [whole], output=expected, serve=False))
    growing.mkdir()
    for path in whole.iterdir():
        lines = path.read_bytes().splitlines(keepends=True)
        (growing / path.name).write_bytes(b"".join(line for line in lines if time_of(line) < moment))
    trial = Trial(tmp_path, growing)
    assert_fine(trial.run(processes[0]))
    read_first = trial.read
    for path in whole.iterdir():
        shutil.copy(path, growing)
    assert_fine(trial.run(processes[1]))
    assert_equal(trial.output, expected)
    assert min(read_first, trial.read) > 100


def in_order_of_time(events: Path, into: Path) -> int:
    """The same events, each file by time and without those that have none; a moment amid them."""
    into.mkdir()
    moments: list[int] = []
    for path in events.iterdir():
        lines = sorted((line for line in path.read_bytes().splitlines(keepends=True) if time_of(line)), key=time_of)
        moments += map(time_of, lines)
        (into / path.name).write_bytes(b"".join(lines))
    return sorted(moments)[len(moments) // 2]


def time_of(line: bytes) -> int:
    """The event time of a line; 0 where there is none."""
    try:
        return int(msgspec.json.decode(line)["time"])
    except (msgspec.DecodeError, KeyError, TypeError, ValueError, UnicodeDecodeError):
        return 0


def test_files_that_have_grown_are_refused_when_one_of_them_is_missing(ground: Ground, tmp_path: Path) -> None:
    events, _ = ground
    trial = Trial(tmp_path, events)
    assert_fine(trial.run())
    fewer = tmp_path / "fewer"
    fewer.mkdir()
    for path in sorted(events.iterdir())[1:]:
        shutil.copy(path, fewer)
    with pytest.raises(StoreError, match="knows input that this run does not have"):
        execute(msgspec.structs.replace(trial.plan, input=str(fewer)).plan())


@pytest.mark.parametrize(
    ("settings", "reason"),
    [
        ({"key_groups": 32}, "was made with 64 key groups, this run has 32"),
        ({"detectors": {"no_progress": {"enabled": False}}}, "no_progress of stage orders is missing in this run"),
    ],
)
def test_a_store_of_other_settings_is_refused_and_the_outputs_stay_as_they_are(
    settings: dict[str, Any], reason: str, ground: Ground, tmp_path: Path
) -> None:
    trial = Trial(tmp_path, ground[0], pause=SLOW)
    trial.run(stop=signal.SIGTERM, after=0.4)
    before = trial.lines()
    with pytest.raises(StoreError, match=reason):
        execute(msgspec.structs.replace(trial.plan, settings={**OFTEN, **settings}).plan())
    assert trial.lines() == before
    assert_fine(trial.run())
    assert_equal(trial.output, ground[1])


def test_a_file_that_has_lost_what_was_written_last_is_refused_instead_of_being_waited_for(
    ground: Ground, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    trial = Trial(tmp_path, ground[0], pause=SLOW)
    trial.run(stop=signal.SIGKILL, after=0.6)
    before = trial.lines()
    with sqlite3.connect(trial.store / "part-1.sqlite3") as file:
        file.execute("DELETE FROM snaps WHERE step_id != 'orderpulse.source'")
    monkeypatch.setattr(worker, "_PATIENCE", 1.0)
    with pytest.raises(StoreError, match=r"parts of the state are missing \(.+\)") as refused:
        execute(trial.plan.plan())
    assert refused.value.where == str(trial.store)
    assert trial.lines() == before
