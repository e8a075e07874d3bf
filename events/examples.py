"""One example of each event and record, for ``docs/events.md``: they tell of one order that is paid too late."""

from msgspec import Struct

from events.model import (
    Address,
    AlertAcknowledged,
    BehaviourChat,
    BehaviourSignal,
    Event,
    Item,
    LogisticsScan,
    OrderChanged,
    OrderCreated,
    OrderFields,
    OrderSplit,
    OrderStage,
    PaymentFailed,
    PaymentSucceeded,
    ReviewConfirmed,
    ReviewReleased,
    SystemStatus,
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
    AlertAcknowledged(
        id="ack-3",
        source="console",
        time=PAYMENT_LIMIT + MINUTE,
        episode=f"stage_timeout/order/{ORDER}/{CREATED}",
        entity_type="order",
        entity_id=ORDER,
        operator="zhang.wei",
    ),
)

_RECORDS: tuple[Struct, ...] = (
    AlertRecord(
        id="1f0c6a5be2d94c07",
        rule="stage_timeout",
        rule_version=1,
        step="opened",
        step_number=1,
        episode=f"stage_timeout/order/{ORDER}/{CREATED}",
        entity_type="order",
        entity_id=ORDER,
        severity="warning",
        level="breach",
        time=PAYMENT_LIMIT,
        opened_at=PAYMENT_LIMIT,
        reason="breach",
        orders=(ORDER,),
        evidence={"stage": "created", "entered": CREATED, "limit_ms": 5 * MINUTE, "deadline": PAYMENT_LIMIT},
        text=LocalText(
            zh=f"订单 {ORDER} 在“已下单”停留超过 5m",
            en=f"Order {ORDER} has been in stage created for more than 5m",
        ),
    ),
    HoldRecord(
        id="77ab02c91de3f0a4",
        order_id=ORDER,
        version=2,
        status="released",
        time=CREATED + HOUR,
        causes=(HoldCause(rule="card_burst", episode=f"card_burst/card/9d1f/{CREATED}", since=CREATED),),
        operator="li.na",
        reason="review.released",
    ),
    VersionRecord(
        id="c05d4be871f2a933",
        order_id=ORDER,
        version=3,
        time=CREATED + 20 * MINUTE,
        system="crm",
        operator=None,
        event_id="crm-311",
        event_type="order.changed",
        changes=(
            FieldChange(field="address.city", old="杭州市", new="上海市"),
            FieldChange(field="fulfilment.warehouse_id", old="HZ-1", new=None),
        ),
    ),
    DiffRecord(
        id="e2170c6d3b5f4a18",
        target="crm",
        order_id=ORDER,
        version=3,
        previous=2,
        time=CREATED + 20 * MINUTE,
        system="oms",
        operator=None,
        event_id="oms-871",
        changes=(FieldChange(field="address.city", old="杭州市", new="上海市"),),
        actions=(),
    ),
    LateRecord(
        id="0b94d7f3a86e1c52",
        source="gateway",
        event_id="gw-70312",
        event_type="payment.succeeded",
        entity_id=ORDER,
        time=CREATED + 8 * MINUTE,
        applied_at=CREATED + 2 * HOUR,
        event={
            "type": "payment.succeeded",
            "id": "gw-70312",
            "source": "gateway",
            "time": CREATED + 8 * MINUTE,
            "order_id": ORDER,
            "amount": 12_900,
        },
    ),
    DeadLetterRecord(
        id="9a3c11e7d0f2b684",
        topic="orders",
        partition="orders.order.events.v1/3",
        position=90_211,
        reason="invalid",
        detail="Expected `int`, got `float` - at `$.amount`",
        remedy="Send money as an integer in fen, then replay the record.",
        arrival=CREATED + 1_250,
        payload="eyJ0eXBlIjoib3JkZXIuY3JlYXRlZCIsImFtb3VudCI6MTI5LjB9",
        headers=(("traceparent", "MDAtMDE="),),
    ),
)

EXAMPLES: dict[type[Struct], Struct] = {type(example): example for example in (*_EVENTS, *_RECORDS)}
