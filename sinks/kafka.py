"""Results as Kafka topics, through an idempotent producer whose every failure stops the flow."""

import logging
import time
from collections.abc import Collection, Sequence
from typing import Any

from confluent_kafka import KafkaError, KafkaException, Producer
from confluent_kafka import Message as Delivery

from config.environment import expand
from config.settings import KafkaSettings
from events.records import Record
from events.topics import INPUT_TOPICS, OUTPUTS
from sinks.encoding import Message, dead_letter_topic, message
from sinks.sink import SinkError

# What an installation may change under [kafka.client].
_DEFAULTS: dict[str, Any] = {
    "client.id": "orderpulse",
    "compression.type": "lz4",
    "linger.ms": 5,
    # As other clients place keys, so that consumers can join our topics with theirs.
    "partitioner": "murmur2_random",
    # The topic's limit decides, and it counts what is compressed; this one counts before. A request of the broker's own
    # limit, 100 MiB, has to hold it.
    "message.max.bytes": 100_000_000,
}
# What it may not: without these a record could be lost or doubled. Only failures are reported back one by one; all
# acknowledged is what `flush` waits for.
_GUARANTEES: dict[str, Any] = {
    "enable.idempotence": True,
    "acks": "all",
    "delivery.report.only.error": True,
}
_CONNECT_SECONDS = 10.0
_NEW_TOPIC_SECONDS = 5.0
_POLL_SECONDS = 0.1
_POLL_EVERY = 1000  # records between two looks at what was reported back

_RECOVERY = "put it right and start again: what was not acknowledged is written once more"
_REMEDIES = {
    KafkaError.UNKNOWN_TOPIC_OR_PART: "create it with `orderpulse topics create`, or correct [kafka.topics]",
    KafkaError._UNKNOWN_TOPIC: "create it with `orderpulse topics create`, or correct [kafka.topics]",
    KafkaError.MSG_SIZE_TOO_LARGE: "raise max.message.bytes of the topic and start again",
    KafkaError.TOPIC_AUTHORIZATION_FAILED: "allow the account of [kafka.client] to write to the topic",
    KafkaError._MSG_TIMED_OUT: "check that the topic's brokers are up and start again",
}


class KafkaSink:
    """Writes each record to its topic, keyed by its entity.

    A broker that is away for less than ``message.timeout.ms`` (5 minutes unless [kafka.client] says otherwise) only
    holds the flow back. The first record that is not delivered is remembered and raised by the next ``write`` or
    ``flush``, and by all that follow: records behind it may have arrived, so nothing but a restart puts it right.
    """

    def __init__(self, settings: KafkaSettings) -> None:
        """Connect, and raise SinkError when the broker does not answer or lacks one of the topics."""
        self._topics = settings.topics
        self._bootstrap = settings.bootstrap
        self._failure: SinkError | None = None
        self._last_error: KafkaError | None = None
        client = {name: expand(value) for name, value in settings.client.items()}
        try:
            self._producer = Producer(
                {
                    **_DEFAULTS,
                    **client,
                    **_GUARANTEES,
                    "bootstrap.servers": expand(settings.bootstrap),
                    "error_cb": self._on_error,
                    "logger": logging.getLogger(__name__),
                }
            )
        except KafkaException as error:
            raise SinkError(self._name, error.args[0].str(), "correct [kafka.client]") from error
        self._check_topics()

    def write(self, records: Sequence[Record]) -> None:
        """Queue the records; wait while the queue is full. Order snapshots are left out."""
        self._raise_failure()
        for count, record in enumerate(records):
            if (outgoing := message(record, self._topics)) is not None:
                self._produce(outgoing)
            if count % _POLL_EVERY == 0:
                self._producer.poll(0)
        self._producer.poll(0)
        self._raise_failure()

    def flush(self) -> None:
        """Wait until the broker has acknowledged every record, or one of them has failed."""
        while self._failure is None and self._producer.flush(_POLL_SECONDS):
            pass
        self._raise_failure()

    def close(self) -> None:
        """Flush and disconnect. After a failure what is still queued is given up: a restart writes it again."""
        try:
            self.flush()
        finally:
            self._producer.purge()
            self._producer.close()

    @property
    def _name(self) -> str:
        return f"Kafka at {self._bootstrap}"

    def _check_topics(self) -> None:
        """Raise SinkError when a topic is missing for longer than a new one takes to be known everywhere."""
        topics = self._topics
        wanted = {getattr(topics, output.topic) for output in OUTPUTS if not output.original}
        wanted.update(dead_letter_topic(getattr(topics, name), topics) for name in INPUT_TOPICS)
        give_up_at = time.monotonic() + _NEW_TOPIC_SECONDS
        while missing := sorted(wanted.difference(self._known_topics())):
            if time.monotonic() > give_up_at:
                remedy = "create them with `orderpulse topics create`, or correct [kafka.topics]"
                raise SinkError(self._name, "not there, or not visible", remedy, ", ".join(missing))
            time.sleep(_POLL_SECONDS)

    def _known_topics(self) -> Collection[str]:
        try:
            return set(self._producer.list_topics(timeout=_CONNECT_SECONDS).topics)
        except KafkaException as error:
            self._producer.poll(0)  # serves the error callback, which knows more
            cause = (self._last_error or error.args[0]).str()
            remedy = "check kafka.bootstrap, that the broker is up, and the access in [kafka.client]"
            raise SinkError(self._name, f"no answer within {_CONNECT_SECONDS:g} s: {cause}", remedy) from error

    def _produce(self, outgoing: Message) -> None:
        while True:
            try:
                self._producer.produce(
                    outgoing.topic,
                    outgoing.value,
                    outgoing.key,
                    headers=outgoing.headers,
                    on_delivery=self._on_failed_delivery,
                )
            except BufferError:
                self._producer.poll(_POLL_SECONDS)
                self._raise_failure()
            except KafkaException as error:
                self._fail(error.args[0], outgoing.topic, outgoing.key)
                self._raise_failure()
            else:
                return

    def _on_failed_delivery(self, error: KafkaError | None, delivery: "Delivery[bytes, bytes]") -> None:
        if error is not None:
            key = delivery.key()
            self._fail(error, delivery.topic(), None if key is None else key.decode())

    def _on_error(self, error: KafkaError) -> None:
        # The client mends its connections itself; a record that suffers is reported by its own callback.
        self._last_error = error

    def _fail(self, error: KafkaError, topic: str | None, key: str | None) -> None:
        if self._failure is None:
            remedy = _REMEDIES.get(error.code(), _RECOVERY)
            self._failure = SinkError(self._name, error.str(), remedy, topic, key)

    def _raise_failure(self) -> None:
        if self._failure is not None:
            raise self._failure
