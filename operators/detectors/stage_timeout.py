"""``stage_timeout``: an order, or a parcel of a split order, stays in a stage for longer than its limit."""

from collections.abc import Mapping
from typing import ClassVar

from operators.detectors.limits import LimitDetector, StageLimits
from operators.heart.component import Context, Environment, Handler
from operators.orders.order_state import OrderSplitUp, StageMoved, end_reason
from operators.orders.state_machine import StateMachine


class StageTimeout(LimitDetector):
    """Stage limits; see docs/rules.md. The category is the one that the order has when it enters the stage."""

    name: ClassVar[str] = "stage_timeout"
    stage: ClassVar[str] = "orders"
    rule: ClassVar[str] = "stage_timeout"

    def __init__(self, context: Context) -> None:
        settings = context.environment.settings
        own = settings.detectors.stage_timeout
        super().__init__(context, own.version, own.reminder_lead)
        self._machine = StateMachine(settings)
        self._limits = StageLimits(settings)

    @classmethod
    def enabled(cls, environment: Environment) -> bool:
        """As its settings say."""
        return environment.settings.detectors.stage_timeout.enabled

    def handlers(self) -> Mapping[type, Handler]:
        """Moves and splits."""
        return {StageMoved: self.on_moved, OrderSplitUp: self.on_split}

    def on_moved(self, fact: StageMoved, at: int) -> None:
        """A unit left one stage and entered the next."""
        order = fact.order
        if fact.parcel is None and order.parcels is not None:
            return
        self._end(fact.order_id, fact.parcel, self._reason(fact), at)
        limit = self._limits.of(order.category, fact.after)
        if limit is not None:
            self._start(fact.order_id, fact.parcel, fact.after, at, limit, fact.event.id, at)

    def on_split(self, fact: OrderSplitUp, at: int) -> None:
        """The order's clock ends; each new parcel's runs from when it, or the order, entered its stage."""
        self._end(fact.order_id, None, "split", at)
        order = fact.order
        for name in fact.parcels:
            parcel = (order.parcels or {})[name]
            if parcel.stage is None:
                continue
            limit = self._limits.of(order.category, parcel.stage)
            if limit is not None:
                # Its clock may have run out before it was named: that cannot be said in the past, so it is said now.
                self._start(fact.order_id, name, parcel.stage, parcel.entered_at, limit, parcel.entered_by, at)

    def _reason(self, fact: StageMoved) -> str:
        if self._machine.stages[fact.after].cancels:
            return end_reason(fact.order)
        return "paid_late" if self._machine.pays(fact.before, fact.after) else "moved_on"
