"""The commands with a real broker: what was answered with 2xx is on the topic, whatever happens afterwards."""

import http.client
import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from confluent_kafka import Consumer, Message, TopicPartition

from tests.support.kafka_broker import KafkaBroker
from tests.support.ports import free_port
from tests.webhooks.support import PROFILE, SECRET, order, shopify_headers

COMMAND = [sys.executable, "-m", "console.main"]


class Shop:
    """A configuration with topics of its own, and the commands that run on it."""

    def __init__(self, broker: KafkaBroker, directory: Path, prefix: str) -> None:
        self.bootstrap = broker.bootstrap
        self.port = free_port()
        self.raw = f"{prefix}.raw"
        self.orders = f"{prefix}.orders"
        self.profile = directory / "shop.toml"
        self.profile.write_text(PROFILE, encoding="utf-8")
        self.config = directory / "config.toml"
        names = {name: f"{prefix}.{name}" for name in ("orders", "behaviour", "actions", "alerts", "diffs")}
        names |= {name: f"{prefix}.{name}" for name in ("versions", "holds", "late", "rules")}
        topics = "\n".join(f'{name} = "{topic}"' for name, topic in names.items())
        self.config.write_text(
            f"""
[kafka]
bootstrap = "{broker.bootstrap}"
partitions = 2
[kafka.topics]
{topics}
[intake]
port = {self.port}
map_group = "{prefix}"
acknowledge_within = "1500ms"
[intake.routes.shop]
profile = "{self.profile}"
scheme = "shopify"
secret_env = ["SHOP_SECRET"]
raw_topic = "{self.raw}"
""",
            encoding="utf-8",
        )
        self.run("topics", "create")
        self.run("intake", "topics")

    def run(self, *arguments: str) -> Any:
        """A command to its end; its JSON."""
        command = [*COMMAND, *arguments, "--config", str(self.config), "--json"]
        done = subprocess.run(command, capture_output=True, text=True, check=False, env=self.environment, timeout=60)
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout)

    def start(self, *arguments: str) -> subprocess.Popen[bytes]:
        """A command that goes on."""
        command = [*COMMAND, *arguments, "--config", str(self.config), "--metrics-port", "0"]
        return subprocess.Popen(command, env=self.environment, stderr=subprocess.DEVNULL, stdout=subprocess.DEVNULL)

    def serve(self) -> subprocess.Popen[bytes]:
        """The service, once it is ready."""
        process = self.start("intake")
        until(lambda: self.get("/readyz") == 200, process)
        return process

    def get(self, path: str) -> int | None:
        """The status; None when nobody answers."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=5)
        try:
            connection.request("GET", path)
            return connection.getresponse().status
        except OSError:
            return None
        finally:
            connection.close()

    def post(self, body: bytes, connection: http.client.HTTPConnection | None = None) -> int:
        """The status of a delivery."""
        connection = connection or http.client.HTTPConnection("127.0.0.1", self.port, timeout=10)
        connection.request("POST", "/hooks/shop", body, shopify_headers(body))
        answer = connection.getresponse()
        answer.read()
        return answer.status

    def read(self, topic: str) -> list["Message[bytes, bytes]"]:
        """All that stands on a topic."""
        consumer = Consumer({"bootstrap.servers": self.bootstrap, "group.id": "none", "enable.auto.commit": False})
        try:
            partitions = [
                TopicPartition(topic, number, 0) for number in consumer.list_topics(topic).topics[topic].partitions
            ]
            ends = sum(consumer.get_watermark_offsets(partition)[1] for partition in partitions)
            consumer.assign(partitions)
            found: list[Message[bytes, bytes]] = []
            while len(found) < ends:
                found += consumer.consume(1000, 1.0)
            return found
        finally:
            consumer.close()

    def ids(self, topic: str) -> list[str]:
        """The ids of the events on a topic, sorted."""
        return sorted(json.loads(message.value() or b"")["id"] for message in self.read(topic))

    @property
    def environment(self) -> dict[str, str]:
        return os.environ | {"SHOP_SECRET": SECRET.decode()}


def until(holds: Callable[[], bool], process: subprocess.Popen[bytes] | None = None, seconds: float = 30) -> None:
    give_up_at = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < give_up_at, "it did not happen in time"
        assert process is None or process.poll() is None, "it has ended"
        time.sleep(0.05)


@pytest.fixture
def shop(kafka: KafkaBroker, tmp_path: Path) -> Shop:
    return Shop(kafka, tmp_path, f"webhooks-{time.monotonic_ns()}")


@pytest.fixture
def ending() -> Iterator[list[subprocess.Popen[bytes]]]:
    """Processes that are ended after the test."""
    processes: list[subprocess.Popen[bytes]] = []
    yield processes
    for process in processes:
        process.kill()
        process.wait()


def test_from_the_webhook_to_the_input_topics_and_again_after_a_mistake_in_the_profile(
    shop: Shop, ending: list[subprocess.Popen[bytes]]
) -> None:
    service = shop.serve()
    ending.append(service)
    for number in range(20):
        assert shop.post(order(number, paid=number % 2 == 0)) == 200
    assert shop.post(order(0, paid=True)) == 200, "a repetition"
    assert shop.post(order(100, paid_at="soon")) == 200, "kept, whatever the profile will say to it"
    assert len(shop.read(shop.raw)) == 21

    service.terminate()
    assert service.wait(30) == 0

    mapping = shop.start("intake", "map")
    ending.append(mapping)
    until(lambda: len(shop.read(shop.orders)) >= 31, mapping)
    mapping.terminate()
    assert mapping.wait(30) == 0
    first = shop.ids(shop.orders)
    assert first == sorted(
        [*(f"{number}/created" for number in [*range(20), 100]), *(f"{n}/paid" for n in range(0, 20, 2))]
    )
    (letter,) = shop.read(f"{shop.raw}.dlq")
    assert letter.value() == order(100, paid_at="soon")

    mended = PROFILE + '[[ignore]]\nfrom = "order"\nwhen = { paid_at = "soon" }\n'
    shop.profile.write_text(
        mended.replace("paid_at = { present = true }", 'paid_at = { not = ["", "soon"] }'), encoding="utf-8"
    )
    again = shop.run("intake", "map", "--from", "2020-01-01T00:00:00Z")
    assert again == {"records": 21, "events": {"order.created": 21, "payment.succeeded": 10}, "dead_letters": {}}
    assert shop.ids(shop.orders) == sorted([*first, *first]), "the same ids, so the flow leaves them out"


def test_every_delivery_that_was_answered_is_on_the_topic_after_kill_9_under_load(
    shop: Shop, ending: list[subprocess.Popen[bytes]]
) -> None:
    answered: list[int] = []
    sent: list[int] = []
    going_on = threading.Event()
    going_on.set()

    def load(first: int) -> None:
        connection = http.client.HTTPConnection("127.0.0.1", shop.port, timeout=10)
        number = first
        while going_on.is_set():
            number += 8
            sent.append(number)
            try:
                if shop.post(order(number), connection) == 200:
                    answered.append(number)
            except (OSError, http.client.HTTPException):
                connection.close()
                time.sleep(0.01)

    threads = [threading.Thread(target=load, args=(first,)) for first in range(8)]
    for round_ in range(3):
        service = shop.serve()
        ending.append(service)
        if round_ == 0:
            for thread in threads:
                thread.start()
        before = len(answered)
        until(lambda before=before: len(answered) > before + 300)  # type: ignore[misc]
        service.send_signal(signal.SIGKILL)
        service.wait()
    going_on.clear()
    for thread in threads:
        thread.join()

    kept = [json.loads(message.value() or b"")["id"] for message in shop.read(shop.raw)]
    assert len(answered) > 900
    assert set(answered) - set(kept) == set(), "answered with 2xx, and lost"
    assert set(kept) <= set(sent)
    assert len(kept) == len(set(kept))


def test_while_the_broker_stands_still_callers_come_back_and_nothing_answered_is_lost(
    own_kafka: KafkaBroker, tmp_path: Path, ending: list[subprocess.Popen[bytes]]
) -> None:
    shop = Shop(own_kafka, tmp_path, "webhooks")
    service = shop.serve()
    ending.append(service)
    answers = {number: shop.post(order(number)) for number in range(5)}

    own_kafka.pause()
    answers |= {number: shop.post(order(number)) for number in range(5, 8)}
    assert [answers[number] for number in range(5, 8)] == [503] * 3
    assert shop.get("/readyz") == 503
    assert shop.get("/healthz") == 200
    started = time.monotonic()
    assert shop.post(order(8)) == 503
    assert time.monotonic() - started < 1, "known to be away: nobody waits for it"

    own_kafka.resume()
    until(lambda: shop.get("/readyz") == 200)
    answers |= {number: shop.post(order(number)) for number in range(5, 12)}
    assert set(answers.values()) == {200}
    kept = [json.loads(message.value() or b"")["id"] for message in shop.read(shop.raw)]
    assert set(kept) == set(range(12))
