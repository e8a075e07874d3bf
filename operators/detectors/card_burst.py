"""``card_burst``: many distinct orders on one card, phone, ip, device or address within a short time."""

from collections.abc import Iterator, Mapping
from typing import Any, ClassVar

from msgspec import Struct, field

from config.settings import BurstLimit, Settings
from events.explanation import Look
from events.records import Step
from operators.heart.component import Alerts, Component, Context, Environment, Handler, StatefulComponent
from operators.heart.messages import KeyUsed
from operators.orders.order_state import OrderOpened, OrderState, Paid


class KeyUses(Component):
    """Tells the risk keys of an order that the order used them."""

    name: ClassVar[str] = "key_uses"
    stage: ClassVar[str] = "orders"
    rules: ClassVar[frozenset[str]] = frozenset({"card_burst"})

    def __init__(self, context: Context) -> None:
        super().__init__(context)
        self.configure(context.environment.settings)

    def configure(self, settings: Settings) -> None:
        """Which keys count, and which moments."""
        own = settings.detectors.card_burst
        self._keys = own.keys
        self._on_created, self._on_paid = "created" in own.judged_on, "paid" in own.judged_on

    @classmethod
    def enabled(cls, environment: Environment) -> bool:
        """With ``card_burst``."""
        return environment.settings.detectors.card_burst.enabled

    def handlers(self) -> Mapping[type, Handler]:
        """The moments that settings may name."""
        return {OrderOpened: self.on_opened, Paid: self.on_paid}

    def on_opened(self, fact: OrderOpened, at: int) -> None:
        """Judged before money moves."""
        if self._on_created:
            self._use(fact.order_id, fact.order, fact.order.card, fact.event.id, at)

    def on_paid(self, fact: Paid, at: int) -> None:
        """Judged again when money has moved, with the card that paid."""
        if self._on_paid and fact.order.created:
            self._use(fact.order_id, fact.order, fact.card, fact.event.id, at)

    def _use(self, order_id: str, order: OrderState, card: str, event_id: str, at: int) -> None:
        for kind in self._keys:
            value = card if kind == "card" else getattr(order, kind)
            if value:
                self.context.send(
                    "entities", KeyUsed(at, order_id, f"{kind}:{value}", order_id, order.amount, event_id)
                )


class Use(Struct, gc=False, array_like=True):
    """An order's latest use of a key.

    ``since`` and ``since_same``: since when the order has been in the window of either variant without a gap.
    """

    time: int
    amount: int
    since: int
    since_same: int


class Burst(Struct, gc=False, array_like=True):
    """An open alert: ``orders`` in order of joining."""

    opened_at: int
    orders: list[str]
    event_id: str


class Key(Struct, gc=False, array_like=True):
    """A risk key. ``uses``: order -> its latest use, oldest first. ``bursts``: variant -> open alert.

    A variant is ``any_amount``, or ``same_amount/<amount>``.
    """

    uses: dict[str, Use] = field(default_factory=dict)
    bursts: dict[str, Burst] = field(default_factory=dict)


