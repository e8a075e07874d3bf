"""What became of an order's alerts: reviewed, turned into a failure, or nothing."""

from collections.abc import Iterable, Mapping
from typing import Any, ClassVar, Final, Literal

from msgspec import Struct, field

from events.model import ReviewConfirmed, ReviewReleased
from operators.heart.component import Context, Environment, Handler, StatefulComponent
from operators.heart.messages import AlertStep, HoldWanted, OrderEnded, Outcome

WEAK_RULE: Final = "resonance"
STRONG_LEVEL: Final = "lock"
VERSION_UNKNOWN: Final = 0

Verdict = Literal["", "confirmed", "released"]


class Raised(Struct, gc=False, array_like=True):
    """An alert about an order. ``verdict``: what the newest review said."""

    rule: str
    version: int
    verdict: Verdict = ""


class Weak(Struct, gc=False, array_like=True):
    """The weak signals of an order: its first alert at ``since``.

    ``counts``: it began below the strongest level, so it is one of those that may turn. ``result``: what came of it.
    """

    since: int
    counts: bool
    result: Literal["", "turned", "quiet"] = ""


class Concerned(Struct, gc=False, array_like=True):
    """An order that alerts, reviews or a failure speak of. ``alerts``: by their episodes."""

    touched: int = 0
    alerts: dict[str, Raised] = field(default_factory=dict)
    weak: Weak | None = None
    failed: bool = False


class Outcomes(StatefulComponent[Concerned]):
    """Follows the alerts of each order to their outcome; see docs/feedback.md for the formulas."""

    name: ClassVar[str] = "outcomes"
    stage: ClassVar[str] = "alerts"
    state_type: ClassVar[type[Any]] = Concerned

    def __init__(self, context: Context) -> None:
        super().__init__(context)
        own = context.environment.settings.feedback
        self._window = int(own.window)
        self._alerts_of = frozenset(own.alerts_of)

    @classmethod
    def enabled(cls, environment: Environment) -> bool:
        """With feedback."""
        return environment.settings.feedback.enabled

    def handlers(self) -> Mapping[type, Handler]:
        """Alerts, holds, reviews, and how orders end."""
        return {
            AlertStep: self.on_step,
            HoldWanted: self.on_hold,
            ReviewConfirmed: self.on_confirmed,
            ReviewReleased: self.on_released,
            OrderEnded: self.on_ended,
        }

    def on_step(self, step: AlertStep, at: int) -> None:
        """An alert on an order opened, or became stronger."""
        if step.entity_type != "order" or step.step == "resolved":
            return
        if step.step == "opened" and step.rule in self._alerts_of:
            self._raise(step.key, step.episode, step.rule, step.rule_version, at)
        if step.rule == WEAK_RULE:
            self._follow(step, at)

    def on_hold(self, note: HoldWanted, at: int) -> None:
        """A rule wants the order held."""
        self._raise(note.key, note.episode, note.rule, note.rule_version, at)

    def on_confirmed(self, event: ReviewConfirmed, at: int) -> None:
        """The suspicion was right."""
        self._review(event, "confirmed", at)

    def on_released(self, event: ReviewReleased, at: int) -> None:
        """The suspicion was wrong."""
        self._review(event, "released", at)

    def on_ended(self, note: OrderEnded, at: int) -> None:
        """The order failed, or ended as it should."""
        state = self.states.get(note.key)
        if note.what == "failed":
            state = state or self._state(note.key, at)
            state.failed = True
            before = state.weak is not None and state.weak.since < at
            self._capture(note.key, {"failed": 1, "failed_alerted": int(before)}, at)
            if before:
                self._turn(note.key, state, at)
        elif state is not None:
            self._quiet(note.key, state, at)

    def on_timer(self, key: str, due: int) -> None:
        """So long after the last that was said of it, an order is forgotten."""
        state = self.states.get(key)
        if state is None:
            return
        end = state.touched + self._window
        if due <= end:
            self.context.arm(key, end + 1)
            return
        self._quiet(key, state, end)
        del self.states[key]

    def _state(self, key: str, at: int) -> Concerned:
        state = self.states.get(key)
        if state is None:
            state = self.states[key] = Concerned()
        state.touched = at
        self.context.arm(key, at + self._window + 1)
        return state

    def _raise(self, key: str, episode: str, rule: str, version: int, at: int) -> None:
        state = self._state(key, at)
        if episode not in state.alerts:
            state.alerts[episode] = Raised(rule, version)
            self._tell(key, rule, version, {"raised": 1}, at)

    def _review(self, event: ReviewConfirmed | ReviewReleased, verdict: Verdict, at: int) -> None:
        key = f"order:{event.order_id}"
        if event.episode is None and key not in self.states:
            return
        state = self._state(key, at)
        for raised in self._reviewed(state, event.episode):
            if raised.verdict != verdict:
                changes = {str(verdict): 1} | ({raised.verdict: -1} if raised.verdict else {})
                raised.verdict = verdict
                self._tell(key, raised.rule, raised.version, changes, at)

    def _reviewed(self, state: Concerned, episode: str | None) -> Iterable[Raised]:
        """The alert that a review names; else those not reviewed yet; else all."""
        if episode is not None:
            # One that names several orders, and held none: its version stands only where it was raised.
            return (state.alerts.setdefault(episode, Raised(episode.partition("/")[0], VERSION_UNKNOWN)),)
        return [raised for raised in state.alerts.values() if not raised.verdict] or list(state.alerts.values())

    def _follow(self, step: AlertStep, at: int) -> None:
        state = self._state(step.key, at)
        strong = step.level == STRONG_LEVEL
        if state.weak is None:
            counts = not strong and not state.failed
            state.weak = Weak(at, counts)
            if counts:
                self._capture(step.key, {"weak": 1}, at)
        elif strong:
            self._turn(step.key, state, at)

    def _turn(self, key: str, state: Concerned, at: int) -> None:
        weak = state.weak
        if weak is not None and weak.counts and weak.result != "turned":
            changes = {"turned": 1} | ({"quiet": -1} if weak.result else {})
            weak.result = "turned"
            self._capture(key, changes, at)

    def _quiet(self, key: str, state: Concerned, at: int) -> None:
        weak = state.weak
        if weak is not None and weak.counts and not weak.result:
            weak.result = "quiet"
            self._capture(key, {"quiet": 1}, at)

    def _tell(self, key: str, rule: str, version: int, counts: Mapping[str, int], at: int) -> None:
        of_rule = f"precision:{rule}:{version}"
        self.context.send("feedback", Outcome(at, key, of_rule, "precision", rule, version, dict(counts)))

    def _capture(self, key: str, counts: Mapping[str, int], at: int) -> None:
        """One count over all versions: failed orders without an alert have none."""
        changes = {name: count for name, count in counts.items() if count}
        note = Outcome(at, key, "capture", "capture", WEAK_RULE, VERSION_UNKNOWN, changes)
        self.context.send("feedback", note)
