"""Waits until the processes of a run that this one will call listen.

Of two processes the engine has the one with the larger number call the other, and when nobody answers sleeps for a
whole second before it calls again. All start at the same time, so that is what happens more often than not.
"""

import time
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Final

_TABLES: Final = (Path("/proc/net/tcp"), Path("/proc/net/tcp6"))
_LISTENS: Final = "0A"  # TCP_LISTEN in the kernel's include/net/tcp_states.h
_LOOK_SECONDS: Final = 0.005


def await_listening(addresses: Sequence[str], within: float) -> bool:
    """Whether somebody listens on the ports of all these addresses of this machine, waiting up to ``within`` seconds.

    Nobody is called to find out: the engine would take whoever calls for a process of the run. Where the kernel has no
    table of its sockets (elsewhere than on Linux), it is False at once, and calls have to be made in vain.
    """
    ports = {int(address.rpartition(":")[2]) for address in addresses}
    deadline = time.monotonic() + within
    while not ports <= (listening := listening_ports()):
        if not listening and not _TABLES[0].exists():
            return False
        if time.monotonic() >= deadline:
            return False
        time.sleep(_LOOK_SECONDS)
    return True


def listening_ports() -> frozenset[int]:
    """The TCP ports on which somebody listens, as far as the kernel tells."""
    ports = set()
    for table in _TABLES:
        with suppress(OSError):
            for line in table.read_text().splitlines()[1:]:
                _, local, _, state, *_ = line.split()
                if state == _LISTENS:
                    ports.add(int(local.rpartition(":")[2], 16))
    return frozenset(ports)
