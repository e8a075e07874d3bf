"""The commands with a real broker: each number that was given stands for one order on the topic, whatever happens."""

import http.client
import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from confluent_kafka import Consumer, TopicPartition

from tests.fallback.support import PHONE
from tests.support.kafka_broker import KafkaBroker
from tests.support.ports import free_port
from tests.webhooks.test_with_kafka import until

COMMAND = [sys.executable, "-m", "console.main"]
TOKEN = "only for these tests"
CSV = "phone,product,quantity\n13800001234,a,1\n13900001234,b,2\n"


class Hotline:
    """A configuration with topics of its own, and the commands that run on it."""

    def __init__(self, broker: KafkaBroker, directory: Path, prefix: str) -> None:
        self.bootstrap, self.directory, self.port = broker.bootstrap, directory, free_port()
        self.config = directory / "config.toml"
        topics = ("orders", "behaviour", "actions", "rules", "alerts", "diffs", "versions", "holds", "late")
        self.topics = {name: f"{prefix}.{name}" for name in topics}
        named = "\n".join(f'{name} = "{topic}"' for name, topic in self.topics.items())
        self.config.write_text(
            f"""
[kafka]
bootstrap = "{broker.bootstrap}"
partitions = 2
[kafka.topics]
{named}
[fallback]
enabled = true
port = {self.port}
batch = "1m"
""",
            encoding="utf-8",
        )
        self.run("topics", "create", "--json")

    def command(self, *arguments: str) -> list[str]:
        return [*COMMAND, *arguments, "--config", str(self.config)]

    @property
    def environment(self) -> dict[str, str]:
        return os.environ | {"ORDERPULSE_FALLBACK_TOKEN": TOKEN}

    def run(self, *arguments: str) -> str:
        """A command to its end; what it prints."""
        done = subprocess.run(
            self.command(*arguments), capture_output=True, text=True, check=False, env=self.environment, timeout=90
        )
        assert done.returncode == 0, done.stderr
        return done.stdout

    def serve(self) -> subprocess.Popen[bytes]:
        """The service, once it answers."""
        command = self.command("fallback", "--journal", str(self.directory / "journal"), "--metrics-port", "0")
        process = subprocess.Popen(command, env=self.environment, stderr=subprocess.DEVNULL)
        until(lambda: self.get("/healthz") == 200, process)
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

    def post(self, connection: http.client.HTTPConnection | None = None, **fields: str) -> dict[str, Any]:
        """The answer to an order."""
        connection = connection or http.client.HTTPConnection("127.0.0.1", self.port, timeout=10)
        body = json.dumps({"phone": PHONE, "product": "cherry", "quantity": "1"} | fields)
        headers = {"Authorization": f"Bearer {TOKEN}", "Content-Type": "application/json"}
        connection.request("POST", "/fallback/orders", body, headers)
        answer = connection.getresponse()
        found: dict[str, Any] = json.loads(answer.read())
        assert answer.status in (200, 201), found
        return found

    def read(self, name: str) -> list[dict[str, Any]]:
        """All that stands on a topic."""
        consumer = Consumer({"bootstrap.servers": self.bootstrap, "group.id": "none", "enable.auto.commit": False})
        topic = self.topics[name]
        try:
            partitions = [TopicPartition(topic, number, 0) for number in range(2)]
            ends = sum(consumer.get_watermark_offsets(partition)[1] for partition in partitions)
            consumer.assign(partitions)
            found: list[dict[str, Any]] = []
            while len(found) < ends:
                found += [json.loads(message.value() or b"") for message in consumer.consume(1000, 1.0)]
            return found
        finally:
            consumer.close()

    def numbers(self) -> list[str]:
        """The numbers of the orders on the topic."""
        return [event["order_id"] for event in self.read("orders")]


@pytest.fixture
def hotline(kafka: KafkaBroker, tmp_path: Path) -> Hotline:
    return Hotline(kafka, tmp_path, f"fallback-{time.monotonic_ns()}")


@pytest.fixture
def ending() -> Iterator[list[subprocess.Popen[bytes]]]:
    """Processes that are ended after the test."""
    processes: list[subprocess.Popen[bytes]] = []
    yield processes
    for process in processes:
        process.kill()
        process.wait()


