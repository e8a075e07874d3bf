"""``python -m benchmarks.restart``: from kill -9 to the first new alert on its topic, on a real broker.

A shop with many open orders, then a steady stream in which now and then an order does what it may not. In each round
all processes of the flow are killed at once and started again at once, while the stream goes on.
"""

import argparse
import os
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from statistics import median

import msgspec
from confluent_kafka import Consumer, Producer, TopicPartition
from rich.console import Console
from rich.table import Table

from benchmarks.machine import this_machine
from benchmarks.open_orders import PARTITIONS, OpenOrders, cached
from config.loader import load_settings
from events.model import BehaviourSignal, OrderStage
from tests.support.kafka_broker import KafkaBroker

_OUT = Path(__file__).parent.parent / "out" / "benchmarks"
_CONFIG = """
[time]
arrival = "ignore"  # the orders are of a day of their own; what time they came at says nothing

[detectors.stage_timeout]
factor = 1000

[kafka]
bootstrap = "{bootstrap}"
partitions = {partitions}
replication = 1
start = "earliest"
"""
_PER_SECOND = 1_000
_ALERT_EVERY = 20
_PATIENCE = 300.0


class Stream(threading.Thread):
    """Sends events with event time going on as wall time does; each order that misbehaves does so once."""

    def __init__(self, bootstrap: str, topics: tuple[str, ...], begin: int, orders: int) -> None:
        super().__init__(daemon=True)
        self._producer = Producer({"bootstrap.servers": bootstrap, "linger.ms": 2})
        self._topics = topics
        self._begin = begin
        self._orders = orders
        self._ended = threading.Event()

    def run(self) -> None:
        """Until ``end``."""
        encode = msgspec.json.Encoder().encode
        began = time.monotonic()
        sent = 0
        while not self._ended.is_set():
            for number in range(sent, int((time.monotonic() - began) * _PER_SECOND)):
                at = self._begin + number * 1_000 // _PER_SECOND
                turn, partition = divmod(number, PARTITIONS)
                # A partition in which nothing happens would hold time back, as arrivals say nothing here.
                topic = self._topics[1 + turn % 2]
                order = f"20260301{number // _ALERT_EVERY % self._orders:011d}"
                event: BehaviourSignal | OrderStage = BehaviourSignal(
                    id=f"s{number}", source="probe", time=at, order_id=order, signal="page_view", value=1
                )
                if turn % _ALERT_EVERY == 0:
                    topic = self._topics[0]
                    event = OrderStage(id=f"s{number}", source="wms", time=at, order_id=order, stage="completed")
                self._producer.produce(topic, encode(event), partition=partition)
                sent = number + 1
            self._producer.poll(0)
            time.sleep(0.005)
        self._producer.flush(30)

    def end(self) -> None:
        """Send no more."""
        self._ended.set()
        self.join(60)


class Alerts:
    """The alerts' topic, read as a consumer of it would."""

    def __init__(self, bootstrap: str, topic: str) -> None:
        self._consumer = Consumer({"bootstrap.servers": bootstrap, "group.id": "benchmark", "fetch.wait.max.ms": 10})
        self._consumer.assign([TopicPartition(topic, number, 0) for number in range(PARTITIONS)])
        self._ids: set[bytes] = set()
        self.doubled = 0

    def next(self, within: float) -> float | None:
        """When the next alert with an id that was not seen before was there (monotonic); None if none comes."""
        until = time.monotonic() + within
        while time.monotonic() < until:
            for message in self._consumer.consume(10_000, 0.02):
                if message.error() is not None:
                    continue
                named = dict(message.headers() or ()).get("ce_id", b"")
                assert isinstance(named, bytes)
                if named in self._ids:
                    self.doubled += 1
                else:
                    self._ids.add(named)
                    return time.monotonic()
        return None

    def follow(self, seconds: float) -> None:
        """Read what comes for so long."""
        until = time.monotonic() + seconds
        while time.monotonic() < until:
            self.next(0.1)

    def drain(self) -> None:
        """Read what is there, when nobody writes any more."""
        while self.next(0.3) is not None:
            pass


