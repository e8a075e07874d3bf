"""One example of each event and record, for ``docs/events.md``: they tell of one order that is paid too late.

The records are what the flow makes of these events and a few more; a test runs it.
"""

from msgspec import Struct

from events.model import (
    Address,
    AlertAcknowledged,
    BehaviourChat,
    BehaviourSignal,
    BuyerNotice,
    ContractCounted,
    DeviationCount,
    Event,
    FallbackLinked,
    FallbackRejected,
    FieldCount,
    Item,
    JobHeartbeat,
    LogisticsScan,
    NameCount,
    OrderChanged,
    OrderCreated,
    OrderFields,
    OrderMerged,
    OrderSplit,
    OrderStage,
    PaymentFailed,
    PaymentSucceeded,
    ReviewConfirmed,
    ReviewReleased,
    RulePublished,
    SystemStatus,
    TraitCount,
    WaybillPrinted,
)
from events.records import (
    AlertRecord,
    DeadLetterRecord,
    DiffRecord,
    FieldChange,
    HoldCause,
    HoldRecord,
    LateRecord,
    LocalText,
    VersionRecord,
)

ORDER = "4127386510923846517"
CUSTOMER = "C-20931"
CREATED = 1_769_824_800_000  # 2026-01-31T02:00:00Z
MINUTE = 60_000
HOUR = 60 * MINUTE
PAYMENT_LIMIT = CREATED + 5 * MINUTE

_HANGZHOU = Address(
    country="CN", province="浙江省", city="杭州市", district="西湖区", detail="文三路 90 号 3 幢 502", postcode="310012"
)
_SHANGHAI = Address(
    country="CN", province="上海市", city="上海市", district="徐汇区", detail="漕溪北路 18 号 1201", postcode="200030"
)