def test_from_the_form_and_a_file_to_merged_orders_and_files_for_the_system_that_is_back(
    hotline: Hotline, ending: list[subprocess.Popen[bytes]]
) -> None:
    since = datetime.now(UTC).isoformat()
    service = hotline.serve()
    ending.append(service)
    number = hotline.post(amount="600", name="王小明")["order_id"]
    file = hotline.directory / "orders.csv"
    file.write_text(CSV, encoding="utf-8")
    journal = ("--journal", str(hotline.directory / "import"))
    first = json.loads(hotline.run("fallback", "import", str(file), *journal, "--json"))
    again = json.loads(hotline.run("fallback", "import", str(file), *journal, "--json"))
    assert first == again
    assert first["delivered"] is True
    service.terminate()
    assert service.wait(30) == 0

    assert sorted(set(hotline.numbers())) == sorted([number, *first["orders"]])
    notices = [event for event in hotline.read("actions") if event["type"] == "buyer.notice"]
    assert {notice["phone"] for notice in notices} == {PHONE, "13900001234"}

    later = (datetime.now(UTC).timestamp() + 120) // 1
    export = ("fallback", "export", "--since", since, "--until", datetime.fromtimestamp(later, UTC).isoformat())
    written = json.loads(hotline.run(*export, "--output", str(hotline.directory / "batches"), "--json"))
    assert sum(each["orders"] for each in written) == 3
    assert {each["outcome"] for each in written} == {"new"}
    rewritten = json.loads(hotline.run(*export, "--output", str(hotline.directory / "batches"), "--json"))
    assert {each["outcome"] for each in rewritten} == {"same"}

    events = hotline.directory / "events"
    events.mkdir()
    placed = {"type": "order.created", "id": "1", "source": "oms", "time": round(time.time() * 1000), "order_id": "M-1",
              "phone": "+86 13800001234", "items": [{"sku": "Cherry"}]}  # fmt: skip
    lines = [json.dumps(event) for event in [*hotline.read("orders"), placed]]
    (events / "order-0.ndjson").write_text("\n".join(lines), encoding="utf-8")
    hotline.run("run", "--input", str(events), "--output", str(hotline.directory / "out"))
    versions = (hotline.directory / "out" / "versions.ndjson").read_text(encoding="utf-8").splitlines()
    merged = [
        (version["order_id"], change["new"])
        for version in map(json.loads, versions)
        for change in version["changes"]
        if change["field"] == "basics.merged_into"
    ]
    assert merged == [(number, "M-1")]


def test_every_number_that_was_given_is_one_order_after_kill_9_under_load(
    hotline: Hotline, ending: list[subprocess.Popen[bytes]]
) -> None:
    given: list[str] = []
    going_on = threading.Event()
    going_on.set()

    def load() -> None:
        connection = http.client.HTTPConnection("127.0.0.1", hotline.port, timeout=10)
        while going_on.is_set():
            try:
                given.append(hotline.post(connection)["order_id"])
            except (OSError, http.client.HTTPException):
                connection.close()
                time.sleep(0.01)

    threads = [threading.Thread(target=load) for _ in range(8)]
    for round_ in range(3):
        service = hotline.serve()
        ending.append(service)
        if round_ == 0:
            for thread in threads:
                thread.start()
        before = len(given)
        until(lambda before=before: len(given) > before + 200)  # type: ignore[misc]
        service.send_signal(signal.SIGKILL)
        service.wait()
    going_on.clear()
    for thread in threads:
        thread.join()
    service = hotline.serve()
    ending.append(service)
    until(lambda: hotline.get("/readyz") == 200 and set(given) <= set(hotline.numbers()))

    assert len(given) > 600
    assert len(set(given)) == len(given), "a number was given twice"


def test_while_the_broker_stands_still_numbers_are_given_and_the_orders_follow(
    own_kafka: KafkaBroker, tmp_path: Path, ending: list[subprocess.Popen[bytes]]
) -> None:
    hotline = Hotline(own_kafka, tmp_path, "fallback")
    service = hotline.serve()
    ending.append(service)
    given = [hotline.post()]

    def delivered_at_once() -> bool:
        """A broker that has just come up may take longer over the first ones than a caller waits."""
        given.append(hotline.post())
        delivered: bool = given[-1]["delivered"]
        return delivered

    until(delivered_at_once)
    before = len(given)

    own_kafka.pause()
    given.append(hotline.post())
    assert not given[-1]["delivered"]
    until(lambda: hotline.get("/readyz") == 503)
    started = time.monotonic()
    given += [hotline.post() for _ in range(300)]
    assert time.monotonic() - started < 60, "nobody waits for a broker that is known to be away"
    service.send_signal(signal.SIGKILL)
    service.wait()
    service = hotline.serve()
    ending.append(service)
    given.append(hotline.post())

    own_kafka.resume()
    numbers = {answer["order_id"] for answer in given}
    assert len(numbers) == before + 302
    until(lambda: hotline.get("/readyz") == 200 and numbers <= set(hotline.numbers()), seconds=60)