def measure(orders: int, processes: int, rounds: int, log: Console) -> tuple[list[float], int]:
    """Seconds of each round, and how many alerts stood twice in the end."""
    with tempfile.TemporaryDirectory(prefix="orderpulse-restart-") as scratch:
        place = Path(scratch)
        with KafkaBroker.start(place / "kafka") as broker:
            config = place / "config.toml"
            config.write_text(_CONFIG.format(bootstrap=broker.bootstrap, partitions=PARTITIONS), encoding="utf-8")
            topics = load_settings(config).kafka.topics
            _orderpulse("topics", "create", "--config", str(config))
            begin = _fill(broker.bootstrap, topics.orders, OpenOrders(orders, 0))
            stream = Stream(broker.bootstrap, (topics.orders, topics.behaviour, topics.actions), begin, orders)
            stream.start()
            alerts = Alerts(broker.bootstrap, topics.alerts)
            try:
                return list(_rounds(config, place, processes, rounds, alerts, log)), alerts.doubled
            finally:
                stream.end()


def _rounds(config: Path, place: Path, processes: int, rounds: int, alerts: Alerts, log: Console) -> Iterator[float]:
    run = ["run", "--config", str(config), "--input", "kafka", "--output", "kafka", "--metrics-port", "0"]
    run += ["--recovery", str(place / "store"), "--processes", str(processes)]
    flow = _started(run, place)
    try:
        if alerts.next(_PATIENCE) is None:
            raise RuntimeError(f"no alert: {(place / 'log').read_text()}")
        for number in range(rounds):
            alerts.follow(6.0)  # it has caught up, and has kept what it read
            _kill(flow)
            killed = time.monotonic()
            alerts.drain()
            flow = _started(run, place)
            started = time.monotonic()
            at = alerts.next(_PATIENCE)
            if at is None:
                raise RuntimeError(f"no alert after the restart: {(place / 'log').read_text()}")
            log.print(
                f"{processes} processes, round {number + 1}: {at - started:.2f} s ({started - killed:.2f} s down)"
            )
            yield at - started
    finally:
        _kill(flow)


def _fill(bootstrap: str, topic: str, plan: OpenOrders) -> int:
    """Put the orders onto the topic; returns the event time at which the last was created."""
    producer = Producer({"bootstrap.servers": bootstrap, "linger.ms": 50})
    last = 0
    for number, path in enumerate(sorted(cached(plan).glob("*.ndjson"))):
        for line in path.read_bytes().splitlines():
            producer.produce(topic, line, partition=number)
            if producer.poll(0) == 0 and len(producer) > 50_000:
                producer.poll(0.1)
        last = max(last, msgspec.json.decode(line)["time"])
    if producer.flush(60):
        raise RuntimeError("the broker did not take the orders")
    return last


def _orderpulse(*arguments: str) -> None:
    subprocess.run([sys.executable, "-m", "console.main", *arguments], check=True, stdout=subprocess.DEVNULL)


def _started(arguments: list[str], place: Path) -> "subprocess.Popen[bytes]":
    with (place / "log").open("ab") as log:
        command = [sys.executable, "-m", "console.main", *arguments]
        return subprocess.Popen(command, stdout=log, stderr=log, start_new_session=True)


def _kill(flow: "subprocess.Popen[bytes]") -> None:
    """The supervisor and all its processes, at once."""
    if flow.poll() is None:
        os.killpg(flow.pid, signal.SIGKILL)
        flow.wait()


def main() -> int:
    """Measure, print the table, write the JSON. 1 when an alert stood twice."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.restart", description=__doc__)
    parser.add_argument("--orders", type=int, default=100_000)
    parser.add_argument("--rounds", type=int, default=5)
    options = parser.parse_args()
    log = Console(stderr=True)
    table = Table(title=f"From kill -9 to the first new alert, {options.orders:,} open orders, {options.rounds} rounds")
    for column in ("processes", "median, s", "longest, s", "alerts that stood twice"):
        table.add_column(column, justify="right")
    found: dict[int, list[float]] = {}
    doubled = 0
    for processes in (1, 2):
        found[processes], twice = measure(options.orders, processes, options.rounds, log)
        doubled += twice
        took = found[processes]
        table.add_row(str(processes), f"{median(took):.2f}", f"{max(took):.2f}", str(twice))
    Console().print(table)
    _OUT.mkdir(parents=True, exist_ok=True)
    path = _OUT / f"restart-{time.strftime('%Y-%m-%dT%H%M%SZ', time.gmtime())}.json"
    path.write_bytes(msgspec.json.encode({"machine": this_machine(), "orders": options.orders, "seconds": found}))
    print(f"written to {path}")
    return 1 if doubled else 0


if __name__ == "__main__":
    raise SystemExit(main())
