"""The values of ``order.*`` and ``payment.*``, taken from an order's events."""

import unicodedata
from collections.abc import Callable, Iterable, Mapping
from datetime import datetime
from typing import Any, Final
from zoneinfo import ZoneInfo

from config.expressions.limits import LIST_LENGTH, TEXT_LENGTH
from events.model import OrderCreated, PaymentSucceeded
from events.normal_form import normal_phone
from operators.orders.order_state import OrderState

HOUR: Final = 3_600_000
Value = bool | int | str | list[str] | None


class OrderValues:
    """Reads variables of a new order. ``names``: those that are wanted; others are not computed."""

    def __init__(self, names: Iterable[str], zone: ZoneInfo) -> None:
        self._names = [name for name in names if name in _OF_EVENT]
        self._keys = [name for name in names if name in _OF_ORDER]
        self._clock = [name for name in names if name in _OF_TIME]
        self._zone = zone

    def of(self, event: OrderCreated, order: OrderState, at: int) -> dict[str, Value]:
        """Variable -> value at event time ``at``; None: the order has none."""
        values: dict[str, Value] = {name: _OF_EVENT[name](event, at) for name in self._names}
        for name in self._keys:
            values[name] = _cut(_OF_ORDER[name](order))
        if self._clock:
            moment = datetime.fromtimestamp(at // 1000, tz=self._zone)
            values |= {name: _OF_TIME[name](moment) for name in self._clock}
        return values


def payment_values(names: Iterable[str], event: PaymentSucceeded) -> dict[str, Value]:
    """The variables that are known once an order is paid."""
    return {name: _OF_PAYMENT[name](event) for name in names if name in _OF_PAYMENT}


def shop_of(event: OrderCreated) -> str:
    """Whose baseline an order belongs to: its shop, or where that is not known its channel or source."""
    return event.shop_id or event.channel or event.source


def _cut(text: str | None) -> str | None:
    return text[:TEXT_LENGTH] if text else None


def _part(name: str) -> Callable[[OrderCreated, int], Value]:
    """A part of the order's address."""
    return lambda event, at: None if event.address is None else _cut(getattr(event.address, name))


def _account_hours(event: OrderCreated, at: int) -> int | None:
    return None if event.account_since is None else max(0, at - event.account_since) // HOUR


def _phone_prefix(event: OrderCreated, at: int) -> str | None:
    """Three digits say who issued a number, and not whose it is; a masked number has them too."""
    prefix = normal_phone(unicodedata.normalize("NFKC", event.phone).strip())[:3] if event.phone else ""
    return prefix if len(prefix) == 3 and prefix.isascii() and prefix.isdigit() else None


_OF_EVENT: Final[Mapping[str, Callable[[OrderCreated, int], Value]]] = {
    "order.amount": lambda event, at: event.amount,
    "order.discount": lambda event, at: event.discount,
    "order.currency": lambda event, at: event.currency,
    "order.source": lambda event, at: event.source,
    "order.channel": lambda event, at: event.channel,
    "order.shop": lambda event, at: event.shop_id,
    "order.category": lambda event, at: event.category,
    "order.priority": lambda event, at: event.priority,
    "order.warehouse": lambda event, at: event.warehouse_id,
    "order.lines": lambda event, at: len(event.items),
    "order.quantity": lambda event, at: sum(item.quantity for item in event.items),
    "order.skus": lambda event, at: [item.sku for item in event.items[:LIST_LENGTH]],
    "order.country": _part("country"),
    "order.province": _part("province"),
    "order.city": _part("city"),
    "order.district": _part("district"),
    "order.detail": _part("detail"),
    "order.recipient": lambda event, at: _cut(event.recipient),
    "order.remark": lambda event, at: _cut(event.remark),
    "order.phone_prefix": _phone_prefix,
    "customer.id": lambda event, at: event.customer_id,
    "customer.account_hours": _account_hours,
}
_OF_ORDER: Final[Mapping[str, Callable[[OrderState], str]]] = {
    "order.card": lambda order: order.card,
    "order.phone": lambda order: order.phone,
    "order.ip": lambda order: order.ip,
    "order.device": lambda order: order.device,
    "order.address": lambda order: order.address,
}
_OF_TIME: Final[Mapping[str, Callable[[datetime], int]]] = {
    "order.hour": lambda moment: moment.hour,
    "order.weekday": lambda moment: moment.isoweekday(),
}
_OF_PAYMENT: Final[Mapping[str, Callable[[PaymentSucceeded], Any]]] = {
    "payment.amount": lambda event: event.amount,
    "payment.method": lambda event: event.method,
}
