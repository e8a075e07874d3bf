"""Rules through their topic: published by the command, read from the beginning, refused with a dead letter."""

import json
import time
import uuid
from pathlib import Path
from typing import Any

import pytest
from confluent_kafka import Consumer, Producer, TopicPartition

from config.loader import load_settings
from dataflows.run import RunPlan, execute
from sources.topics import create_topics
from tests.console.conftest import Outcome, orderpulse
from tests.support.kafka_broker import KafkaBroker

pytestmark = [pytest.mark.kafka, pytest.mark.slow, pytest.mark.xdist_group("kafka")]

DOCUMENT = """
rule = "stage_timeout"
[settings.norms]
created = "2s"
"""


class Shop:
    """Topics of its own, and what is written to them and read from them."""

    def __init__(self, broker: KafkaBroker, directory: Path) -> None:
        self.prefix = uuid.uuid4().hex[:8]
        self.directory = directory
        self.config = directory / "config.toml"
        names = ("orders", "behaviour", "actions", "rules", "alerts", "diffs", "versions", "holds", "late")
        topics = "\n".join(f'{name} = "{self.prefix}.{name}"' for name in names)
        self.head = f'[kafka]\nbootstrap = "{broker.bootstrap}"\ngroup = "{self.prefix}"\npartitions = 2\n'
        self.topics = f"[kafka.topics]\n{topics}\n"
        self.config.write_text(self.head + self.topics, encoding="utf-8")
        self.bootstrap = broker.bootstrap
        create_topics(load_settings(self.config).kafka)

    def rules(self, command: str, *arguments: object) -> Outcome:
        return orderpulse("rules", command, *arguments, "--config", self.config)

    def send(self, topic: str, *events: dict[str, Any], key: str = "k") -> None:
        producer = Producer({"bootstrap.servers": self.bootstrap})
        for event in events:
            producer.produce(f"{self.prefix}.{topic}", json.dumps(event), key)
        assert producer.flush(20) == 0

    def read(self, topic: str) -> list[Any]:
        consumer = Consumer({"bootstrap.servers": self.bootstrap, "group.id": "reads", "auto.offset.reset": "earliest"})
        name, found = f"{self.prefix}.{topic}", []
        for number in consumer.list_topics(name).topics[name].partitions:
            partition = TopicPartition(name, number, 0)
            _, high = consumer.get_watermark_offsets(partition)
            consumer.assign([partition])
            while high and (message := consumer.poll(10)) is not None:
                found.append(message)
                if (message.offset() or 0) + 1 >= high:
                    break
        consumer.close()
        return found

    def run(self, start: str) -> list[dict[str, Any]]:
        """A bounded run into files; returns its alerts."""
        self.config.write_text(f'{self.head}start = "{start}"\n{self.topics}', encoding="utf-8")
        output = self.directory / uuid.uuid4().hex[:6]
        execute(RunPlan(load_settings(self.config), "kafka", output, bounded=True, serve=False))
        self.output = output
        return [json.loads(line) for line in (output / "alerts.ndjson").read_text("utf-8").splitlines()]


@pytest.fixture
def shop(kafka: KafkaBroker, tmp_path: Path) -> Shop:
    return Shop(kafka, tmp_path)


def order(name: str, moment: int) -> dict[str, Any]:
    return {"type": "order.created", "id": name, "source": "oms", "time": moment, "order_id": name, "amount": 1}


def test_a_rule_goes_through_its_topic_to_every_run_wherever_it_starts(shop: Shop, tmp_path: Path) -> None:
    file = tmp_path / "rule.toml"
    file.write_text(DOCUMENT, encoding="utf-8")
    published = shop.rules("publish", file, "--operator", "mei")
    taken = shop.rules("publish", file, "--effective-at", "2026-01-01T00:00:00+08:00")
    listed = shop.rules("list", "--json").value["rules"]
    shop.send("rules", {"type": "rule.published", "id": "b", "source": "x", "rule": "card_burst", "version": 9,
                        "time": time.time_ns() // 1_000_000, "effective_at": 0, "settings": {"hold": 1}})  # fmt: skip
    time.sleep(0.5)
    start = time.strftime("%Y-%m-%dT%H:%M:%S+00:00", time.gmtime())
    time.sleep(1.1)
    now = time.time_ns() // 1_000_000
    shop.send("orders", order("A", now), order("B", now + 60_000))

    alerts = [alert for alert in shop.run(start) if alert["entity_type"] != "platform"]

    assert published.code == 0, published.complained
    assert f"published to {shop.prefix}.rules/0@0" in published.said
    assert taken.code == 2
    assert "effective_at: 2026-01-01 00:00:00+08:00 is past" in taken.complained
    assert next(rule["version"] for rule in listed if rule["rule"] == "stage_timeout") == 2
    (message,) = [each for each in shop.read("rules") if each.key() == b"detector/stage_timeout/2"]
    assert json.loads(message.value())["operator"] == "mei"
    assert [(alert["rule"], alert["rule_version"], alert["entity_id"], alert["time"] - now) for alert in alerts] == [
        ("stage_timeout", 2, "A", 2_000)
    ]
    (letter,) = [json.loads(line) for line in (shop.output / "dead_letters.ndjson").read_text("utf-8").splitlines()]
    assert (letter["reason"], letter["partition"]) == ("invalid_rule", f"{shop.prefix}.rules/0")
    assert letter["detail"] == "card_burst, version 9: settings.hold: Expected `bool`, got `int`"


def test_a_rollback_through_the_topic_holds_for_what_comes_after_it(shop: Shop, tmp_path: Path) -> None:
    file = tmp_path / "rule.toml"
    file.write_text(DOCUMENT, encoding="utf-8")
    shop.rules("publish", file)
    time.sleep(0.01)
    now = time.time_ns() // 1_000_000
    shop.send("orders", order("A", now))
    time.sleep(0.01)
    back = shop.rules("rollback", "stage_timeout", "--json")
    later = time.time_ns() // 1_000_000
    shop.send("orders", order("B", later), order("C", later + 290_000))

    alerts = [alert for alert in shop.run("earliest") if alert["entity_type"] != "platform"]

    assert back.value["version"] == 3
    assert [(alert["rule"], alert["rule_version"], alert["entity_id"]) for alert in alerts] == [
        ("stage_timeout", 2, "A")
    ]
