"""A flow has settled when it has kept pace for a while, and the sender knows what event time allows."""

import time
from functools import partial
from types import SimpleNamespace
from typing import Any, cast

import pytest

from benchmarks import live_pace
from benchmarks.live_metrics import Samples
from benchmarks.live_pace import Pace, pace_of, settle, sustained
from benchmarks.live_sender import PartitionTime, StreamPlan
from benchmarks.live_trade import Sent

RATE, BEHIND = 1_000.0, 10.0


@pytest.mark.parametrize(
    ("pace", "keeps"),
    [
        (Pace(lag=100, age_s=10.2), True),
        (Pace(lag=500, age_s=11.0), True),
        (Pace(lag=501, age_s=10.2), False),
        (Pace(lag=0, age_s=11.1), False),
    ],
)
def test_a_flow_keeps_pace_with_little_unread_and_time_little_behind(pace: Pace, *, keeps: bool) -> None:
    assert pace.keeps(RATE, BEHIND) == keeps


def test_pace_is_that_of_the_stage_furthest_behind() -> None:
    lag, watermark = "orderpulse_source_lag_records", "orderpulse_watermark_seconds"
    samples: Samples = [
        {(lag, (("partition", "0"),)): 3.0, (watermark, (("stage", "orders"),)): 90.0},
        {(lag, (("partition", "1"),)): 4.0, (watermark, (("stage", "alerts"),)): 88.0},
    ]
    assert pace_of(samples, 100.0) == Pace(7.0, 12.0)


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """Seconds, which only waiting lets pass."""
    now = [1_000.0]
    monkeypatch.setattr(time, "monotonic", lambda: now[0])
    monkeypatch.setattr(time, "sleep", lambda seconds: now.__setitem__(0, now[0] + seconds))
    return now


def test_settled_is_who_has_kept_pace_at_nine_of_ten_looks(clock: list[float]) -> None:
    begun = clock[0]
    looks = (Pace(5_000, 14.0) if number < 100 or number % 20 == 0 else Pace(0, 10.0) for number in range(10_000))
    assert settle(lambda: next(looks), RATE, BEHIND) == clock[0] - begun
    needed = live_pace._CALM_LOOKS * live_pace._CALM_SHARE
    assert 100 + needed <= (clock[0] - begun) / live_pace._LOOK_SECONDS <= 100 + needed * 1.1


@pytest.mark.usefixtures("clock")
def test_who_does_not_settle_is_told_why() -> None:
    with pytest.raises(RuntimeError, match=r"1,000 events/s: 70,000 records .* watermark is 80\.0 s old"):
        settle(lambda: Pace(70_000, 80.0), RATE, BEHIND)


def test_an_alert_is_allowed_when_the_last_partition_has_an_event_that_is_newer_by_out_of_orderness() -> None:
    clock = PartitionTime(StreamPlan("", {}, 2, 100, 10, 10_000, 1.0, 1.0))
    for topic, number in (("orders", 0), ("orders", 1), ("behaviour", 0), ("behaviour", 1), ("actions", 0)):
        clock.sent(Sent(topic, number, "", "A" if topic == "actions" else ""), 1_000)
    clock.look(1_000)
    for topic, number, at in (("orders", 0, 11_000), ("orders", 1, 11_010), ("behaviour", 0, 11_020)):
        clock.sent(Sent(topic, number, ""), at)
    clock.sent(Sent("actions", 0, ""), 11_030)
    clock.look(11_030)
    assert clock.allowed == []
    clock.sent(Sent("behaviour", 1, ""), 11_050)
    clock.look(11_050)
    assert (clock.expected, clock.allowed) == ([("A", 1_000)], [11_050])


@pytest.mark.parametrize(
    ("limit", "tried"),
    [
        (1_300.0, [1_000.0, 1_250.0, 1_562.5]),
        (300.0, [1_000.0, 500.0, 250.0, 312.5]),
        (100.0, [1_000.0, 500.0, 250.0, 125.0]),
    ],
)
def test_the_rate_that_is_sustained_is_looked_for_upwards_or_first_down(
    limit: float, tried: list[float], monkeypatch: pytest.MonkeyPatch, clock: list[float]
) -> None:
    rates: list[float] = []
    stream = SimpleNamespace(go_on_at=rates.append)
    monkeypatch.setattr(live_pace, "_kept", lambda _flow, rate, _behind: rate <= limit)
    find = partial(sustained, cast("Any", None), cast("Any", stream), RATE, BEHIND, lambda _: None)
    if limit <= 100:
        with pytest.raises(RuntimeError, match="does not keep pace"):
            find()
    else:
        assert find() == tried[-2]
    assert rates == tried
    assert clock
