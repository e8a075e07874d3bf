"""The events of a shop with many open orders: all are created first, then a steady stream touches them at random."""

import random
import tempfile
from pathlib import Path
from shutil import rmtree

import msgspec
from msgspec import Struct

from events.model import (
    Address,
    AnyEvent,
    BehaviourSignal,
    OrderCreated,
    OrderStage,
    PaymentSucceeded,
)

PARTITIONS = 4
_BEGIN = 1_772_323_200_000
_STEP_MS = 4
_ADDRESS = Address(province="浙江省", city="杭州市", district="西湖区")


class OpenOrders(Struct, frozen=True):
    """``orders`` are open when ``touches`` begin; 60 % of the touches are behaviour. No deadline falls within."""

    orders: int
    touches: int
    seed: int = 1

    @property
    def name(self) -> str:
        """The directory, the same for the same plan."""
        return f"open-v1-{self.orders}-{self.touches}-{self.seed}"


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
        time = _BEGIN + count * _STEP_MS
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
    event_id, name = f"t{number:09d}", _name(order)
    if chance.random() < 0.4 and stage[order] < 2:
        stage[order] += 1
        if stage[order] == 1:
            return PaymentSucceeded(id=event_id, source="payment", time=time, order_id=name, amount=1)
        return OrderStage(id=event_id, source="wms", time=time, order_id=name, stage="queued")
    if chance.random() < 0.5:
        return BehaviourSignal(id=event_id, source="probe", time=time, order_id=name, signal="page_view", value=1)
    customer = f"u{chance.randrange(max(1, plan.orders // 2))}"
    return BehaviourSignal(id=event_id, source="probe", time=time, customer_id=customer, signal="page_view", value=1)


def _name(number: int) -> str:
    return f"20260301{number:011d}"
