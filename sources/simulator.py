"""A trade with its troubles, made up from a seed: event logs, and the truth about what must be alerted over them.

Ordinary orders keep every limit and share no key, so each alert of a run comes from a case put in on purpose.
"""

from config.settings import Settings
from sources.simulation.plan import (
    Counts,
    ExpectedAlert,
    ExpectedDeadLetter,
    Line,
    SimulationPlan,
)
from sources.simulation.stream import Simulation
from sources.simulation.writer import write

__all__ = [
    "Counts",
    "ExpectedAlert",
    "ExpectedDeadLetter",
    "Line",
    "Simulation",
    "SimulationPlan",
    "simulate",
    "write",
]


def simulate(plan: SimulationPlan, settings: Settings) -> Simulation:
    """The lines of all logs in the order of arrival, made while they are read; see `Simulation`."""
    return Simulation(plan, settings)
