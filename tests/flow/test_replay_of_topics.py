"""A live run over real Kafka, with all that happens to one, and its replay from the topics: the same records."""

import json
import random
import time
import uuid
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import msgspec
import pytest
from confluent_kafka import Producer

from config.loader import load_settings
from config.settings import Settings
from config.units import Instant
from sources.kafka import KafkaInput
from sources.topics import create_topics
from tests.console.conftest import orderpulse
from tests.faults.flow_command import FlowCommand
from tests.sinks.samples import topics
from tests.support.kafka_broker import KafkaBroker

pytestmark = [pytest.mark.kafka, pytest.mark.slow, pytest.mark.xdist_group("kafka")]

PARTITIONS = 3
SETTINGS = """
[time]
out_of_orderness = "200ms"
idle_delay = "1s"

[stages.created]
norm = "2s"

[detectors.no_progress]
floor = "3s"

[supervisor]
stop_within = "20s"
"""
STARTS_WITHIN = 60.0
SECONDS = 9.0


class Live:
    """A configuration of its own, its topics, and who sends to them."""

    def __init__(self, kafka: KafkaBroker, directory: Path) -> None:
        self.names = topics(f"t{uuid.uuid4().hex[:8]}")
        lines = [f'{name} = "{value}"' for name, value in msgspec.structs.asdict(self.names).items()]
        self.config = directory / "shop.toml"
        broker = f'[kafka]\nbootstrap = "{kafka.bootstrap}"\npartitions = {PARTITIONS}\n'
        self.config.write_text("\n".join((SETTINGS, broker, "[kafka.topics]", *lines, "")))
        self.settings: Settings = load_settings(self.config)
        create_topics(self.settings.kafka)
        self._producer = Producer({"bootstrap.servers": kafka.bootstrap, "linger.ms": 0})
        self._chance = random.Random(11)
        self._orders = 0

    def send(self, event: Mapping[str, Any] | bytes, partition: int, stamp: int | None = None) -> None:
        value = event if isinstance(event, bytes) else json.dumps(event).encode()
        stamp = stamp or now()
        self._producer.produce(self.names.orders, value, partition=partition, timestamp=stamp)
        self._producer.poll(0)

    def publish_rule(self) -> None:
        """From half a second ahead on, three orders on one card are a burst."""
        document = {"type": "rule.published", "id": "card_burst/2", "source": "rules", "time": now(),
                    "rule": "card_burst", "version": 2, "effective_at": now() + 500,
                    "settings": {"any_amount": {"count": 3}}}  # fmt: skip
        self._producer.produce(self.names.rules, json.dumps(document).encode(), key=b"card_burst/2", partition=0)

    def flush(self) -> None:
        """Waits until the broker has everything."""
        assert self._producer.flush(30) == 0

    def trade(self, seconds: float) -> None:
        """Orders as they come: in bursts and after pauses, a little out of order, some late, some twice, some bad."""
        chance, end = self._chance, time.monotonic() + seconds
        while time.monotonic() < end:
            for _ in range(chance.randint(1, 12)):
                self._order(chance)
            time.sleep(chance.choice((0.01, 0.02, 0.1, 0.4, 1.7)))
        self.flush()

    def _order(self, chance: random.Random) -> None:
        self._orders += 1
        order, partition = f"O{self._orders}", self._orders % PARTITIONS
        moment = now() - chance.choice((0, 0, 20, 90, 150, 3_000))
        created = {
            "type": "order.created", "id": f"{order}-c", "source": "oms", "time": moment, "order_id": order,
            "customer_id": f"C{chance.randint(1, 9)}", "amount": 9_900, "card": f"card-{chance.randint(1, 5)}",
        }  # fmt: skip
        self.send(created, partition)
        if chance.random() < 0.1:
            self.send(created, partition)
        if chance.random() < 0.05:
            self.send(b'{"type":"order.created","id":"%d"' % self._orders, partition)
        if chance.random() < 0.6:
            paid = {"type": "payment.succeeded", "id": f"{order}-p", "source": "pay", "time": moment + 5,
                    "order_id": order, "amount": 9_900}  # fmt: skip
            self.send(paid, partition)


def now() -> int:
    return time.time_ns() // 1_000_000


