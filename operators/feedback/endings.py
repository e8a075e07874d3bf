"""Tells how orders end: failed, by the definition of the settings, or as they should."""

from collections.abc import Mapping
from typing import Any, ClassVar, Literal

from msgspec import Struct

from operators.heart.component import Context, Environment, Handler, StatefulComponent
from operators.heart.messages import OrderEnded
from operators.orders.order_state import OrderClosed, OrderForgotten, Scanned, StageMoved, StatusReported


class Failed(Struct, gc=False, array_like=True):
    """That an order has failed, and by what."""

    cause: str


class OrderEndings(StatefulComponent[Failed]):
    """An order fails once at most; it may fail after it has ended, as when money is given back later."""

    name: ClassVar[str] = "order_endings"
    stage: ClassVar[str] = "orders"
    state_type: ClassVar[type[Any]] = Failed

    def __init__(self, context: Context) -> None:
        super().__init__(context)
        settings = context.environment.settings
        own = settings.feedback.failures
        self._stages = settings.stages
        self._failing = frozenset(own.stages)
        self._cancelled = own.cancelled
        self._statuses = {system: frozenset(statuses) for system, statuses in own.statuses.items()}
        self._scans = frozenset(own.scans)

    @classmethod
    def enabled(cls, environment: Environment) -> bool:
        """With feedback."""
        return environment.settings.feedback.enabled

    def handlers(self) -> Mapping[type, Handler]:
        """All by which an order may fail or end."""
        return {
            StageMoved: self.on_moved,
            StatusReported: self.on_status,
            Scanned: self.on_scanned,
            OrderClosed: self.on_closed,
            OrderForgotten: self.on_forgotten,
        }

    def on_moved(self, fact: StageMoved, at: int) -> None:
        """Into a stage that is a failure, or out of a paid one by being cancelled; being merged is none."""
        if fact.parcel is not None or fact.order.merged_into:
            return
        if fact.after in self._failing or (self._stages[fact.after].cancels and self._counts(fact.before)):
            self._fail(fact.order_id, f"stage:{fact.after}", at)

    def on_status(self, fact: StatusReported, at: int) -> None:
        """A system reports a status that is a failure."""
        if fact.new in self._statuses.get(fact.system, ()):
            self._fail(fact.order_id, f"status:{fact.system}:{fact.new}", at)

    def on_scanned(self, fact: Scanned, at: int) -> None:
        """A carrier reports a failure."""
        if fact.event.scan in self._scans:
            self._fail(fact.order_id, f"scan:{fact.event.scan}", at)

    def on_closed(self, fact: OrderClosed, at: int) -> None:
        """It ended; whether it failed has been said."""
        if fact.order_id not in self.states:
            self._tell(fact.order_id, "ended", "", at)

    def on_forgotten(self, fact: OrderForgotten, at: int) -> None:
        """Nothing of the order is kept."""
        self.states.pop(fact.order_id, None)

    def _counts(self, before: str | None) -> bool:
        if self._cancelled == "paid":
            return before is not None and self._stages[before].paid
        return self._cancelled == "any"

    def _fail(self, order_id: str, cause: str, at: int) -> None:
        if order_id not in self.states:
            self.states[order_id] = Failed(cause)
            self._tell(order_id, "failed", cause, at)

    def _tell(self, order_id: str, what: Literal["failed", "ended"], cause: str, at: int) -> None:
        self.context.send("alerts", OrderEnded(at, f"orders:{order_id}", f"order:{order_id}", what, cause))
