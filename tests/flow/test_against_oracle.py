"""The flow gives the alerts and holds that the events ask for: equal to the oracle, step by step."""

import os
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path

import pytest
from hypothesis import given

from config.loader import load_settings
from config.settings import Settings
from dataflows.environment import environment_of
from dataflows.memory import MemoryDriver
from dataflows.run import RunPlan, open_input
from events.records import HoldRecord, Record
from operators.topology import topology
from sources.clock import SteadyClock
from sources.mapping.convert import convert
from sources.mapping.loading import load_profile
from sources.simulation.plan import SimulationPlan
from sources.simulator import write
from tests.oracle import AppliedEvent, ExpectedHold, ExpectedStep, expected_alerts, expected_holds
from tests.oracle.generate import logs, sharing_ids
from tests.oracle.lateness import applied
from tests.support.flow import NAMING, Log, holds, run, steps

SETTINGS = load_settings()
REMINDING = load_settings(
    overrides={"detectors": {"stage_timeout": {"reminder_lead": "2m"}, "order_timeout": {"reminder_lead": "30m"}}}
)
LOGS = logs(SETTINGS)
REAL = Path(__file__).parents[3] / "shared" / "data"
# `make oracle` sets more; the default keeps the ordinary test run short.
ORDERS = int(os.environ.get("ORDERPULSE_ORACLE_ORDERS", "3000"))
SEEDS = [int(seed) for seed in os.environ.get("ORDERPULSE_ORACLE_SEEDS", "1,2,3").split(",")]

Comparable = tuple[object, ...]


def comparable(step: ExpectedStep) -> Comparable:
    """What docs/rules.md says of a step."""
    reason = step.reason if step.step == "resolved" else None
    orders = step.orders if step.rule in NAMING else ()
    return step.rule, step.step, step.entity_type, step.entity_id, step.time, step.level, reason, orders, step.variant


def comparable_hold(hold: HoldRecord | ExpectedHold) -> Comparable:
    """What docs/rules.md says of a hold."""
    return hold.order_id, hold.version, hold.status, hold.time, tuple(cause.rule for cause in hold.causes)


def assert_equal(records: Sequence[Record], events: Sequence[AppliedEvent], settings: Settings, end: int) -> int:
    """Compare alerts and holds with the oracle; returns how many steps there were."""
    expected = Counter(map(comparable, expected_alerts(events, settings, end)))
    found = Counter(map(comparable, steps(records, end)))
    assert not expected - found, "the events ask for alert steps that the flow does not give"
    assert not found - expected, "the flow gives alert steps that the events do not ask for"
    wanted = Counter(map(comparable_hold, expected_holds(events, settings, end)))
    held = Counter(comparable_hold(hold) for hold in holds(records) if hold.time <= end)
    assert wanted == held
    return sum(expected.values())


@given(LOGS)
def test_nasty_little_logs_give_what_the_rules_say(drawn: Mapping[str, Log]) -> None:
    events, _, end = applied(drawn, SETTINGS.time)
    assert_equal(run(drawn, SETTINGS), events, SETTINGS, end)


@given(LOGS)
def test_reminders_come_as_the_rules_say(drawn: Mapping[str, Log]) -> None:
    events, _, end = applied(drawn, REMINDING.time)
    assert_equal(run(drawn, REMINDING), events, REMINDING, end)


@given(LOGS)
def test_orders_whose_events_share_ids_do_not_hinder_each_other(drawn: Mapping[str, Log]) -> None:
    shared = sharing_ids(drawn)
    events, _, end = applied(shared, SETTINGS.time)
    assert_equal(run(shared, SETTINGS), events, SETTINGS, end)


def run_files(directory: Path, settings: Settings) -> list[Record]:
    """All records of a run over a directory of logs."""
    reader = open_input(RunPlan(settings, [directory]), SteadyClock()).open()
    flow = MemoryDriver(topology(environment_of(settings, read_model=False)), reader.partitions)
    records: list[Record] = []
    while not reader.finished:
        records += flow.feed(*reader.read(flow.intake.router.slowest()))
    reader.close()
    return records


def read_logs(directory: Path) -> dict[str, list[tuple[bytes, None]]]:
    """The logs of a directory as the oracle reads them."""
    return {
        file.name: [(line, None) for line in file.read_bytes().splitlines() if line]
        for file in sorted(directory.glob("*.ndjson"))
    }


def check(directory: Path, settings: Settings) -> int:
    """Run the flow and the oracle over a directory of logs."""
    events, _, end = applied(read_logs(directory), settings.time)
    return assert_equal(run_files(directory, settings), events, settings, end)


@pytest.mark.parametrize("seed", SEEDS)
def test_simulated_orders_alert_as_the_rules_say(seed: int, tmp_path: Path) -> None:
    plan = SimulationPlan(orders=ORDERS, seed=seed, duplicates=0.02, late=0.01, bad=0.005, behaviour=0.2)
    write(plan, SETTINGS, tmp_path)

    assert check(tmp_path / "events", SETTINGS) > ORDERS // 20


@pytest.mark.skipif(not REAL.is_dir(), reason="the real data sets are not beside the project")
@pytest.mark.parametrize(
    ("name", "inputs"), [("olist", "olist"), ("ocel_order_process", "ocel/order_process.jsonocel")]
)
def test_real_orders_alert_as_the_rules_say(name: str, inputs: str, tmp_path: Path) -> None:
    config = Path(__file__).parents[2] / "config" / "examples" / f"{name}.toml"
    report = convert(load_profile(name), [REAL / inputs], tmp_path)
    assert report.dead_letters == 0

    assert check(tmp_path / "events", load_settings(config)) > 500
