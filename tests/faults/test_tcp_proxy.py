"""The proxy that stands between the flow and its servers in fault runs does what it is told."""

import socket
import socketserver
import threading
import time
from collections.abc import Iterator

import pytest

from tests.support.tcp_proxy import TcpProxy


class Echo(socketserver.BaseRequestHandler):
    def handle(self) -> None:
        while data := self.request.recv(65_536):
            self.request.sendall(data)


@pytest.fixture
def proxy() -> Iterator[TcpProxy]:
    with socketserver.ThreadingTCPServer(("127.0.0.1", 0), Echo) as server:
        server.daemon_threads = True
        threading.Thread(target=server.serve_forever, daemon=True).start()
        with TcpProxy(server.server_address[1]) as started:
            yield started
        server.shutdown()


def connection(proxy: TcpProxy) -> socket.socket:
    return socket.create_connection(("127.0.0.1", proxy.port), timeout=10)


def echoed(client: socket.socket, data: bytes) -> bytes:
    """What came back of the data before the connection ended."""
    client.sendall(data)
    found = b""
    try:
        while len(found) < len(data) and (part := client.recv(65_536)):
            found += part
    except ConnectionError:
        pass
    return found


def test_what_is_sent_arrives(proxy: TcpProxy) -> None:
    with connection(proxy) as client:
        assert echoed(client, b"x" * 300_000) == b"x" * 300_000
    assert proxy.connections == 1


def test_a_cut_breaks_what_is_open_and_lets_others_in(proxy: TcpProxy) -> None:
    with connection(proxy) as client, connection(proxy) as other:
        assert echoed(client, b"one") == b"one"
        assert echoed(other, b"two") == b"two"
        proxy.cut()
        assert echoed(other, b"lost") == b""
        with connection(proxy) as later:
            assert echoed(later, b"three") == b"three"


def test_a_cut_may_come_in_the_middle_of_what_is_sent(proxy: TcpProxy) -> None:
    with connection(proxy) as client:
        proxy.cut_after(1_000)
        assert len(echoed(client, b"x" * 10_000)) < 1_000


def test_while_it_refuses_nobody_gets_in(proxy: TcpProxy) -> None:
    proxy.refuse()
    with pytest.raises(ConnectionRefusedError):
        connection(proxy)
    proxy.accept()
    with connection(proxy) as client:
        assert echoed(client, b"back") == b"back"


def test_while_it_is_stopped_nothing_arrives_and_then_everything(proxy: TcpProxy) -> None:
    with connection(proxy) as client:
        assert echoed(client, b"one") == b"one"
        proxy.stop()
        client.sendall(b"two")
        client.settimeout(0.1)
        with pytest.raises(TimeoutError):
            client.recv(3)
        client.settimeout(10)
        proxy.go_on()
        assert client.recv(3) == b"two"


def test_a_delay_holds_everything_up(proxy: TcpProxy) -> None:
    proxy.delay(0.05)
    with connection(proxy) as client:
        began = time.monotonic()
        assert echoed(client, b"slow") == b"slow"
        assert time.monotonic() - began >= 0.1  # there and back
