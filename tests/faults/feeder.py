"""Feeds a workload onto the input topics at a steady rate, whatever happens to the flow and the broker meanwhile."""

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from confluent_kafka import KafkaError, Producer

from tests.faults.installation import Installation
from tests.faults.workload import Entry, Workload

_OPTIONS: dict[str, Any] = {
    "enable.idempotence": True,  # over a broker's restart, each record stands once and in order
    # With more, the client calls a refused batch delivered once a later one was taken: on a topic whose leader has
    # just been elected, the first records of a partition are lost without an error.
    "max.in.flight.requests.per.connection": 1,
    "linger.ms": 5,
    "message.timeout.ms": 600_000,
    "reconnect.backoff.max.ms": 500,
    "log_level": 0,
}
_TICK = 0.01


class Feeder:
    """A thread that produces; ``seconds`` 0: as fast as it can."""

    def __init__(self, installation: Installation, workload: Workload, seconds: float) -> None:
        self._installation = installation
        self._workload = workload
        self._seconds = seconds
        self._failure: KafkaError | None = None
        self._giving_up = threading.Event()
        self._may_send = threading.Event()
        self._may_send.set()
        self._nothing_open = threading.Event()
        self._thread = threading.Thread(target=self._run, name="feeder", daemon=True)
        self.began = 0.0
        self.ended: float | None = None

    def start(self) -> None:
        """Begins to feed."""
        self.began = time.monotonic()
        self._thread.start()

    @property
    def running(self) -> bool:
        """Whether there is something left to feed."""
        return self._thread.is_alive()

    def finish(self, within: float) -> None:
        """Waits until the broker has everything. Raises RuntimeError when it has not."""
        self._thread.join(within)
        if self._failure is not None or self.ended is None:
            cause = self._failure.str() if self._failure is not None else f"not done within {within:g} s"
            message = f"the records could not be fed: {cause}"
            raise RuntimeError(message)

    @contextmanager
    def holding(self, within: float) -> Iterator[None]:
        """Sends nothing meanwhile, from when the broker has answered for all that was sent.

        A broker that is killed forgets what it had of a producer whose last stamp is older than its
        producer.id.expiration.ms, which is at most 25 days, and the workload's stamps are older. It would take a record
        once more that is sent again because its answer was lost.
        """
        self._nothing_open.clear()
        self._may_send.clear()
        try:
            if self.running and not self._nothing_open.wait(within):
                message = f"the broker did not answer for the records fed within {within:g} s"
                raise RuntimeError(message)
            yield
        finally:
            self._may_send.set()

    def give_up(self) -> None:
        """Ends the thread, whatever is left."""
        self._giving_up.set()
        if self._thread.is_alive():
            self._thread.join(10)

    def _run(self) -> None:
        producer = Producer(_OPTIONS | {"bootstrap.servers": self._installation.servers.broker.bootstrap})
        entries = self._workload.entries
        step = self._seconds / len(entries)
        for number, entry in enumerate(entries):
            while time.monotonic() < self.began + number * step and not self._giving_up.wait(_TICK):
                producer.poll(0)
            if not self._may_send.is_set():
                self._wait_until_it_may_send(producer)
            if self._giving_up.is_set():
                break
            self._produce(producer, entry)
        while len(producer) and not self._giving_up.is_set():
            producer.flush(0.1)
        self._nothing_open.set()
        producer.purge()
        if not self._giving_up.is_set():
            self.ended = time.monotonic()

    def _wait_until_it_may_send(self, producer: Producer) -> None:
        while len(producer) and not self._giving_up.is_set():
            producer.flush(0.1)
        self._nothing_open.set()
        while not self._may_send.wait(_TICK) and not self._giving_up.is_set():
            producer.poll(0)

    def _produce(self, producer: Producer, entry: Entry) -> None:
        topic = self._installation.input_topic(entry.kind)
        while True:
            try:
                producer.produce(
                    topic,
                    entry.value,
                    entry.key,
                    partition=entry.partition,
                    timestamp=entry.stamp,
                    on_delivery=self._delivered,
                )
            except BufferError:
                producer.poll(0.1)
            else:
                return

    def _delivered(self, error: KafkaError | None, _: object) -> None:
        self._failure = self._failure or error
