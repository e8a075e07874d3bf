"""What a reader makes of a broker that freezes, restarts, or drops connections, and of a flow that does not read."""

import time
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from hashlib import sha256
from itertools import count
from multiprocessing import get_context
from pathlib import Path
from random import Random

import pytest
from confluent_kafka import Producer

from sources.clock import SteadyClock, host_wall_ms
from sources.kafka import KafkaInput
from sources.kafka_reader import KafkaReader
from tests.sources.support import Delivered, read_until
from tests.sources.test_kafka import confirmations, confirmed_since, settings_for
from tests.support.kafka_broker import KafkaBroker, missing_requirements
from tests.support.ports import free_port
from tests.support.tcp_proxy import TcpProxy

pytestmark = [pytest.mark.kafka, pytest.mark.slow, pytest.mark.xdist_group("kafka")]

TOPICS = (f"outage-{number}" for number in count())


@pytest.fixture(scope="module")
def proxy(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[KafkaBroker, TcpProxy]]:
    """A broker of this module's own, and a proxy before it."""
    if missing := missing_requirements():
        pytest.skip(missing)
    port = free_port()
    with KafkaBroker.start(tmp_path_factory.mktemp("kafka"), proxy_port=port) as broker:
        assert broker.behind_proxy is not None
        with TcpProxy(broker.behind_proxy, port) as before:
            yield broker, before


@pytest.fixture
def broker(proxy: tuple[KafkaBroker, TcpProxy]) -> KafkaBroker:
    return proxy[0]


def send(broker: KafkaBroker, topic: str, *values: bytes, partitions: int = 1) -> None:
    producer = Producer({"bootstrap.servers": broker.bootstrap, "queue.buffering.max.messages": 1_000_000})
    for index, value in enumerate(values):
        producer.produce(topic, value, partition=index % partitions)
    assert producer.flush(60) == 0


def numbered(first: int, end: int, size: int = 0) -> list[bytes]:
    """Records that say their number; with a size they hold that many bytes which cannot be packed."""
    return [b"%d " % number + Random(number).randbytes(size) for number in range(first, end)]


def has(records: int) -> Callable[[Delivered], bool]:
    return lambda delivered: len(delivered.lines) >= records


def opened(bootstrap: str, topic: str, **options: str) -> KafkaReader:
    return KafkaInput(settings_for(bootstrap, **options), [topic], start="earliest").open()


def test_a_broker_that_freezes_and_goes_on_costs_no_record_and_lets_time_stand(broker: KafkaBroker) -> None:
    broker.create_topic(topic := next(TOPICS), partitions=2)
    send(broker, topic, *numbered(0, 10), partitions=2)
    reader = opened(broker.bootstrap, topic)
    read_until(reader, lambda seen: has(10)(seen) and len(confirmations(seen)) == 2)
    broker.pause()
    frozen_at = host_wall_ms()
    silent = read_until(reader, lambda _: len(reader.unreachable()) == 2)
    assert max(confirmations(silent).values(), default=0) <= frozen_at
    assert reader.waiting is not None
    broker.resume()
    send(broker, topic, *numbered(10, 20), partitions=2)
    after = read_until(reader, lambda seen: has(10)(seen) and confirmed_since(frozen_at + 1, f"{topic}/0")(seen))
    assert sorted(after.lines) == numbered(10, 20)
    read_until(reader, lambda _: not reader.unreachable())
    reader.close()


def test_a_broker_that_is_killed_and_comes_back_is_read_on_without_loss_or_doubles(broker: KafkaBroker) -> None:
    broker.create_topic(topic := next(TOPICS))
    send(broker, topic, *numbered(0, 5_000))
    reader = opened(broker.bootstrap, topic)
    delivered = read_until(reader, has(1_000))
    broker.kill()
    down_at = host_wall_ms()
    delivered.batches += read_until(reader, lambda _: reader.waiting is not None).batches
    assert confirmations(delivered).get(f"{topic}/0", 0) <= down_at
    broker.launch()
    send(broker, topic, *numbered(5_000, 5_010))
    delivered.batches += read_until(reader, has(5_010 - len(delivered.lines))).batches
    assert delivered.lines == numbered(0, 5_010)
    read_until(reader, lambda _: not reader.unreachable())
    reader.close()


