"""Each program measures, compares what it measured, fails where answers differ; how long it took is not judged."""

import shutil
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import msgspec
import pytest

from benchmarks import __main__ as bench
from benchmarks import cold, crowd, recovery, skew, steady, suite, whole, windows
from benchmarks.answers import WrongAnswerError
from benchmarks.crowd_run import Steady, Stretch
from benchmarks.figures import FOUR_DETECTORS, Cost, four_detectors
from benchmarks.lines import Line, findings, line_of, now, read
from benchmarks.open_orders import OpenOrders
from benchmarks.program import run_program
from benchmarks.runs import as_toml, flow_cost
from benchmarks.shapes import EVEN, cached_shape
from benchmarks.workload import Workload, WorkloadPlan, cached_workload
from config.loader import load_settings


def silent(_: str) -> None:
    """Progress that nobody wants."""


@pytest.fixture(autouse=True)
def own_temporary_directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "tmp").mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "tmp"))
    monkeypatch.setenv("TMPDIR", str(tmp_path / "tmp"))  # for the processes that are started


@pytest.mark.parametrize("error", [WrongAnswerError("they differ"), RuntimeError("too few")])
def test_a_program_whose_runs_disagree_ends_with_1_and_writes_nothing(error: Exception, tmp_path: Path) -> None:
    def measure(_: object) -> tuple[list[Line], None]:
        raise error

    assert run_program("whole", "the whole flow", tmp_path / "found.json", measure) == 1
    assert not (tmp_path / "found.json").exists()


def test_overrides_as_a_file_are_the_same_settings(tmp_path: Path) -> None:
    (tmp_path / "config.toml").write_text(as_toml(FOUR_DETECTORS) + "\n", encoding="utf-8")

    assert load_settings(tmp_path / "config.toml") == four_detectors()


@pytest.mark.slow
def test_the_whole_flow_is_measured_in_one_and_in_two_processes() -> None:
    found, detail = whole.measured(4_000, 1, 1, silent)

    assert {line.name.split(",")[0] for line in found} >= {"flow", "plain loop", "peak RSS"}
    assert _named(found, "flow, 2 processes : 1 process, events/s, 4k").value > 0
    assert [set(costs) for costs in detail["rounds"]] == [
        {"read_events", "plain_loop", "replay", "1 process", "2 processes"}
    ]


@pytest.mark.slow
def test_a_shape_is_measured_against_the_even_load(tmp_path: Path) -> None:
    shapes = {name: cached_shape(name, 4_000, 1, tmp_path) for name in (EVEN, "hot_customer")}

    found, _ = skew.measured(shapes, 1, silent)

    assert [line.target for line in found] == [None, 0.8, 0.8, None]


def _other_alerts(costs: Callable[..., Cost]) -> Callable[..., Cost]:
    """What is measured, but the last alert is lost."""

    def run(events: Path, output: Path, *more: Any) -> Cost:
        cost = costs(events, output, *more)
        alerts = next(output.glob("alerts*.ndjson"))
        alerts.write_bytes(b"".join(alerts.read_bytes().splitlines(keepends=True)[:-1]))
        return cost

    return run


def _in_one_process(events: Path, output: Path, config: Path, processes: int, expected: int) -> Cost:
    """Stands for the command: a copy of what the plain loop gave, which stands beside it."""
    plain = next(path for path in output.parent.iterdir() if path.name in {"plain_loop", "0"})
    shutil.copytree(plain, output)
    assert config.exists()
    assert events.exists()
    return Cost(expected, 1 / processes, 1, 1)


