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


class Watch(Struct, gc=False, array_like=True):
    """One running limit. ``opened_at`` is 0 and ``level`` empty until it alerts.

    ``known_from``: when the unit came to be; nothing is said of it before that, even if its clock started earlier.
    """

    subject: str
    since: int
    deadline: int
    reminder: int
    event_id: str
    known_from: int
    level: str = ""
    opened_at: int = 0


class Watches(Struct, gc=False, array_like=True):
    """The running limits of an order: its own, and those of its parcels by their ids."""

    order: Watch | None = None
    parcels: dict[str, Watch] | None = None


class LimitDetector(StatefulComponent[Watches]):
    """Watches one deadline per unit: an order as a whole (no parcel id), or one of its parcels.

    Subclasses say when a watch starts and ends. A deadline ``D`` is judged after all events of ``D``: the timer is due
    at ``D + 1`` and the record carries ``D``.
    """

    state_type: ClassVar[type[Any]] = Watches
    rule: ClassVar[str]
    breach_level: ClassVar[str] = "breach"

    def __init__(self, context: Context, version: int, lead: int | None) -> None:
        super().__init__(context)
        self._alerts = Alerts(context, self.rule, version)
        self._lead = lead

    def _start(
        self, order_id: str, parcel: str | None, subject: str, since: int, limit: int, event_id: str, known_from: int
    ) -> None:
        """Run a limit from ``since`` on; a watch that the unit had before must have been ended."""
        deadline = since + limit
        reminder = deadline - self._lead if self._lead is not None and self._lead < limit else deadline
        watch = Watch(subject, since, deadline, reminder, event_id, known_from)
        watches = self.states.get(order_id)
        if watches is None:
            watches = self.states[order_id] = Watches()
        if parcel is None:
            watches.order = watch
        else:
            watches.parcels = watches.parcels or {}
            watches.parcels[parcel] = watch
        self.context.arm(order_id, max(reminder, known_from) + 1)

    def _end(self, order_id: str, parcel: str | None, reason: str, at: int) -> None:
        """Stop watching; an open alert resolves."""
        watches = self.states.get(order_id)
        if watches is None:
            return
        if parcel is None:
            watch, watches.order = watches.order, None
        else:
            watch = watches.parcels.pop(parcel, None) if watches.parcels is not None else None
        if watches.order is None and not watches.parcels:
            del self.states[order_id]
        if watch is not None and watch.level:
            self._send(order_id, parcel, watch, "resolved", at, reason)

    def on_timer(self, key: str, due: int) -> None:
        """Judge all of the order's watches."""
        watches = self.states.get(key)
        if watches is None:
            return
        if watches.order is not None:
            self._judge(key, None, watches.order, due)
        if watches.parcels is not None:
            for parcel, watch in sorted(watches.parcels.items()):
                self._judge(key, parcel, watch, due)

    def _judge(self, order_id: str, parcel: str | None, watch: Watch, due: int) -> None:
        """Open or raise the alert for what is due, with all events before ``due`` applied; else wake up later."""
        now = due - 1
        if now >= watch.deadline and now >= watch.known_from:
            if watch.level != self.breach_level:
                self._raise(order_id, parcel, watch, self.breach_level, now)
            return
        if now >= watch.reminder and now >= watch.known_from and not watch.level:
            self._raise(order_id, parcel, watch, "reminder", now)
        ripe = watch.deadline if watch.level else watch.reminder
        self.context.arm(order_id, max(ripe, watch.known_from) + 1)

    def _raise(self, order_id: str, parcel: str | None, watch: Watch, level: str, at: int) -> None:
        first = not watch.level
        watch.level = level
        if first:
            watch.opened_at = at
        reason = "limit_near" if level == "reminder" else "limit_exceeded"
        self._send(order_id, parcel, watch, "opened" if first else "updated", at, reason)

    def _send(self, order_id: str, parcel: str | None, watch: Watch, step: Any, at: int, reason: str) -> None:
        unit = order_id if parcel is None else f"{order_id}/{parcel}"
        self._alerts.step(
            step,
            at,
            origin=unit,
            entity=("order" if parcel is None else "parcel", unit),
            opened_at=watch.opened_at,
            severity=SEVERITY[watch.level],
            level=watch.level,
            reason=reason,
            orders=(order_id,),
            evidence={
                "subject": watch.subject,
                "since": watch.since,
                "deadline": watch.deadline,
                "limit_ms": watch.deadline - watch.since,
                "event_id": watch.event_id,
            },
            variant=watch.subject,
        )
