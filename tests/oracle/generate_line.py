"""A line of a shop over weeks: busy and quiet hours, jobs, sources that fall silent; for `silence`."""

from collections.abc import Callable, Mapping
from itertools import accumulate
from typing import Any

from hypothesis import strategies as st
from hypothesis.strategies import SearchStrategy

from events.model import (
    AnyEvent,
    JobHeartbeat,
    OrderChanged,
    OrderCreated,
    OrderFields,
    OrderSplit,
    OrderStage,
    PaymentSucceeded,
)
from tests.oracle.generate import BASE

MINUTE, HOUR, WEEK = 60_000, 3_600_000, 604_800_000
# Few counts have to make the usual: the hours of a week come back in the next one, and in the one after.
SMALL: Mapping[str, Any] = {
    "enabled": True,
    "step": "5m",
    "weeks": 2,
    "history": 1,
    "expected": 2,
    "sources": {"tmall": {"limit": "40m", "stage": "queued"}},
    "jobs": {"push": {"period": "15m", "grace": "1m"}},
}
_SPANS = (0, 1, MINUTE, 5 * MINUTE - 1, 5 * MINUTE, 7 * MINUTE, 10 * MINUTE, 20 * MINUTE, 30 * MINUTE, HOUR, 2 * HOUR)


def line_events() -> SearchStrategy[list[AnyEvent]]:
    """Events by time, of at most three weeks, each with an id of its own."""
    sources = st.sampled_from(("tmall", "oms", "wms"))
    moment = st.tuples(st.integers(0, 2), st.integers(0, 3), st.lists(st.sampled_from(_SPANS), max_size=3).map(sum))
    gaps = st.lists(st.sampled_from(_SPANS), min_size=3, max_size=3)
    ways = st.sampled_from(
        (
            ("created",),
            ("created", "paid"),
            ("created", "paid", "queued"),
            ("created", "paid", "cancelled"),
            ("named late", "created", "paid"),
            ("created", "paid", "split", "part"),
            ("created", "changed", "paid", "queued"),
            ("beat",),
            ("beat", "beat"),
            ("sync",),
        )
    )
    stories = st.tuples(moment, ways, gaps, sources, st.sampled_from((0, 100, 990)))
    return st.lists(stories, min_size=3, max_size=25).map(_told)


def _told(stories: list[tuple[tuple[int, int, int], tuple[str, ...], list[int], str, int]]) -> list[AnyEvent]:
    events = []
    for number, ((week, hour, rest), way, gaps, source, amount) in enumerate(stories):
        times = accumulate(gaps, initial=BASE + week * WEEK + hour * HOUR + rest)
        for step, (what, time) in enumerate(zip(way, times, strict=False)):
            head = {"id": f"{number}-{step}", "source": source, "time": time}
            events.append(_event(what, head, f"O{number}", amount))
    return sorted(events, key=lambda event: event.time)


def _event(what: str, head: Mapping[str, Any], order: str, amount: int) -> AnyEvent:
    head = {**head, "job": "push"} if what == "beat" else {**head, "order_id": order}
    events: Mapping[str, Callable[[], AnyEvent]] = {
        "created": lambda: OrderCreated(**head, amount=amount),
        "paid": lambda: PaymentSucceeded(**head),
        "changed": lambda: OrderChanged(**head, fields=OrderFields(category="fresh")),
        "split": lambda: OrderSplit(**head, parcels=("P", "Q")),
        "part": lambda: OrderStage(**head, stage="queued", parcel_id="P"),
        "named late": lambda: OrderStage(**head, stage="created"),
        "beat": lambda: JobHeartbeat(**head),
        "sync": lambda: JobHeartbeat(
            id=head["id"], source="cron", time=head["time"], job="sync", period=10 * MINUTE if amount else None
        ),
    }
    return events[what]() if what in events else OrderStage(**head, stage=what)
