"""The benchmark compares like with like, and says what was measured where; how long anything took is not judged."""

import sys
from collections import Counter
from pathlib import Path

import msgspec
import pytest

from benchmarks.answers import Answer, WrongAnswerError, answers, require_equal
from benchmarks.costs import lines
from benchmarks.figures import ALERTS, FIGURES
from benchmarks.measure import measure
from benchmarks.runs import spent
from benchmarks.workload import WorkloadPlan, cached_workload
from events.model import AnyEvent

PLAN = WorkloadPlan(2_000, seed=3, cases=0.6)


@pytest.mark.slow
def test_one_round_over_a_small_trade_gives_a_whole_report(tmp_path: Path) -> None:
    workload = cached_workload(PLAN, tmp_path)
    told: list[str] = []

    report = measure(PLAN, workload, 1, told.append)

    assert list(report.figures) == list(FIGURES)
    assert len(told) == len(FIGURES)
    for result in report.figures.values():
        assert [cost.events for cost in result.rounds] == [PLAN.events]
        assert min(result.events_per_s, result.cpu_us_per_event, result.peak_rss_mb, result.cpu_ratio) > 0
    assert report.figures["flow"].alert_steps == report.figures["plain_loop"].alert_steps
    assert report.machine.cores > 0
    assert report.machine.commit
    assert set(report.machine.libraries) >= {"bytewax", "msgspec"}
    found = lines(report)
    assert len(found) == 2 * (len(FIGURES) - 1)
    assert all(len(line.rounds) == 1 and line.value > 0 for line in found)


def test_the_plain_loop_and_the_flow_give_the_same_alerts_of_all_four_rules(tmp_path: Path) -> None:
    events = Path(cached_workload(WorkloadPlan(12_000, seed=5, cases=0.6), tmp_path).directory)
    for name in ("plain_loop", "flow"):
        (tmp_path / name).mkdir()
        FIGURES[name].run(events, tmp_path / name)

    plain, flow = (answers(tmp_path / name / ALERTS) for name in ("plain_loop", "flow"))

    require_equal("plain_loop", plain, "flow", flow)
    assert {answer[0] for answer in plain} == {"stage_timeout", "card_burst", "merge_candidate", "resonance"}
    assert {answer[1] for answer in plain} == {"opened", "updated", "resolved"}


def test_a_workload_stands_in_time_order_and_no_two_events_share_a_millisecond(tmp_path: Path) -> None:
    workload = cached_workload(PLAN, tmp_path)

    partitions = [path.read_bytes().splitlines() for path in Path(workload.directory).iterdir()]

    times = [[msgspec.json.decode(line, type=AnyEvent).time for line in lines] for lines in partitions]
    assert all(partition == sorted(partition) for partition in times)
    every = [time for partition in times for time in partition]
    assert len(every) == len(set(every)) == workload.events == PLAN.events
    assert 0.5 < workload.behaviour / workload.events < 0.7


def test_the_same_plan_is_made_once_and_another_seed_is_another_trade(tmp_path: Path) -> None:
    first = cached_workload(PLAN, tmp_path)
    (Path(first.directory) / "touched").touch()

    again, other = cached_workload(PLAN, tmp_path), cached_workload(msgspec.structs.replace(PLAN, seed=4), tmp_path)

    assert again == first
    assert (Path(again.directory) / "touched").exists()
    assert other.directory != first.directory


ALERT: Answer = ("card_burst", "opened", "h:1", 1_000, "burst")


@pytest.mark.parametrize(
    ("one", "other", "said"),
    [
        ({ALERT: 1}, {}, "only loop (1)"),
        ({ALERT: 1}, {ALERT: 2}, "only flow (1)"),
        ({}, {}, "no alert"),
    ],
)
def test_a_wrong_answer_is_refused(one: dict[Answer, int], other: dict[Answer, int], said: str) -> None:
    with pytest.raises(WrongAnswerError) as refused:
        require_equal("loop", Counter(one), "flow", Counter(other))

    assert said in str(refused.value)


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="elsewhere the peak of a process is not its own")
def test_the_peak_of_a_command_is_not_that_of_who_starts_it() -> None:
    large = bytearray(400 << 20)
    assert large[::4096].count(0) > 0
    told = 'import time; time.sleep(1); print(\'{"events": 3, "seconds": 0.5}\')'
    took = spent([sys.executable, "-c", told])
    assert (took.events, took.flow_s) == (3, 0.5)
    assert 1 < took.peak_rss_mb < 200
