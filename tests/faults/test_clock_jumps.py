"""A host clock that jumps by hours changes nothing that comes out, though wall time carries silent partitions.

No real clock is touched: the source's clock is given one that lies, and the flow runs in virtual time.
"""

from random import Random

import pytest

from config.loader import load_settings
from dataflows.memory import MemoryDriver
from events.batch import RawBatch
from events.records import Record
from sources.clock import SteadyClock
from tests.faults.workload import Workload, trade
from tests.support.flow import driver, outputs

SETTINGS = load_settings()
HOUR = 3_600_000
LOOKS = 2  # how often, between two records, the source asks for the ends of the logs


class Host:
    """True time, a wall clock that may be wrong, and a steady clock."""

    def __init__(self, start: int) -> None:
        self.true = start
        self.wrong_by = 0
        self.clock = SteadyClock(lambda: self.true + self.wrong_by, lambda: self.true - start)


@pytest.fixture(scope="module")
def workload() -> Workload:
    return trade(40, 3, SETTINGS)


@pytest.fixture(scope="module")
def right(workload: Workload) -> list[bytes]:
    """What comes out with a clock that is right."""
    return outputs(live(workload, Random(0), jumps=0)[0])


def live(workload: Workload, rng: Random, jumps: float) -> tuple[list[Record], int]:
    """A live run over the workload; with that chance the clock jumps before a look. Records, and forced events."""
    logs = {f"{kind}/{part}": 0 for kind, part in workload.logs()}
    flow = driver(SETTINGS, logs)
    host = Host(workload.entries[0].stamp)
    records: list[Record] = []
    for entry in workload.entries:
        step = max(0, entry.stamp - host.true) // LOOKS
        for _ in range(LOOKS if step else 0):
            host.true += step
            if rng.random() < jumps:
                host.wrong_by = rng.choice([0, rng.randint(-72 * HOUR, -HOUR), rng.randint(HOUR, 72 * HOUR)])
            records += _look(flow, logs, host)
        host.true = max(host.true, entry.stamp)
        host.clock.confirm(entry.stamp)
        name = f"{entry.kind}/{entry.partition}"
        records += flow.feed(RawBatch(name, entry.kind, [entry.value], [logs[name]], arrivals=[entry.stamp]))
        logs[name] += 1
    host.wrong_by = 0
    host.true += 2 * 72 * HOUR
    records += _look(flow, logs, host)
    return records, sum(clock.forced for clock in flow.intake.router.clocks.values())


def _look(flow: MemoryDriver, logs: dict[str, int], host: Host) -> list[Record]:
    """All logs are found at their ends."""
    now = host.clock.now()
    return flow.feed(*(RawBatch(name, "events", [], [], end_confirmed_at=now) for name in logs))


@pytest.mark.parametrize("seed", [1, 2])
def test_a_clock_that_jumps_back_and_forth_changes_nothing(workload: Workload, right: list[bytes], seed: int) -> None:
    records, forced = live(workload, Random(seed), jumps=0.02)
    assert outputs(records) == right
    assert forced == 0
