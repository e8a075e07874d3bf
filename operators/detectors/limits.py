"""What the detectors of time limits share: a deadline per unit, its reminder, and the life of the alert."""

from typing import Any, ClassVar

from msgspec import Struct

from config.settings import Settings
from events.records import Severity
from operators.heart.component import Alerts, Context, StatefulComponent

SEVERITY: dict[str, Severity] = {"reminder": "info", "breach": "warning", "no_progress": "warning"}


class StageLimits:
    """The limit of each stage: its norm, or the category's, times the factor, rounded down to milliseconds."""

    def __init__(self, settings: Settings) -> None:
        rules = settings.detectors.stage_timeout
        self._common = {
            name: None if stage.terminal or stage.norm is None else stage.norm * rules.factor // 1000
            for name, stage in settings.stages.items()
        }
        self._by_category = {
            category: {
                name: norm * rules.factor // 1000 for name, norm in norms.items() if not settings.stages[name].terminal
            }
            for category, norms in rules.by_category.items()
        }

    def of(self, category: str, stage: str) -> int | None:
        """The limit in milliseconds, None where the stage has none."""
        own = self._by_category.get(category)
        if own is not None and stage in own:
            return own[stage]
        return self._common[stage]


class Watch(Struct, gc=False):
    """One running limit. ``opened_at`` is 0 and ``level`` empty until it alerts.

    ``known_from``: when the unit came to be; nothing is said of it before that, even if its clock started earlier.
    """

    order_id: str
    subject: str
    since: int
    deadline: int
    reminder: int
    event_id: str
    known_from: int
    level: str = ""
    opened_at: int = 0


class LimitDetector(StatefulComponent[Watch]):
    """Watches one deadline per unit; a unit is an order id, or ``<order id>/<parcel id>``.

    Subclasses say when a watch starts and ends. A deadline ``D`` is judged after all events of ``D``: the timer is due
    at ``D + 1`` and the record carries ``D``.
    """

    state_type: ClassVar[type[Any]] = Watch
    rule: ClassVar[str]
    breach_level: ClassVar[str] = "breach"

    def __init__(self, context: Context, version: int, lead: int | None) -> None:
        super().__init__(context)
        self._alerts = Alerts(context, self.rule, version)
        self._lead = lead

    def _start(
        self, unit: str, order_id: str, subject: str, since: int, limit: int, event_id: str, known_from: int
    ) -> None:
        """Run a limit from ``since`` on; a watch that the unit had before must have been ended."""
        deadline = since + limit
        reminder = deadline - self._lead if self._lead is not None and self._lead < limit else deadline
        self.states[unit] = Watch(order_id, subject, since, deadline, reminder, event_id, known_from)
        self.context.arm(unit, max(reminder, known_from) + 1)

    def _end(self, unit: str, reason: str, at: int) -> None:
        """Stop watching; an open alert resolves."""
        watch = self.states.pop(unit, None)
        if watch is not None and watch.level:
            self._send(unit, watch, "resolved", at, reason)

    def on_timer(self, key: str, due: int) -> None:
        """Open or raise the alert for what is due, with all events before ``due`` applied; else wake up later."""
        watch = self.states.get(key)
        if watch is None:
            return
        now = due - 1
        if now >= watch.deadline and now >= watch.known_from:
            if watch.level != self.breach_level:
                self._raise(key, watch, self.breach_level, now)
            return
        if now >= watch.reminder and now >= watch.known_from and not watch.level:
            self._raise(key, watch, "reminder", now)
        ripe = watch.deadline if watch.level else watch.reminder
        self.context.arm(key, max(ripe, watch.known_from) + 1)

    def _raise(self, unit: str, watch: Watch, level: str, at: int) -> None:
        first = not watch.level
        watch.level = level
        if first:
            watch.opened_at = at
        reason = "limit_near" if level == "reminder" else "limit_exceeded"
        self._send(unit, watch, "opened" if first else "updated", at, reason)

    def _send(self, unit: str, watch: Watch, step: Any, at: int, reason: str) -> None:
        self._alerts.step(
            step,
            at,
            origin=unit,
            entity=("order" if unit == watch.order_id else "parcel", unit),
            opened_at=watch.opened_at,
            severity=SEVERITY[watch.level],
            level=watch.level,
            reason=reason,
            orders=(watch.order_id,),
            evidence={
                "subject": watch.subject,
                "since": watch.since,
                "deadline": watch.deadline,
                "limit_ms": watch.deadline - watch.since,
                "event_id": watch.event_id,
            },
            variant=watch.subject,
        )
