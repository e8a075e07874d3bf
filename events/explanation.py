"""What ``orderpulse explain`` tells of an order, as data: ``explain --json`` prints an ``Explanation``."""

from typing import Any, Literal

from msgspec import Struct

from events.records import AlertRecord, FieldChange, HoldRecord

Unit = Literal["ms", "orders", "thousandths", "times", "conditions"]


class Look(Struct, frozen=True, gc=False, kw_only=True, omit_defaults=True):
    """What a rule sees of one thing at one moment: a value against its threshold; at ``threshold`` the rule holds.

    ``subject`` names the thing within the rule and the key: a stage, a kind of window, a condition. ``unit`` is that of
    both numbers: ``ms``, ``orders``, ``thousandths`` (of a sum of weights), ``times``, ``conditions`` (met, of all).
    ``since``: when its clock started; ``due``: when it is judged, or ends, if nothing else comes. ``orders``: who is in
    the window. ``parts``: what the value is made of. ``condition``: one of several of the rule, which makes no
    alert alone.
    """

    rule: str
    subject: str
    value: int
    threshold: int
    unit: Unit
    since: int | None = None
    due: int | None = None
    orders: tuple[str, ...] = ()
    parts: dict[str, int] = {}
    condition: bool = False

    @property
    def share(self) -> float:
        """How much of the threshold is reached."""
        return self.value / self.threshold if self.threshold else 1.0


class Entry(Struct, frozen=True, kw_only=True, omit_defaults=True, tag_field="what"):
    """Something that happened at ``at`` (event time, epoch ms). ``key`` is whose it was within its ``stage``."""

    at: int
    stage: str = ""
    key: str = ""


class EventEntry(Entry, frozen=True, kw_only=True, omit_defaults=True, tag="event"):
    """An event was applied, or left out as a ``duplicate``.

    ``time`` is its own time: a late event is applied later than that. ``partition`` and ``position`` say where it
    stands. ``version`` and ``changes``: the order's version that it made. ``said``: the few words that tell it from
    others of its type.
    """

    source: str
    id: str
    type: str
    time: int
    order: str = ""
    operator: str | None = None
    duplicate: bool = False
    said: dict[str, Any] = {}
    version: int | None = None
    changes: tuple[FieldChange, ...] = ()
    partition: str = ""
    position: int | None = None


class FactEntry(Entry, frozen=True, kw_only=True, omit_defaults=True, tag="fact"):
    """Something became true of the order; ``said`` are its values."""

    fact: str
    said: dict[str, Any] = {}


class NoteEntry(Entry, frozen=True, kw_only=True, omit_defaults=True, tag="note"):
    """``key`` of ``stage`` told ``to_key`` of ``to_stage`` something; ``said`` are its values."""

    note: str
    to_stage: str
    to_key: str
    said: dict[str, Any] = {}


class TimerEntry(Entry, frozen=True, kw_only=True, omit_defaults=True, tag="timer"):
    """A component asked to be woken (``set``), was woken (``fired``), or had nothing left to wait for (``cancelled``).

    ``due`` is when, in event time: before anything that happens in that millisecond.
    """

    component: str
    action: Literal["set", "fired", "cancelled"]
    due: int


class LookEntry(Entry, frozen=True, kw_only=True, omit_defaults=True, tag="look"):
    """What a rule looks at began, changed or ended; ``look`` is how it stands, at an end how it stood last."""

    component: str
    change: Literal["began", "changed", "ended"]
    look: Look


class RuleEntry(Entry, frozen=True, kw_only=True, omit_defaults=True, tag="rule"):
    """A rule document took effect."""

    rule: str
    version: int


class AlertEntry(Entry, frozen=True, kw_only=True, omit_defaults=True, tag="alert"):
    """A step of an alert."""

    record: AlertRecord


class HoldEntry(Entry, frozen=True, kw_only=True, omit_defaults=True, tag="hold"):
    """The order was held, released or confirmed."""

    record: HoldRecord


class DeadLetterEntry(Entry, frozen=True, kw_only=True, omit_defaults=True, tag="dead_letter"):
    """A record that names the order could not be used. ``at`` is 0: such a record has no place in time."""

    reason: str
    detail: str
    partition: str
    position: int


AnyEntry = (
    EventEntry | FactEntry | NoteEntry | TimerEntry | LookEntry | RuleEntry | AlertEntry | HoldEntry | DeadLetterEntry
)


class Nearest(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """The nearest that one subject of a rule came to its threshold: at ``at``, ``spare`` was missing.

    ``met``: it was reached. ``open``: the clock still runs, or the window is still open, at the end of what was read.
    """

    at: int
    key: str
    look: Look
    met: bool
    open: bool = False

    @property
    def spare(self) -> int:
        """What was missing, in the unit of the look."""
        return max(0, self.look.threshold - self.look.value)


class WhyNot(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Why a rule did not alert. ``state``: ``alerted``: it did; ``near``: it looked and its thresholds were not
    reached; ``never``: it found nothing to look at; ``disabled``: the settings switch it off; ``elsewhere``: it is not
    about orders.
    """

    rule: str
    state: Literal["alerted", "near", "never", "disabled", "elsewhere"]
    nearest: tuple[Nearest, ...] = ()
    alerts: tuple[str, ...] = ()


class Related(Struct, frozen=True, kw_only=True):
    """Other orders, and by what they are related."""

    key: str
    orders: tuple[str, ...]


class ChainEvent(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One event of the chain; ``at`` is when it is applied."""

    at: int
    source: str
    id: str
    type: str
    order: str = ""
    partition: str = ""
    position: int | None = None


class Chain(Struct, frozen=True, kw_only=True):
    """The events that led to the alerts of the order: its own, and those of other orders that shared a window with it.

    ``proven``: these events alone were replayed, and gave the same alerts of the order.
    """

    events: tuple[ChainEvent, ...]
    orders: tuple[str, ...]
    proven: bool


class Range(Struct, frozen=True, kw_only=True):
    """What was read. ``first`` and ``last`` are the event times (epoch ms) of the first and the last event that was
    applied, ``until`` how far time went; ``start``: what was before it is not known.
    """

    inputs: tuple[str, ...]
    events: int
    first: int | None
    last: int | None
    until: int | None
    start: int | None = None


class Explanation(Struct, frozen=True, kw_only=True):
    """Everything about one order, in the order of event time.

    ``order`` are its fields as of the end, personal data masked. ``nearest`` has one row for each subject that a rule
    looked at. ``alerts`` are the ids of the episodes.
    """

    order_id: str
    read: Range
    version: int
    closed: bool
    order: dict[str, Any]
    timeline: tuple[AnyEntry, ...]
    nearest: tuple[Nearest, ...]
    related: tuple[Related, ...]
    chain: Chain
    why_not: WhyNot | None = None
