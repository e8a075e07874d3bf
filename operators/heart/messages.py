"""What components tell each other: notes travel to another stage, facts stay within one key group.

Every message that a key group buffers has a ``time``. Those that come from another stage also have an ``origin``, the
key that sent them, and a ``rank``: within one millisecond lower ranks are applied first.
"""

from typing import Any, ClassVar, Literal

from msgspec import Struct

from events.model import AnyEvent, Event
from events.records import Severity, Step

BEFORE_EVENTS = 0
AFTER_EVENTS = 1_000_000


class Late(Struct, tag="late", tag_field="type", gc=False):
    """A late event. ``time`` is its bound: the event time at which it is applied instead of its own."""

    time: int
    event: AnyEvent


class Note(Struct, tag_field="type", gc=False):
    """A message to another stage. ``key`` is who it is for, ``origin`` who sends it."""

    rank: ClassVar[int] = BEFORE_EVENTS

    time: int
    origin: str
    key: str


class KeyUsed(Note, tag="key_used", gc=False):
    """An order used a risk key; ``key`` is ``card:<value>`` and the like."""

    order_id: str
    amount: int
    event_id: str


class CustomerOrder(Note, tag="customer_order", gc=False):
    """What became of one of a customer's orders. ``address`` is a key, "" when it is not known."""

    order_id: str
    what: Literal["opened", "shipped", "cancelled", "closed", "readdressed"]
    address: str
    event_id: str


class AddressChange(Note, tag="address_change", gc=False):
    """A customer changed the address of an order."""

    rank: ClassVar[int] = AFTER_EVENTS

    order_id: str
    event_id: str


class Print(Note, tag="print", gc=False):
    """A warehouse printed the waybill of an order."""

    rank: ClassVar[int] = AFTER_EVENTS

    order_id: str
    duration: int
    event_id: str


class OrderLife(Note, tag="order_life", gc=False):
    """What the signals of an order depend on in its life."""

    what: Literal["opened", "paid", "closed", "forgotten"]
    device: str | None = None


class PaymentFailure(Note, tag="payment_failure", gc=False):
    """A payment of an order failed."""

    rank: ClassVar[int] = AFTER_EVENTS

    event_id: str


class Signal(Note, tag="signal", gc=False):
    """A weak sign of an order that was derived from something else."""

    rank: ClassVar[int] = AFTER_EVENTS

    name: str
    event_id: str


class CustomerBehaviour(Note, tag="customer_behaviour", gc=False):
    """Behaviour that named only the customer, handed on to one of the customer's open orders."""

    rank: ClassVar[int] = AFTER_EVENTS

    event: AnyEvent


class CompositeMoment(Note, tag="composite_moment", gc=False):
    """Something happened to an order at which composite rules may judge it, or it has ended (``reason``).

    ``values``: variables of expressions that are known of it from here on; None: there is none.
    """

    what: Literal["created", "paid", "ended"]
    values: dict[str, Any]
    event_id: str
    reason: str = ""


class BaselineUse(Note, tag="baseline_use", gc=False):
    """What an order is to the baseline of a customer, a shop or a risk key; ``key`` names it.

    ``counted_at``: when the order was created, 0 while it is. ``answer``: the order is judged and asks for it.
    """

    what: Literal["created", "paid", "cancelled"]
    order_id: str
    amount: int
    counted_at: int
    answer: bool


class BaselineAnswer(Note, tag="baseline_answer", gc=False):
    """What a baseline says to the order ``key``: variables of expressions; None: there is none."""

    values: dict[str, int | None]


class FallbackMatch(Note, tag="fallback_match", gc=False):
    """A fallback order, the ``key``, and an order of the main system may be one; ``certain``: they are.

    ``taken`` and ``placed`` say what is known of the two.
    """

    rank: ClassVar[int] = AFTER_EVENTS

    main_order_id: str
    certain: bool
    why: str
    event_id: str
    taken: dict[str, Any]
    placed: dict[str, Any]


class AlertStep(Note, tag="alert_step", gc=False):
    """One step of an alert as its detector decided it. ``episode`` is the same for all steps of one alert."""

    rule: str
    rule_version: int
    step: Step
    episode: str
    entity_type: str
    entity_id: str
    severity: Severity
    level: str
    opened_at: int
    reason: str
    orders: tuple[str, ...]
    evidence: dict[str, Any]


