"""Hands stays in stages on to where a shop's history gives their limits, and to where their clocks run."""

from typing import ClassVar

from msgspec import structs

from config.settings import Settings
from operators.heart.component import Context, Environment
from operators.heart.messages import LimitAsked, LimitGiven, LimitPart, PromiseMoved, StayEnded, StayLasted
from operators.limits.adaptation import Base
from operators.limits.stays import Stay, Stays
from operators.orders.order_state import OrderState

_USUAL_ENDS = ("moved_on", "paid_late")


class StageStays(Stays):
    """The part of ``stage_timeout`` by history that sees orders; see docs/limits.md."""

    name: ClassVar[str] = "stage_stays"
    stage: ClassVar[str] = "orders"
    rules: ClassVar[frozenset[str]] = frozenset({"stage_timeout"})

    def __init__(self, context: Context) -> None:
        super().__init__(context)
        self.configure(context.environment.settings)

    def configure(self, settings: Settings) -> None:
        """For stays that begin or end from now on."""
        self.take_stages(settings)
        own = settings.detectors.stage_timeout.history
        self._on, self._followed = own.enabled, frozenset(own.stages)

    @classmethod
    def enabled(cls, environment: Environment) -> bool:
        """With limits that follow history."""
        own = environment.settings.detectors.stage_timeout
        return own.enabled and own.history.enabled

    def began(self, order_id: str, order: OrderState, stay: Stay, known_from: int) -> None:
        """Its limit is asked for; where no history is followed, it is known here."""
        base = self.limits.of(order.category, stay.stage)
        if base is None:
            return
        since = self.adaptation.start(stay.stage, order.category, stay.entered, order.promised_at)
        parcel, stage, parts = stay.parcel or "", stay.stage, _as_told(base)
        if self._follows(stage):
            asked = LimitAsked(
                known_from, order_id, self._history(order, stage), order_id, parcel, stage, stay.entered, since,
                base.limit, parts, base.told, stay.event_id,
            )  # fmt: skip
            self.context.send("entities", asked)
        else:
            given = LimitGiven(
                known_from, f"orders:{order_id}", order_id, parcel, stage, stay.entered, since,
                base.limit, parts, base.told, stay.event_id,
            )  # fmt: skip
            self.context.send("signals", given)

    def ended(self, order_id: str, order: OrderState, stay: Stay, reason: str, at: int) -> None:
        """Its clock ends; how long it lasted is history, unless the order was cancelled or split."""
        if not self.limits.anywhere(stay.stage):
            return
        origin = f"orders:{order_id}"
        self.context.send(
            "signals", StayEnded(at, origin, order_id, stay.parcel or "", stay.stage, stay.entered, reason)
        )
        if reason in _USUAL_ENDS and self._follows(stay.stage):
            since = self.adaptation.start(stay.stage, order.category, stay.entered, order.promised_at)
            lasted = self.adaptation.lasted(stay.stage, since, at)
            self.context.send("entities", StayLasted(at, order_id, self._history(order, stay.stage), lasted))

    def promised(self, order_id: str, order: OrderState, at: int) -> None:
        """Clocks that go by the promised time start anew."""
        note = PromiseMoved(at, f"orders:{order_id}", order_id, order.category, order.promised_at)
        self.context.send("signals", note)

    def _follows(self, stage: str) -> bool:
        return self._on and (not self._followed or stage in self._followed)

    def _history(self, order: OrderState, stage: str) -> str:
        """Whose history: a shop's in a stage; categories with a norm of their own have one of their own."""
        category = order.category if self.limits.has_own(order.category, stage) else ""
        return f"stays:{stage}:{category}:{order.shop}"


def _as_told(base: Base) -> tuple[LimitPart, ...]:
    return tuple(structs.astuple(part) for part in base.parts)
