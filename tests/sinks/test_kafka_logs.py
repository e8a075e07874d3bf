"""Reading back what stands in the output topics, while others go on writing to them."""

import time
import uuid

import pytest
from confluent_kafka import Message, Producer

from sinks import kafka_logs
from sinks.kafka_logs import KafkaLogs, Log
from sinks.patience import Patience
from tests.support.kafka_broker import KafkaBroker

pytestmark = [pytest.mark.kafka, pytest.mark.xdist_group("kafka")]


def logs_of(kafka: KafkaBroker) -> KafkaLogs:
    until = time.monotonic() + 20
    patience = Patience("KafkaSink", give_up=lambda: time.monotonic() > until)
    return KafkaLogs("Kafka", {"bootstrap.servers": kafka.bootstrap}, "back", patience)


def test_reading_back_ends_at_the_ends_of_its_start_however_slow_it_is(
    kafka: KafkaBroker, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(kafka_logs, "_SILENT_SECONDS", -1.0)  # every look into the topics is a slow one
    topic = f"back-{uuid.uuid4().hex[:8]}"
    kafka.create_topic(topic, partitions=2)
    producer = Producer({"bootstrap.servers": kafka.bootstrap})
    producer.produce(topic, b"before", partition=0)
    assert producer.flush(20) == 0
    found: list[bytes | None] = []

    def take(message: "Message[bytes, bytes]") -> None:
        found.append(message.value())
        for partition in (0, 1):
            producer.produce(topic, b"by another process", partition=partition)
        assert producer.flush(20) == 0

    logs = logs_of(kafka)
    reached = logs.read_back([Log(topic, 0), Log(topic, 1)], {}, take)
    assert found[0] == b"before"
    assert reached == {Log(topic, 0): 0, Log(topic, 1): 0}
