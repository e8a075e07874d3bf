"""A payment SDK changes, every callback is answered 200, and no order is paid: the real case, on a real broker."""

import base64
import json
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import msgspec
import pytest
from confluent_kafka import Consumer, Message, Producer, TopicPartition
from confluent_kafka.admin import AdminClient
from confluent_kafka.cimpl import NewTopic
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from config.loader import load_settings
from config.units import Instant
from dataflows.run import RunPlan, execute
from events.records import AlertRecord
from sources.webhooks.raw_reading import GroupReading
from tests.support.kafka_broker import KafkaBroker
from tests.webhooks.support import PROFILE, order
from tests.webhooks.test_with_kafka import until

COMMAND = [sys.executable, "-m", "console.main"]
OLD_KEY, NEW_KEY = "0" * 32, "1" * 32
START = 1_770_000_000_000 // 60_000 * 60_000
CHANGED = START + 4 * 60_000
LOST = 1_327
MENDED = """
name = "pay"
extends = "wechat_pay"
source = "wechat_pay"
[[events]]
name = "paid"
from = "transaction"
type = "payment.succeeded"
when = { trade_state = ["SUCCESS", "REFUND"] }
once = true
id = { template = "{transaction_id}/paid" }
time = "success_time"
order_id = ["out_trade_no", "out_trade_number"]
amount = "amount.total"
"""


class Payments:
    """A configuration with topics of its own, its raw records, and the commands that run on it."""

    def __init__(self, broker: KafkaBroker, redis: str, directory: Path) -> None:
        self.broker, self.directory = broker, directory
        self.prefix = f"contract-{time.monotonic_ns()}"
        self.raw = f"{self.prefix}.raw.wechat_pay"
        self.shop = f"{self.prefix}.raw.shop"
        self.profile = directory / "pay.toml"
        self.profile.write_text('name = "pay"\nextends = "wechat_pay"\nsource = "wechat_pay"\n', encoding="utf-8")
        (directory / "shop.toml").write_text(PROFILE, encoding="utf-8")
        topics = ("orders", "behaviour", "actions", "rules", "alerts", "diffs", "versions", "holds", "late")
        named = "\n".join(f'{name} = "{self.prefix}.{name}"' for name in topics)
        self.config = directory / "config.toml"
        self.config.write_text(
            f"""
[time]
arrival = "ignore"
[redis]
url = "{redis}"
prefix = "{self.prefix}:"
[kafka]
bootstrap = "{broker.bootstrap}"
partitions = 2
[kafka.topics]
{named}
[intake]
map_group = "{self.prefix}"
map_batch = 97
[intake.routes.wechat_pay]
profile = "{self.profile}"
scheme = "wechatpay"
key_files = {{ serial = "unused.pem" }}
resource_key_env = "PAY_KEY"
raw_topic = "{self.raw}"
[intake.routes.shop]
profile = "{directory / "shop.toml"}"
scheme = "shopify"
secret_env = ["SHOP_SECRET"]
raw_topic = "{self.shop}"
""",
            encoding="utf-8",
        )
        self._make_raw_topics()
        self.run(OLD_KEY, "topics", "create")
        self.run(OLD_KEY, "intake", "topics")

    def _make_raw_topics(self) -> None:
        """With timestamps of their producer, so that minutes need not be waited for."""
        config = {"message.timestamp.type": "CreateTime", "retention.ms": "-1"}
        admin = AdminClient({"bootstrap.servers": self.broker.bootstrap})
        made = admin.create_topics([NewTopic(name, 2, 1, config=config) for name in (self.raw, self.shop)])
        for future in made.values():
            future.result(30)

    def run(self, key: str, *arguments: str, code: int = 0) -> Any:
        """A command to its end; its JSON."""
        command = [*COMMAND, *arguments, "--config", str(self.config), "--json"]
        done = subprocess.run(command, capture_output=True, text=True, check=False, env=_env(key), timeout=120)
        assert done.returncode == code, done.stderr
        return json.loads(done.stdout)

    def map(self, key: str) -> subprocess.Popen[bytes]:
        """The mapping, on and on."""
        command = [*COMMAND, "intake", "map", "--config", str(self.config), "--metrics-port", "0"]
        return subprocess.Popen(command, env=_env(key), stdout=subprocess.DEVNULL)

    def read(self, topic: str) -> list[dict[str, Any]]:
        """The events on a topic."""
        consumer = Consumer({"bootstrap.servers": self.broker.bootstrap, "group.id": "none"})
        partitions = [TopicPartition(topic, number, 0) for number in range(2)]
        ends = sum(consumer.get_watermark_offsets(partition)[1] for partition in partitions)
        consumer.assign(partitions)
        found: list[Message[bytes, bytes]] = []
        while len(found) < ends:
            found += consumer.consume(5000, 1.0)
        consumer.close()
        return [json.loads(message.value() or b"{}") for message in found]

    def counted(self) -> dict[str, dict[str, Any]]:
        """The counts by id; the same id is the same count."""
        found: dict[str, dict[str, Any]] = {}
        for event in self.read(f"{self.prefix}.actions"):
            assert found.setdefault(event["id"], event) == event
        return found


