"""Canonical events: what OrderPulse reads, one typed message per kind.

Every event is one JSON object with a ``type`` that selects the message. Money is an integer in the minor unit of its
currency (fen for CNY), time is UTC epoch milliseconds. Fields that a message does not name are ignored; a ``type``
that is not listed here goes to the dead letters.
"""

from typing import Annotated, Any, Literal

from msgspec import UNSET, DecodeError, Meta, Struct, UnsetType

from events.currency import Currency

EventId = Annotated[str, Meta(min_length=1, max_length=256, description="Unique per source; the idempotency key.")]
SourceName = Annotated[
    str, Meta(min_length=1, max_length=64, description="The channel or system that says so, e.g. `oms`.")
]
EpochMs = Annotated[int, Meta(ge=0, le=253_402_300_799_999, description="UTC epoch milliseconds.")]
Key = Annotated[str, Meta(min_length=1, max_length=256)]
Name = Annotated[str, Meta(min_length=1, max_length=64)]
Money = Annotated[int, Meta(ge=0, le=10**15, description="Integer in the minor unit of the currency (fen for CNY).")]
Quantity = Annotated[int, Meta(ge=1, le=10**9)]
Milliseconds = Annotated[int, Meta(ge=0, le=10**12)]
Measure = Annotated[int, Meta(ge=-(10**15), le=10**15)]
Text = Annotated[str, Meta(max_length=20_000)]
Tally = Annotated[int, Meta(ge=0, le=10**12)]
SourceField = Annotated[str, Meta(min_length=1, max_length=256)]
Episode = Annotated[str, Meta(min_length=1, max_length=1024)]
Deviation = Literal["missing", "lacking", "unparsable", "unknown_status", "decrypt_failed", "time_offset"]


class Item(Struct, frozen=True, gc=False, omit_defaults=True):
    """One order line. ``price`` is per unit."""

    sku: Key
    quantity: Quantity = 1
    price: Money = 0
    name: str | None = None


class Address(Struct, frozen=True, gc=False, omit_defaults=True):
    """A postal address in parts, as far as the source knows them."""

    country: str | None = None
    province: str | None = None
    city: str | None = None
    district: str | None = None
    detail: str | None = None
    postcode: str | None = None


class Cleaned(Struct, frozen=True, gc=False, omit_defaults=True, kw_only=True):
    """What a mapping changed beyond units and names, each as ``field: what``, e.g. ``phone: one_form``."""

    cleaned: tuple[Name, ...] = ()


class Event(Cleaned, frozen=True, gc=False, omit_defaults=True, tag_field="type"):
    """What all events have. ``(source, id)`` names an event once and for all."""

    id: EventId
    source: SourceName
    time: EpochMs


class OrderEvent(Event, frozen=True, gc=False, omit_defaults=True):
    """An event of one order."""

    order_id: Key
    operator: str | None = None


class OrderCreated(OrderEvent, frozen=True, gc=False, omit_defaults=True, tag="order.created", kw_only=True):
    """A new order. ``card``, ``phone``, ``ip``, ``device`` and the address are the keys that risk rules watch."""

    customer_id: Key | None = None
    channel: Name | None = None
    shop_id: Key | None = None
    category: Name = "general"
    currency: Currency = "CNY"
    amount: Money = 0
    discount: Money = 0
    items: tuple[Item, ...] = ()
    card: Key | None = None
    phone: Key | None = None
    ip: Key | None = None
    device: Key | None = None
    recipient: str | None = None
    address: Address | None = None
    address_key: Key | None = None
    warehouse_id: Key | None = None
    promised_at: EpochMs | None = None
    priority: Name | None = None
    remark: Text | None = None
    fallback_id: Key | None = None
    account_since: EpochMs | None = None


class OrderStage(OrderEvent, frozen=True, gc=False, omit_defaults=True, tag="order.stage", kw_only=True):
    """The order, or one of its parcels, reached a stage of the configured chain."""

    stage: Name
    parcel_id: Key | None = None


