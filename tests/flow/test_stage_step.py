"""What a stage gives back to the engine, when the places of its state are told, and what it does while parts of it are
yet to come from the store.
"""

from collections.abc import Iterable
from pathlib import Path

import pytest

from config.loader import load_settings
from dataflows.control import Control
from dataflows.deliveries import Inputs, to_store
from dataflows.keeping import BASE, GroupKeeper
from dataflows.observer import Observer
from dataflows.outlet import Outlet
from dataflows.run_parts import Run
from dataflows.stage_step import Stage, StageLogic, Told
from dataflows.worker import Worker
from operators.heart.component import Environment
from operators.heart.inputs import Chunk, GroupInput
from operators.heart.snapshots import SnapshotError
from operators.topology import topology
from sinks.metrics import Metrics
from sources.clock import SteadyClock
from tests.operators.timeline import at, event
from tests.support.flow import line

STAGE = "orders"
GROUPS = 2


def run_of(worker: Worker) -> Run:
    """One that keeps its state."""
    metrics = Metrics()
    return Run(worker, Outlet([], metrics), Control(), Observer(metrics, SteadyClock(lambda: 0, lambda: 0)), keeps=True)


def a_worker(workers: int = 1, store: Path | None = None) -> Worker:
    """One process of a run."""
    return Worker(topology(Environment(load_settings(), GROUPS), workers=workers), store=store)


def logic(worker: Worker, stored: object = None) -> StageLogic:
    """The stage ``orders``."""
    run = run_of(worker)
    return StageLogic(Stage(STAGE, run), run, stored)


def told(watermark: int, *lines: bytes, group: int = 0) -> list[Inputs]:
    """Records for one key group, and how far time is."""
    chunk = Chunk("log", "orders", list(lines), list(range(len(lines))))
    return [{group: GroupInput("source/0", watermark, (chunk,) if lines else ())}]


def given(found: tuple[Iterable[Told], bool]) -> list[str]:
    """What kinds of things came back."""
    return [type(each).__name__ for each in found[0]]


def test_a_stage_speaks_at_first_and_then_when_time_goes_on_or_there_is_a_record_to_write() -> None:
    stage = logic(a_worker())
    created = line(event("10:00 created A"))
    assert given(stage.on_batch(told(at("09:00")))) == ["Combined", "Keep", "Keep"]
    assert given(stage.on_batch(told(at("09:00"), created))) == []
    assert given(stage.on_batch(told(at("09:00"), b"{"))) == ["list", "Combined"]
    assert given(stage.on_batch(told(at("10:01")))) == ["list", "Combined"]


def test_what_was_said_is_not_said_again() -> None:
    stage = logic(a_worker())
    stage.on_batch(told(at("09:00")))
    assert given(stage.on_batch(told(at("09:01"), b"{"))) == ["list", "Combined"]
    assert given(stage.on_batch(told(at("09:02")))) == ["Combined"]
    assert given(stage.on_batch(told(at("09:03"), line(event("09:03 created A"))))) == ["list", "Combined"]
    assert given(stage.on_batch(told(at("09:04")))) == ["Combined"]


def test_the_places_of_an_epoch_are_told_once_also_when_there_is_nothing_to_say() -> None:
    worker = a_worker()
    stage = logic(worker)
    stage.on_batch(told(at("09:00")))
    worker.lay_down(worker.keepers[0], {})
    assert given(stage.on_batch(told(at("09:00"), line(event("10:00 created A"))))) == ["Keep"]
    assert given(stage.on_batch(told(at("09:00")))) == []


def test_all_groups_of_a_process_begin_in_the_same_epoch() -> None:
    worker = a_worker()
    found, _ = logic(worker).on_batch(told(at("09:00"), group=1))
    assert sorted(worker.keepers) == [0, 1]
    assert {getattr(each, "number", None) for each in found} == {None, 0, 1}


def test_what_comes_before_all_that_was_stored_waits_for_it() -> None:
    worker = a_worker(store=Path("store"))
    stage, created = logic(worker), line(event("10:00 created A"))
    assert given(stage.on_batch(told(at("09:00"), created))) == []
    assert stage.notify_at() is not None
    keeper = GroupKeeper(0)
    worker.add_head(keeper.head({}))
    worker.heads_came()
    assert given(stage.on_notify()) == []
    worker.add_part(BASE, keeper.take(BASE))
    assert given(stage.on_notify()) == ["Combined", "Keep", "Keep"]
    assert stage.notify_at() is None
    assert given(stage.on_notify()) == []
    assert given(stage.on_batch(told(at("10:01")))) == ["list", "Combined"]
    assert worker.keepers[0].stages[STAGE].entries == 1


def test_what_waits_when_an_epoch_ends_is_kept_for_the_next_start() -> None:
    stage = logic(a_worker(store=Path("store")))
    assert stage.snapshot() is None
    stage.on_batch(told(at("09:00"), line(event("10:00 created A"))))
    stored = stage.snapshot()
    worker = a_worker()
    again = logic(worker, stored)
    assert again.notify_at() is not None
    again.on_notify()
    assert again.snapshot() is None
    again.on_batch(told(at("10:01")))
    assert worker.keepers[0].stages[STAGE].entries == 1


def test_what_waits_is_refused_by_a_process_that_does_not_have_its_group() -> None:
    with pytest.raises(SnapshotError, match="start once with as many processes as then"):
        logic(a_worker(workers=2), to_store([*told(1), *told(1, group=1)]))


def test_a_mark_of_an_older_store_says_nothing() -> None:
    assert logic(a_worker(), stored=True).notify_at() is None
