"""Which orders of the main system are those that were taken by hand while it was down; see docs/rules.md."""

import re
import unicodedata
from collections.abc import Iterator, Mapping
from typing import Any, ClassVar

from msgspec import Struct, field

from events.model import Item, OrderCreated
from events.normal_form import risk_key
from operators.heart.component import Context, Environment, Handler, StatefulComponent
from operators.heart.keys import KeyOf
from operators.heart.messages import FallbackMatch

_SPACE = re.compile(r"\s+")


def match_key(environment: Environment) -> KeyOf:
    """Of an ``order.created``, or its header: where it may meet its double. "": nowhere.

    An order that quotes the number of a fallback order meets it there, every other one by its phone.
    """
    source, hash_key = environment.settings.fallback.source, environment.hash_key

    def key_of(event: Any) -> str:
        quoted, phone = event.fallback_id, event.phone
        if quoted and isinstance(quoted, str) and event.source != source:
            return f"order:{quoted}"
        key = risk_key("phone", phone, hash_key) if phone and isinstance(phone, str) else ""
        return f"phone:{key}" if key else ""

    return key_of


class Entry(Struct, gc=False, array_like=True):
    """One order: when it was created, what was ordered (normal form of the product, how many), for how much.

    ``linked``: its double has been found.
    """

    time: int
    items: list[tuple[str, int]]
    amount: int
    linked: bool = False


class Phone(Struct, gc=False, array_like=True):
    """The orders of one phone within the window: those taken by hand, and those of the main system."""

    taken: dict[str, Entry] = field(default_factory=dict)
    placed: dict[str, Entry] = field(default_factory=dict)


class FallbackMatching(StatefulComponent[Phone]):
    """Finds doubles by the keys that the settings declare, before the stage ``orders`` hears of the orders."""

    name: ClassVar[str] = "fallback_matching"
    stage: ClassVar[str] = "matching"
    state_type: ClassVar[type[Any]] = Phone

    def __init__(self, context: Context) -> None:
        super().__init__(context)
        own = context.environment.settings.fallback
        self._source = own.source
        self._window = int(own.window)
        self._keys = own.keys
        self._key_of = match_key(context.environment)

    @classmethod
    def enabled(cls, environment: Environment) -> bool:
        """As its settings say."""
        return environment.settings.fallback.enabled

    def handlers(self) -> Mapping[type, Handler]:
        """New orders."""
        return {OrderCreated: self.on_created}

    def on_created(self, event: OrderCreated, at: int) -> None:
        """An order, taken by hand or placed in the main system."""
        key = self._key_of(event)
        order_id, mine = event.order_id, Entry(at, _products(event.items), event.amount)
        if event.fallback_id and event.source != self._source:
            quoting = (event.fallback_id, Entry(0, [], 0)), (order_id, mine)
            self._tell(key, *quoting, "quoted", event.id, at, certain=True)
            return
        phone = self.states.get(key)
        if phone is None:
            phone = self.states[key] = Phone()
        self._forget(phone, at)
        by_hand = event.source == self._source
        alike, others = (phone.taken, phone.placed) if by_hand else (phone.placed, phone.taken)
        if order_id in alike:
            return
        alike[order_id] = mine
        self.context.arm(key, at + self._window + 1)
        for other, why, certain in self._doubles(mine, alike, others):
            pair = (order_id, mine), (other, others[other])
            taken, placed = pair if by_hand else (pair[1], pair[0])
            self._tell(key, taken, placed, why, event.id, at, certain=certain)

    def on_timer(self, key: str, due: int) -> None:
        """The window of an order has passed."""
        phone = self.states.get(key)
        if phone is None:
            return
        self._forget(phone, due)
        left = [entry.time for entries in (phone.taken, phone.placed) for entry in entries.values()]
        if left:
            self.context.arm(key, min(left) + self._window + 1)
        else:
            del self.states[key]

    def _forget(self, phone: Phone, at: int) -> None:
        for entries in (phone.taken, phone.placed):
            for order_id in [order_id for order_id, entry in entries.items() if entry.time < at - self._window]:
                del entries[order_id]

    def _doubles(
        self, mine: Entry, alike: Mapping[str, Entry], others: Mapping[str, Entry]
    ) -> Iterator[tuple[str, str, bool]]:
        """The possible doubles of a new order, why, and whether each certainly is."""
        exact = [order_id for order_id in _free(others) if self._same(mine, others[order_id])]
        if len(exact) == 1:
            other = others[exact[0]]
            rivals = [order_id for order_id in _free(alike) if self._same(alike[order_id], other)]
            if len(rivals) == 1:
                mine.linked = other.linked = True
                yield exact[0], "declared_keys", True
                return
        if exact:
            yield from ((order_id, "two_candidates", False) for order_id in exact)
            return
        for order_id in _free(others):
            why = self._near(mine, others[order_id])
            if why:
                yield order_id, why, False

    def _same(self, one: Entry, other: Entry) -> bool:
        products = [name for name, _ in one.items], [name for name, _ in other.items]
        quantities = [count for _, count in one.items], [count for _, count in other.items]
        return (
            ("product" not in self._keys or (products[0] == products[1] and bool(products[0])))
            and ("quantity" not in self._keys or quantities[0] == quantities[1])
            and ("amount" not in self._keys or one.amount == other.amount)
        )

    def _near(self, one: Entry, other: Entry) -> str:
        """Why two orders of one phone that do not agree may be one all the same; "" when they are two."""
        if "product" in self._keys and not (one.items and other.items):
            return "product_unknown"
        if "product" in self._keys and {name for name, _ in one.items} != {name for name, _ in other.items}:
            return ""
        return "other_quantity" if one.items != other.items else "other_amount"

    def _tell(
        self,
        key: str,
        taken: tuple[str, Entry],
        placed: tuple[str, Entry],
        why: str,
        event_id: str,
        at: int,
        *,
        certain: bool,
    ) -> None:
        note = FallbackMatch(at, key, taken[0], placed[0], certain, why, event_id, _said(taken[1]), _said(placed[1]))
        self.context.send("orders", note)


def _free(entries: Mapping[str, Entry]) -> list[str]:
    return [order_id for order_id, entry in entries.items() if not entry.linked]


def _products(items: tuple[Item, ...]) -> list[tuple[str, int]]:
    """What was ordered: the lines of one product together, in the order of their names."""
    counted: dict[str, int] = {}
    for item in items:
        name = _SPACE.sub(" ", unicodedata.normalize("NFKC", item.sku).casefold()).strip()
        counted[name] = counted.get(name, 0) + item.quantity
    return sorted(counted.items())


def _said(entry: Entry) -> dict[str, Any]:
    items = [{"product": name, "quantity": count} for name, count in entry.items]
    return {"time": entry.time, "items": items, "amount": entry.amount}
