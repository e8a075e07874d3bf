"""Fallback orders and their doubles ("`fallback_match`" in docs/rules.md)."""

from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from config.settings import Settings
from events.model import AnyEvent, FallbackLinked, FallbackRejected, OrderCreated, OrderMerged, OrderStage
from tests.oracle.histories import Life, _Fold
from tests.oracle.keys import Keys
from tests.oracle.model import AppliedEvent, ExpectedStep, Step

Merge = tuple[str, str, int]


@dataclass(frozen=True)
class Order:
    """One created order. ``by_hand``: a fallback order."""

    order_id: str
    by_hand: bool
    phone: str | None
    time: int
    items: tuple[tuple[str, int], ...]
    amount: int


@dataclass(frozen=True)
class Pair:
    """A fallback order and one of the main system that are, or may be, one; ``origin`` orders those of one moment."""

    time: int
    origin: str
    taken: str
    placed: str
    why: str
    certain: bool


def fallback_match(
    events: Sequence[AppliedEvent], settings: Settings, keys: Keys
) -> tuple[list[ExpectedStep], list[Merge]]:
    """The steps of all alerts, and the merges as (fallback order, order that takes its place, time)."""
    happenings: dict[str, list[tuple[int, int, str, AnyEvent | Pair]]] = defaultdict(list)
    for item in events:
        order_id = getattr(item.event, "order_id", None)
        if order_id is not None:
            happenings[order_id].append((item.time, 0, "", item.event))
    for pair in pairs(events, settings, keys):
        happenings[pair.taken].append((pair.time, 1, pair.origin, pair))
    steps: list[ExpectedStep] = []
    merges: list[Merge] = []
    for order_id, told in happenings.items():
        story = _Story(order_id, settings, keys)
        for time, _, _, what in sorted(told, key=lambda item: item[:3]):
            story.happens(what, time)
        steps += story.steps
        merges += story.merges
    return steps, merges


def pairs(events: Sequence[AppliedEvent], settings: Settings, keys: Keys) -> Iterator[Pair]:
    """All pairs of orders that are or may be one, as they are found."""
    seen: list[Order] = []
    linked: list[Order] = []
    for item in events:
        event = item.event
        if not isinstance(event, OrderCreated):
            continue
        if event.source != settings.fallback.source and event.fallback_id:
            yield Pair(
                item.time, f"order:{event.fallback_id}", event.fallback_id, event.order_id, "quoted", certain=True
            )
            continue
        phone = keys.of("phone", event.phone) if event.phone else None
        counted: dict[str, int] = defaultdict(int)
        for line in event.items:
            counted[line.sku.casefold()] += line.quantity
        new = Order(
            event.order_id,
            event.source == settings.fallback.source,
            phone,
            item.time,
            tuple(sorted(counted.items())),
            event.amount,
        )
        near = [
            old for old in seen if old.phone == phone and phone and item.time - old.time <= settings.fallback.window
        ]
        if any((old.order_id, old.by_hand) == (new.order_id, new.by_hand) for old in near):
            continue
        seen.append(new)
        free = [old for old in near if old not in linked]
        others = [old for old in free if old.by_hand != new.by_hand]
        exact = [old for old in others if _agree(old, new, settings.fallback.keys)]
        rivals = [old for old in free if old.by_hand == new.by_hand and _agree(old, new, settings.fallback.keys)]
        if len(exact) == 1 and not rivals:
            linked += (new, exact[0])
            yield _pair(new, exact[0], "declared_keys", certain=True)
        elif exact:
            yield from (_pair(new, old, "two_candidates") for old in exact)
        else:
            yield from (_pair(new, old, why) for old in others if (why := _doubt(old, new, settings.fallback.keys)))


def _agree(one: Order, other: Order, keys: Sequence[str]) -> bool:
    products = [[name for name, _ in order.items] for order in (one, other)]
    if "product" in keys and (products[0] != products[1] or not products[0]):
        return False
    if "quantity" in keys and [count for _, count in one.items] != [count for _, count in other.items]:
        return False
    return "amount" not in keys or one.amount == other.amount


def _doubt(one: Order, other: Order, keys: Sequence[str]) -> str | None:
    if "product" in keys:
        if not one.items or not other.items:
            return "product_unknown"
        if {name for name, _ in one.items} != {name for name, _ in other.items}:
            return None
    return "other_quantity" if one.items != other.items else "other_amount"


