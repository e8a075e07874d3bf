"""Sends a shop's events to Kafka: at once what opens its orders, then so many a second what goes on.

``python -m benchmarks.live_sender PLAN`` sends a stream; when it ends it prints as JSON which alerts must come. It is a
process of its own, so that those who wait for the alerts have theirs to themselves.
"""

import sys
import time
from typing import Final

import msgspec
from confluent_kafka import Producer
from msgspec import Struct

from benchmarks.live_trade import Sent, Shop, events_to_open

_PRODUCER: Final = {"linger.ms": 5, "queue.buffering.max.messages": 500_000}
_TICK_SECONDS: Final = 0.002
_BACK_MS: Final = 240_000  # so long ago the first order comes
_AMID_BEHAVIOUR: Final = 100_000  # orders, the last ones; before them orders come alone


class StreamPlan(Struct, frozen=True):
    """``rate`` events a second for ``seconds``, on the topics named by kind."""

    bootstrap: str
    topics: dict[str, str]
    partitions: int
    orders: int
    reserved: int
    rate: float
    seconds: float


class Stream(Struct, frozen=True):
    """What was sent. ``expected``: order and time (epoch ms) of each illegal move; ``slip_ms``: how late it sent."""

    events: int
    began: int
    expected: list[tuple[str, int]]
    slip_ms: float


class Opening(Struct, frozen=True):
    """``events`` open a shop, the last of them at ``until``; those after ``since`` (epoch ms) hold behaviour, too.

    Of these there are ``mixed``; ``since`` is 0 when that is all.
    """

    events: int
    mixed: int
    since: int
    until: int


class Sender:
    """Produces lines; a record's timestamp is its event's time."""

    def __init__(self, bootstrap: str, topics: dict[str, str]) -> None:
        self._producer = Producer({"bootstrap.servers": bootstrap, **_PRODUCER})
        self._topics = topics

    def send(self, sent: Sent, at: int) -> None:
        """One event; waits while the client's queue is full."""
        while True:
            try:
                self._producer.produce(self._topics[sent.topic], sent.line, partition=sent.partition, timestamp=at)
            except BufferError:
                self._producer.poll(0.1)
            else:
                return

    def serve(self) -> None:
        """Let the client go on."""
        self._producer.poll(0)

    def close(self) -> None:
        """Wait until the broker has all; raises RuntimeError when it has not."""
        if self._producer.flush(60):
            raise RuntimeError("the broker did not take the events")
        self._producer.close()


def open_shop(sender: Sender, orders: int, partitions: int, now: int) -> Opening:
    """Send what opens so many orders, with times up to ``now`` (epoch ms)."""
    alone = max(0, orders - _AMID_BEHAVIOUR)
    mixed = events_to_open(orders - alone)
    shop, events = Shop(orders, partitions), alone + mixed
    for number in range(events):
        at = now - _BACK_MS + _BACK_MS * number // events
        sender.send(shop.order(at) if number < alone else shop.opening(at), at)
        if number % 1_000 == 0:
            sender.serve()
    sender.close()
    since = now - _BACK_MS + _BACK_MS * alone // events if alone else 0
    return Opening(events, mixed, since, now)


def stream(plan: StreamPlan) -> Stream:
    """Send for as long as the plan says; each event's time is that at which it is sent."""
    sender, shop = Sender(plan.bootstrap, plan.topics), Shop(plan.orders, plan.partitions, plan.reserved)
    expected: list[tuple[str, int]] = []
    began, first = time.monotonic(), _now()
    sent, slip = 0, 0.0
    while (passed := time.monotonic() - began) < plan.seconds:
        due = int(passed * plan.rate)
        slip = max(slip, passed - sent / plan.rate)
        at = _now()
        for _ in range(sent, due):
            event = shop.event(at)
            sender.send(event, at)
            if event.illegal:
                expected.append((event.illegal, at))
        sent = due
        sender.serve()
        time.sleep(_TICK_SECONDS)
    sender.close()
    return Stream(sent, first, expected, slip * 1000)


def _now() -> int:
    return time.time_ns() // 1_000_000


def main() -> int:
    """Send a stream."""
    plan = msgspec.json.decode(sys.argv[1], type=StreamPlan)
    sys.stdout.buffer.write(msgspec.json.encode(stream(plan)))
    return 0


if __name__ == "__main__":
    sys.exit(main())
