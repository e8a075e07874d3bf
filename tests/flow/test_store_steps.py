"""What the steps behind the sinks have done before they give state to the engine."""

from pathlib import Path

from config.loader import load_settings
from dataflows.control import Control
from dataflows.keeping import BASE
from dataflows.observer import Observer
from dataflows.outlet import Outlet
from dataflows.run_parts import Run
from dataflows.store_steps import HeadLogic, Hello, Keep, PlaceLogic
from dataflows.worker import Worker
from operators.heart.component import Environment
from operators.topology import topology
from sinks.metrics import Metrics
from sources.clock import SteadyClock
from tests.flow.test_outlet import Log
from tests.sinks.samples import alert


def run_with(log: Log, store: Path | None = None) -> Run:
    """One that keeps its state."""
    worker, metrics = Worker(topology(Environment(load_settings(), 2)), store=store), Metrics()
    return Run(worker, Outlet([log], metrics), Control(), Observer(metrics, SteadyClock()), keeps=True)


def test_no_place_is_given_away_before_all_that_was_written_is_acknowledged() -> None:
    log = Log("alerts/0")
    run = run_with(log)
    run.worker.begin()
    head, place = HeadLogic(run, -1, b""), PlaceLogic(run, BASE, -1)
    ((keep, *_), _) = head.on_batch([Keep(1, place) for place in run.worker.keepers[1].announce()])
    place.on_batch([keep])
    run.outlet.write([alert()])
    head.snapshot()
    assert log.told == ["write", "positions"]
    place.snapshot()
    assert log.told == ["write", "positions", "flush"]


def test_a_hello_says_that_all_heads_have_come_and_leaves_nothing_in_the_store() -> None:
    run = run_with(Log("alerts/0"), Path("store"))
    assert not run.worker.ready
    head = HeadLogic(run, -1, b"")
    assert head.on_batch([Hello(), Hello()]) == ((), HeadLogic.DISCARD)
    assert run.worker.ready
