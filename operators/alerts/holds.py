"""Holds: which orders must not ship, until a review says so."""

from collections.abc import Mapping
from typing import Any, ClassVar

from msgspec import Struct, field

from events.model import ReviewConfirmed, ReviewReleased
from events.records import HoldCause, HoldRecord, HoldStatus
from operators.heart.component import Environment, Handler, StatefulComponent
from operators.heart.messages import HoldWanted


class Hold(Struct, gc=False, array_like=True):
    """An order's hold. ``released`` names the episodes that a review has already decided about."""

    status: HoldStatus
    version: int
    causes: list[HoldCause] = field(default_factory=list)
    released: list[str] = field(default_factory=list)


class Holds(StatefulComponent[Hold]):
    """One hold per order with all its causes; see docs/rules.md, 'Holds'."""

    name: ClassVar[str] = "holds"
    stage: ClassVar[str] = "alerts"
    state_type: ClassVar[type[Any]] = Hold

    @classmethod
    def enabled(cls, environment: Environment) -> bool:
        """With a detector that holds or may be told to, composite rules, or fallback orders: doubles must not ship."""
        detectors = environment.settings.detectors
        bursts, resonance = detectors.card_burst, detectors.resonance
        detected = bursts.enabled or resonance.enabled  # rule documents may have them hold
        return detected or environment.settings.fallback.enabled or bool(environment.settings.composite)

    def handlers(self) -> Mapping[type, Handler]:
        """Wishes to hold, and reviews."""
        return {HoldWanted: self.on_wanted, ReviewReleased: self.on_released, ReviewConfirmed: self.on_confirmed}

    def on_wanted(self, note: HoldWanted, at: int) -> None:
        """A detector wants the order held; a cause that is known, or was reviewed, changes nothing."""
        hold = self.states.get(note.key)
        if hold is None:
            hold = self.states[note.key] = Hold("released", 0)
        known = any(cause.episode == note.episode for cause in hold.causes)
        if known or note.episode in hold.released or hold.status == "confirmed":
            return
        hold.status = "held"
        hold.causes.append(HoldCause(note.rule, note.episode, at))
        self._write(note.order_id, hold, at, None, note.rule)

    def on_released(self, event: ReviewReleased, at: int) -> None:
        """A reviewer lets the order go."""
        self._end(event, "released", at)

    def on_confirmed(self, event: ReviewConfirmed, at: int) -> None:
        """A reviewer confirms the suspicion: the order must not ship."""
        self._end(event, "confirmed", at)

    def _end(self, event: ReviewReleased | ReviewConfirmed, status: HoldStatus, at: int) -> None:
        hold = self.states.get(f"order:{event.order_id}")
        if hold is None or hold.status in ("released", status):
            return
        hold.status = status
        self._write(event.order_id, hold, at, event.operator, f"review_{status}")
        if status == "released":
            hold.released.extend(cause.episode for cause in hold.causes)
            hold.causes.clear()

    def _write(self, order_id: str, hold: Hold, at: int, operator: str | None, reason: str) -> None:
        hold.version += 1
        self.context.emit(
            HoldRecord(
                id=f"hold/{order_id}/{hold.version}",
                order_id=order_id,
                version=hold.version,
                status=hold.status,
                time=at,
                causes=tuple(hold.causes),
                operator=operator,
                reason=reason,
            )
        )
