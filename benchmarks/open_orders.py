"""The events of a shop with many open orders: all are created first, then a steady stream touches them at random."""

import random
import tempfile
from pathlib import Path
from shutil import rmtree
from typing import TypedDict

import msgspec
from msgspec import Struct

from events.model import (
    Address,
    AnyEvent,
    BehaviourSignal,
    LogisticsScan,
    OrderChanged,
    OrderCreated,
    OrderFields,
    OrderStage,
    PaymentSucceeded,
)

PARTITIONS = 4
_BEGIN = 1_772_323_200_000
_STEP_MS = 4
_SIGN, _SIGNS = "service_chat", 4  # so many on one order are a strong warning
_BEHAVIOUR, _CHANGES, _MOVES = 0.6, 0.175, 0.05
_COURIERS = ("SF", "YTO", "ZTO")
_ADDRESS = Address(province="浙江省", city="杭州市", district="西湖区")


class _Whose(TypedDict, total=False):
    order_id: str
    customer_id: str


class OpenOrders(Struct, frozen=True):
    """``orders`` are open when ``touches`` begin; 60 % of the touches are behaviour. No deadline falls within.

    ``alert_every``: one touch in so many is a sign of trouble, and some of these on one order raise an alert; 0: none.
    ``step_ms``: from one event to the next, in event time.
    """

    orders: int
    touches: int
    seed: int = 1
    alert_every: int = 0
    step_ms: int = _STEP_MS

    @property
    def name(self) -> str:
        """The directory, the same for the same plan."""
        more = f"-{self.alert_every}-{self.step_ms}" if self.alert_every or self.step_ms != _STEP_MS else ""
        return f"open-v2-{self.orders}-{self.touches}-{self.seed}{more}"


def cached(plan: OpenOrders) -> Path:
    """The directory with the events, made unless an earlier run has left it in the temporary directory."""
    home = Path(tempfile.gettempdir()) / "orderpulse-benchmarks" / plan.name
    if not (home / "done").exists():
        rmtree(home, ignore_errors=True)
        (home / "events").mkdir(parents=True)
        _write(plan, home / "events")
        (home / "done").touch()
    return home / "events"


def _write(plan: OpenOrders, directory: Path) -> None:
    chance = random.Random(plan.seed)
    encode = msgspec.json.Encoder().encode
    files = [(directory / f"order-{number}.ndjson").open("wb") for number in range(PARTITIONS)]
    stage = bytearray(plan.orders)
    for count in range(plan.orders + plan.touches):
        time = _BEGIN + count * plan.step_ms
        if count < plan.orders:
            order, event = count, _created(plan, count, time, chance)
        else:
            order = chance.randrange(plan.orders)
            event = _touch(plan, order, stage, count, time, chance)
        files[order % PARTITIONS].write(encode(event) + b"\n")
    for file in files:
        file.close()


def _created(plan: OpenOrders, number: int, time: int, chance: random.Random) -> AnyEvent:
    return OrderCreated(
        id=f"c{number:09d}",
        source="oms",
        time=time,
        order_id=_name(number),
        customer_id=f"u{chance.randrange(max(1, plan.orders // 2))}",
        amount=chance.randrange(100, 99_999),
        card=f"6222{chance.randrange(10**12):012d}",
        device=f"d{chance.randrange(10**8)}",
        address=msgspec.structs.replace(_ADDRESS, detail=f"文三路{chance.randrange(10**6)}号"),
    )


def _touch(plan: OpenOrders, order: int, stage: bytearray, number: int, time: int, chance: random.Random) -> AnyEvent:
    event_id, name, drawn = f"t{number:09d}", _name(order), chance.random()
    if plan.alert_every and number % plan.alert_every == 0:
        troubled = _name(number // plan.alert_every // _SIGNS % plan.orders)
        return BehaviourSignal(id=event_id, source="probe", time=time, order_id=troubled, signal=_SIGN)
    # Moves use an order up; there are so few that those of 10,000 orders last as long as those of a million.
    if drawn < _MOVES and stage[order] < 2:
        stage[order] += 1
        if stage[order] == 1:
            return PaymentSucceeded(id=event_id, source="payment", time=time, order_id=name, amount=1)
        return OrderStage(id=event_id, source="wms", time=time, order_id=name, stage="queued")
    if drawn < _MOVES + _CHANGES:
        fields = OrderFields(courier=_COURIERS[number % len(_COURIERS)])
        return OrderChanged(id=event_id, source="oms", time=time, order_id=name, fields=fields)
    if drawn < 1 - _BEHAVIOUR:
        return LogisticsScan(id=event_id, source="tms", time=time, order_id=name, scan="arrived_at_hub")
    customer = f"u{chance.randrange(max(1, plan.orders // 2))}"
    whose: _Whose = {"order_id": name} if chance.random() < 0.5 else {"customer_id": customer}
    return BehaviourSignal(id=event_id, source="probe", time=time, signal="page_view", value=1, **whose)


def _name(number: int) -> str:
    return f"20260301{number:011d}"