@pytest.mark.parametrize(
    ("program", "run"),
    [(whole, whole.one_round), (skew, lambda workload, _: skew.measured({EVEN: workload}, 1, silent))],
)
def test_an_alert_that_is_lost_fails_the_run(
    program: ModuleType, run: Callable[[Workload, Path], object], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    workload = cached_workload(WorkloadPlan(4_000), tmp_path)
    (tmp_path / "scratch").mkdir()
    monkeypatch.setattr(program, "flow_cost", _other_alerts(_in_one_process))

    with pytest.raises(WrongAnswerError):
        run(workload, tmp_path / "scratch")


def test_a_command_that_reads_too_little_fails_the_run(tmp_path: Path) -> None:
    workload = cached_workload(WorkloadPlan(500), tmp_path)
    (tmp_path / "config.toml").write_text("", encoding="utf-8")

    with pytest.raises(RuntimeError, match="500 of 501"):
        flow_cost(Path(workload.directory), tmp_path / "out", tmp_path / "config.toml", 1, 501)


@pytest.mark.slow
def test_open_orders_are_measured_beside_fewer(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(crowd, "_ALERT_EVERY", 50)

    found, _ = crowd.measured([100, 400], 21_000, 2, silent)

    assert [(line.name, len(line.rounds)) for line in found] == [
        ("events/s at 400 open orders : at 100", 2),
        ("CPU per event at 400 open orders : at 100", 2),
        ("flow : plain loop, events/s at 100 open orders", 2),
        ("flow : plain loop, events/s at 400 open orders", 2),
        ("plain loop, events/s at 400 open orders : at 100", 2),
        ("RSS per open order, 400", 1),
        ("plain loop, RSS per open order, 400", 1),
    ]


@pytest.mark.slow
def test_memory_of_orders_of_many_days_is_measured(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(crowd, "_DAY_MS", 400_000)

    assert crowd.spread(100, 400, 20_000, silent).name == "RSS per open order, 400, created over 12 days"


@pytest.mark.slow
def test_snapshots_are_measured_and_a_killed_run_goes_on() -> None:
    shop = OpenOrders(200, 60_000, alert_every=50)

    found, detail = recovery.measured(shop, 1, silent)

    assert len(found) == 5
    assert _named(found, "start after kill -9 to the first record read, 200 open orders").value > 0
    assert detail["rounds"][0].again.events > 0


def test_a_crowd_that_is_alerted_otherwise_fails_the_run(monkeypatch: pytest.MonkeyPatch) -> None:
    def child(runner: str, plan: OpenOrders, rounds: int, output: Path) -> Steady:
        output.mkdir()
        line = {"rule": "resonance", "step": "opened", "entity_id": runner, "time": 1, "level": "orange"}
        (output / "alerts.ndjson").write_bytes(msgspec.json.encode(line) + b"\n")
        return Steady([Stretch(plan.touches, 1, 1)] * rounds, 1)

    monkeypatch.setattr(crowd, "_child", child)

    with pytest.raises(WrongAnswerError):
        crowd.measured([10, 20], 100, 1, silent)


def test_growth_is_the_slope_of_a_line_through_the_peaks() -> None:
    assert steady.slope([5, 5, 5, 5]) == 0
    assert steady.slope([1, 3, 5, 7]) == pytest.approx(2)
    assert steady.slope([10, 12, 9, 11, 10]) == pytest.approx(-0.1)


@pytest.mark.slow
def test_a_steady_load_is_measured_on_its_plateau(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(steady, "kept_at_hand", lambda: 100)
    once = cached_workload(WorkloadPlan(2_000, cases=0.6, whole=True), tmp_path)

    found, detail = steady.measured(once, "40k", 1, silent)

    assert [line.name for line in found] == ["growth of RSS per million events, 40k", "RSS on the plateau, 40k"]
    assert 2 <= detail["plateau_from_copy"] <= steady.COPIES - 5
    assert found[1].value > 10


def test_a_load_that_is_too_short_for_a_plateau_is_refused(tmp_path: Path) -> None:
    once = cached_workload(WorkloadPlan(500, cases=0.6, whole=True), tmp_path)

    with pytest.raises(RuntimeError, match="no plateau"):
        steady.measured(once, "10k", 1, silent)


@pytest.mark.slow
def test_the_first_alert_of_a_cold_start_is_waited_for(tmp_path: Path) -> None:
    cold.write_burst(tmp_path / "events")

    assert cold.first_alert(tmp_path / "events", tmp_path / "out", 1) > 0


@pytest.mark.slow
def test_a_cold_start_without_its_alert_fails_the_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cold, "_ORDERS", 3)
    cold.write_burst(tmp_path / "events")

    with pytest.raises(WrongAnswerError, match="nothing"):
        cold.first_alert(tmp_path / "events", tmp_path / "out", 1)


def test_the_windows_of_the_engine_hold_what_a_dict_holds(tmp_path: Path) -> None:
    directory = Path(cached_workload(WorkloadPlan(1_000), tmp_path).directory)

    found = {name: way(windows.behaviour(directory)) for name, way in windows.WAYS.items()}

    assert sum(found["dict"].values()) > 400
    assert found["count_window"] == found["collect_window"] == found["dict"]


def test_windows_that_differ_fail_the_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    checks = iter(range(9))
    monkeypatch.setattr(windows, "_child", lambda *_: windows.Counted(Cost(1, 1, 1, 1), 1, next(checks)))

    with pytest.raises(WrongAnswerError, match="differ"):
        windows.measured(cached_workload(WorkloadPlan(500), tmp_path), 1, silent)


def test_a_part_that_fails_leaves_its_lines_out_and_fails_the_whole(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def ran(part: suite.Part) -> suite.Ran:
        lines = [line_of("flow : plain loop", [1, 2, 3], target=1)]
        return suite.Ran(part, 1.0, findings(part.program, now(), lines) if part.program == "whole" else None)

    monkeypatch.setattr(suite, "_ran", ran)
    monkeypatch.setattr(bench, "BASELINE", tmp_path / "baseline.json")

    assert bench.main(["--only", "whole", "--output", str(tmp_path / "out"), "--save-baseline"]) == 0
    assert bench.main(["--only", "whole", "cold", "--output", str(tmp_path / "failed"), "--save-baseline"]) == 1

    told = capsys.readouterr()
    assert "cold failed" in told.err
    assert "met" in told.out
    (written,) = (tmp_path / "out").iterdir()
    assert [line.name for line in read(written).lines] == ["flow : plain loop"]
    assert read(written).machine.commit
    assert read(tmp_path / "baseline.json").detail is None


def test_a_part_runs_as_a_program_of_its_own() -> None:
    (refused,) = suite.run_parts([suite.Part("cold", ("--rounds", "0"))], silent)

    assert refused.found is None
    assert suite.joined([refused]).lines == []


def test_every_part_of_the_suite_is_a_program() -> None:
    for part in suite.LONG:
        assert (Path(suite.__file__).parent / f"{part.program}.py").is_file()


def _named(lines: list[Line], name: str) -> Line:
    return next(line for line in lines if line.name == name)
