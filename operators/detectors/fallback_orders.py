"""``fallback_match``: fallback orders and their doubles: the certain ones are merged, the doubtful ones shown."""

from collections.abc import Iterator, Mapping
from typing import Any, ClassVar

from msgspec import Struct, field

from events.explanation import Look
from events.model import FallbackLinked, FallbackRejected, OrderMerged
from events.records import Severity, Step
from operators.heart.component import Alerts, Context, Environment, Handler, StatefulComponent, tell
from operators.heart.messages import FallbackMatch
from operators.orders.order_state import (
    Merged,
    MergeRefused,
    MergeWanted,
    OrderClosed,
    OrderForgotten,
    OrderOpened,
    end_reason,
)

BY_PRODUCT = "orderpulse"
_SEVERITY: dict[str, Severity] = {"doubtful": "warning", "shipped": "critical"}


class Candidate(Struct, gc=False, array_like=True):
    """An order of the main system that may be the double; ``why`` it is not certain, and what is known of it."""

    why: str
    event_id: str
    placed: dict[str, Any]


class FallbackOrder(Struct, gc=False, array_like=True):
    """A fallback order. ``candidates`` wait for a person, who has ``decided`` about others. ``over``: why it ended.

    ``opened_at`` is 0 while there is no alert; ``opened_by`` is the event that opened it.
    """

    over: str = ""
    opened_at: int = 0
    opened_by: str = ""
    level: str = ""
    taken: dict[str, Any] = field(default_factory=dict)
    candidates: dict[str, Candidate] = field(default_factory=dict)
    decided: list[str] = field(default_factory=list)