@pytest.fixture
def live(kafka: KafkaBroker, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[tuple[Live, FlowCommand]]:
    monkeypatch.setenv("ORDERPULSE_HASH_KEY", "fault-runs")
    shop = Live(kafka, tmp_path)
    options = ("--config", str(shop.config), "--output", "kafka", "--recovery", str(tmp_path / "store"), "--json")
    flow = FlowCommand(options, tmp_path / "flow.log")
    yield shop, flow
    flow.end()


def watermark(flow: FlowCommand) -> int:
    """How far the run that has ended came, as its last summary says."""
    said = flow.said_since_start()
    summary, _ = json.JSONDecoder().raw_decode(said[said.index("{\n") :])
    return int(summary["watermark"])


def stop(flow: FlowCommand) -> None:
    flow.terminate()
    assert flow.wait(STARTS_WITHIN) == 0, flow.log_tail()


def until_written(shop: Live, least: int) -> None:
    """Waits until the live run has written so many versions."""
    deadline = time.monotonic() + STARTS_WITHIN
    while _written(shop) < least:
        assert time.monotonic() < deadline, "the live run writes nothing"
        time.sleep(0.2)


def _written(shop: Live) -> int:
    reader = KafkaInput(shop.settings.kafka, [shop.names.versions], start="earliest", bounded=True).open()
    reader.close()
    return sum(span.end for span in reader.spans)


def test_a_replay_of_the_topics_equals_the_live_run_through_pauses_a_kill_a_restart_and_a_changed_rule(
    live: tuple[Live, FlowCommand], tmp_path: Path
) -> None:
    shop, flow = live
    flow.start()
    shop.trade(SECONDS)
    until_written(shop, 10)
    shop.publish_rule()
    flow.end()  # kill -9, before or after it took effect
    shop.trade(2)
    flow.start(2)
    before = _written(shop)
    shop.trade(SECONDS)
    until_written(shop, before + 10)
    time.sleep(6)  # silence: wall time lets limits run out
    stop(flow)
    end = watermark(flow) + 1

    replayed = orderpulse(
        "replay", "--config", shop.config, "--output", tmp_path / "again", "--until", Instant(end), "--json"
    )
    verified = orderpulse("verify", "--config", shop.config, "kafka", tmp_path / "again", "--json")

    assert replayed.code == 0, replayed.complained
    summary = replayed.value
    assert verified.code == 0, verified.said
    assert summary["late"] > 0
    assert summary["duplicates"] > 0
    assert {"stage_timeout", "card_burst"} <= summary["alerts"].keys()
    alerts = [json.loads(line) for line in (tmp_path / "again" / "alerts.ndjson").read_bytes().splitlines()]
    assert {each["rule_version"] for each in alerts if each["rule"] == "card_burst"} == {1, 2}
    assert summary["dead_letters"]["not_json"] > 0
    lines = verified.value["kinds"]
    assert min(lines[kind]["lines"][0] for kind in ("alerts", "versions", "diffs", "late", "dead_letters")) > 0

    short = orderpulse("replay", "--config", shop.config, "--output", tmp_path / "short", "--json")
    assert short.value["watermark"] < end - 1, "without --until time stops at the last event"
    differs = orderpulse("verify", "--config", shop.config, "kafka", tmp_path / "short", "--json")
    assert [each["cause"] for each in differs.value["causes"]] == ["end"]


def test_an_event_that_the_live_run_could_not_wait_for_is_named(live: tuple[Live, FlowCommand], tmp_path: Path) -> None:
    """Its record says that it arrived long ago, but the partition was found at its end since."""
    shop, flow = live
    flow.start()
    created = {"type": "order.created", "id": "1", "source": "oms", "time": now(), "order_id": "SLOW"}
    shop.send(created, 0)
    shop.flush()
    time.sleep(0.1)
    moment = now()
    until_written(shop, 1)
    time.sleep(4)  # all partitions are silent: time goes on past the moment
    shop.send(
        {"type": "order.stage", "id": "2", "source": "wms", "time": moment, "order_id": "SLOW", "stage": "paid"},
        0, stamp=moment,
    )  # fmt: skip
    shop.flush()
    until_written(shop, 2)
    time.sleep(3)
    stop(flow)
    end = Instant(watermark(flow) + 1)

    orderpulse("replay", "--config", shop.config, "--output", tmp_path / "again", "--until", end)
    outcome = orderpulse("verify", "--config", shop.config, "kafka", tmp_path / "again", "--json")

    assert outcome.code == 1
    (cause,) = outcome.value["causes"]
    assert cause["cause"] == "forced"
    assert cause["details"][0].startswith("order.stage 2 of SLOW was applied at ")
    assert cause["details"][0].endswith("in A, at its own time in B")
