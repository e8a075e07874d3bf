"""What composite rules need of an order's life: sent to where it is judged, and to the baselines that it asks."""

from collections.abc import Iterator, Mapping
from typing import Any, ClassVar, Literal
from zoneinfo import ZoneInfo

from msgspec import Struct

from config.expressions.variables import KEYS
from config.settings import Settings
from operators.composite.needs import needs_of
from operators.composite.order_values import OrderValues, payment_values, shop_of
from operators.heart.component import Context, Environment, Handler, StatefulComponent
from operators.heart.messages import BaselineUse, CompositeMoment
from operators.orders.order_state import OrderClosed, OrderForgotten, OrderOpened, OrderState, Paid, end_reason
from operators.orders.state_machine import StateMachine

What = Literal["created", "paid", "cancelled"]


class Counted(Struct, gc=False, array_like=True):
    """An open order: when it was created, and its shop."""

    created_at: int
    shop: str


class CompositeInputs(StatefulComponent[Counted]):
    """Says what expressions read of an order when it is created and paid, asks its baselines, and tells its end.

    What is not read by an enabled rule is neither computed nor sent.
    """

    name: ClassVar[str] = "composite_inputs"
    stage: ClassVar[str] = "orders"
    state_type: ClassVar[type[Any]] = Counted
    rules: ClassVar[frozenset[str]] = frozenset({"composite", "list"})

    def __init__(self, context: Context) -> None:
        super().__init__(context)
        self.configure(context.environment.settings)

    def configure(self, settings: Settings) -> None:
        """Take settings over, also while it runs."""
        needs = needs_of(settings)
        self._machine = StateMachine(settings)
        self._judges = bool(needs.moments)
        self._answered = {
            "created": bool(needs.moments & {"created", "behaviour"}),
            "paid": bool(needs.moments & {"paid", "behaviour"}),
            "cancelled": False,
        }
        self._payment = needs.of("payment")
        self._order = OrderValues((*needs.of("order"), *needs.of("customer")), ZoneInfo(settings.zone))
        self._reads_card = "order.card" in needs.variables
        # Account age and id come with the order itself; all else of a customer is asked for.
        asked = [name for name in needs.of("customer") if name not in ("customer.id", "customer.account_hours")]
        self._customer = bool(asked) or "customer" in needs.windows
        self._cancelled = "customer.cancelled" in needs.variables
        self._shop = bool(needs.of("shop"))
        self._windows = frozenset(needs.windows)
        self._keys = tuple(kind for kind in KEYS if kind in needs.windows)

    @classmethod
    def enabled(cls, environment: Environment) -> bool:
        """With a composite rule in the files, also one that is switched off: documents may bring others."""
        return bool(environment.settings.composite)

    def handlers(self) -> Mapping[type, Handler]:
        """The moments of an order, and its end."""
        return {
            OrderOpened: self.on_opened,
            Paid: self.on_paid,
            OrderClosed: self.on_closed,
            OrderForgotten: self.on_forgotten,
        }

    def on_opened(self, fact: OrderOpened, at: int) -> None:
        """A new order: it counts in its baselines from here on."""
        order, event = fact.order, fact.event
        state = self.states[fact.order_id] = Counted(at, shop_of(event))
        if self._judges:
            values = self._order.of(event, order, at)
            self._send(CompositeMoment(at, f"orders:{fact.order_id}", fact.order_id, "created", values, event.id))
        self._use(fact.order_id, order, state, order.card, "created", at)

    def on_paid(self, fact: Paid, at: int) -> None:
        """Money arrived for an order that is open: it may be judged once more, with the card that paid."""
        state = self.states.get(fact.order_id)
        if state is None or self._machine.is_terminal(fact.order.stage):
            return
        if self._answered["paid"]:
            values = payment_values(self._payment, fact.event)
            if self._reads_card:
                values["order.card"] = fact.card or None
            note = CompositeMoment(at, f"orders:{fact.order_id}", fact.order_id, "paid", values, fact.event.id)
            self._send(note)
        self._use(fact.order_id, fact.order, state, fact.card, "paid", at)

    def on_closed(self, fact: OrderClosed, at: int) -> None:
        """The order ended: its alerts do too."""
        state = self.states.pop(fact.order_id, None)
        if state is None:
            return
        order = fact.order
        cancelled = order.stage is not None and self._machine.stages[order.stage].cancels
        reason = end_reason(order) if cancelled else "closed"
        self._send(
            CompositeMoment(at, f"orders:{fact.order_id}", fact.order_id, "ended", {}, fact.event.id, reason=reason)
        )
        if cancelled and self._cancelled and order.customer_id is not None:
            self._tell(f"customer:{order.customer_id}", fact.order_id, order, state, "cancelled", at)

    def on_forgotten(self, fact: OrderForgotten, at: int) -> None:
        """Nothing of the order is kept."""
        self.states.pop(fact.order_id, None)

    def _use(self, order_id: str, order: OrderState, state: Counted, card: str, what: What, at: int) -> None:
        for key in self._baselines(order, state, card):
            if what == "created" or self._answered[what] or key.partition(":")[0] in self._windows:
                self._tell(key, order_id, order, state, what, at)

    def _baselines(self, order: OrderState, state: Counted, card: str) -> Iterator[str]:
        if self._customer and order.customer_id is not None:
            yield f"customer:{order.customer_id}"
        if self._shop:
            yield f"shop:{state.shop}"
        for kind in self._keys:
            value = card if kind == "card" else getattr(order, kind)
            if value:
                yield f"{kind}:{value}"

    def _tell(self, key: str, order_id: str, order: OrderState, state: Counted, what: What, at: int) -> None:
        counted_at = 0 if what == "created" else state.created_at
        answer = self._answered[what]
        self.context.send("entities", BaselineUse(at, order_id, key, what, order_id, order.amount, counted_at, answer))

    def _send(self, note: CompositeMoment) -> None:
        self.context.send("signals", note)