class CardBurst(StatefulComponent[Key]):
    """Distinct orders per key in a closed sliding window; see docs/rules.md."""

    name: ClassVar[str] = "card_burst"
    stage: ClassVar[str] = "entities"
    state_type: ClassVar[type[Any]] = Key
    rules: ClassVar[frozenset[str]] = frozenset({"card_burst"})

    def __init__(self, context: Context) -> None:
        super().__init__(context)
        self.configure(context.environment.settings)

    def configure(self, settings: Settings) -> None:
        """Limits, and whether to hold, from the next use of a key on."""
        own = settings.detectors.card_burst
        self._alerts = Alerts(self.context, self.name, own.version)
        self._hold = own.hold
        self._any = own.any_amount
        self._same = own.same_amount
        self._any_window = int(self._any.window) if self._any is not None else 0
        self._same_window = int(self._same.window) if self._same is not None else 0
        limits = [limit for limit in (self._any, self._same) if limit is not None]
        self._widest = max(self._any_window, self._same_window)
        self._fewest = min((limit.count for limit in limits), default=0)

    @classmethod
    def enabled(cls, environment: Environment) -> bool:
        """As its settings say; without a limit there is nothing to watch."""
        settings = environment.settings.detectors.card_burst
        return settings.enabled and (settings.any_amount is not None or settings.same_amount is not None)

    def handlers(self) -> Mapping[type, Handler]:
        """Uses of keys."""
        return {KeyUsed: self.on_used}

    def on_used(self, note: KeyUsed, at: int) -> None:
        """An order uses a key: it may complete a burst, join one, or only stay longer in the window."""
        key = self.states.get(note.key)
        if key is None:
            key = self.states[note.key] = Key()
            self.context.arm(note.key, at + self._widest + 1)
        elif key.bursts:
            self._end_bursts(note.key, key, at)  # those that timers have not ended, as another rule is in force now
        uses = key.uses
        before = uses.pop(note.order_id, None)
        since = before.since if before is not None and at - before.time <= self._any_window else at
        since_same = before.since_same if before is not None and at - before.time <= self._same_window else at
        uses[note.order_id] = Use(at, note.amount, since, since_same)
        _forget(uses, at - self._widest)
        if len(uses) >= self._fewest:
            for variant, limit in self._variants(note.amount):
                self._judge(note, key, variant, limit, at)

    def on_timer(self, key: str, due: int) -> None:
        """A use has left the window: bursts that have become too small resolve, a key that nobody uses is dropped."""
        state = self.states.get(key)
        if state is None:
            return
        self._end_bursts(key, state, due)
        if state.uses:
            self.context.arm(key, _last(state.uses) + self._widest + 1)
        elif not state.bursts:
            del self.states[key]

    def _end_bursts(self, key: str, state: Key, at: int) -> None:
        _forget(state.uses, at - self._widest)
        for variant, burst in list(state.bursts.items()):
            limit = self._limit(variant)
            ends = self._ends(state.uses, variant, limit)
            if ends > at:
                self.context.arm(key, ends)
            else:
                self._send(key, variant, limit, burst, "resolved", at, "window_passed")
                del state.bursts[variant]

    def explain(self, key: str, at: int) -> Iterator[Look]:
        """How many orders are in each window of a key."""
        state = self.states.get(key)
        amounts = dict.fromkeys(use.amount for use in state.uses.values()) if state is not None else ()
        variants = dict.fromkeys(pair for amount in amounts for pair in self._variants(amount))
        for variant, limit in variants:
            assert state is not None, "a key without state has no amounts"
            present = [(order, use) for order, use in _of(state.uses, variant) if use.time >= at - limit.window]
            if present:
                yield Look(
                    rule=self.name,
                    subject=variant,
                    value=len(present),
                    threshold=limit.count,
                    unit="orders",
                    due=present[0][1].time + limit.window + 1,
                    orders=tuple(_by_joining(present, variant)),
                )

    def _judge(self, note: KeyUsed, key: Key, variant: str, limit: BurstLimit, at: int) -> None:
        burst = key.bursts.get(variant)
        if burst is None:
            oldest = at - limit.window
            present = [(order, use) for order, use in _of(key.uses, variant) if use.time >= oldest]
            if len(present) >= limit.count:
                orders = _by_joining(present, variant)
                burst = key.bursts[variant] = Burst(at, orders, note.event_id)
                self._send(note.key, variant, limit, burst, "opened", at, "completed")
                self._hold_all(note.key, variant, burst, burst.orders, at)
                self.context.arm(note.key, self._ends(key.uses, variant, limit))
        elif note.order_id not in burst.orders:
            burst.orders.append(note.order_id)
            burst.event_id = note.event_id
            self._send(note.key, variant, limit, burst, "updated", at, "joined")
            self._hold_all(note.key, variant, burst, [note.order_id], at)

    def _variants(self, amount: int) -> Iterator[tuple[str, BurstLimit]]:
        if self._any is not None:
            yield "any_amount", self._any
        if self._same is not None and amount > 0:
            yield f"same_amount/{amount}", self._same

    def _limit(self, variant: str) -> BurstLimit:
        limit = self._any if variant == "any_amount" else self._same
        assert limit is not None, "a burst exists only for a variant that is configured"
        return limit

    def _ends(self, uses: Mapping[str, Use], variant: str, limit: BurstLimit) -> int:
        """The first millisecond at which fewer than ``count`` orders are left; in the past when that is so already."""
        times = [use.time for _, use in _of(uses, variant)]
        return times[-limit.count] + limit.window + 1 if len(times) >= limit.count else 0

    def _hold_all(self, key: str, variant: str, burst: Burst, orders: list[str], at: int) -> None:
        if self._hold:
            for order in orders:
                self._alerts.hold(order, self._episode(key, variant, burst), at, key, burst.opened_at)

    def _episode(self, key: str, variant: str, burst: Burst) -> str:
        entity_type, entity_id = key.split(":", 1)
        return self._alerts.episode((entity_type, entity_id), burst.opened_at, variant)

    def _send(self, key: str, variant: str, limit: BurstLimit, burst: Burst, step: Step, at: int, reason: str) -> None:
        entity_type, entity_id = key.split(":", 1)
        evidence: dict[str, Any] = {
            "count": len(burst.orders),
            "limit": limit.count,
            "window_ms": int(limit.window),
            "event_id": burst.event_id,
        }
        if variant != "any_amount":
            evidence["amount"] = int(variant.rpartition("/")[2])
        self._alerts.step(
            step,
            at,
            origin=key,
            entity=(entity_type, entity_id),
            opened_at=burst.opened_at,
            severity="critical",
            level="burst" if variant == "any_amount" else "same_amount",
            reason=reason,
            orders=tuple(burst.orders),
            evidence=evidence,
            variant=variant,
        )


def _by_joining(present: list[tuple[str, Use]], variant: str) -> list[str]:
    """Orders by when they came into the window; those of one millisecond by their ids."""
    if variant == "any_amount":
        return [order for _, order in sorted((use.since, order) for order, use in present)]
    return [order for _, order in sorted((use.since_same, order) for order, use in present)]


def _forget(uses: dict[str, Use], oldest: int) -> None:
    """Drop the uses before ``oldest``; they stand first."""
    stale = []
    for order, use in uses.items():
        if use.time >= oldest:
            break
        stale.append(order)
    for order in stale:
        del uses[order]


def _of(uses: Mapping[str, Use], variant: str) -> Iterator[tuple[str, Use]]:
    """The uses that count for a variant, oldest first."""
    if variant == "any_amount":
        yield from uses.items()
    else:
        amount = int(variant.rpartition("/")[2])
        for order, use in uses.items():
            if use.amount == amount:
                yield order, use


def _last(uses: dict[str, Use]) -> int:
    return next(reversed(uses.values())).time