class OrderFields(Struct, frozen=True, gc=False, omit_defaults=True):
    """New values of an order's fields; a field that is absent did not change."""

    amount: Money | UnsetType = UNSET
    discount: Money | UnsetType = UNSET
    category: Name | UnsetType = UNSET
    items: tuple[Item, ...] | UnsetType = UNSET
    phone: Key | UnsetType | None = UNSET
    recipient: str | UnsetType | None = UNSET
    address: Address | UnsetType = UNSET
    address_key: Key | UnsetType = UNSET
    warehouse_id: Key | UnsetType | None = UNSET
    courier: Name | UnsetType | None = UNSET
    promised_at: EpochMs | UnsetType | None = UNSET


class OrderChanged(OrderEvent, frozen=True, gc=False, omit_defaults=True, tag="order.changed", kw_only=True):
    """Fields of an order got new values. ``customer_id`` is set where the customer made the change."""

    fields: OrderFields
    customer_id: Key | None = None


class OrderSplit(OrderEvent, frozen=True, gc=False, omit_defaults=True, tag="order.split", kw_only=True):
    """The order will ship in these parcels; limits then run per parcel."""

    parcels: Annotated[tuple[Key, ...], Meta(min_length=1, max_length=1000)]


class OrderMerged(OrderEvent, frozen=True, gc=False, omit_defaults=True, tag="order.merged", kw_only=True):
    """Another order takes this one's place: it ends here and must not ship; the truth goes on under ``merged_into``."""

    merged_into: Key
    reason: Name | None = None


class PaymentSucceeded(OrderEvent, frozen=True, gc=False, omit_defaults=True, tag="payment.succeeded", kw_only=True):
    """Money arrived for an order."""

    amount: Money = 0
    currency: Currency = "CNY"
    payment_id: Key | None = None
    method: Name | None = None
    card: Key | None = None


class PaymentFailed(OrderEvent, frozen=True, gc=False, omit_defaults=True, tag="payment.failed", kw_only=True):
    """An attempt to pay did not succeed."""

    amount: Money = 0
    currency: Currency = "CNY"
    payment_id: Key | None = None
    method: Name | None = None
    card: Key | None = None
    reason: str | None = None


class SystemStatus(OrderEvent, frozen=True, gc=False, omit_defaults=True, tag="system.status", kw_only=True):
    """A system's own raw status of an order, e.g. ``wms`` says ``LOADED``: the base layer of the status map."""

    system: Name
    status: Name
    parcel_id: Key | None = None


class LogisticsScan(OrderEvent, frozen=True, gc=False, omit_defaults=True, tag="logistics.scan", kw_only=True):
    """A carrier scanned a parcel. ``scan`` is a word of the configured scan map, e.g. ``collected``."""

    scan: Name
    parcel_id: Key | None = None
    carrier: Name | None = None
    location: str | None = None


class WaybillPrinted(OrderEvent, frozen=True, gc=False, omit_defaults=True, tag="waybill.printed", kw_only=True):
    """The print service printed a waybill, and how long that took."""

    duration_ms: Milliseconds
    warehouse_id: Key | None = None
    parcel_id: Key | None = None


class Behaviour(Event, frozen=True, gc=False, omit_defaults=True):
    """Something a customer did. It names the order, or only the customer, or both."""

    order_id: Key | None = None
    customer_id: Key | None = None


class BehaviourSignal(Behaviour, frozen=True, gc=False, omit_defaults=True, tag="behaviour.signal", kw_only=True):
    """A weak sign by its name, with the number that was measured where there is one.

    ``device`` is the device fingerprint that the probe saw.
    """

    signal: Name
    value: Measure | None = None
    device: Key | None = None


class BehaviourChat(Behaviour, frozen=True, gc=False, omit_defaults=True, tag="behaviour.chat", kw_only=True):
    """The customer wrote to customer service."""

    text: Text = ""


class ReviewReleased(OrderEvent, frozen=True, gc=False, omit_defaults=True, tag="review.released", kw_only=True):
    """A reviewer found the order in order: its holds are released."""

    note: str | None = None
    episode: Episode | None = None


class ReviewConfirmed(OrderEvent, frozen=True, gc=False, omit_defaults=True, tag="review.confirmed", kw_only=True):
    """A reviewer confirmed the suspicion: the review ends and the order must not ship."""

    note: str | None = None
    episode: Episode | None = None


