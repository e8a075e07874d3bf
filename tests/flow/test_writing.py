"""What a flow writes is acknowledged before its epoch is kept, whoever wrote it."""

import pytest

from config.loader import load_settings
from dataflows.control import Control
from dataflows.environment import environment_of
from dataflows.flow import Outgoing, _writing
from dataflows.observer import Observer
from dataflows.outlet import Outlet
from dataflows.placement import group_names
from dataflows.run_parts import Run
from dataflows.store_steps import Keep
from dataflows.worker import Worker
from operators.topology import topology
from sinks.metrics import Metrics
from sources.clock import SteadyClock
from tests.flow.test_outlet import Log
from tests.sinks.samples import DEAD_LETTER, DIFF

PLAN = topology(environment_of(load_settings(), read_model=False), workers=2)
NAMES = group_names(PLAN.environment.groups)


def run_of(worker: Worker, log: Log, *, keeps: bool = True) -> Run:
    metrics = Metrics()
    return Run(worker, Outlet([log], metrics), Control(), Observer(metrics, SteadyClock()), keeps)


@pytest.mark.parametrize("index", [0, 1])
def test_dead_letters_alone_have_the_head_of_one_group_of_their_own_process_kept(index: int) -> None:
    worker, log = Worker(PLAN, index), Log("letters")
    write = _writing(run_of(worker, log), NAMES)
    ((name, keep),) = write([[DEAD_LETTER]])
    assert isinstance(keep, Keep)
    assert keep.number in worker.numbers
    assert NAMES[keep.number] == name
    assert list(write([[DEAD_LETTER]])) == [], "once in an epoch"
    assert len(log.records) == 2


def test_a_group_that_is_kept_anyway_is_enough() -> None:
    write = _writing(run_of(Worker(PLAN), Log("diffs")), NAMES)
    awake: Outgoing = (NAMES[3], Keep(3, 0))
    assert list(write([[DIFF], awake])) == [awake]


def test_where_nothing_is_written_or_nothing_is_kept_no_group_is_woken() -> None:
    assert list(_writing(run_of(Worker(PLAN), Log("none")), NAMES)([17])) == []
    assert list(_writing(run_of(Worker(PLAN), Log("none"), keeps=False), NAMES)([[DIFF]])) == []
