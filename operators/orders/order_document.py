"""The canonical order as a document of named fields, its versions, and the diffs for other systems."""

from collections.abc import Mapping
from operator import attrgetter
from typing import Any, ClassVar, Final

import msgspec
from msgspec import UNSET, Struct, field

from events.model import Address, LogisticsScan, OrderCreated, OrderFields, WaybillPrinted, type_name
from events.normal_form import mask
from events.records import DiffRecord, FieldChange, OrderSnapshot, VersionRecord
from operators.heart.component import Context, Environment, Handler, StatefulComponent
from operators.orders.order_state import (
    EventApplied,
    FieldsChanged,
    Merged,
    OrderClosed,
    OrderForgotten,
    OrderOpened,
    OrderSplitUp,
    Paid,
    PaymentRefused,
    Printed,
    Scanned,
    StageMoved,
    StatusReported,
)
from operators.orders.state_machine import StateMachine
from operators.orders.status_layers import StatusLayers
from operators.orders.targets import Targets

STAGE: Final = "basics.stage"
MASKED = ("customer.phone", "customer.recipient", "address.detail", "basics.remark")
ADDRESS_PARTS = tuple(part.name for part in msgspec.structs.fields(Address))
# All at once, in C: an order has two dozen fields from its beginning.
_OPENED: Final = {
    "basics.channel": "channel",
    "basics.shop_id": "shop_id",
    "basics.category": "category",
    "basics.promised_at": "promised_at",
    "basics.priority": "priority",
    "basics.remark": "remark",
    "basics.fallback_id": "fallback_id",
    "amounts.total": "amount",
    "amounts.currency": "currency",
    "customer.id": "customer_id",
    "customer.phone": "phone",
    "customer.recipient": "recipient",
    "fulfilment.warehouse_id": "warehouse_id",
    "risk.ip": "ip",
    "risk.device": "device",
    "sources.created_by": "source",
}
_of_opened: Final = attrgetter(*_OPENED.values())
_ADDRESS: Final = tuple(f"address.{part}" for part in ADDRESS_PARTS)
_of_address: Final = attrgetter(*ADDRESS_PARTS)
FIELD_OF = {
    "amount": "amounts.total",
    "discount": "amounts.discount",
    "category": "basics.category",
    "items": "items",
    "phone": "customer.phone",
    "recipient": "customer.recipient",
    "address_key": "address.key",
    "warehouse_id": "fulfilment.warehouse_id",
    "courier": "fulfilment.courier",
    "promised_at": "basics.promised_at",
}


class Document(Struct, gc=False, array_like=True):
    """One order. ``fields``: name -> value, without those that are not there. ``sent``: target -> version."""

    version: int = 0
    time: int = 0
    closed: bool = False
    fields: dict[str, Any] = field(default_factory=dict)
    sent: dict[str, int] = field(default_factory=dict)


