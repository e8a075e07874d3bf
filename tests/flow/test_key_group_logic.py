"""What a key group gives back to the engine, and when the places of its state are told."""

from collections.abc import Iterable

from config.loader import load_settings
from dataflows.control import Control
from dataflows.flow import Keep, KeyGroupLogic, Run
from dataflows.observer import Observer
from dataflows.outlet import Outlet
from dataflows.worker import Worker
from operators.heart.component import Environment
from operators.heart.inputs import Chunk, GroupInput, GroupOutput
from operators.topology import topology
from sinks.metrics import Metrics
from sources.clock import SteadyClock
from tests.operators.timeline import at, event
from tests.support.flow import line

STAGE = "orders"


def logic() -> tuple[KeyGroupLogic, Worker]:
    """A key group of the stage ``orders``, in a run that keeps its state."""
    worker = Worker(topology(Environment(load_settings(), 1)))
    metrics = Metrics()
    observer = Observer(metrics, SteadyClock(lambda: 0, lambda: 0))
    return KeyGroupLogic(
        STAGE, Run(worker, Outlet([], metrics), Control(), observer, keeps=True), resumed=False
    ), worker


def told(watermark: int, *lines: bytes) -> list[GroupInput]:
    """Records, and how far time is."""
    chunk = Chunk("log", "orders", list(lines), list(range(len(lines))))
    return [GroupInput(0, "source/0", watermark, (chunk,) if lines else ())]


def given(found: tuple[Iterable[GroupOutput | Keep], bool]) -> list[str]:
    """What kinds of things came back."""
    return [type(each).__name__ for each in found[0]]


def test_a_group_speaks_at_first_and_then_when_time_goes_on_or_there_is_a_record_to_write() -> None:
    group, _ = logic()
    created = line(event("10:00 created A"))
    assert given(group.on_batch(told(at("09:00")))) == ["GroupOutput", "Keep"]
    assert given(group.on_batch(told(at("09:00"), created))) == []
    assert given(group.on_batch(told(at("09:00"), b"{"))) == ["GroupOutput"]
    assert given(group.on_batch(told(at("10:01")))) == ["GroupOutput"]


def test_the_places_of_an_epoch_are_told_once_also_when_there_is_nothing_to_say() -> None:
    group, worker = logic()
    group.on_batch(told(at("09:00")))
    keeper = worker.keeper(0)
    assert keeper is not None
    worker.lay_down(keeper, {})
    assert given(group.on_batch(told(at("09:00"), line(event("10:00 created A"))))) == ["Keep"]
    assert given(group.on_batch(told(at("09:00")))) == []
