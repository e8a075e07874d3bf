"""The loops over Kafka read all of it in the order of time, and figures whose answers differ are refused."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any, cast

import msgspec
import pytest
from confluent_kafka import Consumer

from benchmarks.answers import WrongAnswerError
from benchmarks.figures import Cost
from benchmarks.kafka_loop import Ends, Records, in_order
from benchmarks.lines import read
from benchmarks.over_kafka import CONSUME, ONE, PLAIN, TWO, Run, Stand, lines, main, require_read_model
from benchmarks.runs import beyond
from benchmarks.servers import Servers, Spending
from benchmarks.workload import Workload
from events.records import AlertRecord
from sinks.read_model import ReadModelSink
from tests.sinks.samples import alert, redis_settings
from tests.support.kafka_broker import KafkaBroker
from tests.support.redis_server import RedisServer


class Message:
    """A record as the client gives it."""

    def __init__(self, partition: int, offset: int, time: int) -> None:
        self._values = partition, offset, time

    def topic(self) -> str:
        return "orders"

    def partition(self) -> int:
        return self._values[0]

    def offset(self) -> int:
        return self._values[1]

    def value(self) -> bytes:
        return b'{"type":"order.created","id":"1","source":"oms","time":%d,"order_id":"A"}' % self._values[2]


class Script:
    """A consumer that gives what was written down for it."""

    def __init__(self, *batches: Sequence[Message]) -> None:
        self._batches = list(batches)

    def consume(self, count: int, timeout: float) -> Sequence[Message]:
        return self._batches.pop(0) if self._batches else []


def test_partitions_that_come_apart_are_merged_by_time() -> None:
    ends: Ends = {("orders", 0): 3, ("orders", 1): 2}
    script = Script(
        [Message(0, 0, 1_000), Message(0, 1, 4_000)],
        [],
        [Message(1, 0, 2_000)],
        [Message(0, 2, 6_000), Message(1, 1, 5_000)],
    )
    events = in_order(Records(cast(Consumer, script)), ends)
    assert [event.time for event in events] == [1_000, 2_000, 4_000, 5_000, 6_000]


def cost(wall_s: float) -> Run:
    return Run(Cost(1_000, wall_s, wall_s, 100.0), Spending(0.5, 0.1), Cost(1, 0.1, 0.1, 50.0))


def test_ratios_are_taken_within_a_round() -> None:
    rounds = [
        {CONSUME: cost(0.1), PLAIN: cost(2.0), ONE: cost(1.0), TWO: cost(0.5)},
        {CONSUME: cost(0.1), PLAIN: cost(8.0), ONE: cost(2.0), TWO: cost(1.0)},
    ]
    found = {line.name: line for line in lines(1_000_000, 2, rounds)}
    one = found["flow, 1 process : plain loop, events/s, over Kafka, 2 partitions, 1M"]
    assert one.rounds == [2.0, 4.0]
    assert one.met
    assert found["CPU, plain loop, over Kafka, 2 partitions, 1M"].note.startswith("beside it the broker took 500.00")


def test_few_events_are_measured_against_no_target() -> None:
    rounds = [{CONSUME: cost(0.1), PLAIN: cost(2.0), ONE: cost(1.0), TWO: cost(0.5)}]
    assert {line.target for line in lines(1_000, 2, rounds)} == {None}


def stand(server: RedisServer, directory: Path) -> Stand:
    workload = Workload(str(directory), 1, 0, 1, 1)
    config = directory / "config.toml"
    config.touch()
    return Stand(Servers(cast(KafkaBroker, None), server), workload, config, config)


def encoded(*records: AlertRecord) -> list[bytes]:
    return [msgspec.json.encode(record) for record in records]


def test_alerts_that_are_open_on_the_topic_alone_are_a_wrong_answer(own_redis: RedisServer, tmp_path: Path) -> None:
    opened, resolved = alert(), alert(step="resolved", step_number=2)
    sink = ReadModelSink(redis_settings(own_redis.url))
    sink.write([opened])
    require_read_model(stand(own_redis, tmp_path), ONE, encoded(opened))
    with pytest.raises(WrongAnswerError, match="1 alerts are open in Redis, 0 on the topic"):
        require_read_model(stand(own_redis, tmp_path), ONE, encoded(resolved, opened))
    sink.close()


def test_a_run_that_is_lost_in_the_noise_of_a_start_still_has_a_cost() -> None:
    assert beyond(0.75, 0.25) == 0.5
    assert beyond(0.25, 0.25) > 0
    assert beyond(0.25, 0.75) > 0


@pytest.mark.kafka
@pytest.mark.slow
@pytest.mark.xdist_group("kafka")
def test_one_small_round_over_a_real_broker_gives_all_lines(kafka: KafkaBroker, tmp_path: Path) -> None:
    found = tmp_path / "found.json"
    small: list[Any] = ["--events", 8_000, "--rounds", 1, "--partitions", 2, "--json", found]
    assert main(list(map(str, small))) == 0
    assert [line.rounds for line in read(found).lines if len(line.rounds) != 1] == []
    assert read(found).program == "over_kafka"
