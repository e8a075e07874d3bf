"""Results as Kafka topics, each record once, through an idempotent producer whose every failure stops the flow."""

import logging
import time
from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Any

from confluent_kafka import KafkaError, KafkaException, Producer
from confluent_kafka import Message as Delivery

from config.environment import expand, expand_all
from config.settings import KafkaSettings
from config.units import Instant
from events.records import ReadModelOnly, Record
from events.topics import INPUT_TOPICS, OUTPUTS
from sinks.earlier import Earlier, EarlierVersions, Stored, Trace, trace_of
from sinks.encoding import Message, dead_letter_topic, message
from sinks.kafka_logs import REFUSALS, KafkaLogs, Log, Offsets
from sinks.patience import Patience, never
from sinks.sink import Sink, SinkError, Waiting

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
    # A broker may be away for as long as it likes: nothing fails by time. What waits for it is bounded.
    "message.timeout.ms": 0,
    "queue.buffering.max.kbytes": 131_072,
    "reconnect.backoff.max.ms": 2_000,
}
# What it may not: without these a record could be lost or doubled. Only failures are reported back one by one; all
# acknowledged is what `flush` waits for.
_GUARANTEES: dict[str, Any] = {
    "enable.idempotence": True,
    # With more requests under way, the client takes a refused one for delivered once a later one was taken, which a
    # broker does for a producer that is new to the partition: while a leader is elected, records vanish unnoticed.
    "max.in.flight.requests.per.connection": 1,
    "acks": "all",
    "delivery.report.only.error": True,
}
_CONNECT_SECONDS = 10.0
_POLL_SECONDS = 0.1
_POLL_EVERY = 1000  # records between two looks at what was reported back
_SILENT_SECONDS = 2.0  # without an acknowledgement, while records wait for one

_RECOVERY = "put it right and start again: what was not acknowledged is written once more"
_REMEDIES = REFUSALS | {
    KafkaError.MSG_SIZE_TOO_LARGE: "raise max.message.bytes of the topic and start again",
    KafkaError._MSG_TIMED_OUT: "check that the topic's brokers are up and start again",
}


