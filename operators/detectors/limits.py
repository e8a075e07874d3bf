"""What the detectors of time limits share: a deadline per unit, its reminder, and the life of the alert."""

from collections.abc import Iterator
from typing import Any, ClassVar

from msgspec import Struct

from config.settings import OrderTimeoutSettings, Settings, StageTimeoutSettings
from events.explanation import Look
from events.records import Severity, Step
from operators.heart.component import Alerts, Context, StatefulComponent
from operators.limits.adaptation import Adaptation, Base, base_parts
from operators.limits.basis import Part

SEVERITY: dict[str, Severity] = {"reminder": "info", "breach": "warning", "no_progress": "warning"}


class Clock(Struct, frozen=True, gc=False):
    """A clock that is to run: in ``subject``, which was entered at ``entered``, from ``since`` on.

    ``known_from``: when the unit came to be; nothing is said of it before that, even if its clock started earlier.
    """

    subject: str
    entered: int
    since: int
    base: Base
    event_id: str
    known_from: int


class Watch(Struct, gc=False, array_like=True):
    """One running limit. ``opened_at`` is 0 and ``level`` empty until it alerts.

    ``version``: of the rule by which it was set. ``limit``: before it adapted; 0 where no promise can move the clock.
    ``parts``: how the limit came about, None where it is the plain norm.
    """

    subject: str
    since: int
    deadline: int
    reminder: int
    event_id: str
    known_from: int
    level: str = ""
    opened_at: int = 0
    version: int = 1
    limit: int = 0
    parts: tuple[Part, ...] | None = None


class Watches(Struct, gc=False, array_like=True):
    """The running limits of an order: its own, and those of its parcels by their ids."""

    order: Watch | None = None
    parcels: dict[str, Watch] | None = None


