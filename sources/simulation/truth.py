"""The alerts that must open for a few orders which share no key with any other order.

These are the rules once more, for orders whose whole way is known; they say nothing about updates and resolutions.
"""

from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence

from config.settings import BurstLimit, RiskKey, Settings
from events.model import OrderCreated
from events.normal_form import address_key, risk_key
from sources.simulation.chain import Chain, Move
from sources.simulation.journey import Journey
from sources.simulation.plan import ExpectedAlert
from sources.simulation.signals import SignalBook

Use = tuple[int, str, int]
"""(epoch ms, order id, amount)."""


class Truth:
    """Says what must be alerted for a group of orders."""

    def __init__(self, settings: Settings, chain: Chain, signals: SignalBook, hash_key: bytes) -> None:
        self.rules = settings.detectors
        self.chain = chain
        self.signals = signals
        self.hash_key = hash_key

    def alerts(self, journeys: Sequence[Journey], case: str) -> Iterator[ExpectedAlert]:
        """Every alert that must open for these orders."""
        for journey in journeys:
            for rule, kind, entity, time, level in self._of_order(journey):
                yield ExpectedAlert(rule, kind, entity, time, level, (journey.order_id,), case)
        if self.rules.card_burst.enabled:
            yield from self._bursts(journeys, case)
        if self.rules.merge_candidate.enabled:
            yield from self._merges(journeys, case)

    def _of_order(self, journey: Journey) -> Iterator[tuple[str, str, str, int, str]]:
        order = journey.order_id
        if self.rules.stage_timeout.enabled:
            for kind, entity, moves in _units(journey):
                for time, level in self._overstays(moves, journey.order.category):
                    yield "stage_timeout", kind, entity, time, level
        if self.rules.order_timeout.enabled:
            for time, level in self._unhandled(journey):
                yield "order_timeout", "order", order, time, level
        if self.rules.no_progress.enabled:
            for time in self._standstills(journey):
                yield "no_progress", "order", order, time, "no_progress"
        if self.rules.illegal_transition.enabled:
            for time, level in _illegal(journey.attempts):
                yield "illegal_transition", "order", order, time, level
        if self.rules.resonance.enabled:
            for time, level in self._resonances(journey):
                yield "resonance", "order", order, time, level

    def _overstays(self, moves: Sequence[Move | tuple[int, None]], category: str) -> Iterator[tuple[int, str]]:
        lead = self.rules.stage_timeout.reminder_lead
        for place, (entered, stage) in enumerate(moves):
            limit = None if stage is None or self.chain.stages[stage].terminal else self.chain.limit(stage, category)
            if limit is not None:
                left = moves[place + 1][0] if place + 1 < len(moves) else None
                yield from _deadline(entered, limit, left, lead)

    def _unhandled(self, journey: Journey) -> Iterator[tuple[int, str]]:
        stages, rules = self.chain.stages, self.rules.order_timeout
        paid = next((time for time, stage in journey.moves if stages[stage].paid), None)
        if paid is None or any(stages[stage].handled for time, stage in journey.moves if time <= paid):
            return
        later = [(time, stages[stage]) for time, stage in journey.moves if time > paid]
        handled = next((time for time, stage in later if stage.handled or stage.terminal), None)
        yield from _deadline(paid, self.chain.handling_limit(journey.order.category), handled, rules.reminder_lead)

    def _standstills(self, journey: Journey) -> Iterator[int]:
        changes = sorted(journey.changes, key=lambda change: change[0])
        ends: list[int | None] = [time for time, _ in changes[1:]]
        for (time, stage), end in zip(changes, [*ends, None], strict=True):
            due = time + self.chain.patience(stage, journey.order.category)
            if not self.chain.stages[stage].terminal and (end is None or end > due):
                yield due

    def _resonances(self, journey: Journey) -> Iterator[tuple[int, str]]:
        rules = self.rules.resonance
        orange, lock, window = int(rules.orange), int(rules.lock), int(rules.window)
        inside: list[tuple[int, int]] = []
        is_open = False
        stages = self.chain.stages
        closed = next((time for time, stage in journey.moves if stages[stage].terminal), None)
        for time, signal in sorted(journey.signals):
            if closed is not None and time > closed:
                return
            inside = [one for one in inside if one[0] >= time - window]
            is_open = is_open and _total(inside) >= orange
            inside.append((time, self.signals.weight(signal, time)))
            if not is_open and _total(inside) >= orange:
                is_open = True
                yield time, "lock" if _total(inside) >= lock else "orange"

    def _bursts(self, journeys: Sequence[Journey], case: str) -> Iterator[ExpectedAlert]:
        rules = self.rules.card_burst
        uses: dict[tuple[RiskKey, str], list[Use]] = defaultdict(list)
        for journey in journeys:
            for moment, (time, order) in enumerate(journey.uses):
                if ("paid" if moment else "created") in rules.judged_on:
                    for kind, value in self._keys(order):
                        uses[kind, value].append((time, order.order_id, order.amount))
        for (kind, value), known in uses.items():
            for time, level, orders in self._bursts_of_key(sorted(known)):
                yield ExpectedAlert("card_burst", kind, value, time, level, orders, case)

    def _keys(self, order: OrderCreated) -> Iterator[tuple[RiskKey, str]]:
        for kind in self.rules.card_burst.keys:
            if kind == "address":
                value = address_key(order.address, self.hash_key) if order.address is not None else ""
            else:
                value = risk_key(kind, getattr(order, kind) or "", self.hash_key)
            if value:
                yield kind, value

    def _bursts_of_key(self, uses: list[Use]) -> Iterator[tuple[int, str, tuple[str, ...]]]:
        rules = self.rules.card_burst
        if rules.any_amount is not None:
            for time, orders in burst_openings(uses, rules.any_amount):
                yield time, "burst", orders
        if rules.same_amount is not None:
            for amount in sorted({use[2] for use in uses} - {0}):
                for time, orders in burst_openings([use for use in uses if use[2] == amount], rules.same_amount):
                    yield time, "same_amount", orders

    def _merges(self, journeys: Sequence[Journey], case: str) -> Iterator[ExpectedAlert]:
        stays: dict[tuple[str, str], list[tuple[int, int | None, str]]] = defaultdict(list)
        for journey in journeys:
            customer, gone = journey.order.customer_id, journey.left_at()
            places = [(time, address_key(address, self.hash_key)) for time, address in journey.addresses]
            ends = [time for time, _ in places[1:]]
            for (time, place), end in zip(places, [*ends, gone], strict=True):
                if customer is not None and place and (gone is None or time < gone):
                    stays[customer, place].append((time, end, journey.order_id))
        window = int(self.rules.merge_candidate.window)
        for (customer, _), known in stays.items():
            for time, orders in merge_openings(sorted(known, key=lambda stay: stay[0]), window):
                yield ExpectedAlert("merge_candidate", "customer", customer, time, "candidate", orders, case)


