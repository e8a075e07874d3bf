"""Who buys what: customers that share no key with each other, and their orders."""

from collections.abc import Sequence
from datetime import datetime
from random import Random
from typing import TypeVar
from zoneinfo import ZoneInfo

from msgspec import Struct

from config.settings import Settings
from events.model import Address, Item, OrderCreated
from sources.simulation import vocabulary as words
from sources.simulation.chain import Chain
from sources.simulation.plan import DAY, SimulationPlan
from sources.simulation.signals import SignalBook

T = TypeVar("T")


class Customer(Struct, frozen=True, gc=False):
    """A buyer. No other customer has any of these keys, except an address on the network after a long time."""

    customer_id: str
    name: str
    phone: str
    card: str
    device: str
    ip: str
    address: Address
    warehouse: str


class World:
    """Makes customers and orders, one after the other, from the plan's seed alone."""

    def __init__(self, plan: SimulationPlan, settings: Settings) -> None:
        self.plan = plan
        self.settings = settings
        self.rng = Random(plan.seed)
        self.chain = Chain(settings)
        self.signals = SignalBook(settings)
        self.prints = PrintHistory(settings.detectors.resonance.print_sample)
        self.orders = 0
        self._customers = 0
        self._date = _LocalDate(settings.zone)

    def pick(self, options: Sequence[T]) -> T:
        """One of them, all alike."""
        return options[int(self.rng.random() * len(options))]

    def between(self, low: int, high: int) -> int:
        """A number from ``low`` to ``high``, both included."""
        return low + int(self.rng.random() * (high - low + 1))

    def chance(self, share: float) -> bool:
        """True in this share of the calls."""
        return self.rng.random() < share

    def customer(self) -> Customer:
        """Someone who has not been here before."""
        self._customers = number = self._customers + 1
        name = self.pick(words.SURNAMES) + self.pick(words.GIVEN_NAMES)
        address, warehouse = self._address(number)
        return Customer(
            customer_id=f"C{number:08d}",
            name=name,
            phone=f"140{number:08d}",
            card=f"62000000{number:08d}",
            device=f"dev-{number:08x}",
            ip=_ip(number),
            address=address,
            warehouse=warehouse,
        )

    def address(self) -> Address:
        """A place where nobody lives."""
        self._customers += 1
        return self._address(self._customers)[0]

    def _address(self, number: int) -> tuple[Address, str]:
        province, city, districts, warehouse = self.pick(words.REGIONS)
        rest, house = divmod(number, 998)
        room, building = divmod(rest, 60)
        road = words.ROADS[number % len(words.ROADS)]
        community = words.COMMUNITIES[number % len(words.COMMUNITIES)]
        detail = f"{road}{house + 1}号{community}{building + 1}栋{room + 101}室"
        address = Address(country="CN", province=province, city=city, district=self.pick(districts), detail=detail)
        return address, warehouse

    def order(
        self, customer: Customer, time: int, category: str | None = None, amount: int | None = None
    ) -> OrderCreated:
        """A new order of the customer; ``amount`` in fen where the case needs a certain one."""
        self.orders += 1
        channel, prefix = self.pick(words.CHANNELS)
        category = category or self.pick(words.USUAL_CATEGORIES)
        items, discount = self._items(category, amount)
        order_id = f"{prefix}{self._date(time)}{self.orders:09d}"
        return OrderCreated(
            id=f"{order_id}-1",
            source=channel,
            time=time,
            order_id=order_id,
            customer_id=customer.customer_id,
            channel=channel,
            shop_id=f"{channel}-{1 + self.orders % 5}",
            category=category,
            amount=sum(item.price * item.quantity for item in items) - discount,
            discount=discount,
            items=items,
            card=customer.card,
            phone=customer.phone,
            ip=customer.ip,
            device=customer.device,
            recipient=customer.name,
            address=customer.address,
            warehouse_id=customer.warehouse,
        )

    def _items(self, category: str, amount: int | None) -> tuple[tuple[Item, ...], int]:
        goods = words.GOODS[category]
        number = int(self.rng.random() * len(goods))
        name, price = goods[number]
        sku = f"{category}-{number + 1:03d}"
        if amount is not None:
            return (Item(sku=sku, price=amount, name=name),), 0
        quantity = 1 + int(self.rng.random() ** 3 * 4)
        discount = price // 10 if self.rng.random() < 0.3 else 0
        return (Item(sku=sku, quantity=quantity, price=price, name=name),), discount

    def amounts(self, count: int) -> list[int]:
        """So many amounts in fen, each another."""
        return [base * 100 + step for step, base in enumerate(self.between(29, 899) for _ in range(count))]


class PrintHistory:
    """When the first waybills of each warehouse are printed: before so many there is no mean to be slower than."""

    def __init__(self, sample: int) -> None:
        self._sample = sample
        self._known: dict[str, list[int]] = {}

    def add(self, warehouse: str, time: int) -> None:
        """A waybill is printed."""
        known = self._known.setdefault(warehouse, [])
        if len(known) < self._sample or time < known[-1]:
            known.append(time)
            known.sort()
            del known[self._sample :]

    def has_mean(self, warehouse: str, time: int) -> bool:
        """Whether enough waybills were printed there before that time."""
        known = self._known.get(warehouse, ())
        return len(known) >= self._sample and known[self._sample - 1] < time


class _LocalDate:
    """The local date as six digits, found once for each UTC quarter of an hour (no zone changes in between)."""

    def __init__(self, zone: str) -> None:
        self._zone = ZoneInfo(zone)
        self._known: dict[int, str] = {}

    def __call__(self, time: int) -> str:
        quarter = time // (DAY // 96)
        if quarter not in self._known:
            self._known = {quarter: datetime.fromtimestamp(time / 1000, tz=self._zone).strftime("%y%m%d")}
        return self._known[quarter]


def _ip(number: int) -> str:
    """An address of the ranges for benchmarks and documentation, which belong to nobody."""
    if number % 4:
        low = number % 131_072
        return f"198.{18 + (low >> 16)}.{(low >> 8) & 255}.{low & 255}"
    return f"2001:db8::{number >> 16:x}:{number & 0xFFFF:x}"
