"""A process calls its peers once they listen, and calls nobody to find that out."""

import socket
import sys
from collections.abc import Iterator
from threading import Thread

import pytest

from dataflows.peers import await_listening, listening_ports

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="the kernel's table of sockets is Linux's")


@pytest.fixture(name="bound")
def _bound() -> Iterator[socket.socket]:
    """A socket with a port of its own that does not listen."""
    with socket.socket() as bound:
        bound.bind(("127.0.0.1", 0))
        yield bound


def _address(bound: socket.socket) -> str:
    return f"127.0.0.1:{bound.getsockname()[1]}"


def test_a_port_is_there_once_somebody_listens(bound: socket.socket) -> None:
    port = bound.getsockname()[1]
    assert port not in listening_ports()
    bound.listen()
    assert port in listening_ports()


def test_nobody_is_called(bound: socket.socket) -> None:
    bound.listen()
    bound.setblocking(False)
    assert await_listening([_address(bound)], within=10)
    with pytest.raises(BlockingIOError):
        bound.accept()


def test_it_waits_until_all_listen(bound: socket.socket) -> None:
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        found: list[bool] = []
        waiting = Thread(target=lambda: found.append(await_listening([_address(bound), _address(other)], within=60)))
        waiting.start()
        waiting.join(timeout=0.1)
        assert not found
        bound.listen()
        waiting.join(timeout=60)
        assert found == [True]


def test_it_goes_on_when_nobody_ever_listens(bound: socket.socket) -> None:
    assert not await_listening([_address(bound)], within=0.02)


def test_the_first_process_calls_nobody() -> None:
    assert await_listening([], within=0)
