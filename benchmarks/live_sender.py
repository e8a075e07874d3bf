"""Sends a shop's events to Kafka: at once what opens its orders, then so many a second what goes on.

``python -m benchmarks.live_sender PLAN`` sends a stream until its input ends; each line of the input is a new rate.
Then it prints as JSON which alerts must come. It is a process of its own, so that those who wait for the alerts have
theirs to themselves.
"""

import os
import select
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
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
    """``rate`` events a second to begin with, on the topics named by kind; for ``seconds`` at most.

    ``behind_ms``: how far event time stays behind the newest event.
    """

    bootstrap: str
    topics: dict[str, str]
    partitions: int
    orders: int
    reserved: int
    behind_ms: int
    rate: float
    seconds: float


class Stream(Struct, frozen=True):
    """What was sent. ``expected``: order and time (epoch ms) of each illegal move; ``slip_ms``: how late it sent.

    ``allowed``: for each of these, in their order, when (epoch ms) the last partition got an event that is newer by
    ``behind_ms``: no earlier can an alert be raised. The last ones, for which that did not happen, are left out.
    """

    events: int
    began: int
    expected: list[tuple[str, int]]
    allowed: list[int]
    slip_ms: float


class Opening(Struct, frozen=True):
    """``events`` open a shop, the last at ``until`` (epoch ms)."""

    events: int
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
    shop, events = Shop(orders, partitions), alone + events_to_open(orders - alone)
    for number in range(events):
        at = now - _BACK_MS + _BACK_MS * number // events
        sender.send(shop.order(at) if number < alone else shop.opening(at), at)
        if number % 1_000 == 0:
            sender.serve()
    sender.close()
    return Opening(events, now)


def stream(plan: StreamPlan, order: Callable[[], float | None]) -> Stream:
    """Send until ``order``, asked again and again, says 0, or for as long as the plan says; each event's time is that
    at which it is sent. Another number that ``order`` gives is a new rate.
    """
    sender, shop = Sender(plan.bootstrap, plan.topics), Shop(plan.orders, plan.partitions, plan.reserved)
    clock = PartitionTime(plan)
    began = since = time.monotonic()
    first, rate, events, sent, slip = _now(), plan.rate, 0, 0, 0.0
    while (now := time.monotonic()) - began < plan.seconds:
        if (wanted := order()) is not None:
            if not wanted:
                break
            since, rate, sent = now, wanted, 0
        due = int((now - since) * rate)
        slip = max(slip, now - since - sent / rate)
        at = _now()
        for _ in range(sent, due):
            event = shop.event(at)
            sender.send(event, at)
            clock.sent(event, at)
        events += due - sent
        sent = due
        clock.look(at)
        sender.serve()
        time.sleep(_TICK_SECONDS)
    sender.close()
    return Stream(events, first, clock.expected, clock.allowed, slip * 1000)


class PartitionTime:
    """The newest event of each partition, and so which alerts event time allows."""

    def __init__(self, plan: StreamPlan) -> None:
        self._behind_ms = plan.behind_ms
        shared = [(topic, number) for topic in ("orders", "behaviour") for number in range(plan.partitions)]
        self._newest = dict.fromkeys([*shared, ("actions", 0)], 0)
        self.expected: list[tuple[str, int]] = []
        self.allowed: list[int] = []

    def sent(self, event: Sent, at: int) -> None:
        """An event of that time (epoch ms) was sent."""
        self._newest[event.topic, event.partition] = at
        if event.illegal:
            self.expected.append((event.illegal, at))

    def look(self, now: int) -> None:
        """All that was due by now was sent."""
        reached = min(self._newest.values()) - self._behind_ms
        while len(self.allowed) < len(self.expected) and self.expected[len(self.allowed)][1] <= reached:
            self.allowed.append(now)


class Sending:
    """A stream that another process sends."""

    def __init__(self, process: "subprocess.Popen[bytes]") -> None:
        self._process = process

    def go_on_at(self, rate: float) -> None:
        """So many events a second from now on."""
        assert self._process.stdin is not None
        self._process.stdin.write(f"{rate}\n".encode())
        self._process.stdin.flush()

    def end(self) -> Stream:
        """Send no more; returns what was sent. Raises CalledProcessError when that failed."""
        printed, _ = self._process.communicate()
        if self._process.returncode:
            raise subprocess.CalledProcessError(self._process.returncode, self._process.args)
        return msgspec.json.decode(printed, type=Stream)


@contextmanager
def sending(plan: StreamPlan, root: Path) -> Iterator[Sending]:
    """A process that sends, until ``end`` or the end of the block."""
    command = [sys.executable, "-m", "benchmarks.live_sender", msgspec.json.encode(plan).decode()]
    with subprocess.Popen(command, cwd=root, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        try:
            yield Sending(process)
        finally:
            process.kill()


def _orders() -> float | None:
    """What the input says: a new rate; 0 when it has ended; None while it says nothing."""
    if not select.select([sys.stdin], (), (), 0)[0]:
        return None
    lines = os.read(sys.stdin.fileno(), 4_096).split()
    return float(lines[-1]) if lines else 0.0


def _now() -> int:
    return time.time_ns() // 1_000_000


def main() -> int:
    """Send a stream."""
    plan = msgspec.json.decode(sys.argv[1], type=StreamPlan)
    sys.stdout.buffer.write(msgspec.json.encode(stream(plan, _orders)))
    return 0


if __name__ == "__main__":
    sys.exit(main())
