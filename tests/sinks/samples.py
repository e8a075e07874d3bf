"""One record of each kind, and settings, for the tests of the sinks."""

from typing import Any

import msgspec

from config.settings import KafkaSettings, RedisSettings, TopicSettings
from config.units import Duration
from events.records import (
    AlertRecord,
    DeadLetterRecord,
    DiffRecord,
    FeedbackTotals,
    FieldChange,
    HoldCause,
    HoldRecord,
    LateRecord,
    LocalText,
    OrderSnapshot,
    SourceHealth,
    VersionRecord,
)

NOON = 1_767_240_000_123  # 2026-01-01T04:00:00.123Z

ALERT = AlertRecord(
    id="card_burst/card/c1/1767240000123/any_amount#1",
    rule="card_burst",
    rule_version=1,
    step="opened",
    step_number=1,
    episode="card_burst/card/c1/1767240000123/any_amount",
    entity_type="card",
    entity_id="c1",
    severity="critical",
    level="burst",
    time=NOON,
    opened_at=NOON,
    reason="count",
    orders=("O-1", "O-2"),
    evidence={"window_ms": 600_000, "count": 5},
    text=LocalText("同一卡号多笔订单", "Many orders on one card"),
)
HOLD = HoldRecord(
    id="hold/O-1/1",
    order_id="O-1",
    version=1,
    status="held",
    time=NOON,
    causes=(HoldCause("card_burst", ALERT.episode, NOON - 5),),
    operator=None,
    reason="card_burst",
)
VERSION = VersionRecord(
    id="O-1/v1",
    order_id="O-1",
    version=1,
    time=NOON,
    system="oms",
    operator="li",
    event_id="e1",
    event_type="order.created",
    changes=(FieldChange("amounts.amount", None, 12_800),),
)
DIFF = DiffRecord(
    id="O-1/v1/erp",
    target="erp",
    order_id="O-1",
    version=1,
    previous=0,
    time=NOON,
    system="oms",
    operator=None,
    event_id="e1",
    changes=(FieldChange("amounts.amount", None, 12_800),),
    actions=(),
)
LATE = LateRecord(
    id="late/oms/e9",
    source="oms",
    event_id="e9",
    event_type="order.stage",
    entity_id="订单-1",
    time=NOON,
    applied_at=NOON + 5_000,
    event={"type": "order.stage", "stage": "paid"},
)
DEAD_LETTER = DeadLetterRecord(
    id="orders.order.events.v1/3@17",
    topic="orders.order.events.v1",
    partition="orders.order.events.v1/3",
    position=17,
    reason="not_json",
    detail="byte 4: ÿ",
    remedy="send JSON",
    arrival=NOON,
    payload="eyJpZP8A",  # {"id and two bytes that are no text
    headers=(("trace", "/wA="), ("trace", "dHdv"), ("empty", None)),
)
SNAPSHOT = OrderSnapshot(
    order_id="O-1",
    version=1,
    time=NOON,
    closed=False,
    customer_id="C-1",
    fields={"basics.created_at": NOON, "basics.stage": "created"},
)
HEALTH = SourceHealth(
    source="wechat_pay",
    time=NOON,
    records=42,
    fields={"out_trade_no": {"seen": 42, "lacking": 5, "past": {"seen": 900}}},
    open=({"field": "out_trade_no", "level": "vanished", "since": NOON - 9_000, "example": "raw/0/7"},),
)
WITH_TOPIC = (ALERT, HOLD, VERSION, DIFF, LATE, DEAD_LETTER)
PRECISION = FeedbackTotals("precision", "card_burst", 2, 3, NOON, {"raised": 12, "confirmed": 3, "released": 1})
CAPTURE = FeedbackTotals(
    "capture", "resonance", 0, 1, NOON, {"weak": 9, "turned": 2, "quiet": 6, "failed": 5, "failed_alerted": 2}
)
EVERY_KIND = (*WITH_TOPIC, SNAPSHOT, HEALTH, PRECISION, CAPTURE)


def alert(**changes: Any) -> AlertRecord:
    """The sample alert with other values."""
    return msgspec.structs.replace(ALERT, **changes)


def topics(prefix: str = "orders") -> TopicSettings:
    """Topics of the default names, or of one test's own."""
    return TopicSettings(
        orders=f"{prefix}.order.events.v1",
        behaviour=f"{prefix}.behaviour.events.v1",
        actions=f"{prefix}.actions.v1",
        rules=f"{prefix}.rules.v1",
        alerts=f"{prefix}.alert.events.v1",
        diffs=f"{prefix}.sync.diffs.v1",
        versions=f"{prefix}.versions.v1",
        holds=f"{prefix}.holds.v1",
        late=f"{prefix}.late.v1",
        dlq_suffix=".dlq",
    )


def kafka_settings(bootstrap: str, of: TopicSettings, **client: str) -> KafkaSettings:
    """A broker's settings; `client` has underscores where librdkafka has dots."""
    return KafkaSettings(
        bootstrap=bootstrap,
        group="orderpulse",
        start="earliest",
        batch=1000,
        partitions=1,
        replication=1,
        topics=of,
        client={name.replace("_", "."): value for name, value in client.items()},
    )


def redis_settings(url: str, **changes: Any) -> RedisSettings:
    """Small caps, so that tests reach them."""
    settings = RedisSettings(
        url=url,
        prefix="op:v1:",
        ttl=Duration.parse("14d"),
        closed_ttl=Duration.parse("2d"),
        feed_length=5,
        recent_orders=3,
    )
    return msgspec.structs.replace(settings, **changes)
