"""A shop at work, as lines for the input topics: what opens its orders, and what goes on once they are open.

Of five events two are about orders and three are behaviour. Every fortieth event about an order is a move that its
stage chain does not allow, each time of another order, so that each gives one alert at its own time. The others create
an order, pay one and cancel one in turn: the number of open orders stays. Some of the behaviour goes to the one
partition of actions, so that it is not without events for long: one in which nothing happens holds time back.
"""

from itertools import count
from typing import Final

from msgspec import Struct

ILLEGAL_EVERY: Final = 40  # events about orders
_ORDERS_OF_FIVE: Final = 2
_ACTION_EVERY: Final = 8
_ORDER: Final = "20260301%011d"
_CREATED: Final = (
    '{"type":"order.created","id":"c%(n)d","source":"oms","time":%(time)d,"order_id":"20260301%(n)011d",'
    '"customer_id":"u%(customer)d","amount":%(amount)d,"card":"6222%(n)012d","device":"d%(n)d",'
    '"address":{"province":"浙江省","city":"杭州市","district":"西湖区","detail":"文三路%(n)d号"}}'
)
_PAID: Final = (
    '{"type":"payment.succeeded","id":"p%(n)d","source":"payment","time":%(time)d,'
    '"order_id":"20260301%(n)011d","amount":1}'
)
_MOVED: Final = (
    '{"type":"order.stage","id":"%(stage)s%(n)d","source":"wms","time":%(time)d,'
    '"order_id":"20260301%(n)011d","stage":"%(stage)s"}'
)
_SEEN: Final = (
    '{"type":"behaviour.signal","id":"s%(n)d-%(time)d","source":"probe","time":%(time)d,%(who)s,'
    '"signal":"page_view","value":1}'
)


class Sent(Struct, frozen=True, gc=False):
    """One line: on which topic ("orders", "behaviour", "actions") and partition. ``illegal``: the order it is about."""

    topic: str
    partition: int
    line: str
    illegal: str = ""


class Shop:
    """Gives its events one by one: first those that open its orders, or, with ``reserved``, those that come then.

    So many of the first orders are kept for illegal moves.
    """

    def __init__(self, orders: int, partitions: int, reserved: int | None = None) -> None:
        self._orders = orders
        self._partitions = partitions
        self._created = 0 if reserved is None else orders
        reserved = reserved or 0
        self._misbehaving = iter(range(reserved))
        # Those paid first are cancelled by then, each once it has been open for a while.
        self._paid = count(reserved + orders // 10)
        self._cancelled = count(reserved)
        self._seen = count()
        self._turn = 0
        self._about_orders = 0

    def order(self, time: int) -> Sent:
        """The next order comes."""
        return self._create(time)

    def opening(self, time: int) -> Sent:
        """The next event while the shop opens: an order comes, or somebody looks at what there is."""
        return self._create(time) if self._orders_turn() else self._look(time)

    def event(self, time: int) -> Sent:
        """The next event once all orders are open."""
        if not self._orders_turn():
            return self._look(time)
        self._about_orders += 1
        if self._about_orders % ILLEGAL_EVERY == 0:
            return self._misbehave(next(self._misbehaving), time)
        match self._about_orders % 3:
            case 0:
                return self._create(time)
            case 1:
                return self._about(next(self._paid), _PAID, time)
            case _:
                return self._about(next(self._cancelled), _MOVED, time, "cancelled")

    def _orders_turn(self) -> bool:
        self._turn += 1
        return self._turn % 5 < _ORDERS_OF_FIVE

    def _create(self, time: int) -> Sent:
        number, self._created = self._created, self._created + 1
        values = {"n": number, "time": time, "customer": number * 7 % self._orders, "amount": 100 + number % 90_000}
        return Sent("orders", number % self._partitions, _CREATED % values)

    def _misbehave(self, number: int, time: int) -> Sent:
        sent = self._about(number, _MOVED, time, "completed")
        return Sent(sent.topic, sent.partition, sent.line, _ORDER % number)

    def _about(self, number: int, text: str, time: int, stage: str = "") -> Sent:
        return Sent("orders", number % self._partitions, text % {"n": number, "time": time, "stage": stage})

    def _look(self, time: int) -> Sent:
        number = next(self._seen)
        which = number * 13 % max(1, self._created)
        who = f'"order_id":"{_ORDER % which}"' if number % 4 < 2 else f'"customer_id":"u{which}"'
        line = _SEEN % {"n": number, "time": time, "who": who}
        turn, rest = divmod(number, _ACTION_EVERY)
        return Sent("behaviour", (number - turn) % self._partitions, line) if rest else Sent("actions", 0, line)


def events_to_open(orders: int) -> int:
    """How many events of ``opening`` it takes until just so many orders are there."""
    return orders // _ORDERS_OF_FIVE * 5 + orders % _ORDERS_OF_FIVE


def reserved_for(rate: float, seconds: float) -> int:
    """How many illegal moves so many events a second hold in that time, with some to spare."""
    return int(rate * seconds * _ORDERS_OF_FIVE / 5 / ILLEGAL_EVERY) + 100
