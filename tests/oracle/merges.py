"""``merge_candidate`` of docs/rules.md."""

from collections import defaultdict
from collections.abc import Iterator

from config.settings import Settings
from tests.oracle.histories import Histories, Life
from tests.oracle.model import DEADLINE, EVENT, ExpectedStep, Place, Step

JOINS = "joined"
Address = tuple[str, str]  # customer, key of the address


def merge_candidate(histories: Histories, settings: Settings, end: int) -> Iterator[ExpectedStep]:
    """Open, unshipped orders of one customer to one address that come soon after each other."""
    window = settings.detectors.merge_candidate.window
    happenings: dict[Address, list[tuple[Place, str, str]]] = defaultdict(list)
    for life in histories:
        for address, place, what in _comings_and_goings(life, settings):
            happenings[address].append((place, life.order_id, what))
    for address, listed in happenings.items():
        group = _Group(address[0], window)
        for place, order_id, what in sorted(listed, key=lambda item: item[0]):
            yield from group.close_window(place[0])
            yield from group.join(order_id, place) if what == JOINS else group.leave(order_id, what, place)
        yield from group.close_window(end + 1)


def _comings_and_goings(life: Life, settings: Settings) -> Iterator[tuple[Address, Place, str]]:
    """When the order joins an address of its customer, and when and why it leaves it."""
    if not life.details or (customer := life.details[0].customer_id) is None:
        return
    gone = _gone(life, settings)
    address: str | None = None
    for details in life.details:
        if gone is not None and details.position > gone[0][2]:
            break
        if details.address == address:
            continue
        place = details.time, EVENT, details.position
        if address is not None:
            yield (customer, address), place, "address_changed"
        address = details.address
        if address is not None:
            yield (customer, address), place, JOINS
    if gone is not None and address is not None:
        yield (customer, address), *gone


def _gone(life: Life, settings: Settings) -> tuple[Place, str] | None:
    """When the order shipped or ended, whichever came first."""
    if life.shipped is not None and (life.closed is None or life.shipped[1] <= life.closed[1]):
        return (life.shipped[0], EVENT, life.shipped[1]), "shipped"
    if life.closed is None:
        return None
    cancelled = life.stage is not None and settings.stages[life.stage].cancels
    return (life.closed[0], EVENT, life.closed[1]), "cancelled" if cancelled else "closed"


class _Group:
    """The orders of one customer to one address."""

    def __init__(self, customer: str, window: int) -> None:
        self._customer = customer
        self._window = window
        self._orders: dict[str, None] = {}
        self._last = 0
        self._open = False
        self._opened_at = 0

    def join(self, order_id: str, place: Place) -> Iterator[ExpectedStep]:
        self._orders[order_id] = None
        self._last = place[0]
        if self._open:
            yield self._step("updated", place, JOINS)
        elif len(self._orders) >= 2:
            self._open, self._opened_at = True, place[0]
            yield self._step("opened", place, None)

    def leave(self, order_id: str, why: str, place: Place) -> Iterator[ExpectedStep]:
        if order_id not in self._orders:
            return
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
