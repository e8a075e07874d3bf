"""Fault runs can be done again: the same seed gives the same workload and the same kills."""

from typing import get_args

import pytest

from config.loader import load_settings
from tests.faults.kills import When, Whom, kill_plan
from tests.faults.trial import MOST_PROCESSES
from tests.faults.workload import KINDS, Workload, trade

SETTINGS = load_settings()


@pytest.fixture(scope="module")
def workload() -> Workload:
    return trade(200, 7, SETTINGS, poison=50)


def test_a_seed_gives_the_same_kills_again() -> None:
    assert kill_plan(5) == kill_plan(5)
    assert kill_plan(5) != kill_plan(6)


def test_a_hundred_seeds_kill_everybody_at_every_moment_and_rescale_in_every_way() -> None:
    plans = [kill_plan(seed) for seed in range(1, 101)]
    kills = [kill for plan in plans for kill in plan.kills]
    assert {kill.when for kill in kills} == set(get_args(When))
    assert {kill.whom for kill in kills} == set(get_args(Whom))
    rescaled = {(plan.processes, kill.processes) for plan in plans for kill in plan.kills}
    counts = range(1, MOST_PROCESSES + 1)
    assert rescaled == {(before, after) for before in counts for after in counts}


def test_a_seed_gives_the_same_workload_again(workload: Workload) -> None:
    assert trade(200, 7, SETTINGS, poison=50) == workload
    assert trade(200, 8, SETTINGS, poison=50) != workload


def test_every_partition_has_records_and_its_stamps_never_go_back(workload: Workload) -> None:
    assert set(workload.logs()) == {(kind, part) for kind in KINDS for part in range(workload.partitions)}
    assert min(map(len, workload.logs().values())) > 50
    stamps = [entry.stamp for entry in workload.entries]
    assert stamps == sorted(stamps)
