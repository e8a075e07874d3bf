"""The flow under Bytewax, from files to files, gives what the in-memory driver gives on the same files."""

import tempfile
from collections import Counter, defaultdict
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import settings as hypothesis_settings

from config.loader import load_settings
from dataflows.environment import environment_of
from dataflows.memory import MemoryDriver
from dataflows.run import RunPlan, execute
from dataflows.summary import Summary
from events.records import AlertRecord, OrderSnapshot, Record
from events.topics import OUTPUTS
from operators.topology import topology
from sinks.encoding import ENCODER
from sinks.metrics import Metrics
from sources.files import FileInput
from sources.simulator import SimulationPlan, write
from tests.flow.test_properties import LOGS, by_entity
from tests.operators.timeline import at, event, of_kind, say
from tests.oracle.generate import Log
from tests.oracle.lateness import applied
from tests.support.flow import line

SETTINGS = load_settings()
FILES = {output.record: output.file for output in OUTPUTS}
FEW = hypothesis_settings(max_examples=6)  # Bytewax takes its time to begin and to end


def written(logs: Mapping[str, Log], directory: Path) -> Path:
    """The logs as files."""
    directory.mkdir()
    for name, log in logs.items():
        (directory / f"order-{name}.ndjson").write_bytes(b"".join(line(event) + b"\n" for event, _ in log))
    return directory


def in_memory(directory: Path, until: int | None = None) -> list[Record]:
    """All records of the in-memory driver over the files, read as the flow reads them."""
    reader = FileInput([directory]).open()
    flow = MemoryDriver(topology(environment_of(SETTINGS, read_model=False)), reader.partitions, until=until)
    records: list[Record] = []
    while not reader.finished:
        records += flow.feed(*reader.read(flow.intake.router.slowest()))
    return records


def lines_of(output: Path) -> dict[str, list[bytes]]:
    """The lines of each output file, in their order."""
    return {path.name: path.read_bytes().splitlines() for path in sorted(output.iterdir())}


def assert_files_hold(output: Path, records: list[Record]) -> None:
    """Exactly these records, and those of each entity in their order."""
    expected: dict[str, list[bytes]] = {file: [] for file in FILES.values()}
    for record in records:
        if not isinstance(record, OrderSnapshot):
            expected[FILES[type(record)]].append(ENCODER.encode(record))
    found = lines_of(output)
    assert {name: Counter(lines) for name, lines in found.items()} == {
        name: Counter(lines) for name, lines in expected.items()
    }
    decoded: list[Any] = [msgspec.json.decode(text, type=kind) for kind, file in FILES.items() for text in found[file]]
    assert by_entity(decoded) == by_entity(records)


def run_over(directory: Path, output: Path, metrics: Metrics | None = None, until: int | None = None) -> Summary:
    plan = RunPlan(SETTINGS, [directory], output=output, serve=False, until=until)
    return execute(plan, metrics=metrics)


@FEW
@given(LOGS)
def test_both_drivers_give_the_same_records_and_lose_none(logs: Mapping[str, Log]) -> None:
    with tempfile.TemporaryDirectory() as name:
        events, output = written(logs, Path(name) / "events"), Path(name) / "out"
        metrics = Metrics()
        summary = run_over(events, output, metrics)
        assert_files_hold(output, in_memory(events))

        without_arrivals = {name: [(event, None) for event, _ in log] for name, log in logs.items()}
        unique, dead, _ = applied(without_arrivals, SETTINGS.time)
        assert summary.events == sum(map(len, logs.values()))
        assert summary.duplicates == summary.events - len(unique) - len(dead)
        assert _applied(metrics) == len(unique)


def _applied(metrics: Metrics) -> int:
    samples = metrics.render().decode().splitlines()
    return round(
        sum(float(text.split()[-1]) for text in samples if text.startswith("orderpulse_events_applied_total{"))
    )


@pytest.fixture(scope="module")
def simulated(tmp_path_factory: pytest.TempPathFactory) -> Path:
    directory = tmp_path_factory.mktemp("simulated")
    plan = SimulationPlan(orders=400, seed=5, duplicates=0.05, late=0.05, bad=0.02)
    write(plan, SETTINGS, directory)
    return directory / "events"


def test_a_simulated_trade_gives_the_same_under_both_drivers(simulated: Path, tmp_path: Path) -> None:
    summary = run_over(simulated, tmp_path / "out")
    records = in_memory(simulated)
    assert_files_hold(tmp_path / "out", records)
    assert min(map(len, lines_of(tmp_path / "out").values())) > 0, "a trade with every kind of output"
    assert summary.late > 0
    assert summary.duplicates > 0


def test_until_lets_time_go_on_under_both_drivers(tmp_path: Path) -> None:
    open_order = event("10:00 created")
    events = written({"0": [(open_order, None)]}, tmp_path / "events")
    plain = run_over(events, tmp_path / "plain")
    assert plain.watermark == open_order.time
    assert lines_of(tmp_path / "plain")["alerts.ndjson"] == []

    until = at("12:00")
    assert run_over(events, tmp_path / "longer", until=until).watermark == until
    records = in_memory(events, until)
    assert_files_hold(tmp_path / "longer", records)
    assert [say(step) for step in of_kind(AlertRecord, records)] == ["10:05 opened breach", "12:00 opened no_progress"]


def test_two_runs_over_the_same_files_write_the_same_bytes(simulated: Path, tmp_path: Path) -> None:
    run_over(simulated, tmp_path / "one")
    run_over(simulated, tmp_path / "two")
    assert lines_of(tmp_path / "one") == lines_of(tmp_path / "two")


def test_one_file_or_many_make_no_difference_to_what_comes_out(tmp_path: Path) -> None:
    outputs = []
    for partitions in (1, 3):
        plan = SimulationPlan(orders=200, seed=6, partitions=partitions)
        write(plan, SETTINGS, tmp_path / str(partitions))
        run_over(tmp_path / str(partitions) / "events", tmp_path / f"out-{partitions}")
        found: dict[str, Counter[bytes]] = defaultdict(Counter)
        for name, lines in lines_of(tmp_path / f"out-{partitions}").items():
            found[name].update(lines)
        outputs.append(found)
    assert outputs[0] == outputs[1]
