"""Workloads of all shapes and sizes: what is said of them holds, and the plain loop and the flow agree about them."""

from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest

from benchmarks.answers import answers_in, require_equal
from benchmarks.figures import FIGURES, FLOW, PLAIN
from benchmarks.open_orders import OpenOrders, cached
from benchmarks.repeated import cached_copies
from benchmarks.shapes import EVEN, SHAPES, cached_shape
from benchmarks.workload import Workload, WorkloadPlan, cached_workload

EVENTS = 4_000


@pytest.fixture(scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("workloads")


@pytest.mark.parametrize("shape", SHAPES)
def test_the_flow_and_the_plain_loop_agree_on_every_shape(shape: str, cache: Path, tmp_path: Path) -> None:
    workload = cached_shape(shape, EVENTS, 1, cache)

    _require_agreement(workload, tmp_path)


def test_a_shape_changes_no_time_and_no_order_of_events(cache: Path) -> None:
    even = [(event["id"], event["time"]) for event in _events(cached_shape(EVEN, EVENTS, 1, cache))]

    for shape in ("hot_customer", "hot_buyer", "hot_shop", "hot_card", "wide"):
        assert [(event["id"], event["time"]) for event in _events(cached_shape(shape, EVENTS, 1, cache))] == even


def test_the_hot_customer_is_behind_a_fifth_of_the_events(cache: Path) -> None:
    customers = Counter(event.get("customer_id") for event in _events(cached_shape("hot_customer", 20_000, 1, cache)))

    assert customers["C-hot"] / 20_000 == pytest.approx(0.2, abs=0.02)


@pytest.mark.parametrize(
    ("shape", "field", "value", "share"),
    [
        ("hot_buyer", "customer_id", "C-hot", 0.2),
        ("hot_shop", "shop_id", "hot-1", 0.5),
        ("hot_card", "card", "6200999999999999", 0.1),
    ],
)
def test_hot_keys_are_on_as_many_orders_as_said(shape: str, field: str, value: str, share: float, cache: Path) -> None:
    created = [e for e in _events(cached_shape(shape, 20_000, 1, cache)) if e["type"] == "order.created"]

    assert sum(event[field] == value for event in created) / len(created) == pytest.approx(share, abs=0.05)


def test_wide_events_are_wide_and_partitions_as_many_as_asked_for(cache: Path) -> None:
    even, wide = (cached_shape(name, EVENTS, 1, cache) for name in (EVEN, "wide"))

    assert wide.bytes > 1.5 * even.bytes
    for shape, partitions in (("two_partitions", 2), ("many_partitions", 16)):
        directory = Path(cached_shape(shape, EVENTS, 1, cache).directory)
        assert len(list(directory.glob("order-*"))) == partitions


def test_copies_follow_each_other_with_names_of_their_own(cache: Path, tmp_path: Path) -> None:
    plan = WorkloadPlan(EVENTS, whole=True)
    once, copies = cached_workload(plan, cache), cached_copies(plan, 3, cache)

    events = list(_events(copies))

    assert len(events) == copies.events == 3 * once.events
    assert len({event["id"] for event in events}) == len(events)
    orders = Counter(event["order_id"] for event in events if event["type"] == "order.created")
    assert set(orders.values()) == {1}
    times = [[msgspec.json.decode(line)["time"] for line in _lines(path)] for path in _files(copies)]
    assert all(partition == sorted(partition) for partition in times)
    _require_agreement(copies, tmp_path)


def test_in_a_whole_trade_every_order_comes_to_an_end(cache: Path) -> None:
    events = list(_events(cached_workload(WorkloadPlan(EVENTS, whole=True), cache)))

    ended = {event["order_id"] for event in events if event.get("stage") in ("completed", "cancelled")}

    assert {event["order_id"] for event in events if event["type"] == "order.created"} == ended


def test_touches_of_few_and_of_many_open_orders_are_of_the_same_kinds(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    kinds = [_kinds(OpenOrders(orders, 4_000, alert_every=100)) for orders in (200, 2_000)]

    for kind in kinds[0] | kinds[1]:
        assert kinds[0][kind] / 4_000 == pytest.approx(kinds[1][kind] / 4_000, abs=0.03)


def _kinds(plan: OpenOrders) -> Counter[str]:
    lines = [msgspec.json.decode(line) for path in cached(plan).iterdir() for line in _lines(path)]
    return Counter(event["type"] for event in lines if event["id"].startswith("t"))


def _require_agreement(workload: Workload, place: Path) -> None:
    for name in (PLAIN, FLOW):
        (place / name).mkdir()
        assert FIGURES[name].run(Path(workload.directory), place / name) == workload.events
    require_equal(PLAIN, answers_in(place / PLAIN), FLOW, answers_in(place / FLOW))


def _events(workload: Workload) -> Iterator[dict[str, Any]]:
    for path in _files(workload):
        yield from map(msgspec.json.decode, _lines(path))


def _files(workload: Workload) -> list[Path]:
    return sorted(Path(workload.directory).iterdir())


def _lines(path: Path) -> list[bytes]:
    return path.read_bytes().splitlines()
