"""``stage_timeout``: an order, or a parcel of a split order, stays in a stage for longer than its limit."""

from typing import ClassVar

from config.settings import Settings
from operators.detectors.limits import Clock, LimitDetector
from operators.heart.component import Environment
from operators.limits.stays import Stay, Stays
from operators.orders.order_state import OrderState


class StageTimeout(Stays, LimitDetector):
    """Stage limits; see docs/rules.md. The category is the one that the order has when it enters the stage.

    Limits that follow a shop's own history are kept by ``StageTimeoutByHistory`` instead.
    """

    name: ClassVar[str] = "stage_timeout"
    stage: ClassVar[str] = "orders"
    rule: ClassVar[str] = "stage_timeout"
    rules: ClassVar[frozenset[str]] = frozenset({"stage_timeout"})

    def configure(self, settings: Settings) -> None:
        """Limits of what enters a stage from now on."""
        own = settings.detectors.stage_timeout
        self._take(settings, own.version, own)
        self.take_stages(settings)

    @classmethod
    def enabled(cls, environment: Environment) -> bool:
        """As its settings say."""
        own = environment.settings.detectors.stage_timeout
        return own.enabled and not own.history.enabled

    def began(self, order_id: str, order: OrderState, stay: Stay, known_from: int) -> None:
        """A clock starts where the stage has a limit."""
        base = self.limits.of(order.category, stay.stage)
        if base is not None:
            since = self.adaptation.start(stay.stage, order.category, stay.entered, order.promised_at)
            clock = Clock(stay.stage, stay.entered, since, base, stay.event_id, known_from)
            self._start(order_id, stay.parcel, clock)

    def ended(self, order_id: str, order: OrderState, stay: Stay, reason: str, at: int) -> None:
        """Its clock ends."""
        self._end(order_id, stay.parcel, reason, at)

    def promised(self, order_id: str, order: OrderState, at: int) -> None:
        """Clocks that go by the promised time start anew."""
        self._promise_moved(order_id, order.category, order.promised_at, at)
