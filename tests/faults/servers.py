"""The servers that a fault run stands on, shared by all runs of a session, and the proxies in front of them."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from msgspec import Struct

from tests.support.kafka_broker import KafkaBroker
from tests.support.ports import free_port
from tests.support.redis_server import RedisServer
from tests.support.tcp_proxy import TcpProxy


class Servers(Struct, frozen=True):
    """A broker and a Redis that keep their data over a restart, each with a proxy that can cut, stop and delay."""

    broker: KafkaBroker
    broker_proxy: TcpProxy
    redis: RedisServer
    redis_proxy: TcpProxy

    def bootstrap(self, *, proxied: bool) -> str:
        """Where a flow finds the broker."""
        return f"127.0.0.1:{self.broker_proxy.port}" if proxied else self.broker.bootstrap

    def redis_url(self, *, proxied: bool) -> str:
        """Where a flow finds Redis."""
        return f"redis://127.0.0.1:{self.redis_proxy.port}/0" if proxied else self.redis.url

    def heal(self) -> None:
        """As they were: whatever a run that failed left broken must not break the next."""
        for server in (self.broker, self.redis):
            server.resume()
            if not server.running:
                server.restart()
        for proxy in (self.broker_proxy, self.redis_proxy):
            proxy.accept()
            proxy.go_on()
            proxy.delay(0)
        with self.redis.client() as client:
            client.execute_command("REPLICAOF", "NO", "ONE")
            client.config_set("maxmemory", 0)
            client.flushall()


@contextmanager
def started(directory: Path) -> Iterator[Servers]:
    """The servers, with their data and logs in a directory. Raises BrokerError where no broker can run."""
    proxy_port = free_port()
    with (
        KafkaBroker.start(directory / "kafka", proxy_port=proxy_port) as broker,
        RedisServer.start(directory / "redis", persistent=True) as redis,
        TcpProxy(broker.behind_proxy or 0, proxy_port) as broker_proxy,
        TcpProxy(redis.port) as redis_proxy,
    ):
        yield Servers(broker, broker_proxy, redis, redis_proxy)