_EVENTS: tuple[Event, ...] = (
    OrderCreated(
        id="tmall-88121",
        source="tmall",
        time=CREATED,
        order_id=ORDER,
        customer_id=CUSTOMER,
        channel="tmall",
        shop_id="S-1",
        category="fresh",
        amount=12_900,
        discount=1_000,
        items=(Item(sku="SKU-CHERRY-2KG", quantity=1, price=13_900, name="车厘子 2 kg"),),
        phone="13800001234",
        ip="203.0.113.7",
        device="fp-7c1e",
        recipient="王小明",
        address=_HANGZHOU,
        warehouse_id="HZ-1",
    ),
    OrderStage(id="wms-5512", source="wms", time=CREATED + HOUR, order_id=ORDER, operator="picker-07", stage="packed"),
    OrderChanged(
        id="crm-311",
        source="crm",
        time=CREATED + 20 * MINUTE,
        order_id=ORDER,
        customer_id=CUSTOMER,
        fields=OrderFields(address=_SHANGHAI, warehouse_id=None),
    ),
    OrderSplit(id="oms-902", source="oms", time=CREATED + HOUR, order_id=ORDER, parcels=("P-1", "P-2")),
    OrderMerged(
        id="FB-20260131-06VQ80-KARJ-7/merged/5120938",
        source="orderpulse",
        time=CREATED + HOUR,
        order_id="FB-20260131-06VQ80-KARJ-7",
        merged_into="5120938",
        reason="declared_keys",
    ),
    PaymentSucceeded(
        id="gw-70312",
        source="gateway",
        time=CREATED + 8 * MINUTE,
        order_id=ORDER,
        amount=12_900,
        payment_id="4200002481202601310001",
        method="wechat",
        card="tok-51f0",
    ),
    PaymentFailed(
        id="gw-70299",
        source="gateway",
        time=CREATED + 3 * MINUTE,
        order_id=ORDER,
        amount=12_900,
        payment_id="4200002481202601310000",
        method="wechat",
        card="tok-51f0",
        reason="insufficient funds",
    ),
    SystemStatus(id="wms-5519", source="wms", time=CREATED + 3 * HOUR, order_id=ORDER, system="wms", status="LOADED"),
    LogisticsScan(
        id="sf-0093",
        source="sf-express",
        time=CREATED + 4 * HOUR,
        order_id=ORDER,
        scan="collected",
        parcel_id="P-1",
        carrier="sf",
        location="Hangzhou hub",
    ),
    WaybillPrinted(
        id="print-44",
        source="print-service",
        time=CREATED + 2 * HOUR,
        order_id=ORDER,
        duration_ms=840,
        warehouse_id="HZ-1",
        parcel_id="P-1",
    ),
    BehaviourSignal(
        id="probe-1",
        source="storefront",
        time=CREATED + 2 * MINUTE,
        order_id=ORDER,
        customer_id=CUSTOMER,
        signal="payment_dwell",
        value=95_000,
        device="fp-7c1e",
    ),
    BehaviourChat(
        id="chat-17",
        source="crm",
        time=CREATED + 8 * MINUTE + 6_000,
        order_id=ORDER,
        customer_id=CUSTOMER,
        text="今天必须到,可以吗?",
    ),
    ReviewReleased(
        id="review-8", source="console", time=CREATED + HOUR, order_id=ORDER, operator="li.na", note="Called the buyer."
    ),
    ReviewConfirmed(
        id="review-9", source="console", time=CREATED + HOUR, order_id=ORDER, operator="li.na", note="Stolen card."
    ),
    FallbackLinked(
        id="console-41",
        source="console",
        time=CREATED + HOUR,
        order_id="FB-20260131-06VQ80-KARJ-7",
        operator="li.na",
        main_order_id="5120938",
        note="Called the buyer: one order.",
    ),
    FallbackRejected(
        id="console-42",
        source="console",
        time=CREATED + HOUR,
        order_id="FB-20260131-06VQ80-KARJ-7",
        operator="li.na",
        main_order_id="5120940",
        note="Called the buyer: wants both.",
    ),
    BuyerNotice(
        id="FB-20260131-06VQ80-KARJ-7/notice",
        source="fallback",
        time=CREATED,
        order_id="FB-20260131-06VQ80-KARJ-7",
        template="order_taken",
        phone="13800001234",
        zh="您的订单已登记,编号 FB-20260131-06VQ80-KARJ-7:SKU-CHERRY-2KG × 1。系统恢复后将尽快处理。",
        en="Your order is taken, number FB-20260131-06VQ80-KARJ-7: SKU-CHERRY-2KG x 1. "
        "It will be handled as soon as our systems are back.",
    ),
    AlertAcknowledged(
        id="ack-3",
        source="console",
        time=PAYMENT_LIMIT + MINUTE,
        episode=f"stage_timeout/order/{ORDER}/{PAYMENT_LIMIT}/created",
        entity_type="order",
        entity_id=ORDER,
        operator="zhang.wei",
    ),
    JobHeartbeat(
        id="push-to-wms-20260131-1015",
        source="scheduler",
        time=CREATED + 15 * MINUTE,
        job="push_to_wms",
        period=15 * MINUTE,
    ),
    ContractCounted(
        id=f"orders.raw.wechat_pay.v1/3/{CREATED}",
        source="wechat_pay",
        time=CREATED + 10_000,
        entity_type="source",
        entity_id="wechat_pay",
        partition="orders.raw.wechat_pay.v1/3",
        start=CREATED,
        records=42,
        fields=(
            FieldCount(
                "out_trade_no",
                seen=42,
                deviations=(DeviationCount("lacking", count=5, position=1_318, since=CREATED + 2_400),),
            ),
            FieldCount("success_time", seen=42),
        ),
        names=(
            NameCount("field", "out_trade_no", count=37, position=1_290),
            NameCount("header", "x-wx-nonce", count=5, position=1_318),
        ),
        traits=(TraitCount("resource.algorithm", "AEAD_AES_256_GCM", count=42, position=1_290),),
    ),
    RulePublished(
        id="card_burst/2",
        source="rules",
        time=CREATED + 20 * MINUTE,
        rule="card_burst",
        version=2,
        effective_at=CREATED + 30 * MINUTE,
        settings={"any_amount": {"count": 4}, "same_amount": {"window": "15m"}},
        operator="zhang.wei",
        reason="a fourth order on one card was fraud on 29 January",
    ),
)

