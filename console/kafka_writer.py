"""Writes single records to Kafka and tells where each of them went."""

import logging
from typing import Any

from confluent_kafka import KafkaError, KafkaException, Message, Producer

from config.settings import KafkaSettings
from console.errors import FailedError
from events.batch import Headers
from sources.kafka_client import Partition, client_options

_FLUSH_SECONDS = 60.0
_ANY_PARTITION = -1
_DEFAULTS: dict[str, Any] = {
    "linger.ms": 5,
    "compression.type": "lz4",
    "partitioner": "murmur2_random",  # as the sinks place keys
    "message.timeout.ms": 60_000,
    "message.max.bytes": 100_000_000,  # the topic's limit decides
}
_GUARANTEES: dict[str, Any] = {
    "enable.idempotence": True,
    "max.in.flight.requests.per.connection": 1,  # see sinks/kafka.py: more can lose records unnoticed
    "acks": "all",
}


class KafkaWriter:
    """A producer of records that have a name, so that the first one not taken can be named."""

    def __init__(self, settings: KafkaSettings) -> None:
        self._where = f"Kafka at {settings.bootstrap}"
        options = _DEFAULTS | client_options(settings) | _GUARANTEES
        self._producer = Producer(options, logger=logging.getLogger(__name__))
        self._delivered: dict[str, str] = {}
        self._failure: FailedError | None = None

    def write(
        self, name: str, topic: str, number: int | None, key: bytes | None, value: bytes, headers: Headers
    ) -> None:
        """Queue one record for a partition, or for the one that its key goes to."""

        def on_delivery(error: KafkaError | None, message: "Message[bytes, bytes]") -> None:
            if error is not None:
                self._fail(name, topic, error)
            else:
                self._delivered[name] = f"{Partition(topic, message.partition() or 0)}@{message.offset()}"

        place = _ANY_PARTITION if number is None else number
        try:
            self._producer.produce(topic, value, key, place, headers=list(headers), on_delivery=on_delivery)
        except KafkaException as error:
            self._fail(name, topic, error.args[0])

    def flush(self) -> dict[str, str]:
        """Wait for the broker; gives name -> topic/partition@offset of what it took since the last call."""
        if left := self._producer.flush(_FLUSH_SECONDS):
            self._failure = self._failure or FailedError(
                f"{self._where}: {left} records were not acknowledged within {_FLUSH_SECONDS:.0f} s",
                "check that the brokers run, then do it again",
            )
        delivered, self._delivered = self._delivered, {}
        return delivered

    def check(self) -> None:
        """Raise FailedError when a record was not taken."""
        if self._failure is not None:
            raise self._failure

    def close(self) -> None:
        """Disconnect; what is still queued is given up."""
        self._producer.purge()
        self._producer.flush(1.0)

    def _fail(self, name: str, topic: str, error: KafkaError) -> None:
        self._failure = self._failure or FailedError(
            f"{self._where}, topic {topic}, {name}: {error.str()}",
            "mend that and do it again: what was replayed before it is noted, and left out then",
        )
