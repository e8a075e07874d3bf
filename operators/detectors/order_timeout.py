"""``order_timeout``: the handling limit, from paid until the warehouse first handles the order."""

from collections.abc import Mapping
from typing import ClassVar

from msgspec import UNSET

from config.settings import Settings
from operators.detectors.limits import Clock, LimitDetector, Watch
from operators.heart.component import Environment, Handler
from operators.limits.adaptation import Base
from operators.limits.basis import Part
from operators.orders.order_state import FieldsChanged, StageMoved, end_reason
from operators.orders.state_machine import StateMachine


class OrderTimeout(LimitDetector):
    """The handling limit; see docs/rules.md. The category is the one that the order has when it is paid."""

    name: ClassVar[str] = "order_timeout"
    stage: ClassVar[str] = "orders"
    rule: ClassVar[str] = "order_timeout"
    rules: ClassVar[frozenset[str]] = frozenset({"order_timeout"})

    def configure(self, settings: Settings) -> None:
        """The limit of what is paid from now on."""
        own = settings.detectors.order_timeout
        self._take(settings, own.version, own)
        self._machine = StateMachine(settings)
        self._limit = _base("", int(own.limit))
        self._by_category = {category: _base(category, int(limit)) for category, limit in own.by_category.items()}

    @classmethod
    def enabled(cls, environment: Environment) -> bool:
        """As its settings say."""
        return environment.settings.detectors.order_timeout.enabled

    def handlers(self) -> Mapping[type, Handler]:
        """Moves, and promised times that move."""
        return {StageMoved: self.on_moved, FieldsChanged: self.on_fields}

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
            order = fact.order
            base = self._by_category.get(order.category, self._limit)
            since = self._adaptation.start(None, order.category, at, order.promised_at)
            self._start(fact.order_id, None, Clock("handling", at, since, base, fact.event.id, at))

    def on_fields(self, fact: FieldsChanged, at: int) -> None:
        """A promised time may have moved."""
        if fact.event.fields.promised_at is not UNSET:
            self._promise_moved(fact.order_id, fact.order.category, fact.order.promised_at, at)

    def _stage_of(self, watch: Watch) -> str | None:
        return None


def _base(category: str, limit: int) -> Base:
    return Base(limit, (Part("norm", category, (limit, 1000)),), told=bool(category))