def _env(key: str) -> dict[str, str]:
    return os.environ | {"PAY_KEY": key, "SHOP_SECRET": "s"}


def paid(number: int, at: int, name: str = "out_trade_no") -> bytes:
    """A payment as its notice says it."""
    return msgspec.json.encode(
        {
            "transaction_id": f"42{number:08}",
            name: f"O-{number}",
            "trade_state": "SUCCESS",
            "success_time": str(Instant(at)),
            "amount": {"total": 990, "currency": "CNY"},
        }
    )


def sealed(content: bytes, key: str) -> bytes:
    """A notice whose resource is encrypted."""
    ciphertext = AESGCM(key.encode()).encrypt(b"0123456789ab", content, b"transaction")
    resource = {
        "algorithm": "AEAD_AES_256_GCM",
        "ciphertext": base64.b64encode(ciphertext).decode(),
        "nonce": "0123456789ab",
        "associated_data": "transaction",
    }
    return msgspec.json.encode({"id": "EV", "resource": resource})


def deliveries(number: int, at: int) -> tuple[bytes, list[tuple[str, str | bytes | None]]]:
    """One notice: before the change with the old key; then half with the new one, half without the known field."""
    headers: list[tuple[str, str | bytes | None]] = [
        ("op_received", str(at).encode()),
        ("op_origin", b"webhook"),
        ("http_user-agent", b"WeChat-Pay"),
    ]
    if at < CHANGED:
        return sealed(paid(number, at), OLD_KEY), headers
    headers.append(("http_x-wx-nonce", b"abc"))
    if number % 2:
        return sealed(paid(number, at), NEW_KEY), headers
    return paid(number, at, "out_trade_number"), headers


@pytest.fixture
def payments(kafka: KafkaBroker, redis_server: str, tmp_path: Path) -> Payments:
    return Payments(kafka, redis_server, tmp_path)


def produce(payments: Payments) -> tuple[int, list[int]]:
    """All raw records; how many, and the numbers of those that will be thrown away."""
    producer = Producer({"bootstrap.servers": payments.broker.bootstrap, "partitioner": "murmur2"})
    moments = [START + each * 400 for each in range(600)]  # four sound minutes
    moments += [CHANGED + each * 50 for each in range(LOST)]
    for number, at in enumerate(moments):
        value, headers = deliveries(number, at)
        producer.produce(payments.raw, value, str(number), timestamp=at, headers=headers)
    for number in range(400):
        at = START + number * 750
        headers = [("op_received", str(at).encode()), ("op_origin", b"webhook")]
        body = order(number, created_at=str(Instant(at)))
        producer.produce(payments.shop, body, str(number), timestamp=at, headers=headers)
    assert producer.flush(60) == 0
    return len(moments) + 400, list(range(600, 600 + LOST))


