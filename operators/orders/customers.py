"""Tells customers what becomes of their orders: what merging and customer-wide signals live on."""

from collections.abc import Mapping
from typing import ClassVar, Literal

from operators.heart.component import Component, Context, Environment, Handler
from operators.heart.messages import CustomerOrder
from operators.orders.order_state import FieldsChanged, OrderClosed, OrderOpened, OrderState, StageMoved
from operators.orders.state_machine import StateMachine

What = Literal["opened", "shipped", "cancelled", "closed", "readdressed"]


class CustomerOrders(Component):
    """Sends a note to the customer's key when one of their orders opens, ships, ends or gets another address."""

    name: ClassVar[str] = "customer_orders"
    stage: ClassVar[str] = "orders"

    def __init__(self, context: Context) -> None:
        super().__init__(context)
        self._machine = StateMachine(context.environment.settings)

    @classmethod
    def enabled(cls, environment: Environment) -> bool:
        """With a detector that looks at customers."""
        detectors = environment.settings.detectors
        return detectors.merge_candidate.enabled or detectors.resonance.enabled

    def handlers(self) -> Mapping[type, Handler]:
        """The life of an order, as far as its customer is concerned."""
        return {
            OrderOpened: self.on_opened,
            StageMoved: self.on_moved,
            FieldsChanged: self.on_fields,
            OrderClosed: self.on_closed,
        }

    def on_opened(self, fact: OrderOpened, at: int) -> None:
        """One more open order."""
        self._tell(fact.order_id, fact.order, "opened", fact.event.id, at)

    def on_moved(self, fact: StageMoved, at: int) -> None:
        """The first part of an order that ships means that it can no longer be merged."""
        if self._machine.ships(fact.before, fact.after):
            self._tell(fact.order_id, fact.order, "shipped", fact.event.id, at)

    def on_fields(self, fact: FieldsChanged, at: int) -> None:
        """Another address."""
        if fact.readdressed:
            self._tell(fact.order_id, fact.order, "readdressed", fact.event.id, at)

    def on_closed(self, fact: OrderClosed, at: int) -> None:
        """The order ended."""
        stage = fact.order.stage
        cancelled = stage is not None and self._machine.stages[stage].cancels
        self._tell(fact.order_id, fact.order, "cancelled" if cancelled else "closed", fact.event.id, at)

    def _tell(self, order_id: str, order: OrderState, what: What, event_id: str, at: int) -> None:
        if order.customer_id is not None:
            note = CustomerOrder(at, order_id, f"customer:{order.customer_id}", order_id, what, order.address, event_id)
            self.context.send("entities", note)