class LimitDetector(StatefulComponent[Watches]):
    """Watches one deadline per unit: an order as a whole (no parcel id), or one of its parcels.

    Subclasses say when a watch starts and ends. A deadline ``D`` is judged after all events of ``D``: the timer is due
    at ``D + 1`` and the record carries ``D``. A clock keeps the deadline, and the version, of the rule that set it.
    """

    state_type: ClassVar[type[Any]] = Watches
    rule: ClassVar[str]
    breach_level: ClassVar[str] = "breach"

    def __init__(self, context: Context) -> None:
        super().__init__(context)
        self.configure(context.environment.settings)

    def _take(self, settings: Settings, version: int, rule: StageTimeoutSettings | OrderTimeoutSettings) -> None:
        """Go by these settings; ``rule``: those by which limits adapt."""
        self._version = version
        self._adaptation = Adaptation(settings, rule)
        self._promises = bool(rule.promised_for)

    def _start(self, order_id: str, slot: str | None, clock: Clock) -> None:
        """Run a clock; a watch that the unit had before must have been ended."""
        terms = self._adaptation.terms(clock.subject, clock.base, clock.entered, clock.since)
        limit = clock.base.limit if self._promises else 0
        watch = Watch(
            clock.subject, terms.since, terms.deadline, terms.reminder, clock.event_id, clock.known_from,
            "", 0, self._version, limit, terms.parts,
        )  # fmt: skip
        watches = self.states.get(order_id)
        if watches is None:
            watches = self.states[order_id] = Watches()
        if slot is None:
            watches.order = watch
        else:
            watches.parcels = watches.parcels or {}
            watches.parcels[slot] = watch
        self.context.arm(order_id, max(terms.reminder, clock.known_from) + 1)

    def _end(self, order_id: str, slot: str | None, reason: str, at: int) -> None:
        """Stop watching; an open alert resolves."""
        watches = self.states.get(order_id)
        if watches is None:
            return
        if slot is None:
            watch, watches.order = watches.order, None
        else:
            watch = watches.parcels.pop(slot, None) if watches.parcels is not None else None
        if watches.order is None and not watches.parcels:
            del self.states[order_id]
        if watch is not None and watch.level:
            self._send(order_id, slot, watch, "resolved", at, reason)

    def _promise_moved(self, order_id: str, category: str, promised: int | None, at: int) -> None:
        """Clocks that wait for the promised time, or should, start anew; an alert that this takes back resolves."""
        watches = self.states.get(order_id) if self._promises else None
        if watches is None:
            return
        slots = [(None, watches.order), *sorted((watches.parcels or {}).items())]
        for slot, watch in slots:
            if watch is None or not watch.limit:
                continue
            entered = _entered(watch)
            since = self._adaptation.start(self._stage_of(watch), category, entered, promised)
            if since != watch.since:
                self._end(order_id, slot, "rescheduled", at)
                base = Base(watch.limit, base_parts(watch.parts or ()), told=watch.parts is not None)
                self._start(order_id, slot, Clock(watch.subject, entered, since, base, watch.event_id, at))

    def _stage_of(self, watch: Watch) -> str | None:
        """The stage in which a clock runs."""
        return watch.subject

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

    def explain(self, key: str, at: int) -> Iterator[Look]:
        """How long each unit has waited of its limit."""
        watches = self.states.get(key) or Watches()
        units = [(None, watches.order), *sorted((watches.parcels or {}).items())]
        for slot, watch in units:
            if watch is not None:
                parcel = self._parcel_in(slot)
                yield Look(
                    rule=self.rule,
                    subject=f"{watch.subject}/{parcel}" if parcel else watch.subject,
                    value=max(0, at - watch.since),
                    threshold=watch.deadline - watch.since,
                    unit="ms",
                    since=watch.since,
                    due=watch.deadline,
                )

    def _judge(self, order_id: str, slot: str | None, watch: Watch, due: int) -> None:
        """Open or raise the alert for what is due, with all events before ``due`` applied; else wake up later."""
        now = due - 1
        if now >= watch.deadline and now >= watch.known_from:
            if watch.level != self.breach_level:
                self._raise(order_id, slot, watch, self.breach_level, now)
            return
        if now >= watch.reminder and now >= watch.known_from and not watch.level:
            self._raise(order_id, slot, watch, "reminder", now)
        ripe = watch.deadline if watch.level else watch.reminder
        self.context.arm(order_id, max(ripe, watch.known_from) + 1)

    def _raise(self, order_id: str, slot: str | None, watch: Watch, level: str, at: int) -> None:
        first = not watch.level
        watch.level = level
        if first:
            watch.opened_at = at
        reason = "limit_near" if level == "reminder" else "limit_exceeded"
        self._send(order_id, slot, watch, "opened" if first else "updated", at, reason)

    def _parcel_in(self, slot: str | None) -> str | None:
        """The parcel that a slot stands for."""
        return slot

    def _send(self, order_id: str, slot: str | None, watch: Watch, step: Step, at: int, reason: str) -> None:
        parcel = self._parcel_in(slot)
        unit = order_id if parcel is None else f"{order_id}/{parcel}"
        evidence: dict[str, Any] = {
            "subject": watch.subject,
            "since": watch.since,
            "deadline": watch.deadline,
            "limit_ms": _limit(watch),
            "event_id": watch.event_id,
        }
        if watch.parts is not None:
            evidence["limit_from"] = [part.told() for part in watch.parts]
        Alerts(self.context, self.rule, watch.version).step(
            step,
            at,
            origin=unit,
            entity=("order" if parcel is None else "parcel", unit),
            opened_at=watch.opened_at,
            severity=SEVERITY[watch.level],
            level=watch.level,
            reason=reason,
            orders=(order_id,),
            evidence=evidence,
            variant=watch.subject,
        )


def _limit(watch: Watch) -> int:
    """The limit as it is counted: in working time where there is a calendar."""
    for part in watch.parts or ():
        if part.what == "calendar":
            return part.numbers[0]
    return watch.deadline - watch.since


def _entered(watch: Watch) -> int:
    """When the clock would have started without a promised time."""
    for part in watch.parts or ():
        if part.what == "promised":
            return part.numbers[1]
    return watch.since
