"""What is known of one order, and the facts that the truth about orders publishes to its stage."""

from typing import Any

from msgspec import Struct

from events.model import Event, OrderChanged, OrderCreated
from operators.orders.state_machine import Verdict


class Parcel(Struct, gc=False, array_like=True):
    """One parcel of a split order."""

    stage: str | None
    entered_at: int
    entered_by: str


class OrderState(Struct, gc=False, array_like=True):
    """One order. ``skipped`` holds (parcel or "", target) of moves that may be caught up on.

    ``first_parcel`` is the one parcel named so far, ``before`` where the order stood before that; both only matter
    until a second parcel is named. ``parcels`` is None while the order is one unit. ``merged_into``: the order that
    takes its place; ``merge_wanted``: the one that will, as soon as this one is known. ``shop``: whose history its
    limits follow, "" where none does.
    """

    stage: str | None = None
    entered_at: int = 0
    entered_by: str = ""
    changed_at: int = 0
    created: bool = False
    category: str = "general"
    customer_id: str | None = None
    amount: int = 0
    card: str = ""
    phone: str = ""
    ip: str = ""
    device: str = ""
    address: str = ""
    warehouse_id: str | None = None
    skipped: list[tuple[str, str]] | None = None
    statuses: dict[str, str] | None = None
    first_parcel: str | None = None
    before: Parcel | None = None
    began: Parcel | None = None
    parcels: dict[str, Parcel] | None = None
    merged_into: str = ""
    merge_wanted: str = ""
    promised_at: int | None = None
    shop: str = ""


class Fact(Struct, frozen=True, gc=False):
    """Something that became true of an order by an event."""

    order_id: str
    order: OrderState
    event: Any


class OrderOpened(Fact, frozen=True, gc=False):
    """An order was created; its first move follows."""

    event: OrderCreated


class StageMoved(Fact, frozen=True, gc=False):
    """An order, or one of its parcels, entered a stage. ``parcel`` is None for the order as a whole.

    ``entered_at`` is when it had entered the stage that it left. ``split``: it has not moved itself, but a parcel that
    is less far became a unit of its own.
    """

    parcel: str | None
    before: str | None
    after: str
    entered_at: int
    split: bool = False


class OrderSplitUp(Fact, frozen=True, gc=False):
    """An order became several parcels, or got further ones: these."""

    parcels: tuple[str, ...]


class IllegalMove(Fact, frozen=True, gc=False):
    """A move that the stage chain does not allow; it was not applied."""

    parcel: str | None
    current: str | None
    target: str
    verdict: Verdict


class StatusReported(Fact, frozen=True, gc=False):
    """A system's raw status of an order changed. ``old`` is what it last said."""

    system: str
    old: str | None
    new: str


class FieldsChanged(Fact, frozen=True, gc=False):
    """Fields of an order got new values. ``readdressed``: its address key is another one now."""

    event: OrderChanged
    readdressed: bool


class Paid(Fact, frozen=True, gc=False):
    """A payment of an order succeeded, whether or not that moved it.

    ``card``: the one that paid, "" when none is known.
    """

    card: str


class PaymentRefused(Fact, frozen=True, gc=False):
    """A payment of an order failed."""


class Printed(Fact, frozen=True, gc=False):
    """A waybill of an order was printed."""


class Scanned(Fact, frozen=True, gc=False):
    """A carrier scanned a parcel of an order."""


class OrderClosed(Fact, frozen=True, gc=False):
    """An order reached a terminal stage."""


class MergeWanted(Struct, frozen=True, gc=False):
    """Somebody found that ``into`` takes the place of an order; whether it does is for the truth to decide."""

    order_id: str
    into: str
    event: Any


class Merged(Fact, frozen=True, gc=False):
    """``into`` takes the place of an order; the move that ends it follows."""

    into: str


class MergeRefused(Fact, frozen=True, gc=False):
    """``into`` cannot take the place of an order; ``why``: ``shipped``, ``ended``, ``merged_elsewhere``."""

    into: str
    why: str


class OrderForgotten(Struct, frozen=True, gc=False):
    """The retention of an order has passed: its state is gone."""

    order_id: str


def end_reason(order: OrderState) -> str:
    """Why an order ended that entered a stage that cancels."""
    return "merged" if order.merged_into else "cancelled"


class EventApplied(Fact, frozen=True, gc=False):
    """All facts of an event have been published."""

    event: Event