def burst_openings(uses: list[Use], limit: BurstLimit) -> Iterator[tuple[int, tuple[str, ...]]]:
    """When a burst opens on one key, and the orders that open it; ``uses`` in the order of time."""
    latest: dict[str, int] = {}
    is_open = False
    for time, order, _ in uses:
        latest = {name: used for name, used in latest.items() if used >= time - limit.window}
        is_open = is_open and len(latest) >= limit.count
        latest[order] = time
        if not is_open and len(latest) >= limit.count:
            is_open = True
            yield time, tuple(latest)


def merge_openings(stays: Iterable[tuple[int, int | None, str]], window: int) -> Iterator[tuple[int, tuple[str, ...]]]:
    """When a merge candidate opens for one customer and address.

    ``stays``: when each order came to the address and when it left (None: not at all), in the order of coming.
    """
    members: list[tuple[int | None, str]] = []
    last: int | None = None
    for joined, left, order in stays:
        if last is not None and joined - last > window:
            members = []
        members = [member for member in members if member[0] is None or member[0] > joined]
        members.append((left, order))
        last = joined
        if len(members) == 2:
            yield joined, tuple(order for _, order in members)


def _units(journey: Journey) -> Iterator[tuple[str, str, list[Move | tuple[int, None]]]]:
    """The order until it is split, then its parcels."""
    if journey.split_at is None:
        yield "order", journey.order_id, list(journey.moves)
        return
    whole = [move for move in journey.moves if move[0] <= journey.split_at]
    yield "order", journey.order_id, [*whole, (journey.split_at, None)]
    for parcel, moves in journey.parcels.items():
        yield "parcel", f"{journey.order_id}/{parcel}", list(moves)


def _deadline(started: int, limit: int, ended: int | None, lead: int | None) -> Iterator[tuple[int, str]]:
    """The moment at which the alert opens, unless the wait ended by then."""
    reminds = lead is not None and lead < limit
    due = started + limit - (lead if reminds and lead is not None else 0)
    if ended is None or ended > due:
        yield due, "reminder" if reminds else "breach"


def _illegal(attempts: Iterable[tuple[int, str | None]]) -> Iterator[tuple[int, str]]:
    previous: str | None = None
    for time, kind in attempts:
        if kind is not None and previous is None:
            yield time, kind
        previous = kind


def _total(inside: Iterable[tuple[int, int]]) -> int:
    return sum(weight for _, weight in inside)