_EPISODE = f"stage_timeout/order/{ORDER}/{PAYMENT_LIMIT}/created"
_LOCKED = CREATED + 8 * MINUTE + 6_000
_DEAD_LETTERS_PARTITION = "orders.order.events.v1/3"
_NEW_ADDRESS = (
    FieldChange(field="address.city", old="杭州市", new="上海市"),
    FieldChange(field="address.detail", old="文三路 90 号 3 幢 502", new="漕溪北路 18 号 1201"),
    FieldChange(field="address.district", old="西湖区", new="徐汇区"),
    FieldChange(
        field="address.key", old="h:83a1bc651aea1611f4e9eb1913a2f1dd", new="h:d74d33d65b3fbf9fa6ebef729e7e4a71"
    ),
    FieldChange(field="address.postcode", old="310012", new="200030"),
    FieldChange(field="address.province", old="浙江省", new="上海市"),
    FieldChange(field="fulfilment.warehouse_id", old="HZ-1", new=None),
)

_RECORDS: tuple[Struct, ...] = (
    AlertRecord(
        id=f"{_EPISODE}#1",
        rule="stage_timeout",
        rule_version=1,
        step="opened",
        step_number=1,
        episode=_EPISODE,
        entity_type="order",
        entity_id=ORDER,
        severity="warning",
        level="breach",
        time=PAYMENT_LIMIT,
        opened_at=PAYMENT_LIMIT,
        reason="limit_exceeded",
        orders=(ORDER,),
        evidence={
            "subject": "created",
            "since": CREATED,
            "deadline": PAYMENT_LIMIT,
            "limit_ms": 5 * MINUTE,
            "event_id": "tmall-88121",
        },
        text=LocalText(
            zh=f"订单 {ORDER} 停留在「已下单」超过时限 5m(截止 2026-01-31 10:05:00+08:00)",
            en=f"order {ORDER} has stayed in 'created' beyond its limit of 5m (deadline 2026-01-31 10:05:00+08:00)",
        ),
    ),
    HoldRecord(
        id=f"hold/{ORDER}/2",
        order_id=ORDER,
        version=2,
        status="released",
        time=CREATED + HOUR,
        causes=(HoldCause(rule="resonance", episode=f"resonance/order/{ORDER}/{_LOCKED}", since=_LOCKED),),
        operator="li.na",
        reason="review_released",
    ),
    VersionRecord(
        id=f"{ORDER}/v5/{CREATED + 20 * MINUTE}",
        order_id=ORDER,
        version=5,
        time=CREATED + 20 * MINUTE,
        system="crm",
        operator=None,
        event_id="crm-311",
        event_type="order.changed",
        changes=_NEW_ADDRESS,
    ),
    DiffRecord(
        id=f"{ORDER}/v5/{CREATED + 20 * MINUTE}/wms",
        target="wms",
        order_id=ORDER,
        version=5,
        previous=4,
        time=CREATED + 20 * MINUTE,
        system="crm",
        operator=None,
        event_id="crm-311",
        changes=_NEW_ADDRESS,
        actions=(),
    ),
    LateRecord(
        id=f"late/wms/wms-5519/{ORDER}",
        source="wms",
        event_id="wms-5519",
        event_type="system.status",
        entity_id=ORDER,
        time=CREATED + 3 * HOUR,
        applied_at=CREATED + 4 * HOUR - 10_000,
        event={
            "type": "system.status",
            "id": "wms-5519",
            "source": "wms",
            "time": CREATED + 3 * HOUR,
            "order_id": ORDER,
            "system": "wms",
            "status": "LOADED",
        },
    ),
    DeadLetterRecord(
        id=f"{_DEAD_LETTERS_PARTITION}@90211",
        topic="orders.order.events.v1",
        partition=_DEAD_LETTERS_PARTITION,
        position=90_211,
        reason="invalid_field",
        detail="Expected `int`, got `float` - at `$.amount`",
        remedy="mend the named field at the source or in its mapping profile; docs/events.md has its type",
        arrival=CREATED + 1_250,
        payload="eyJ0eXBlIjoib3JkZXIuY3JlYXRlZCIsImlkIjoiamQtNTEyMCIsInNvdXJjZSI6ImpkIiwidGltZSI6MTc2OTgyNDgwMTAwMCwi"
        "b3JkZXJfaWQiOiJPLTciLCJhbW91bnQiOjEyOS4wfQ==",
        headers=(("traceparent", "MDAtMDE="),),
    ),
)

EXAMPLES: dict[type[Struct], Struct] = {type(example): example for example in (*_EVENTS, *_RECORDS)}
