"""TCP ports for servers that tests start, stop, kill and start again."""

import random
import socket

_RANDOM = random.SystemRandom()  # a seeded generator would give parallel test processes the same ports


def is_free(port: int) -> bool:
    """Whether a server of this host could listen on the port now."""
    with socket.socket() as probe:
        # As servers do: connections of the server before, still waiting to time out, do not count.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True


def is_listening(port: int) -> bool:
    """Whether something accepts connections on the port."""
    with socket.socket() as probe:
        probe.settimeout(0.2)
        return probe.connect_ex(("127.0.0.1", port)) == 0


def free_port() -> int:
    """A free port below those that systems hand out for outgoing connections.

    Inside that range, a client that keeps calling a stopped server may be given the server's own port to call
    from: it then talks to itself, and the server cannot come back.
    """
    for _ in range(100):
        port = _RANDOM.randint(20_000, 32_000)
        if is_free(port):
            return port
    message = "no free port found between 20000 and 32000 in 100 tries"
    raise RuntimeError(message)
