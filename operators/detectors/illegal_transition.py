"""``illegal_transition``: somebody reported a move that the stage chain does not allow."""

from collections.abc import Iterator, Mapping
from typing import Any, ClassVar

from msgspec import Struct

from config.settings import Settings
from events.explanation import Look
from events.records import Step
from operators.heart.component import Alerts, Context, Environment, Handler, StatefulComponent
from operators.orders.order_state import IllegalMove, OrderForgotten, StageMoved, end_reason
from operators.orders.state_machine import StateMachine


class Illegal(Struct, gc=False, array_like=True):
    """An open alert of one order.

    ``opened_by`` is the id of the event that opened it, ``moves`` counts its illegal moves, ``evidence`` speaks of the
    latest one.
    """

    opened_at: int
    opened_by: str
    moves: int
    level: str
    evidence: dict[str, Any]


class IllegalTransition(StatefulComponent[Illegal]):
    """Flags illegal moves; see docs/rules.md."""

    name: ClassVar[str] = "illegal_transition"
    stage: ClassVar[str] = "orders"
    state_type: ClassVar[type[Any]] = Illegal

    rules: ClassVar[frozenset[str]] = frozenset({"illegal_transition"})

    def __init__(self, context: Context) -> None:
        super().__init__(context)
        self.configure(context.environment.settings)

    def configure(self, settings: Settings) -> None:
        """There is no number to change, only whether it speaks."""
        self._machine = StateMachine(settings)
        self._alerts = Alerts(self.context, self.name, settings.detectors.illegal_transition.version)

    @classmethod
    def enabled(cls, environment: Environment) -> bool:
        """As its settings say."""
        return environment.settings.detectors.illegal_transition.enabled

    def handlers(self) -> Mapping[type, Handler]:
        """Illegal moves, and what ends them."""
        return {IllegalMove: self.on_illegal, StageMoved: self.on_moved, OrderForgotten: self.on_forgotten}

    def on_illegal(self, fact: IllegalMove, at: int) -> None:
        """One more illegal move of an order."""
        state = self.states.get(fact.order_id)
        step: Step = "opened" if state is None else "updated"
        if state is None:
            state = self.states[fact.order_id] = Illegal(at, fact.event.id, 0, "", {})
        state.moves += 1
        state.level = fact.verdict.value
        state.evidence = {
            "parcel": fact.parcel,
            "from": fact.current,
            "to": fact.target,
            "reported_by": fact.event.source,
            "event_id": fact.event.id,
            "moves": state.moves,
        }
        self._send(fact.order_id, state, step, at, state.level)

    def on_moved(self, fact: StageMoved, at: int) -> None:
        """A legal move: the order is on its way again."""
        if not fact.split:
            stage = fact.order.stage  # a parcel that is cancelled does not cancel the order
            cancels = stage is not None and self._machine.stages[stage].cancels
            self._end(fact.order_id, end_reason(fact.order) if cancels else "moved_on", at)

    def on_forgotten(self, fact: OrderForgotten, at: int) -> None:
        """Nothing will come any more."""
        self._end(fact.order_id, "forgotten", at)

    def explain(self, key: str, at: int) -> Iterator[Look]:
        """How many illegal moves it has made since its last legal one."""
        state = self.states.get(key)
        if state is not None:
            subject = f"{state.evidence['from'] or '-'} -> {state.evidence['to']}"
            yield Look(rule=self.name, subject=subject, value=state.moves, threshold=1, unit="times")

    def _end(self, order_id: str, reason: str, at: int) -> None:
        state = self.states.pop(order_id, None)
        if state is not None:
            self._send(order_id, state, "resolved", at, reason)

    def _send(self, order_id: str, state: Illegal, step: Step, at: int, reason: str) -> None:
        self._alerts.step(
            step,
            at,
            origin=order_id,
            entity=("order", order_id),
            opened_at=state.opened_at,
            severity="warning",
            level=state.level,
            reason=reason,
            orders=(order_id,),
            evidence=state.evidence,
            variant=state.opened_by,  # one order can go wrong twice in a millisecond
        )