class FallbackLinked(OrderEvent, frozen=True, gc=False, omit_defaults=True, tag="fallback.linked", kw_only=True):
    """A person says that a fallback order (``order_id``) and an order of the main system are one."""

    main_order_id: Key
    note: str | None = None


class FallbackRejected(OrderEvent, frozen=True, gc=False, omit_defaults=True, tag="fallback.rejected", kw_only=True):
    """A person says that a fallback order (``order_id``) and an order of the main system are two."""

    main_order_id: Key
    note: str | None = None


class BuyerNotice(OrderEvent, frozen=True, gc=False, omit_defaults=True, tag="buyer.notice", kw_only=True):
    """Something that a buyer is to be told. The system that sends messages reads it; the flow leaves it alone.

    ``phone`` is clear: it is where the message goes.
    """

    template: Name
    phone: Key
    zh: Text
    en: Text


class AlertAcknowledged(Event, frozen=True, gc=False, omit_defaults=True, tag="alert.acknowledged", kw_only=True):
    """A person has read an alert. The three names are copied from the alert record."""

    episode: Episode
    entity_type: Name
    entity_id: Annotated[str, Meta(min_length=1, max_length=600)]
    operator: str | None = None


class DeviationCount(Struct, frozen=True, gc=False, omit_defaults=True):
    """How many records were not as they should be in one way."""

    what: Deviation
    count: Tally
    position: Tally
    since: EpochMs


class FieldCount(Struct, frozen=True, gc=False, omit_defaults=True):
    """One field of a source's records."""

    field: SourceField
    seen: Tally
    deviations: tuple[DeviationCount, ...] = ()


class NameCount(Struct, frozen=True, gc=False, omit_defaults=True):
    """The name of a field or header that stood in records."""

    kind: Literal["field", "header"]
    name: SourceField
    count: Tally
    position: Tally


class TraitCount(Struct, frozen=True, gc=False, omit_defaults=True):
    """One value of a scheme, a version or the like that records named."""

    name: SourceField
    value: SourceField
    count: Tally
    position: Tally


class ContractCounted(Event, frozen=True, gc=False, omit_defaults=True, tag="contract.counted", kw_only=True):
    """What stood in the raw records of one partition that arrived from ``start`` to before ``time``, as counts.

    It holds names, numbers and positions, and no value of any order or person.
    """

    entity_type: Name
    entity_id: SourceName
    partition: SourceField
    start: EpochMs
    records: Tally
    fields: tuple[FieldCount, ...] = ()
    names: tuple[NameCount, ...] = ()
    traits: tuple[TraitCount, ...] = ()


class JobHeartbeat(Event, frozen=True, gc=False, omit_defaults=True, tag="job.heartbeat", kw_only=True):
    """A scheduled job has run. ``period``: within which it is due again."""

    job: Name
    period: Annotated[int, Meta(ge=1, le=10**12)] | None = None


class RulePublished(Event, frozen=True, gc=False, omit_defaults=True, tag="rule.published", kw_only=True):
    """Settings of one rule that hold from a moment on, over those of the files: see docs/live-rules.md."""

    rule: Name
    version: Annotated[int, Meta(ge=1, le=10**9)]
    effective_at: EpochMs
    kind: Name = "detector"
    settings: dict[str, Any] = {}
    operator: str | None = None
    reason: Text | None = None


AnyEvent = (
    OrderCreated
    | OrderStage
    | OrderChanged
    | OrderSplit
    | OrderMerged
    | PaymentSucceeded
    | PaymentFailed
    | SystemStatus
    | LogisticsScan
    | WaybillPrinted
    | BehaviourSignal
    | BehaviourChat
    | ReviewReleased
    | ReviewConfirmed
    | FallbackLinked
    | FallbackRejected
    | BuyerNotice
    | AlertAcknowledged
    | JobHeartbeat
    | ContractCounted
    | RulePublished
)

EVENT_TYPES: tuple[type[Event], ...] = AnyEvent.__args__


# What decoding a record may raise: no JSON, no event, not UTF-8, or nested deeper than any reader follows.
UNREADABLE: tuple[type[Exception], ...] = (DecodeError, UnicodeDecodeError, RecursionError)


def type_name(kind: type[Event]) -> str:
    """The wire name of an event class, e.g. ``order.created``."""
    return str(kind.__struct_config__.tag)
