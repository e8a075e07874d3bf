"""The stays of units in stages: what `stage_timeout` is about, wherever its clocks run."""

from collections.abc import Mapping

from msgspec import UNSET, Struct

from config.settings import Settings
from operators.heart.component import Component, Handler
from operators.limits.adaptation import Adaptation
from operators.limits.stage_limits import StageLimits
from operators.orders.order_state import FieldsChanged, OrderSplitUp, OrderState, StageMoved, end_reason
from operators.orders.state_machine import StateMachine


class Stay(Struct, frozen=True, gc=False):
    """A stay of an order, or of one of its parcels, in a stage; when it began and by which event."""

    parcel: str | None
    stage: str
    entered: int
    event_id: str


class Stays(Component):
    """Follows stays. Subclasses say what becomes of one that begins, of one that ends, and of a promise that moves."""

    def take_stages(self, settings: Settings) -> None:
        """Go by these settings."""
        self.machine = StateMachine(settings)
        self.limits = StageLimits(settings)
        self.adaptation = Adaptation(settings, settings.detectors.stage_timeout)

    def began(self, order_id: str, order: OrderState, stay: Stay, known_from: int) -> None:
        """A unit entered a stage; nothing is said of it before ``known_from``."""
        raise NotImplementedError

    def ended(self, order_id: str, order: OrderState, stay: Stay, reason: str, at: int) -> None:
        """A unit left a stage."""
        raise NotImplementedError

    def promised(self, order_id: str, order: OrderState, at: int) -> None:
        """The promised time of an order is another one."""
        raise NotImplementedError

    def handlers(self) -> Mapping[type, Handler]:
        """Moves, splits, and promised times that move."""
        return {StageMoved: self.on_moved, OrderSplitUp: self.on_split, FieldsChanged: self.on_fields}

    def on_moved(self, fact: StageMoved, at: int) -> None:
        """A unit left one stage and entered the next."""
        order = fact.order
        if fact.parcel is None and order.parcels is not None:
            return
        if fact.before is not None:
            left = Stay(fact.parcel, fact.before, fact.entered_at, "")
            self.ended(fact.order_id, order, left, self._reason(fact), at)
        self.began(fact.order_id, order, Stay(fact.parcel, fact.after, at, fact.event.id), at)

    def on_split(self, fact: OrderSplitUp, at: int) -> None:
        """The order's clock ends; each new parcel's runs from when it, or the order, entered its stage."""
        order = fact.order
        if order.stage is not None:
            self.ended(fact.order_id, order, Stay(None, order.stage, order.entered_at, ""), "split", at)
        for name in fact.parcels:
            parcel = (order.parcels or {})[name]
            if parcel.stage is not None:
                # Its clock may have run out before it was named: that cannot be said in the past, so it is said now.
                self.began(fact.order_id, order, Stay(name, parcel.stage, parcel.entered_at, parcel.entered_by), at)

    def on_fields(self, fact: FieldsChanged, at: int) -> None:
        """A promised time may have moved."""
        if fact.event.fields.promised_at is not UNSET:
            self.promised(fact.order_id, fact.order, at)

    def _reason(self, fact: StageMoved) -> str:
        if self.machine.stages[fact.after].cancels:
            return end_reason(fact.order)
        return "paid_late" if self.machine.pays(fact.before, fact.after) else "moved_on"
