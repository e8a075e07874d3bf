"""A producer that waits for a broker that is away, for as long as it takes, and says so."""

import logging
import time
from collections.abc import Callable
from typing import Any, Final

from confluent_kafka import KafkaError, KafkaException, Message, Producer

from config.settings import KafkaSettings
from sources.kafka_client import client_options
from sources.reader import SourceError, Waiting

log: Final = logging.getLogger("orderpulse.intake")
_PATIENCE_SECONDS = 2.0  # an answer that takes longer is told as waiting
_LOOK_SECONDS = 0.2
_DEFAULTS: dict[str, Any] = {
    "compression.type": "lz4",
    "linger.ms": 5,
    "partitioner": "murmur2_random",
    "message.max.bytes": 100_000_000,  # the topic's limit decides
    "message.timeout.ms": 0,
}
_GUARANTEES: dict[str, Any] = {
    "enable.idempotence": True,
    "max.in.flight.requests.per.connection": 1,  # see sinks/kafka.py: more can lose records unnoticed
    "acks": "all",
}
_REMEDY = (
    "make missing topics with `orderpulse topics create` or `orderpulse intake topics`, or mend the broker;"
    " then start again"
)

Headers = list[tuple[str, Any]]


class PatientProducer:
    """Writes in order, every record acknowledged by all in-sync replicas when ``flush`` returns True.

    ``waiting`` says that the broker does not answer; it may be read from any thread.
    """

    def __init__(
        self,
        settings: KafkaSettings,
        client_id: str,
        give_up: Callable[[], bool],
        clock: Callable[[], float] = time.time,
    ) -> None:
        """``give_up``: asked while the broker is away; once it says yes, nothing is waited for any more."""
        self._give_up = give_up
        self._clock = clock
        self._failure: SourceError | None = None
        self.waiting: Waiting | None = None
        options = {**_DEFAULTS, **client_options(settings), **_GUARANTEES, "client.id": client_id}
        self._producer = Producer(options, logger=log)

    def produce(self, topic: str, key: str | bytes | None, value: bytes, headers: Headers) -> None:
        """Queue a record, and wait while the queue is full. Raises SourceError."""
        while True:
            try:
                self._producer.produce(topic, value, key, headers=headers, on_delivery=self._reported)
            except BufferError:
                if not self.flush():
                    return
            except KafkaException as error:
                raise _error(error.args[0], topic) from error
            else:
                return

    def flush(self) -> bool:
        """Return when the broker has everything; False when that was given up. Raises SourceError."""
        started = time.monotonic()
        while self._producer.flush(_LOOK_SECONDS) and self._failure is None:
            if time.monotonic() - started > _PATIENCE_SECONDS:
                self._wait()
                if self._give_up():
                    return False
        if self._failure is not None:
            raise self._failure
        self.waiting = None
        return True

    def close(self) -> None:
        """Let go of the broker, and give up what it has not acknowledged."""
        self._producer.purge()
        self._producer.close()

    def _wait(self) -> None:
        if self.waiting is None:
            self.waiting = Waiting(round(self._clock() * 1000), "the broker does not acknowledge records")
            log.warning("waits: %s", self.waiting.reason)

    def _reported(self, error: KafkaError | None, message: "Message[bytes, bytes]") -> None:
        if error is not None and self._failure is None:
            self._failure = _error(error, message.topic() or "")


def _error(error: KafkaError, topic: str) -> SourceError:
    return SourceError(f"a record was not written: {error.str()}", topic, _REMEDY)