class FallbackOrders(StatefulComponent[FallbackOrder]):
    """Has certain doubles merged, and gives a person the others; see docs/rules.md."""

    name: ClassVar[str] = "fallback_orders"
    stage: ClassVar[str] = "orders"
    state_type: ClassVar[type[Any]] = FallbackOrder

    def __init__(self, context: Context) -> None:
        super().__init__(context)
        settings = context.environment.settings
        self._source = settings.fallback.source
        self._stages = settings.stages
        self._alerts = Alerts(context, "fallback_match", settings.fallback.version)
        self._match: Candidate | None = None  # while the truth is told of it

    @classmethod
    def enabled(cls, environment: Environment) -> bool:
        """As its settings say."""
        return environment.settings.fallback.enabled

    def handlers(self) -> Mapping[type, Handler]:
        """What the matching finds, what people decide, and what becomes of the orders."""
        return {
            OrderOpened: self.on_opened,
            FallbackMatch: self.on_match,
            FallbackLinked: self.on_linked,
            FallbackRejected: self.on_rejected,
            Merged: self.on_merged,
            MergeRefused: self.on_refused,
            OrderClosed: self.on_closed,
            OrderForgotten: self.on_forgotten,
        }

    def connect(self) -> None:
        """The truth is told what it should merge."""
        self._wanted = self.context.subscribed(MergeWanted)

    def on_opened(self, fact: OrderOpened, at: int) -> None:
        """An order was taken by hand."""
        if fact.event.source == self._source and fact.order_id not in self.states:
            self.states[fact.order_id] = FallbackOrder()

    def on_match(self, note: FallbackMatch, at: int) -> None:
        """A double: certain, or for a person to look at."""
        own = self._of(note.key)
        if note.taken["items"]:
            own.taken = note.taken
        if not note.certain:
            if not own.over:
                self._doubt(note.key, own, "doubtful", note.main_order_id, note.why, note.event_id, note.placed, at)
            return
        if own.over == "merged" and note.why != "quoted":
            return  # its double is known; this is another order of the same buyer
        event = OrderMerged(
            id=f"{note.key}/merged/{note.main_order_id}",
            source=BY_PRODUCT,
            time=at,
            order_id=note.key,
            merged_into=note.main_order_id,
            reason=note.why,
        )
        self._match = Candidate(note.why, note.event_id, note.placed)
        tell(self._wanted, MergeWanted(note.key, note.main_order_id, event), at)
        self._match = None

    def on_linked(self, event: FallbackLinked, at: int) -> None:
        """A person says that the two are one."""
        own = self._of(event.order_id)
        tell(self._wanted, MergeWanted(event.order_id, event.main_order_id, event), at)
        if own.opened_at and own.over:
            self._decide(event.order_id, own, event.main_order_id, "linked", at)

    def on_rejected(self, event: FallbackRejected, at: int) -> None:
        """A person says that the two are two."""
        self._decide(event.order_id, self._of(event.order_id), event.main_order_id, "rejected", at)

    def on_merged(self, fact: Merged, at: int) -> None:
        """The order ends, and all doubts with it."""
        own = self.states.get(fact.order_id)
        if own is not None:
            own.over = "merged"
            if self._match is not None:
                own.candidates.setdefault(fact.into, self._match)
            self._end(fact.order_id, own, "linked" if isinstance(fact.event, FallbackLinked) else "merged", at)

    def on_refused(self, fact: MergeRefused, at: int) -> None:
        """The order has left, ended, or been merged: the double must not ship, or a person has to look."""
        own = self.states.get(fact.order_id)
        if own is None:
            return
        placed, event_id = (self._match.placed, self._match.event_id) if self._match else ({}, fact.event.id)
        level = "shipped" if fact.why == "shipped" else "doubtful"
        self._doubt(fact.order_id, own, level, fact.into, fact.why, event_id, placed, at)
        if level == "shipped" and own.opened_at:
            episode = self._alerts.episode(("order", fact.order_id), own.opened_at, own.opened_by)
            self._alerts.hold(fact.into, episode, at, fact.order_id)

    def on_closed(self, fact: OrderClosed, at: int) -> None:
        """The order ended by itself. What is doubtful of one that has left stays doubtful."""
        own = self.states.get(fact.order_id)
        if own is None or own.over:
            return
        stage = fact.order.stage
        own.over = end_reason(fact.order) if stage is not None and self._stages[stage].cancels else "closed"
        if own.level != "shipped":
            self._end(fact.order_id, own, own.over, at)

    def on_forgotten(self, fact: OrderForgotten, at: int) -> None:
        """Nothing of it is kept."""
        own = self.states.pop(fact.order_id, None)
        if own is not None:
            self._end(fact.order_id, own, "forgotten", at)

    def explain(self, key: str, at: int) -> Iterator[Look]:
        """How many orders of the main system may be the same."""
        own = self.states.get(key)
        if own is not None and own.candidates:
            yield Look(
                rule="fallback_match",
                subject="doubles",
                value=len(own.candidates),
                threshold=1,
                unit="orders",
                orders=(key, *own.candidates),
            )

    def _of(self, order_id: str) -> FallbackOrder:
        own = self.states.get(order_id)
        if own is None:
            own = self.states[order_id] = FallbackOrder()
        return own

    def _doubt(
        self,
        order_id: str,
        own: FallbackOrder,
        level: str,
        main_order_id: str,
        why: str,
        event_id: str,
        placed: dict[str, Any],
        at: int,
    ) -> None:
        if main_order_id in own.candidates or main_order_id in own.decided:
            return
        own.candidates[main_order_id] = Candidate(why, event_id, placed)
        step: Step = "updated" if own.opened_at else "opened"
        if not own.opened_at:
            own.opened_at, own.opened_by = at, event_id
        if own.level != "shipped":
            own.level = level
        self._send(order_id, own, step, at, why)

    def _decide(self, order_id: str, own: FallbackOrder, main_order_id: str, reason: str, at: int) -> None:
        if main_order_id not in own.decided:
            own.decided.append(main_order_id)
        if main_order_id not in own.candidates or not own.opened_at:
            return
        if len(own.candidates) > 1:
            del own.candidates[main_order_id]
            self._send(order_id, own, "updated", at, reason)
        else:
            self._end(order_id, own, reason, at)

    def _end(self, order_id: str, own: FallbackOrder, reason: str, at: int) -> None:
        if own.opened_at:
            self._send(order_id, own, "resolved", at, reason)
        own.opened_at, own.opened_by, own.level = 0, "", ""
        own.candidates.clear()

    def _send(self, order_id: str, own: FallbackOrder, step: Step, at: int, reason: str) -> None:
        self._alerts.step(
            step,
            at,
            origin=order_id,
            entity=("order", order_id),
            opened_at=own.opened_at,
            severity=_SEVERITY[own.level],
            level=own.level,
            reason=reason,
            orders=(order_id, *own.candidates),
            evidence={
                "taken": own.taken,
                "candidates": [
                    {"order_id": name, "why": each.why, "event_id": each.event_id, **each.placed}
                    for name, each in own.candidates.items()
                ],
            },
            variant=own.opened_by,
        )