def test_the_silence_of_a_partition_is_confirmed_again_after_its_leader_was_killed(broker: KafkaBroker) -> None:
    broker.create_topic(topic := next(TOPICS), partitions=2)
    send(broker, topic, *numbered(0, 2), partitions=2)
    reader = opened(broker.bootstrap, topic)
    read_until(reader, lambda seen: len(confirmations(seen)) == 2)
    for _ in range(2):
        broker.kill()
        broker.launch()
        up_at = host_wall_ms()
        for at in range(2):
            read_until(reader, confirmed_since(up_at, f"{topic}/{at}"))
    assert not reader.unreachable()
    reader.close()


def test_connections_that_are_cut_in_the_middle_cost_no_record(proxy: tuple[KafkaBroker, TcpProxy]) -> None:
    broker, before = proxy
    broker.create_topic(topic := next(TOPICS), partitions=2)
    send(broker, topic, *(values := numbered(0, 20_000, 1_000)), partitions=2)
    reader = opened(f"127.0.0.1:{before.port}", topic, **{"max.partition.fetch.bytes": "300000"})
    delivered = Delivered()
    for _ in range(5):
        before.cut_after(700_000)
        delivered.batches += read_until(reader, has(1_000)).batches
    delivered.batches += read_until(reader, has(20_000 - len(delivered.lines))).batches
    for number in range(2):
        assert delivered.of(f"{topic}/{number}").lines == values[number::2]
    reader.close()


def test_what_waits_to_be_read_is_bounded_while_nobody_reads_and_then_goes_on(broker: KafkaBroker) -> None:
    broker.create_topic(topic := next(TOPICS), partitions=16)
    values = numbered(0, 160_000, 1_000)
    send(broker, topic, *values, partitions=16)
    with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as process:  # one whose memory holds nothing else
        held, digests = process.submit(read_after_a_pause, broker.bootstrap, topic, 160_000).result(120)
    assert held < 60  # MB; 160 are there
    assert digests == {f"{topic}/{number}": digest(values[number::16]) for number in range(16)}


def read_after_a_pause(bootstrap: str, topic: str, records: int) -> tuple[float, dict[str, str]]:
    """How many MB a reader holds that nobody asks for 8 s, and what it then delivers of each partition."""
    before = resident_mb()
    # A group's member would be thrown out after that pause.
    reader = opened(bootstrap, topic, **{"max.poll.interval.ms": "6000", "session.timeout.ms": "6000"})
    time.sleep(8)
    held = resident_mb() - before
    delivered = read_until(reader, has(records))
    reader.close()
    return held, {name: digest(delivered.of(name).lines) for name in reader.partitions}


def digest(lines: list[bytes]) -> str:
    return sha256(b"\n".join(lines)).hexdigest()


def test_only_timestamps_of_the_broker_itself_confirm_a_jump_of_the_clock(broker: KafkaBroker) -> None:
    for kind, believed in (("CreateTime", False), ("LogAppendTime", True)):
        broker.create_topic(topic := next(TOPICS), config={"message.timestamp.type": kind})
        wall = [host_wall_ms() - 3_600_000]  # an hour behind at first, then set to rights
        clock = SteadyClock(lambda wall=wall: wall[0])  # type: ignore[misc]
        wall[0] += 3_600_000
        send(broker, topic, b"paid")
        reader = KafkaInput(settings_for(broker.bootstrap), [topic], start="earliest", clock=clock).open()
        read_until(reader, has(1))
        assert (abs(clock.now() - host_wall_ms()) < 10_000) == believed
        reader.close()


def resident_mb() -> float:
    status = Path("/proc/self/status").read_text().splitlines()
    return int(next(line for line in status if line.startswith("VmRSS")).split()[1]) / 1024
