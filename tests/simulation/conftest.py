from collections import defaultdict

import pytest

from config.loader import load_settings
from config.settings import Settings
from sources.simulator import Simulation, SimulationPlan, simulate

Logs = dict[str, list[bytes]]

TROUBLED = SimulationPlan(orders=300, seed=11, duplicates=0.05, late=0.05, bad=0.02)


def read(simulation: Simulation) -> Logs:
    """All lines of a simulation, by log."""
    logs: dict[str, list[bytes]] = defaultdict(list)
    for line in simulation:
        logs[line.partition].append(line.data)
    return dict(logs)


@pytest.fixture(scope="session")
def settings() -> Settings:
    return load_settings()


@pytest.fixture(scope="session")
def troubled(settings: Settings) -> tuple[Simulation, Logs]:
    """A small trade with copies, late events and bad records."""
    simulation = simulate(TROUBLED, settings)
    return simulation, read(simulation)


@pytest.fixture(scope="session")
def plain(settings: Settings) -> tuple[Simulation, Logs]:
    """A small trade with none of them."""
    simulation = simulate(SimulationPlan(orders=300, seed=12), settings)
    return simulation, read(simulation)
