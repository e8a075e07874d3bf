"""Kills at seeded moments: a plan that a seed makes, and what carries it out."""

import time
from pathlib import Path
from random import Random
from typing import Literal, get_args

from msgspec import Struct

from tests.faults.trial import MOST_PROCESSES, READY_SECONDS, Trial, Verdict

When = Literal["while it starts", "while it works", "while it writes a snapshot", "after the last event"]
Whom = Literal["one process", "all processes", "the supervisor"]

START_SECONDS = 3.0  # from the command to the first records, about: longer with many processes on few cores
_WORK_SECONDS = 3.0
_WRITE_SECONDS = 0.02
_END_SECONDS = 1.0
_SNAPSHOT_SECONDS = 5.0
_POLL = 0.001


class Kill(Struct, frozen=True):
    """``after``: seconds from the moment that ``when`` names. With how many ``processes`` the flow then starts."""

    when: When
    after: float
    whom: Whom
    lot: int
    processes: int


class KillPlan(Struct, frozen=True):
    """With how many processes a run begins, and its kills in their order."""

    processes: int
    kills: tuple[Kill, ...]

    def __str__(self) -> str:
        kills = ", then ".join(
            f"{kill.whom} {kill.when} (+{kill.after:.2f} s) and {kill.processes}" for kill in self.kills
        )
        return f"{self.processes} processes; killed: {kills}"


def kill_plan(seed: int, *, whom: Whom | None = None) -> KillPlan:
    """One to three kills, of anybody unless told; the same seed gives the same plan."""
    rng = Random(seed)
    anybody: tuple[Whom, ...] = get_args(Whom)
    kills = [_kill(rng, rng.choice(anybody) if whom is None else whom) for _ in range(rng.randint(1, 3))]
    kills.sort(key=lambda kill: kill.when == "after the last event")
    return KillPlan(rng.randint(1, MOST_PROCESSES), tuple(kills))


def _kill(rng: Random, whom: Whom) -> Kill:
    when: When = rng.choice(get_args(When))
    earliest, latest = {
        "while it starts": (0.0, START_SECONDS),
        "while it works": (0.0, _WORK_SECONDS),
        "while it writes a snapshot": (0.0, _WRITE_SECONDS),
        "after the last event": (0.0, _END_SECONDS),
    }[when]
    return Kill(
        when, rng.uniform(earliest, latest), whom, rng.randrange(MOST_PROCESSES), rng.randint(1, MOST_PROCESSES)
    )


def run_kills(trial: Trial, plan: KillPlan, feed_seconds: float) -> Verdict:
    """Feeds, kills and starts again as planned, then compares."""
    trial.say(str(plan))
    trial.feed(feed_seconds)
    trial.start(plan.processes)
    for kill in plan.kills:
        _await(trial, kill)
        trial.kill(_victims(trial, kill))
        if not trial.flow.running:
            trial.start(kill.processes)
    return trial.finish()


def _await(trial: Trial, kill: Kill) -> None:
    match kill.when:
        case "while it works":
            trial.wait_until(trial.ready, READY_SECONDS)
        case "while it writes a snapshot":
            await_write(trial.installation.recovery, _SNAPSHOT_SECONDS)
        case "after the last event":
            trial.await_fed()
        case "while it starts":
            pass  # it has just been started
    time.sleep(kill.after)


def _victims(trial: Trial, kill: Kill) -> list[int]:
    if kill.whom == "the supervisor":
        return trial.flow.supervisor()
    if kill.whom == "all processes":
        return trial.flow.members()
    workers = trial.flow.workers()
    return [workers[kill.lot % len(workers)]] if workers else []


def await_write(store: Path, seconds: float) -> bool:
    """Waits for the next change of the recovery store's files; False when there was none within that time."""
    before, deadline = _files(store), time.monotonic() + seconds
    while time.monotonic() < deadline:
        if _files(store) != before:
            return True
        time.sleep(_POLL)
    return False


def _files(store: Path) -> list[tuple[str, int, int]]:
    found = []
    for path in sorted(store.glob("**/*")):
        try:
            facts = path.stat()
        except FileNotFoundError:  # a journal that is gone already
            continue
        found.append((path.name, facts.st_size, facts.st_mtime_ns))
    return found