class HoldWanted(Note, tag="hold_wanted", gc=False):
    """A detector wants an order held."""

    order_id: str
    rule: str
    episode: str
    rule_version: int = 0


class StageCount(Struct, gc=False, array_like=True):
    """What orders did at a watched stage in a period.

    ``entered``: how many came into it; ``moved``: into a stage right before it. ``waiting``, ``amount`` (fen): how many
    more stand right before it at the end than at the beginning.
    """

    entered: int = 0
    moved: int = 0
    waiting: int = 0
    amount: int = 0

    def add(self, other: "StageCount") -> None:
        """Both together."""
        self.entered += other.entered
        self.moved += other.moved
        self.waiting += other.waiting
        self.amount += other.amount


class LineCount(Note, tag="line_count", gc=False):
    """What one key group counted in the period that ends at ``time``: events by source, and what orders did."""

    sources: dict[str, int]
    stages: dict[str, StageCount]


class JobRun(Note, tag="job_run", gc=False):
    """A scheduled job has run. ``period`` (ms) is what its heartbeat said."""

    job: str
    period: int | None
    event_id: str


LimitStep = Literal["norm", "history", "floor", "season", "hours", "promised", "calendar"]
LimitPart = tuple[LimitStep, str, tuple[int, ...]]
"""A step on the way to a limit: what, its name, its numbers."""


class LimitAsked(Note, tag="limit_asked", gc=False):
    """A stay in a stage begins, and its limit follows the history that is kept under ``key``.

    ``entered``: when the stage was entered; ``since``: when the clock starts; ``limit`` (ms) is what the norm gives.
    Nothing is said of it before ``time``.
    """

    order_id: str
    parcel: str
    stage: str
    entered: int
    since: int
    limit: int
    parts: tuple[LimitPart, ...]
    told: bool
    event_id: str


class StayLasted(Note, tag="stay_lasted", gc=False):
    """A stay in a stage has ended after so long (ms), counted as limits are."""

    rank: ClassVar[int] = AFTER_EVENTS

    lasted: int


class LimitGiven(Note, tag="limit_given", gc=False):
    """A stay of the order ``key`` begins, and this is its limit (ms), before it adapts to when it begins."""

    parcel: str
    stage: str
    entered: int
    since: int
    limit: int
    parts: tuple[LimitPart, ...]
    told: bool
    event_id: str


class StayEnded(Note, tag="stay_ended", gc=False):
    """A stay of the order ``key`` has ended. It comes after all that began in the same millisecond."""

    rank: ClassVar[int] = AFTER_EVENTS

    parcel: str
    stage: str
    entered: int
    reason: str


class PromiseMoved(Note, tag="promise_moved", gc=False):
    """The promised time of the order ``key`` is another one."""

    rank: ClassVar[int] = AFTER_EVENTS + 1

    category: str
    promised_at: int | None


class OrderEnded(Note, tag="order_ended", gc=False):
    """An order failed, by what ``cause`` names; or it ended as orders should."""

    what: Literal["failed", "ended"]
    cause: str


class Outcome(Note, tag="outcome", gc=False):
    """What a review or an end changes in the counts of a rule; ``rule_version``: 0 when it is not known."""

    subject: Literal["precision", "capture"]
    rule: str
    rule_version: int
    counts: dict[str, int]


AnyNote = (
    KeyUsed
    | CustomerOrder
    | AddressChange
    | Print
    | OrderLife
    | PaymentFailure
    | Signal
    | CustomerBehaviour
    | CompositeMoment
    | BaselineUse
    | BaselineAnswer
    | FallbackMatch
    | AlertStep
    | HoldWanted
    | LineCount
    | JobRun
    | LimitAsked
    | StayLasted
    | LimitGiven
    | StayEnded
    | PromiseMoved
    | OrderEnded
    | Outcome
)
NOTES: tuple[type[Note], ...] = AnyNote.__args__
Entry = AnyEvent | Late | AnyNote


def entity_of(event: Event) -> str:
    """The key that an event speaks of: its order, else its customer, else the entity, job or rule that it names."""
    for name in ("order_id", "customer_id", "entity_id", "job", "rule"):
        value = getattr(event, name, None)
        if value is not None:
            return str(value)
    return ""
