"""Trades of other shapes: hot keys, bursts of alerts, few and many partitions, wide events.

Skew and width are put on an even trade line by line, with its times and its order left as they are. Each line is
changed by what stands in it alone (its order, its id), so all lines of an order agree.
"""

import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Final
from zlib import crc32

import msgspec
from msgspec import Struct

from benchmarks.workload import Workload, WorkloadPlan, cache_place, cached_workload, kept

_ORDER = re.compile(rb'"order_id":"([^"]*)"')
_ID = re.compile(rb'"id":"([^"]*)"')
_CUSTOMER = re.compile(rb'"customer_id":"[^"]*"')
_DEVICE = re.compile(rb'"device":"[^"]*"')
_SHOP = re.compile(rb'"shop_id":"[^"]*"')
_CARD = re.compile(rb'"card":"\d+"')
_DETAIL = re.compile(rb'"detail":"')
_ITEMS = re.compile(rb'"items":\[')
_HOT_CUSTOMER = b'"customer_id":"C-hot"'
# A shopper behind a fifth of all events has a few orders, not none and not thousands.
_HOT_ORDERS = 1_000
_WIDE_ITEMS = 40
_WIDE_ADDRESS = "翡翠湖畔文化创意产业园东区第三期".encode() * 12

Rewrite = Callable[[bytes], bytes]


class Shape(Struct, frozen=True):
    """``rewrite`` changes each line of the even trade; without one the trade itself is simulated otherwise."""

    title: str
    rewrite: Rewrite | None = None
    partitions: int = 4
    cases: float = 0.08


def _one_in(number: int, text: bytes) -> bool:
    return crc32(text) % number == 0


def _orders_one_in(number: int, line: bytes) -> bool:
    order = _ORDER.search(line)
    return order is not None and _one_in(number, order[1])


def _hot_customer_events(line: bytes) -> bytes:
    """A fifth of all events: nearly half of the behaviour that names no order (46 % of all), on one device."""
    if _ORDER.search(line) is None:
        event = _ID.search(line)
        hot = event is not None and crc32(event[1]) % 100 < 44
    else:
        hot = _orders_one_in(_HOT_ORDERS, line)
    return _DEVICE.sub(b'"device":"dev-hot"', _CUSTOMER.sub(_HOT_CUSTOMER, line)) if hot else line


def _hot_customer_orders(line: bytes) -> bytes:
    return _CUSTOMER.sub(_HOT_CUSTOMER, line) if _orders_one_in(5, line) else line


def _hot_shop(line: bytes) -> bytes:
    return _SHOP.sub(b'"shop_id":"hot-1"', line) if _orders_one_in(2, line) else line


def _hot_card(line: bytes) -> bytes:
    return _CARD.sub(b'"card":"6200999999999999"', line) if _orders_one_in(10, line) else line


def _wide(line: bytes) -> bytes:
    """Addresses and items as a long-winded trade sends them: an order is 40 times as long."""
    item = b'{"sku":"wide-%03d","quantity":2,"price":1000,"name":"' + "家用多功能收纳整理箱套装".encode() + b'"},'
    items = b"".join(item % number for number in range(_WIDE_ITEMS))
    return _ITEMS.sub(b'"items":[' + items, _DETAIL.sub(b'"detail":"' + _WIDE_ADDRESS, line))


EVEN: Final = "even"
SHAPES: Final[Mapping[str, Shape]] = {
    EVEN: Shape("even load"),
    "hot_customer": Shape("one customer with 20 % of the events", _hot_customer_events),
    "hot_buyer": Shape("one customer with 20 % of the orders", _hot_customer_orders),
    "hot_shop": Shape("one shop with half of the orders", _hot_shop),
    "hot_card": Shape("one card on 10 % of the orders", _hot_card),
    "alerts": Shape("bursts of alerts, 60 % of the orders in trouble", cases=0.6),
    "wide": Shape("wide events, long addresses and 40 items more", _wide),
    "two_partitions": Shape("2 partitions of each kind", partitions=2),
    "many_partitions": Shape("16 partitions of each kind", partitions=16),
}


def cached_shape(name: str, events: int, seed: int, cache: Path | None = None) -> Workload:
    """The trade of that shape, made unless an earlier run has left it in the temporary directory."""
    shape = SHAPES[name]
    plan = WorkloadPlan(events, seed, shape.partitions, shape.cases)
    trade = cached_workload(plan, cache)
    if shape.rewrite is None:
        return trade
    rewrite = shape.rewrite
    return kept(cache_place(cache) / f"{plan.name}-{name}-1", lambda directory: _rewritten(trade, rewrite, directory))


def _rewritten(trade: Workload, rewrite: Rewrite, directory: Path) -> Workload:
    for path in sorted(Path(trade.directory).iterdir()):
        with path.open("rb") as lines, (directory / path.name).open("wb") as out:
            out.writelines(map(rewrite, lines))
    size = sum(path.stat().st_size for path in directory.iterdir())
    return msgspec.structs.replace(trade, directory=str(directory), bytes=size)