def test_a_changed_sdk_is_an_alert_within_a_minute_and_what_it_cost_is_mapped_again(payments: Payments) -> None:
    records, lost = produce(payments)
    actions = f"{payments.prefix}.actions"

    first = payments.map(OLD_KEY)
    until(lambda: len(payments.read(f"{payments.prefix}.orders")) > 150, first, 60)
    first.kill()
    first.wait()
    second = payments.map(OLD_KEY)
    try:
        until(lambda: sum(each["records"] for each in payments.counted().values()) >= records, second, 60)
    finally:
        second.terminate()
        assert second.wait(30) == 0
    counts = payments.counted()
    assert sum(each["records"] for each in counts.values()) == records, "none lost, none twice, in spite of kill -9"
    assert b"O-" not in msgspec.json.encode(payments.read(actions)), "counts name no order"

    out = payments.directory / "out"
    settings = load_settings(payments.config)
    execute(RunPlan(settings, "kafka", output=out, redis=True, bounded=True, serve=False))
    alerts = [
        alert
        for line in (out / "alerts.ndjson").read_bytes().splitlines()
        if (alert := msgspec.json.decode(line, type=AlertRecord)).rule == "contract"
    ]
    opened = {(each.entity_id, each.level): each for each in alerts if each.step == "opened"}
    for field, level in (("out_trade_no", "vanished"), ("resource", "decrypt_failed"), ("x-wx-nonce", "new_header")):
        alert = opened[f"wechat_pay/{field}", level]
        assert CHANGED <= alert.time <= CHANGED + 60_000
        assert field in alert.text.zh
        assert str(alert.evidence["example"]).startswith(payments.raw)
    assert not [entity for entity, _ in opened if entity.startswith("shop/")], "other sources go on"
    assert all(each.entity_id.startswith("wechat_pay/") for each in alerts)

    health = payments.run(OLD_KEY, "profile", "health", code=1)
    assert {source["source"] for source in health["sources"]} == {"wechat_pay", "shop"}

    payments.profile.write_text(MENDED, encoding="utf-8")
    again = payments.run(NEW_KEY, "intake", "map", "--route", "wechat_pay", "--from", str(Instant(CHANGED)))
    assert again == {"records": LOST, "events": {"payment.succeeded": LOST}, "dead_letters": {}}
    found = {each["order_id"] for each in payments.read(f"{payments.prefix}.orders") if each["type"].startswith("pay")}
    assert found == {f"O-{number}" for number in [*range(600), *lost]}, "nothing is lost"


def test_a_commit_carries_where_the_open_slice_began(payments: Payments) -> None:
    """So what another process, or this one after a restart, still has to count is handed over once more."""
    producer = Producer({"bootstrap.servers": payments.broker.bootstrap})
    for number in range(10):
        producer.produce(payments.raw, str(number).encode(), partition=0)
    assert producer.flush(30) == 0
    settings = load_settings(payments.config).kafka

    def read(start: int | None) -> list[tuple[int, bool]]:
        reading = GroupReading(settings, payments.prefix, [payments.raw], lambda place: None if place[1] else start)
        found: list[tuple[int, bool]] = []
        give_up_at = time.monotonic() + 30
        while not found or found[-1][0] < 9:
            assert time.monotonic() < give_up_at
            found += _read(reading)
        assert reading.at_end((payments.raw, 0))
        reading.done()
        reading.close()
        return found

    assert read(start=4) == [(offset, False) for offset in range(10)]
    assert read(start=7) == [(offset, True) for offset in range(4, 10)]
    assert read(start=9) == [(offset, True) for offset in range(7, 10)]


def _read(reading: GroupReading) -> list[tuple[int, bool]]:
    return [(message.offset() or 0, reading.is_again(message)) for message in reading.read(100)]