class OrderDocument(StatefulComponent[Document]):
    """Collects what an event changes, and when the event is done makes one version of it; see docs/order.md."""

    name: ClassVar[str] = "order_document"
    stage: ClassVar[str] = "orders"
    state_type: ClassVar[type[Any]] = Document

    def __init__(self, context: Context) -> None:
        super().__init__(context)
        environment = context.environment
        settings = environment.settings
        self._machine = StateMachine(settings)
        self._layers = StatusLayers(settings)
        self._of_stage = {name: {STAGE: name, **self._layers.of_stage(name)} for name in settings.stages}
        self._versions = settings.versions.enabled
        self._diffs = Targets(settings.diffs) if settings.diffs.enabled else None
        self._tells = self._versions or self._diffs is not None
        self._read_model = environment.read_model
        self._pending: dict[str, Any] = {}
        self._actions: tuple[str, ...] = ()
        self._changed: dict[str, Document] = {}

    @classmethod
    def enabled(cls, environment: Environment) -> bool:
        """When somebody wants versions, diffs or the read model."""
        settings = environment.settings
        return settings.versions.enabled or settings.diffs.enabled or environment.read_model

    def handlers(self) -> Mapping[type, Handler]:
        """Every fact about an order."""
        return {
            OrderOpened: self.on_opened,
            StageMoved: self.on_moved,
            OrderSplitUp: self.on_split,
            Merged: self.on_merged,
            StatusReported: self.on_status,
            FieldsChanged: self.on_fields,
            Paid: self.on_paid,
            PaymentRefused: self.on_refused,
            Scanned: self.on_scanned,
            Printed: self.on_printed,
            OrderClosed: self.on_closed,
            EventApplied: self.on_applied,
            OrderForgotten: self.on_forgotten,
        }

    def on_opened(self, fact: OrderOpened, at: int) -> None:
        """All that is known at the beginning."""
        event: OrderCreated = fact.event
        pending = self._pending
        pending.update(zip(_OPENED, _of_opened(event), strict=True))
        pending["basics.created_at"] = at
        pending["items"] = _plain(event.items) if event.items else None
        pending["amounts.discount"] = event.discount or None
        pending["payment.card"] = fact.order.card or None
        self._put_address(event.address)
        pending["address.key"] = fact.order.address or None

    def on_moved(self, fact: StageMoved, at: int) -> None:
        """The stage, and what it means in the other layers."""
        if fact.parcel is None:
            self._pending.update(self._of_stage[fact.after])
            return
        self._pending[f"parcels.{fact.parcel}.stage"] = fact.after
        if self._machine.ships(fact.before, fact.after):
            self._pending["status.business"] = "partly_shipped"

    def on_split(self, fact: OrderSplitUp, at: int) -> None:
        """Parcels with stages of their own."""
        for name in fact.parcels:
            self._pending[f"parcels.{name}.stage"] = (fact.order.parcels or {})[name].stage

    def on_merged(self, fact: Merged, at: int) -> None:
        """The order that takes its place."""
        self._pending["basics.merged_into"] = fact.into

    def on_status(self, fact: StatusReported, at: int) -> None:
        """A raw status, and what it means in the layers that its system owns."""
        self._pending[f"status.base.{fact.system}"] = fact.new
        layers, self._actions = self._layers.of_status(fact.system, fact.new)
        self._pending.update(layers)

    def on_fields(self, fact: FieldsChanged, at: int) -> None:
        """New values of single fields."""
        fields: OrderFields = fact.event.fields
        for name, target in FIELD_OF.items():
            value = getattr(fields, name)
            if value is not UNSET:
                self._pending[target] = _plain(value)
        if fields.address is not UNSET:
            self._put_address(fields.address)
            self._pending["address.key"] = fact.order.address or None

    def on_paid(self, fact: Paid, at: int) -> None:
        """Money that arrived."""
        event = fact.event
        self._pending["payment.paid_at"] = at
        self._pending["payment.amount"] = event.amount
        self._pending["payment.id"] = event.payment_id
        self._pending["payment.method"] = event.method
        self._pending["payment.card"] = fact.card or None

    def on_refused(self, fact: PaymentRefused, at: int) -> None:
        """A payment that did not arrive."""
        self._pending["payment.failures"] = self._document(fact.order_id).fields.get("payment.failures", 0) + 1

    def on_scanned(self, fact: Scanned, at: int) -> None:
        """Where a parcel was seen last."""
        event: LogisticsScan = fact.event
        place = f"parcels.{event.parcel_id}" if event.parcel_id else "fulfilment"
        self._pending[f"{place}.scan"] = event.scan
        if event.location is not None:
            self._pending[f"{place}.location"] = event.location
        if event.carrier is not None:
            self._pending["fulfilment.courier"] = event.carrier

    def on_printed(self, fact: Printed, at: int) -> None:
        """When a waybill was printed."""
        event: WaybillPrinted = fact.event
        place = f"parcels.{event.parcel_id}" if event.parcel_id else "fulfilment"
        self._pending[f"{place}.waybill_printed_at"] = at

    def on_closed(self, fact: OrderClosed, at: int) -> None:
        """The order ended."""
        self._document(fact.order_id).closed = True

    def on_applied(self, fact: EventApplied, at: int) -> None:
        """The event is done: what it really changed makes one version."""
        pending = self._pending
        if not pending:
            return
        self._pending = {}
        document = self._document(fact.order_id)
        fields = document.fields
        stage = pending.get(STAGE)
        if stage is not None and stage != fields.get(STAGE) and not self._tells:
            changed = pending  # a move, and nobody asks what else is new with it
        else:
            changed = {name: value for name, value in pending.items() if fields.get(name) != value}
        if changed:
            document.version += 1
            document.time = at
            if self._tells:
                self._tell(document, fact, changed, at)
            fields.update(changed)
            if None in changed.values():
                for name in [name for name, value in changed.items() if value is None]:
                    del fields[name]
            if self._read_model:
                self._changed[fact.order_id] = document
        self._actions = ()

    def on_forgotten(self, fact: OrderForgotten, at: int) -> None:
        """The retention has passed."""
        self.states.pop(fact.order_id, None)

    def on_advanced(self) -> None:
        """For the read model the newest version of each changed order is enough."""
        changed, self._changed = self._changed, {}
        for order_id, document in changed.items():
            fields = document.fields.copy()
            for name in MASKED:
                value = fields.get(name)
                if isinstance(value, str):
                    fields[name] = mask(value)
            customer = fields.get("customer.id")
            self.context.emit(
                OrderSnapshot(order_id, document.version, document.time, document.closed, customer, fields)
            )

    def _document(self, order_id: str) -> Document:
        document = self.states.get(order_id)
        if document is None:
            document = self.states[order_id] = Document()
        return document

    def _put_address(self, address: Address | None) -> None:
        values = (None,) * len(_ADDRESS) if address is None else _of_address(address)
        self._pending.update(zip(_ADDRESS, values, strict=True))

    def _tell(self, document: Document, fact: EventApplied, changed: Mapping[str, Any], at: int) -> None:
        """The new version, and what of it other systems want; ``document`` still has the fields of before."""
        order_id, version, event = fact.order_id, document.version, fact.event
        operator: str | None = getattr(event, "operator", None)
        old = document.fields
        changes = tuple([FieldChange(name, old.get(name), changed[name]) for name in sorted(changed)])
        if self._versions:
            self.context.emit(
                VersionRecord(
                    id=f"{order_id}/v{version}/{at}",
                    order_id=order_id,
                    version=version,
                    time=at,
                    system=event.source,
                    operator=operator,
                    event_id=event.id,
                    event_type=type_name(type(event)),
                    changes=changes,
                )
            )
        if self._diffs is not None:
            for target, wanted in self._diffs.wanted(changes, event.source).items():
                self.context.emit(
                    DiffRecord(
                        id=f"{order_id}/v{version}/{at}/{target}",
                        target=target,
                        order_id=order_id,
                        version=version,
                        previous=document.sent.get(target, 0),
                        time=at,
                        system=event.source,
                        operator=operator,
                        event_id=event.id,
                        changes=wanted,
                        actions=self._actions,
                    )
                )
                document.sent[target] = version


def _plain(value: Any) -> Any:
    """A value as it is after it was stored, so that it compares equal with itself: lists, not tuples."""
    return msgspec.to_builtins(list(value) if isinstance(value, tuple) else value)
