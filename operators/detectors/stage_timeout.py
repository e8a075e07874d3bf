"""``stage_timeout``: an order, or a parcel of a split order, stays in a stage for longer than its limit."""

from typing import ClassVar

from config.settings import Settings
from operators.detectors.limits import Clock, LimitDetector, Watch, Watches
from operators.heart.component import Environment
from operators.limits.stays import Stay, Stays
from operators.orders.order_state import OrderState, StageMoved


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
        self._plain = self.adaptation.plain and not self._promises

    @classmethod
    def enabled(cls, environment: Environment) -> bool:
        """As its settings say."""
        own = environment.settings.detectors.stage_timeout
        return own.enabled and not own.history.enabled

    def on_moved(self, fact: StageMoved, at: int) -> None:
        """A unit left one stage and entered the next."""
        order = fact.order
        if self._plain and order.parcels is None:
            watches = self.states.get(fact.order_id)
            if watches is None or (watches.parcels is None and (watches.order is None or not watches.order.level)):
                self._start_anew(fact, order.category, watches, at)
                return
        super().on_moved(fact, at)

    def _start_anew(self, fact: StageMoved, category: str, watches: Watches | None, at: int) -> None:
        """The short way of nearly all moves: of a whole order with no open alert, under limits that nothing adapts.

        It does what ``ended`` and ``began`` would do.
        """
        base = self.limits.of(category, fact.after)
        if base is None:
            if watches is not None:
                del self.states[fact.order_id]
            return
        limit = base.limit
        watch = Watch(
            fact.after, at, at + limit, at + self.adaptation.before(limit), fact.event.id, at,
            "", 0, self._version, 0, base.parts if base.told else None,
        )  # fmt: skip
        if watches is None:
            self.states[fact.order_id] = Watches(watch)
        else:
            watches.order = watch
        self.context.arm(fact.order_id, watch.reminder + 1)

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
