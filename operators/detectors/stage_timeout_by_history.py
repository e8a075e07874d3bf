"""``stage_timeout`` with limits that follow a shop's own history: its clocks run where those limits arrive."""

from collections.abc import Mapping
from typing import ClassVar

from config.settings import Settings
from operators.detectors.limits import Clock, LimitDetector
from operators.heart.component import Environment, Handler
from operators.heart.messages import LimitGiven, PromiseMoved, StayEnded
from operators.limits.adaptation import Base
from operators.limits.basis import Part

_BETWEEN = "\0"


class StageTimeoutByHistory(LimitDetector):
    """The same rule as ``StageTimeout``, fed by notes; see docs/limits.md.

    The limits of two stays may come on different ways and in any order within a millisecond, so each stay has a slot of
    its own, named by its stage and when it was entered.
    """

    name: ClassVar[str] = "stage_timeout_by_history"
    stage: ClassVar[str] = "signals"
    rule: ClassVar[str] = "stage_timeout"
    rules: ClassVar[frozenset[str]] = frozenset({"stage_timeout"})

    def configure(self, settings: Settings) -> None:
        """Limits of what enters a stage from now on."""
        own = settings.detectors.stage_timeout
        self._take(settings, own.version, own)

    @classmethod
    def enabled(cls, environment: Environment) -> bool:
        """With limits that follow history."""
        own = environment.settings.detectors.stage_timeout
        return own.enabled and own.history.enabled

    def handlers(self) -> Mapping[type, Handler]:
        """Stays, and promised times that move."""
        return {LimitGiven: self.on_given, StayEnded: self.on_ended, PromiseMoved: self.on_promise_moved}

    def on_given(self, note: LimitGiven, at: int) -> None:
        """A stay begins."""
        parts = tuple(Part(what, name, numbers) for what, name, numbers in note.parts)
        base = Base(note.limit, parts, note.told)
        clock = Clock(note.stage, note.entered, note.since, base, note.event_id, at)
        self._start(note.key, _slot(note), clock)

    def on_ended(self, note: StayEnded, at: int) -> None:
        """A stay has ended."""
        self._end(note.key, _slot(note), note.reason, at)

    def on_promise_moved(self, note: PromiseMoved, at: int) -> None:
        """Clocks that go by the promised time start anew."""
        self._promise_moved(note.key, note.category, note.promised_at, at)

    def _parcel_in(self, slot: str | None) -> str | None:
        return (slot or "").split(_BETWEEN, 2)[2] or None


def _slot(note: LimitGiven | StayEnded) -> str:
    return _BETWEEN.join((note.stage, str(note.entered), note.parcel))
