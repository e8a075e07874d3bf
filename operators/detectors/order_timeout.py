"""``order_timeout``: the handling limit, from paid until the warehouse first handles the order."""

from collections.abc import Mapping
from typing import ClassVar

from operators.detectors.limits import LimitDetector
from operators.heart.component import Context, Environment, Handler
from operators.orders.order_state import StageMoved, end_reason
from operators.orders.state_machine import StateMachine


class OrderTimeout(LimitDetector):
    """The handling limit; see docs/rules.md. The category is the one that the order has when it is paid."""

    name: ClassVar[str] = "order_timeout"
    stage: ClassVar[str] = "orders"
    rule: ClassVar[str] = "order_timeout"

    def __init__(self, context: Context) -> None:
        settings = context.environment.settings
        own = settings.detectors.order_timeout
        super().__init__(context, own.version, own.reminder_lead)
        self._machine = StateMachine(settings)
        self._limit = int(own.limit)
        self._by_category = {category: int(limit) for category, limit in own.by_category.items()}

    @classmethod
    def enabled(cls, environment: Environment) -> bool:
        """As its settings say."""
        return environment.settings.detectors.order_timeout.enabled

    def handlers(self) -> Mapping[type, Handler]:
        """Moves."""
        return {StageMoved: self.on_moved}

    def on_moved(self, fact: StageMoved, at: int) -> None:
        """The clock starts with the payment and ends when the order is handled or ends."""
        if fact.parcel is not None:
            return
        stage = self._machine.stages[fact.after]
        if stage.cancels:
            self._end(fact.order_id, None, end_reason(fact.order), at)
        elif stage.handled:
            self._end(fact.order_id, None, "moved_on", at)
        elif stage.terminal:
            self._end(fact.order_id, None, "closed", at)
        elif self._machine.pays(fact.before, fact.after) and fact.order_id not in self.states:
            limit = self._by_category.get(fact.order.category, self._limit)
            self._start(fact.order_id, None, "handling", at, limit, fact.event.id, at)
