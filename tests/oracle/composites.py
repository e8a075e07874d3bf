"""Composite rules of docs/composite-rules.md: each value by a look over all events, each condition as Python.

The rules come as tables of plain functions, not as expressions: no decision is shared with the engine.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal
from zoneinfo import ZoneInfo

from config.settings import Settings
from events.model import BehaviourSignal, OrderCreated, PaymentSucceeded, ReviewConfirmed, ReviewReleased
from tests.oracle.histories import Details, Histories, Life
from tests.oracle.keys import Keys
from tests.oracle.model import AppliedEvent, ExpectedStep
from tests.oracle.signals import derived

HOUR = 3_600_000


class NothingToSayError(Exception):
    """A value that a condition needs is not there."""


class Values(dict[str, Any]):
    """Variables of an order; one that is not there says nothing."""

    def __missing__(self, name: str) -> Any:
        raise NothingToSayError


Test = Callable[[Values], bool]


@dataclass(frozen=True)
class Rule:
    """A composite rule in plain Python. Weights are in thousandths; ``windows``: variable -> (kind, length in ms)."""

    name: str
    when: tuple[Literal["created", "paid", "behaviour"], ...]
    action: Literal["alert", "review", "hold"]
    threshold: int
    conditions: tuple[tuple[int, Test], ...]
    unless: Test | None = None

    def total(self, values: Values) -> int:
        """The sum that counts; 0 for an order that is excused."""
        if self.unless is not None and _met(self.unless, values):
            return 0
        return sum(weight for weight, test in self.conditions if _met(test, values))


@dataclass(frozen=True)
class Moment:
    """A moment at which an order is judged. ``rank`` orders those of one millisecond: order by order."""

    time: int
    order_id: str
    position: int
    what: Literal["created", "paid", "behaviour"]
    life: Life

    @property
    def rank(self) -> tuple[int, str, int]:
        return (self.time, self.order_id, self.position)


def composites(
    events: Sequence[AppliedEvent],
    histories: Histories,
    settings: Settings,
    keys: Keys,
    rules: Sequence[Rule],
    windows: Mapping[str, tuple[str, int]],
) -> Iterator[ExpectedStep]:
    """The steps of all rules. ``windows``: variable -> kind of key, and length (ms)."""
    line = _Line(events, histories, settings, keys, windows)
    for life in histories:
        if life.details:
            for rule in rules:
                yield from _of_order(line, life, rule)


def _of_order(line: "_Line", life: Life, rule: Rule) -> Iterator[ExpectedStep]:
    end = life.closed[0] if life.closed is not None else None
    opened, highest = 0, 0
    values = Values()
    for time, moments in line.moments_of(life):
        for moment in moments:
            values.update(line.known_at(moment))
        values.update(line.signs(life, time))
        if not any(moment.what in rule.when for moment in moments) or (end is not None and time >= end):
            continue
        total = rule.total(values)
        if total < rule.threshold or total <= highest:
            continue
        reviewed = line.review(life.order_id, opened) if opened and rule.action != "alert" else None
        if reviewed is None or reviewed[0] >= time:
            yield _step(rule, life, "updated" if opened else "opened", time, "sum_rose" if opened else None)
        opened, highest = opened or time, total
    if not opened:
        return
    reviewed = line.review(life.order_id, opened) if rule.action != "alert" else None
    if reviewed is not None and (end is None or reviewed[0] < end):
        yield _step(rule, life, "resolved", reviewed[0], reviewed[1])
    elif end is not None:
        yield _step(rule, life, "resolved", end, line.why_ended(life))


def _step(rule: Rule, life: Life, step: Any, time: int, reason: str | None) -> ExpectedStep:
    return ExpectedStep(rule.name, step, "order", life.order_id, time, rule.action, reason)


class _Line:
    """Everything that happened, and what it says to one order at one moment."""

    def __init__(
        self,
        events: Sequence[AppliedEvent],
        histories: Histories,
        settings: Settings,
        keys: Keys,
        windows: Mapping[str, tuple[str, int]],
    ) -> None:
        self._events = events
        self._histories = histories
        self._settings = settings
        self._keys = keys
        self._windows = windows
        self._zone = ZoneInfo(settings.zone)
        self._created = sorted(map(self._creation, (life for life in histories if life.details)), key=lambda m: m.rank)
        self._paid = list(self._payments())
        self._signs = list(self._behaviour())

    def moments_of(self, life: Life) -> list[tuple[int, list[Moment]]]:
        """The moments of an order by their milliseconds, the first not before it was created."""
        start = life.details[0].time
        mine = [moment for moment in (*self._created, *self._paid) if moment.life is life]
        mine += [
            Moment(time, life.order_id, position, "behaviour", life)
            for position, time, whose, _ in self._signs
            if whose == life.order_id and time >= start and self._is_open(life, time)
        ]
        times = sorted({moment.time for moment in mine})
        return [(time, [moment for moment in mine if moment.time == time]) for time in times]

    def _is_open(self, life: Life, time: int) -> bool:
        return life.closed is None or time < life.closed[0]

    def _creation(self, life: Life) -> Moment:
        first = life.details[0]
        return Moment(first.time, life.order_id, first.position, "created", life)

    def _payments(self) -> Iterator[Moment]:
        for position, applied in enumerate(self._events):
            event = applied.event
            if isinstance(event, PaymentSucceeded):
                life = self._histories.at(event.order_id, position)
                if life.details_at(position) is not None and not life.is_closed_at(position):
                    yield Moment(applied.time, event.order_id, position, "paid", life)

    def _behaviour(self) -> Iterator[tuple[int, int, str, BehaviourSignal | None]]:
        """Position, time, order and event of each signal; one that names only a customer is of all open orders.

        A derived signal has no event: no rule here counts it, but it is a moment all the same.
        """
        for position, life in derived(self._events, self._histories, self._settings):
            yield position, self._events[position].time, life.order_id, None
        for position, applied in enumerate(self._events):
            event = applied.event
            if isinstance(event, BehaviourSignal):
                if event.order_id is not None:
                    yield position, applied.time, event.order_id, event
                elif event.customer_id is not None:
                    for life in self._histories.open_orders(event.customer_id, position):
                        yield position, applied.time, life.order_id, event

    def signs(self, life: Life, until: int) -> dict[str, Any]:
        """``signals.*`` and ``values.*`` of an order, up to and with a moment."""
        ends = [other.closed[0] for other in self._histories if other.order_id == life.order_id and other.closed]
        since = max((end for end in ends if end <= life.details[0].time), default=-1)
        counts: dict[str, Any] = {"signals.rating_threat": 0, "signals.stock_drop": 0}
        for _, time, whose, event in self._signs:
            if event is not None and whose == life.order_id and max(since, 0) <= time <= until:
                counts[f"signals.{event.signal}"] = counts.get(f"signals.{event.signal}", 0) + 1
                if event.value is not None:
                    counts[f"values.{event.signal}"] = event.value
        return counts

    def known_at(self, moment: Moment) -> dict[str, Any]:
        """What is known of the order from one of its moments on."""
        values: dict[str, Any] = {}
        if moment.what == "created":
            values |= self._of_order(moment)
        if moment.what == "paid":
            event = self._events[moment.position].event
            assert isinstance(event, PaymentSucceeded)
            values["payment.amount"] = event.amount
        if moment.what != "behaviour":
            values |= self._of_shop(moment) | self._of_customer(moment) | dict(self._of_windows(moment))
        return values

    def _of_order(self, moment: Moment) -> dict[str, Any]:
        event = self._events[moment.position].event
        assert isinstance(event, OrderCreated)
        local = datetime.fromtimestamp(moment.time // 1000, tz=self._zone)
        values: dict[str, Any] = {"order.amount": event.amount, "order.hour": local.hour}
        if event.customer_id is not None:
            values["customer.id"] = event.customer_id
        if event.account_since is not None:
            values["customer.account_hours"] = max(0, moment.time - event.account_since) // HOUR
        if event.phone is not None and (phone := self._keys.of("phone", event.phone)):
            values["order.phone"] = phone
        if event.address is not None and event.address.detail:
            values["order.detail"] = event.address.detail
        return values

    def _of_shop(self, moment: Moment) -> dict[str, Any]:
        def shop(life: Life) -> str:
            event = self._events[life.details[0].position].event
            assert isinstance(event, OrderCreated)
            return event.shop_id or event.channel or event.source

        others = self._remembered(moment, [m for m in self._created if shop(m.life) == shop(moment.life)])
        orders, mean = self._mean(moment, others)
        return {"shop.orders": orders} | ({} if mean is None else {"shop.mean_amount": mean})

    def _of_customer(self, moment: Moment) -> dict[str, Any]:
        customer = moment.life.details[0].customer_id
        if customer is None:
            return {}
        others = self._remembered(moment, [m for m in self._created if m.life.details[0].customer_id == customer])
        without = [other for other in others if other.life is not moment.life]
        mean = self._mean(moment, others)[1]
        cancelled = [other for other in others if self._was_cancelled(other.life, moment)]
        return {
            "customer.orders": len(without),
            "customer.cancelled": len(cancelled),
            "customer.known_hours": (moment.time - others[0].time) // HOUR if others else 0,
        } | ({} if mean is None else {"customer.mean_amount": mean})

    def _remembered(self, moment: Moment, created: list[Moment]) -> list[Moment]:
        """The orders before a moment, back to where nothing came for the length of the memory."""
        memory = self._settings.baselines.memory
        kept: list[Moment] = []
        later = moment.time
        for other in reversed([other for other in created if other.rank < moment.rank]):
            if later - other.time > memory:
                break
            kept.insert(0, other)
            later = other.time
        return kept

    def _mean(self, moment: Moment, others: list[Moment]) -> tuple[int, int | None]:
        own = self._settings.baselines
        first = moment.time // own.bucket - own.buckets + 1
        amounts = [
            other.life.details[0].amount
            for other in others
            if other.life is not moment.life and other.time // own.bucket >= first
        ]
        priced = [amount for amount in amounts if amount]
        return len(amounts), sum(priced) // len(priced) if priced else None

    def _was_cancelled(self, life: Life, moment: Moment) -> bool:
        if life.closed is None or self.why_ended(life) != "cancelled":
            return False
        return (life.closed[0], life.order_id, life.closed[1]) < moment.rank

    def _of_windows(self, moment: Moment) -> Iterator[tuple[str, int]]:
        for name, (kind, length) in self._windows.items():
            key = self._key(kind, moment)
            if key is not None:
                uses = [other for other in (*self._created, *self._paid) if self._key(kind, other) == key]
                yield (
                    name,
                    len(
                        {
                            other.order_id
                            for other in uses
                            if other.rank < moment.rank
                            and other.time >= moment.time - length
                            and other.order_id != moment.order_id
                        }
                    ),
                )

    def _key(self, kind: str, moment: Moment) -> str | None:
        details = moment.life.details_at(moment.position)
        assert details is not None
        value: str | None = getattr(details, kind)
        event = self._events[moment.position].event
        if kind == "card" and isinstance(event, PaymentSucceeded) and event.card:
            value = event.card
        return value if kind == "address" or value is None else self._keys.of(kind, value)

    def review(self, order_id: str, since: int) -> tuple[int, str] | None:
        """The first review of an order from a moment on, and what it says."""
        for applied in self._events:
            event = applied.event
            if not isinstance(event, ReviewReleased | ReviewConfirmed) or event.order_id != order_id:
                continue
            if applied.time >= since:
                released = isinstance(event, ReviewReleased)
                return applied.time, "review_released" if released else "review_confirmed"
        return None

    def why_ended(self, life: Life) -> str:
        """``cancelled`` or ``closed``."""
        assert life.closed is not None
        after = [change.after for change in life.changes if change.position == life.closed[1] and change.after]
        cancels = any(self._settings.stages[stage].cancels for stage in after if self._settings.stages[stage].terminal)
        return "cancelled" if cancels else "closed"


def _met(test: Test, values: Values) -> bool:
    try:
        return test(values)
    except NothingToSayError:
        return False


__all__ = ["Details", "Rule", "Values", "composites"]
