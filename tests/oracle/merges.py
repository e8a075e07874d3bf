"""``merge_candidate`` of docs/rules.md."""

from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass

from config.settings import Settings
from tests.oracle.histories import Histories, Life
from tests.oracle.model import DEADLINE, EVENT, ExpectedStep, Place, Step

JOINS = "joined"
CHANGES = "address_changed"


@dataclass(frozen=True, slots=True)
class _Happening:
    """What an order does to the groups of its customer: joins at ``address``, changes to it, or leaves."""

    place: Place
    order_id: str
    what: str
    address: str | None = None


def merge_candidate(histories: Histories, settings: Settings, end: int) -> Iterator[ExpectedStep]:
    """Open, unshipped orders of one customer to one address that come soon after each other."""
    window = settings.detectors.merge_candidate.window
    customers: dict[str, list[_Happening]] = defaultdict(list)
    for life in histories:
        if life.details and life.details[0].customer_id is not None:
            customers[life.details[0].customer_id].extend(_happenings(life, settings))
    for customer, happenings in customers.items():
        yield from _Customer(customer, window).groups(happenings, end)


def _happenings(life: Life, settings: Settings) -> Iterator[_Happening]:
    gone = _gone(life, settings)
    address: str | None = None
    for number, details in enumerate(life.details):
        if gone is not None and details.position > gone[0][2]:
            break
        if details.address != address:
            address = details.address
            what = CHANGES if number else JOINS
            yield _Happening((details.time, EVENT, details.position), life.order_id, what, address)
    if gone is not None:
        yield _Happening(gone[0], life.order_id, gone[1])


def _gone(life: Life, settings: Settings) -> tuple[Place, str] | None:
    """When the order shipped or ended, whichever came first."""
    if life.shipped is not None and (life.closed is None or life.shipped[1] <= life.closed[1]):
        return (life.shipped[0], EVENT, life.shipped[1]), "shipped"
    if life.closed is None:
        return None
    cancelled = life.stage is not None and settings.stages[life.stage].cancels
    return (life.closed[0], EVENT, life.closed[1]), "cancelled" if cancelled else "closed"


class _Customer:
    """The groups of one customer, by address; an order is in one of them or in none."""

    def __init__(self, customer: str, window: int) -> None:
        self._groups: dict[str, _Group] = defaultdict(lambda: _Group(customer, window))

    def groups(self, happenings: list[_Happening], end: int) -> Iterator[ExpectedStep]:
        for happening in sorted(happenings, key=lambda item: item.place):
            for group in self._groups.values():
                yield from group.close_window(happening.place[0])
            yield from self._apply(happening)
        for group in self._groups.values():
            yield from group.close_window(end + 1)

    def _apply(self, happening: _Happening) -> Iterator[ExpectedStep]:
        order_id, place = happening.order_id, happening.place
        group = next((group for group in self._groups.values() if order_id in group), None)
        if group is not None:
            yield from group.leave(order_id, happening.what, place)
        joins = happening.what == JOINS or (happening.what == CHANGES and group is not None)
        if joins and happening.address is not None:
            yield from self._groups[happening.address].join(order_id, place)


class _Group:
    """The orders of one customer to one address."""

    def __init__(self, customer: str, window: int) -> None:
        self._customer = customer
        self._window = window
        self._orders: dict[str, None] = {}
        self._last = 0
        self._open = False
        self._opened_at = 0

    def __contains__(self, order_id: str) -> bool:
        return order_id in self._orders

    def join(self, order_id: str, place: Place) -> Iterator[ExpectedStep]:
        self._orders[order_id] = None
        self._last = place[0]
        if self._open:
            yield self._step("updated", place, JOINS)
        elif len(self._orders) >= 2:
            self._open, self._opened_at = True, place[0]
            yield self._step("opened", place, None)

    def leave(self, order_id: str, why: str, place: Place) -> Iterator[ExpectedStep]:
        if self._open and len(self._orders) <= 2:
            yield self._step("resolved", place, why)
            self._open = False
        del self._orders[order_id]
        if self._open:
            yield self._step("updated", place, why)

    def close_window(self, now: int) -> Iterator[ExpectedStep]:
        """What stood until before ``now`` and whose window is over by then."""
        closes = self._last + self._window
        if not self._orders or closes >= now:
            return
        if self._open:
            yield self._step("resolved", (closes, DEADLINE, 0), "window_closed")
            self._open = False
        self._orders.clear()

    def _step(self, step: Step, place: Place, reason: str | None) -> ExpectedStep:
        return ExpectedStep(
            "merge_candidate",
            step,
            "customer",
            self._customer,
            place[0],
            "candidate",
            reason,
            tuple(self._orders),
            place=place,
            opened_at=self._opened_at,
        )
