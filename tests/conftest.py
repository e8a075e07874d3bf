"""Servers for tests: a real Kafka broker and a real Redis.

`kafka` and `redis_server` are shared, one of each per pytest-xdist worker; a test that stops, kills or freezes a
server takes `own_kafka` or `own_redis`. Properties run quickly unless HYPOTHESIS_PROFILE=thorough.
"""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, Phase
from hypothesis import settings as hypothesis_settings

from tests.support.kafka_broker import KafkaBroker, missing_requirements
from tests.support.redis_server import RedisServer

# Whole runs of the flow take longer than hypothesis expects of an example; a deadline would measure the machine.
_LENIENT = hypothesis_settings(deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large])
# Shrinking a whole run takes minutes: the thorough profile does it, the quick one shows what it found as it is.
_QUICK = (Phase.explicit, Phase.reuse, Phase.generate)
hypothesis_settings.register_profile("default", _LENIENT, max_examples=25, phases=_QUICK)
hypothesis_settings.register_profile("thorough", _LENIENT, max_examples=500)
hypothesis_settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "default"))


@pytest.hookimpl
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Marks what uses a broker, so that `-m "not kafka"` leaves it all out."""
    for item in items:
        if not {"kafka", "own_kafka"}.isdisjoint(getattr(item, "fixturenames", ())):
            item.add_marker(pytest.mark.kafka)


@pytest.fixture(scope="session")
def kafka(tmp_path_factory: pytest.TempPathFactory) -> Iterator[KafkaBroker]:
    """A running broker, shared: give topics and groups names that no other test uses."""
    yield from _broker(tmp_path_factory.mktemp("kafka"))


@pytest.fixture
def own_kafka(tmp_path: Path) -> Iterator[KafkaBroker]:
    """A running broker for one test, to be killed or frozen at will. Costs 3 s."""
    yield from _broker(tmp_path / "kafka")


def _broker(directory: Path) -> Iterator[KafkaBroker]:
    if missing := missing_requirements():
        pytest.skip(missing)
    with KafkaBroker.start(directory) as broker:
        yield broker


@pytest.fixture(scope="session")
def shared_redis(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RedisServer]:
    """The server behind `redis_server`."""
    with RedisServer.start(tmp_path_factory.mktemp("redis")) as server:
        yield server


@pytest.fixture
def redis_server(shared_redis: RedisServer) -> str:
    """The URL of a running Redis, shared, empty at the start of each test."""
    shared_redis.flush()
    return shared_redis.url


@pytest.fixture
def own_redis(tmp_path: Path) -> Iterator[RedisServer]:
    """A running Redis for one test, to be killed or frozen at will; it keeps its data over a restart."""
    with RedisServer.start(tmp_path / "redis", persistent=True) as server:
        yield server
