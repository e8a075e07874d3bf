"""The truth that the simulator writes against the oracle's, which was written from docs/rules.md on its own."""

from collections import Counter
from typing import Any

import pytest

from config.loader import load_settings
from sources.simulator import SimulationPlan, simulate
from tests.oracle import expected_alerts
from tests.oracle.lateness import applied
from tests.simulation.conftest import read

OTHER_LIMITS = {
    "time": {"out_of_orderness": "20s"},
    "detectors": {
        "stage_timeout": {"reminder_lead": "2m", "factor": 1.5},
        "order_timeout": {"reminder_lead": "10m"},
        "card_burst": {"any_amount": {"count": 4, "window": "5m"}, "judged_on": ["created"]},
        "merge_candidate": {"window": "1h"},
        "resonance": {"orange": 2, "lock": 3, "season": "peak", "address_changes": 3},
    },
}


@pytest.mark.parametrize(
    ("seed", "overrides"),
    [(1, {}), (2, {}), (3, {"chain": "fulfilment"}), (4, OTHER_LIMITS)],
    ids=["one trade", "another trade", "another chain", "other limits"],
)
def test_the_truth_is_what_the_oracle_opens(seed: int, overrides: dict[str, Any]) -> None:
    settings = load_settings(overrides=overrides)
    plan = SimulationPlan(orders=600, seed=seed, late=0.03, duplicates=0.02, cases=0.6)
    simulation = simulate(plan, settings)
    logs = {name: [(line, None) for line in lines] for name, lines in read(simulation).items()}

    events, _, end = applied(logs, settings.time)
    opened = Counter(
        (step.rule, step.entity_type, step.entity_id, step.time, step.level)
        for step in expected_alerts(events, settings, end)
        if step.step == "opened"
    )

    assert opened == Counter(
        (alert.rule, alert.entity_type, alert.entity_id, alert.time, alert.level) for alert in simulation.truth
    )
