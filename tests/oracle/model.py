"""What the oracle reads and what it expects."""

from dataclasses import dataclass, field
from typing import Literal

from events.model import AnyEvent

Step = Literal["opened", "updated", "resolved"]

# Where something stands in the order of happening: (time, phase, position of its event).
Place = tuple[int, int, int]
LEAVES_A_WINDOW, EVENT, DEFERRED_SIGNAL, DEADLINE = range(4)


@dataclass(frozen=True, slots=True)
class AppliedEvent:
    """An event with the time at which it is applied: its own, or the bound where it came late."""

    event: AnyEvent
    time: int


@dataclass(frozen=True, slots=True)
class ExpectedStep:
    """One step in the life of an alert, as far as docs/rules.md says what it must hold.

    ``reason`` is None where the rules name none. ``variant`` tells the two limits of ``card_burst`` apart.
    ``place`` and ``opened_at`` are no part of the comparison: two equal steps may come from different runs.
    """

    rule: str
    step: Step
    entity_type: str
    entity_id: str
    time: int
    level: str
    reason: str | None = None
    orders: tuple[str, ...] = ()
    variant: str | None = None
    place: Place = field(default=(0, 0, 0), compare=False, repr=False)
    opened_at: int = field(default=0, compare=False, repr=False)


@dataclass(frozen=True, slots=True)
class Cause:
    """The episode that asked for a hold; ``opened_at`` is when that episode opened."""

    rule: str
    entity_type: str
    entity_id: str
    variant: str | None
    opened_at: int


@dataclass(frozen=True, slots=True)
class ExpectedHold:
    """One record of an order's hold; ``causes`` are all that stand (or stood, once it ended)."""

    order_id: str
    version: int
    status: Literal["held", "released", "confirmed"]
    time: int
    causes: tuple[Cause, ...]
