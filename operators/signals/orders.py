"""Signals that follow from an order's own events, and what signals need to know of an order's life."""

from collections.abc import Mapping
from typing import ClassVar, Literal

from msgspec import UNSET

from operators.heart.component import Component, Context, Environment, Handler
from operators.heart.messages import AddressChange, OrderLife, PaymentFailure, Print, Signal
from operators.orders.order_state import (
    FieldsChanged,
    OrderClosed,
    OrderForgotten,
    OrderOpened,
    Paid,
    PaymentRefused,
    Printed,
    Scanned,
)


class OrderSignals(Component):
    """Hands on what happens to an order to where its signals add up."""

    name: ClassVar[str] = "order_signals"
    stage: ClassVar[str] = "orders"

    def __init__(self, context: Context) -> None:
        super().__init__(context)
        self._exceptions = frozenset(context.environment.settings.flow.exception_scans)

    @classmethod
    def enabled(cls, environment: Environment) -> bool:
        """With ``resonance``."""
        return environment.settings.detectors.resonance.enabled

    def handlers(self) -> Mapping[type, Handler]:
        """All facts that are or may become a signal."""
        return {
            OrderOpened: self.on_opened,
            Paid: self.on_paid,
            OrderClosed: self.on_closed,
            OrderForgotten: self.on_forgotten,
            PaymentRefused: self.on_refused,
            Scanned: self.on_scanned,
            Printed: self.on_printed,
            FieldsChanged: self.on_fields,
        }

    def on_opened(self, fact: OrderOpened, at: int) -> None:
        """The order's device is known from here on."""
        self._life(fact.order_id, "opened", at, fact.event.device)

    def on_paid(self, fact: Paid, at: int) -> None:
        """A chat soon after this is a signal."""
        self._life(fact.order_id, "paid", at)

    def on_closed(self, fact: OrderClosed, at: int) -> None:
        """Signals no longer count."""
        self._life(fact.order_id, "closed", at)

    def on_forgotten(self, fact: OrderForgotten, at: int) -> None:
        """Nothing of the order is kept: judged like a deadline, so after all signals of that moment."""
        self._life(fact.order_id, "forgotten", at + 1)

    def on_refused(self, fact: PaymentRefused, at: int) -> None:
        """Repeated failures are a signal."""
        self.context.send("signals", PaymentFailure(at, f"orders:{fact.order_id}", fact.order_id, fact.event.id))

    def on_scanned(self, fact: Scanned, at: int) -> None:
        """The courier reports an exception."""
        if fact.event.scan in self._exceptions:
            note = Signal(at, f"orders:{fact.order_id}", fact.order_id, "courier_exception", fact.event.id)
            self.context.send("signals", note)

    def on_printed(self, fact: Printed, at: int) -> None:
        """Whether that was slow is known where the warehouse's prints are."""
        warehouse = fact.event.warehouse_id or fact.order.warehouse_id
        if warehouse is not None:
            key = f"warehouse:{warehouse}"
            duration = fact.event.duration_ms
            self.context.send("entities", Print(at, fact.order_id, key, fact.order_id, duration, fact.event.id))

    def on_fields(self, fact: FieldsChanged, at: int) -> None:
        """Whether that was one change of address too many is known where the customer's changes are."""
        event = fact.event
        if event.customer_id is None:
            return
        if event.fields.address is not UNSET or event.fields.address_key is not UNSET:
            key = f"customer:{event.customer_id}"
            self.context.send("entities", AddressChange(at, fact.order_id, key, fact.order_id, event.id))

    def _life(
        self, order_id: str, what: Literal["opened", "paid", "closed", "forgotten"], at: int, device: str | None = None
    ) -> None:
        self.context.send("signals", OrderLife(at, f"orders:{order_id}", order_id, what, device))