def _pair(new: Order, old: Order, why: str, *, certain: bool = False) -> Pair:
    taken, placed = (new, old) if new.by_hand else (old, new)
    return Pair(new.time, f"phone:{new.phone}", taken.order_id, placed.order_id, why, certain)


@dataclass
class _Story:
    """One order, event by event and pair by pair; only fallback orders and those that pairs speak of have alerts."""

    order_id: str
    settings: Settings
    keys: Keys
    steps: list[ExpectedStep] = field(default_factory=list)
    merges: list[Merge] = field(default_factory=list)
    into: str | None = None
    wanted: str | None = None
    known: bool = False
    over: bool = False
    level: str = ""
    candidates: list[str] = field(default_factory=list)
    decided: set[str] = field(default_factory=set)

    def __post_init__(self) -> None:
        self.fold = _Fold(self.settings, self.keys)
        self.life = Life(self.order_id, 0)

    def happens(self, what: AnyEvent | Pair, time: int) -> None:
        match what:
            case Pair(certain=True):
                self.known = True
                if self.into and what.why != "quoted":
                    return
                self._merge(what.placed, "merged", time, found=True)
            case Pair():
                self.known = True
                if not self.over:
                    self._doubt(what.placed, what.why, "doubtful", time)
            case OrderMerged():
                self._merge(what.merged_into, "merged", time)
            case FallbackLinked():
                self.known = True
                self._merge(what.main_order_id, "linked", time)
                if self.over:
                    self._decide(what.main_order_id, "linked", time)
            case FallbackRejected():
                self.known = True
                self._decide(what.main_order_id, "rejected", time)
            case _:
                self._moves(what, time)

    def _moves(self, event: AnyEvent, time: int) -> None:
        before = self.life.stage
        first = isinstance(event, OrderCreated) and not self.life.details
        self.fold.apply(self.life, event, time, len(self.steps))
        if first and self.life.details:
            self.known = self.known or event.source == self.settings.fallback.source
        stage = self.settings.stages.get(self.life.stage or "")
        if stage is not None and stage.terminal and before != self.life.stage and self.known and not self.over:
            self.over = True
            if self.level != "shipped":
                self._end("cancelled" if stage.cancels else "closed", time)
        if self.wanted and isinstance(event, OrderCreated) and self.life.stage is not None:
            into, self.wanted = self.wanted, None
            self._merge(into, "merged", time)

    def _merge(self, into: str, reason: str, time: int, *, found: bool = False) -> None:
        if self.life.stage is None:
            self.wanted = self.wanted or into
            return
        if into in (self.order_id, self.into):
            return
        if self.into:
            self._doubt(into, "merged_elsewhere", "doubtful", time)
        elif self.settings.stages[self.life.stage].shipped:
            self._doubt(into, "shipped", "shipped", time)
        elif self.settings.stages[self.life.stage].terminal:
            self._doubt(into, "ended", "doubtful", time)
        else:
            self.into = into
            self.merges.append((self.order_id, into, time))
            if self.known:
                self.over = True
                if self.candidates and found and into not in self.candidates:
                    self.candidates.append(into)
                self._end(reason, time)
            stage = OrderStage(
                id="?", source="?", time=time, order_id=self.order_id, stage=self.settings.fallback.merged_stage
            )
            self.fold.apply(self.life, stage, time, len(self.steps))

    def _doubt(self, main: str, why: str, level: str, time: int) -> None:
        if not self.known or main in self.candidates or main in self.decided:
            return
        self.candidates.append(main)
        self.level = "shipped" if "shipped" in (self.level, level) else level
        self._step("updated" if len(self.candidates) > 1 else "opened", why, time)

    def _decide(self, main: str, reason: str, time: int) -> None:
        self.decided.add(main)
        if main not in self.candidates:
            return
        if len(self.candidates) == 1:
            self._end(reason, time)
        else:
            self.candidates.remove(main)
            self._step("updated", reason, time)

    def _end(self, reason: str, time: int) -> None:
        if self.candidates:
            self._step("resolved", reason, time)
        self.candidates, self.level = [], ""

    def _step(self, step: Step, reason: str, time: int) -> None:
        orders = (self.order_id, *self.candidates)
        said = None if step == "opened" else reason
        self.steps.append(ExpectedStep("fallback_match", step, "order", self.order_id, time, self.level, said, orders))
