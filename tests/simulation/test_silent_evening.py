"""Three weeks of a shop: the job that hands orders to the warehouse dies one evening at 20:15, nobody sees it at night.

The shop sells from 08:00 to 22:31, an order a minute; the job hands what is paid to the warehouse each quarter of an
hour. Everything else is healthy. At eight the next morning somebody starts the job again: 137 orders are late.
"""

from collections.abc import Iterator
from datetime import datetime, timedelta
from itertools import pairwise
from zoneinfo import ZoneInfo

import pytest

from config.loader import load_settings
from events.model import AnyEvent, JobHeartbeat, OrderCreated, OrderStage, PaymentSucceeded
from events.records import AlertRecord
from tests.support.flow import run

SHANGHAI = ZoneInfo("Asia/Shanghai")
FIRST_DAY = datetime(2026, 3, 2, tzinfo=SHANGHAI)
DAYS = 21
EVENING = FIRST_DAY + timedelta(days=17, hours=20, minutes=15)
MORNING = FIRST_DAY + timedelta(days=18, hours=8)
OPEN, CLOSE = timedelta(hours=8), timedelta(hours=22, minutes=32)
QUARTER = timedelta(minutes=15)
OFF = {"enabled": False}
SETTINGS = load_settings(
    overrides={
        "detectors": {
            "silence": {"enabled": True, "jobs": {"push_to_wms": {"period": "15m", "grace": "5m", "stage": "queued"}}},
            "stage_timeout": OFF,
            "order_timeout": OFF,
            "no_progress": OFF,
        },
        "versions": OFF,
        "diffs": OFF,
    }
)


def ms(moment: datetime) -> int:
    return round(moment.timestamp() * 1000)


def evening(time: str) -> int:
    """The evening on which the job died."""
    return ms(EVENING.replace(hour=int(time[:2]), minute=int(time[3:])))


def dead(moment: datetime) -> bool:
    return EVENING < moment < MORNING


def shop() -> Iterator[AnyEvent]:
    """Everything in the order in which it happens."""
    waiting: list[str] = []
    for minute in range(DAYS * 24 * 60):
        moment = FIRST_DAY + timedelta(minutes=minute)
        at = ms(moment)
        if minute % 15 == 0 and not dead(moment):
            yield JobHeartbeat(id=f"run-{minute}", source="scheduler", time=at, job="push_to_wms")
            for order in waiting:
                yield OrderStage(id=f"queue-{order}", source="wms", time=at + 1_000, order_id=order, stage="queued")
            waiting.clear()
        if OPEN <= moment - moment.replace(hour=0, minute=0) < CLOSE:
            order = f"O{minute}"
            yield OrderCreated(id=f"new-{order}", source="tmall", time=at + 10_000, order_id=order, amount=10_000)
            yield PaymentSucceeded(id=f"pay-{order}", source="gateway", time=at + 20_000, order_id=order)
            waiting.append(order)


@pytest.fixture(scope="module")
def alerts() -> list[AlertRecord]:
    """What the flow says of the three weeks."""
    log = [(event, None) for event in shop()]
    found = [alert for alert in run({"shop": log}, SETTINGS, size=20_000) if isinstance(alert, AlertRecord)]
    return sorted(found, key=lambda alert: (alert.time, alert.entity_type))


def test_the_dead_job_and_the_stage_that_stands_are_found_within_half_an_hour(alerts: list[AlertRecord]) -> None:
    opened = [
        (alert.entity_type, alert.entity_id, alert.level, alert.time) for alert in alerts if alert.step == "opened"
    ]
    assert opened == [
        ("job", "push_to_wms", "missed_period", evening("20:35")),
        ("source", "wms", "silent", evening("20:41")),
        ("stage", "queued", "silent", evening("20:42")),
    ]


def test_in_the_morning_all_is_well_again_and_137_orders_were_late(alerts: list[AlertRecord]) -> None:
    ends = [(alert.entity_type, alert.reason, alert.evidence) for alert in alerts if alert.step == "resolved"]
    assert [(kind, reason) for kind, reason, _ in ends] == [
        ("job", "moves_again"), ("source", "moves_again"), ("stage", "moves_again"),
    ]  # fmt: skip
    assert {(evidence["count"], evidence["amount"]) for _, _, evidence in ends} == {(137, 1_370_000)}


def test_how_many_wait_is_told_as_they_become_more(alerts: list[AlertRecord]) -> None:
    told = [alert.evidence["count"] for alert in alerts if alert.entity_type == "stage" and alert.step != "resolved"]
    assert told == sorted(told)
    assert all(more >= 2 * less for less, more in pairwise(told))
    assert told[-1] >= 137 / 2


def test_on_the_other_nights_and_days_nobody_is_called(alerts: list[AlertRecord]) -> None:
    assert all(evening("20:15") <= alert.time <= ms(MORNING) + 120_000 for alert in alerts)
    assert not [alert for alert in alerts if alert.level == "no_orders"]
