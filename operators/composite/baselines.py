"""What customers, shops and risk keys usually do, as far as composite rules read it."""

from collections.abc import Mapping
from typing import Any, ClassVar, Final

from msgspec import Struct, field

from config.settings import Settings
from operators.composite.needs import needs_of
from operators.composite.order_values import HOUR
from operators.heart.component import Context, Environment, Handler, StatefulComponent
from operators.heart.messages import BaselineAnswer, BaselineUse

LASTING: Final = ("customer", "shop")
"""Kinds of whom more is known than who used them lately."""
MOST_USES: Final = 1_000
"""Of one key, kept for its windows: the newest ones."""


class Bucket(Struct, gc=False, array_like=True):
    """Orders that were created in one stretch of time. ``number``: which; ``priced``: those with an amount."""

    number: int
    orders: int = 0
    priced: int = 0
    amount: int = 0


class Baseline(Struct, gc=False, array_like=True):
    """One customer, shop or risk key. ``uses``: (time, order), oldest first."""

    first: int
    last: int
    orders: int = 0
    cancelled: int = 0
    buckets: list[Bucket] = field(default_factory=list)
    uses: list[tuple[int, str]] = field(default_factory=list)


class Baselines(StatefulComponent[Baseline]):
    """Answers orders at the moment at which they are judged; the order that asks is never part of the answer."""

    name: ClassVar[str] = "baselines"
    stage: ClassVar[str] = "entities"
    state_type: ClassVar[type[Any]] = Baseline
    rules: ClassVar[frozenset[str]] = frozenset({"composite", "list"})

    def __init__(self, context: Context) -> None:
        super().__init__(context)
        self.configure(context.environment.settings)

    def configure(self, settings: Settings) -> None:
        """Take settings over, also while it runs."""
        needs = needs_of(settings)
        own = settings.baselines
        self._bucket, self._buckets, self._memory = int(own.bucket), own.buckets, int(own.memory)
        self._windows = needs.windows
        self._widest = {kind: max(lengths.values()) for kind, lengths in needs.windows.items()}

    @classmethod
    def enabled(cls, environment: Environment) -> bool:
        """With a composite rule in the files, also one that is switched off: documents may bring others."""
        return bool(environment.settings.composite)

    def handlers(self) -> Mapping[type, Handler]:
        """What orders are to their baselines."""
        return {BaselineUse: self.on_use}

    def on_use(self, note: BaselineUse, at: int) -> None:
        """First answer, then count: an order finds those before it, and in its millisecond those before it in order."""
        kind = note.key.partition(":")[0]
        state = self._known(note.key, at)
        if note.what == "cancelled":
            if state is not None and state.first <= note.counted_at:
                state.cancelled += 1
            return
        if note.answer:
            values = self._answer(kind, state, note, at)
            self.context.send("signals", BaselineAnswer(at, f"entities:{note.key}", note.order_id, values))
        if note.what == "paid" and state is None and kind in LASTING:
            return  # a payment makes nobody known of whom no order is remembered
        if state is None:
            state = self.states[note.key] = Baseline(at, at)
            self.context.arm(note.key, at + self._kept(kind) + 1)
        if note.what == "created" or kind not in LASTING:
            state.last = at
        if note.what == "created":
            self._count(state, note.amount, at)
        if kind in self._widest:
            oldest = at - self._widest[kind]
            state.uses = [use for use in state.uses if use[0] >= oldest][1 - MOST_USES :]
            state.uses.append((at, note.order_id))

    def on_timer(self, key: str, due: int) -> None:
        """Forget whom nothing has come from for so long that nothing of it counts."""
        state = self.states.get(key)
        if state is None:
            return
        end = state.last + self._kept(key.partition(":")[0]) + 1
        if end <= due:
            del self.states[key]
        else:
            self.context.arm(key, end)

    def _known(self, key: str, at: int) -> Baseline | None:
        """What is remembered; nothing of one that has become new again."""
        state = self.states.get(key)
        if state is not None and at - state.last > self._kept(key.partition(":")[0]):
            del self.states[key]
            return None
        return state

    def _kept(self, kind: str) -> int:
        return self._memory if kind in LASTING else self._widest.get(kind, 0)

    def _count(self, state: Baseline, amount: int, at: int) -> None:
        state.orders += 1
        number = at // self._bucket
        state.buckets = [bucket for bucket in state.buckets if bucket.number > number - self._buckets]
        if not state.buckets or state.buckets[-1].number != number:
            state.buckets.append(Bucket(number))
        bucket = state.buckets[-1]
        bucket.orders += 1
        if amount:
            bucket.priced += 1
            bucket.amount += amount

    def _answer(self, kind: str, state: Baseline | None, note: BaselineUse, at: int) -> dict[str, int | None]:
        values: dict[str, int | None] = {
            name: self._used(state, note, at - length) for name, length in self._windows.get(kind, {}).items()
        }
        if kind == "customer":
            own = self._counts_itself(state, note)
            values["customer.orders"] = 0 if state is None else state.orders - own
            values["customer.cancelled"] = 0 if state is None else state.cancelled
            values["customer.known_hours"] = 0 if state is None else (at - state.first) // HOUR
            values["customer.mean_amount"] = self._mean(state, note, at)[1]
        elif kind == "shop":
            values["shop.orders"], values["shop.mean_amount"] = self._mean(state, note, at)
        return values

    def _used(self, state: Baseline | None, note: BaselineUse, oldest: int) -> int:
        """How many other orders have used a key since ``oldest``."""
        if state is None:
            return 0
        return len({order for time, order in state.uses if time >= oldest and order != note.order_id})

    def _mean(self, state: Baseline | None, note: BaselineUse, at: int) -> tuple[int, int | None]:
        """Other orders within the buckets, and their mean amount (rounded down) where any has an amount."""
        if state is None:
            return 0, None
        first = at // self._bucket - self._buckets + 1
        buckets = [bucket for bucket in state.buckets if bucket.number >= first]
        orders = sum(bucket.orders for bucket in buckets)
        priced = sum(bucket.priced for bucket in buckets)
        amount = sum(bucket.amount for bucket in buckets)
        if self._counts_itself(state, note) and note.counted_at // self._bucket >= first:
            orders -= 1
            priced -= 1 if note.amount else 0
            amount -= note.amount
        return orders, amount // priced if priced > 0 else None

    def _counts_itself(self, state: Baseline | None, note: BaselineUse) -> bool:
        """Whether the order that asks has been counted here."""
        return state is not None and note.counted_at > 0 and state.first <= note.counted_at