class KafkaSink(Sink):
    """Writes each record to its topic, keyed by its entity.

    A broker that is away only holds the flow back, for as long as it is away (unless [kafka.client] sets
    ``message.timeout.ms``); ``waiting`` says so once nothing was acknowledged for 2 s. The first record that is refused
    is remembered and raised by the next ``write`` or ``flush``, and by all that follow: records behind it may have
    arrived, so nothing but a restart puts it right.
    """

    def __init__(self, settings: KafkaSettings, *, patient: bool = False, give_up: Callable[[], bool] = never) -> None:
        """Connect, and raise SinkError when the broker does not answer or lacks one of the topics.

        ``patient``: not now, but at the first use, and a broker that does not answer is waited for; so a process may
        start again amid an outage. ``give_up`` ends every wait (see Patience).
        """
        self._topics = settings.topics
        self._bootstrap = settings.bootstrap
        self._patience = Patience(self._name, give_up)
        self._failure: SinkError | None = None
        self._last_error: KafkaError | None = None
        self._produced = self._acknowledged = 0
        self._moved_at = time.monotonic()
        self._partitions: Sequence[Log] = ()
        self._ends: Offsets = {}
        self._ends_are_old = True
        self._asks_for_ends = False
        self._earlier: dict[str, Earlier] = {}
        self._resumed_at: Offsets = {}
        client = {**_DEFAULTS, **expand_all(settings.client), "bootstrap.servers": expand(settings.bootstrap)}
        own = {"error_cb": self._on_error, "logger": logging.getLogger(__name__)}
        try:
            self._producer = Producer({**client, **_GUARANTEES, **own})
        except KafkaException as error:
            raise SinkError(self._name, error.args[0].str(), "correct [kafka.client]") from error
        self._logs = KafkaLogs(self._name, client, settings.group, self._patience)
        if not patient:
            self._check_connection()
            self._known_logs()

    def write(self, records: Sequence[Record]) -> None:
        """Queue the records; wait while the queue is full.

        Left out is what is for the read model alone, and what was read back.
        """
        self._raise_failure()
        self._known_logs()
        if not len(self._producer):
            self._moved_at = time.monotonic()  # what was not needed cannot have been missing
        for count, record in enumerate(records):
            if isinstance(record, ReadModelOnly):
                continue
            outgoing = message(record, self._topics)
            if outgoing is not None and not self._stands_there(record, outgoing.topic):
                self._produce(outgoing)
            if count % _POLL_EVERY == 0:
                self._producer.poll(0)
        self._producer.poll(0)
        self._look()

    def flush(self) -> None:
        """Wait until the broker has acknowledged every record, or one of them has failed."""
        while self._failure is None and self._producer.flush(_POLL_SECONDS):
            self._look()
        self._look()

    def positions(self) -> dict[str, int]:
        """The ends of all partitions of all output topics, as they were at the snapshot before or later.

        The broker is asked for them at each snapshot behind which something was written, and its answer is used by the
        next one, so that none waits for it. A former answer is as right, only further back.
        """
        if not self._ends:
            self._ends, self._ends_are_old = self._logs.ends(self._known_logs()), False
        if self._asks_for_ends and (ends := self._logs.asked_ends()) is not None:
            self._ends, self._asks_for_ends = ends, False
        if self._ends_are_old and not self._asks_for_ends:
            self._logs.ask_ends(self._known_logs())
            self._ends_are_old, self._asks_for_ends = False, True
        held_back = {log: at for log, at in self._resumed_at.items() if self._earlier[log.topic]}
        return {str(log): at for log, at in (self._ends | held_back).items()}

    def resume(self, positions: Mapping[str, int]) -> None:
        """Read back what stands behind the positions, in all output topics."""
        compacted = {getattr(self._topics, output.topic) for output in OUTPUTS if output.compacted}
        self._earlier = {
            topic: EarlierVersions() if topic in compacted else Earlier() for topic in self._output_topics()
        }
        self._resumed_at = self._logs.read_back(self._known_logs(), positions, self._remember)

    def passed(self, watermark_ms: int) -> None:
        """Forget what was read back and cannot come again."""
        for earlier in self._earlier.values():
            earlier.passed(watermark_ms)

    def progress(self) -> tuple[int, int]:
        """Records produced, and those among them that no longer wait in the client's queue."""
        self._producer.poll(0)  # the client's own messages stand in that queue too
        return self._produced, max(0, self._produced - len(self._producer))

    @property
    def waiting(self) -> Waiting | None:
        """Set when nothing was acknowledged for 2 s, or the broker does not answer a question."""
        return self._patience.waiting

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

    def _output_topics(self) -> Collection[str]:
        topics = self._topics
        events = {getattr(topics, output.topic) for output in OUTPUTS if not output.original}
        return events | {dead_letter_topic(getattr(topics, name), topics) for name in INPUT_TOPICS}

    def _known_logs(self) -> Sequence[Log]:
        if not self._partitions:
            self._partitions = self._logs.find(self._output_topics())
        return self._partitions

    def _remember(self, found: "Delivery[bytes, bytes]") -> None:
        """Take a record that stands in a topic already; what other programs wrote there is left alone."""
        topic = str(found.topic())
        dead_letter = topic.endswith(self._topics.dlq_suffix)
        trace = _trace_of_dead_letter(found) if dead_letter else trace_of(found.value() or b"")
        if trace is not None:
            self._earlier[topic].add(trace)

    def _stands_there(self, record: Stored, topic: str) -> bool:
        earlier = self._earlier.get(topic)
        return earlier is not None and earlier.met(record)

    def _check_connection(self) -> None:
        try:
            self._producer.list_topics(timeout=_CONNECT_SECONDS)
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
                self._look()
            except KafkaException as error:
                self._fail(error.args[0], outgoing.topic, outgoing.key)
                self._raise_failure()
            else:
                self._produced += 1
                self._ends_are_old = True
                return

    def _look(self) -> None:
        """Raise a failure that was reported; say so when no acknowledgements come."""
        self._raise_failure()
        queued = len(self._producer)
        if queued == 0 or self._produced - queued > self._acknowledged:
            self._acknowledged = max(self._acknowledged, self._produced - queued)
            self._moved_at = time.monotonic()
            self._last_error = None
            self._patience.over()
        elif (seconds := time.monotonic() - self._moved_at) > _SILENT_SECONDS:
            cause = f": {self._last_error.str()}" if self._last_error else ""
            self._patience.held_up(f"{self._name} acknowledges nothing{cause}", seconds)

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


def _trace_of_dead_letter(found: "Delivery[bytes, bytes]") -> Trace | None:
    """A dead letter has the bytes and headers that it came with; its id is made of the headers behind them."""
    headers = dict(found.headers() or [])
    try:
        partition, position = _text(headers["op_partition"]), _text(headers["op_position"])
        arrival = int(Instant.parse(_text(headers["op_arrival"]))) if "op_arrival" in headers else None
    except (KeyError, ValueError):
        return None
    return Trace(f"{partition}@{position}", arrival=arrival)


def _text(value: str | bytes | None) -> str:
    return value.decode() if isinstance(value, bytes) else str(value)
