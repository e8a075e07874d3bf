"""What commands share that serve until they are told to stop."""

import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from threading import Event
from typing import TYPE_CHECKING

from config.settings import Settings

if TYPE_CHECKING:
    from sinks.metrics import Metrics


@contextmanager
def stop_signal() -> Iterator[Event]:
    """An event that SIGTERM and Ctrl-C set."""
    stopping = Event()
    before = {number: signal.signal(number, lambda *_: stopping.set()) for number in (signal.SIGTERM, signal.SIGINT)}
    try:
        yield stopping
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


@contextmanager
def health(settings: Settings, counts: "Metrics", readiness: Callable[[], tuple[bool, str]]) -> Iterator[None]:
    """Serve metrics and health where the settings say; at port 0 not at all."""
    if settings.metrics.port == 0:
        yield
        return
    from sinks.health import HealthServer

    with HealthServer(settings.metrics.host, settings.metrics.port, counts, readiness):
        yield
