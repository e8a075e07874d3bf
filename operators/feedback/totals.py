"""The counts of each rule, over all orders: given out once per step of event time in which they changed."""

from collections.abc import Mapping
from typing import Any, ClassVar, Literal

from msgspec import Struct, field

from events.records import FeedbackTotals
from operators.heart.component import Context, Environment, Handler, StatefulComponent
from operators.heart.messages import Outcome


class Totals(Struct, gc=False, array_like=True):
    """Counts by name. ``number``: how often they were given out; ``until``: the end of the step that changed them."""

    subject: Literal["precision", "capture"]
    rule: str
    rule_version: int
    counts: dict[str, int] = field(default_factory=dict)
    number: int = 0
    until: int = 0


class FeedbackCounts(StatefulComponent[Totals]):
    """Adds up what is told of each version of a rule, and of weak signals; see docs/feedback.md."""

    name: ClassVar[str] = "feedback_counts"
    stage: ClassVar[str] = "feedback"
    state_type: ClassVar[type[Any]] = Totals

    def __init__(self, context: Context) -> None:
        super().__init__(context)
        self._step = int(context.environment.settings.feedback.step)

    @classmethod
    def enabled(cls, environment: Environment) -> bool:
        """With feedback."""
        return environment.settings.feedback.enabled

    def handlers(self) -> Mapping[type, Handler]:
        """Outcomes."""
        return {Outcome: self.on_outcome}

    def on_outcome(self, note: Outcome, at: int) -> None:
        """One more."""
        totals = self.states.get(note.key)
        if totals is None:
            totals = self.states[note.key] = Totals(note.subject, note.rule, note.rule_version)
        for name, change in note.counts.items():
            totals.counts[name] = totals.counts.get(name, 0) + change
        if not totals.until:
            totals.until = (at // self._step + 1) * self._step
            self.context.arm(note.key, totals.until)

    def on_timer(self, key: str, due: int) -> None:
        """The step has ended."""
        totals = self.states.get(key)
        if totals is None or not totals.until:
            return
        if due < totals.until:
            self.context.arm(key, totals.until)
            return
        totals.number += 1
        record = FeedbackTotals(
            totals.subject,
            totals.rule,
            totals.rule_version,
            totals.number,
            totals.until,
            dict(sorted(totals.counts.items())),
        )
        totals.until = 0
        self.context.emit(record)
