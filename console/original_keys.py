"""The keys that dead letters came with. A letter does not hold its key, but the log that it names does."""

import time
from collections.abc import Iterable

from confluent_kafka import Consumer, KafkaException, Message, TopicPartition

from config.settings import KafkaSettings
from console.letters import Letter
from sources.kafka_client import ANSWER_SECONDS, Partition, client_options, log, no_answer

_NEAR = 2_000  # offsets: reading over so many is quicker than beginning anew behind them
_POLL_SECONDS = 0.5


class OriginalKeys:
    """Looks records up in their logs, by offset; it belongs to no consumer group and stores no position."""

    def __init__(self, settings: KafkaSettings) -> None:
        self._settings = settings
        self._consumer = Consumer(
            client_options(settings)
            | {
                "group.id": f"{settings.group}-dead-letters",  # the client asks for a name; none is joined
                "enable.auto.commit": False,
                "enable.auto.offset.store": False,
                "enable.partition.eof": True,
                "auto.offset.reset": "error",
                "allow.auto.create.topics": False,
            },
            logger=log,
        )
        self._bounds: dict[Partition, tuple[int, int]] = {}
        self._at: tuple[Partition, int] | None = None

    def of(self, letters: Iterable[Letter]) -> dict[str, bytes | None]:
        """Letter id -> key, for those whose record still stands in its log; the key may be None there.

        Raises SourceError when the cluster does not answer.
        """
        wanted = [(place, letter) for letter in letters if (place := place_of(letter)) is not None]
        found: dict[str, bytes | None] = {}
        try:
            for partition, letter in sorted(wanted, key=lambda each: (each[0], each[1].position)):
                message = self._message(partition, letter.position)
                if message is not None and (message.value() or b"") == letter.payload:
                    found[letter.id] = _bytes(message.key())
        except KafkaException as error:
            raise no_answer(self._settings, error) from error
        return found

    def close(self) -> None:
        """Disconnect."""
        self._consumer.close()

    def _message(self, partition: Partition, offset: int) -> "Message[bytes, bytes] | None":
        if partition not in self._bounds:
            self._bounds[partition] = self._consumer.get_watermark_offsets(
                TopicPartition(*partition), timeout=ANSWER_SECONDS
            )
        low, high = self._bounds[partition]
        if not low <= offset < high:
            return None
        if self._at is None or self._at[0] != partition or not 0 <= offset - self._at[1] <= _NEAR:
            self._consumer.assign([TopicPartition(*partition, offset)])
        give_up_at = time.monotonic() + ANSWER_SECONDS
        while time.monotonic() < give_up_at:
            message = self._consumer.poll(_POLL_SECONDS)
            if message is None:
                continue
            if message.error() is not None:
                break
            here = message.offset()
            if here is not None and here >= offset:
                self._at = (partition, here + 1)
                return message if here == offset else None
        self._at = None
        return None


def place_of(letter: Letter) -> Partition | None:
    """The Kafka partition in which the letter stood; None for one that came from a file."""
    topic, _, number = letter.partition.rpartition("/")
    return Partition(topic, int(number)) if topic == letter.topic and number.isdigit() else None


def _bytes(key: bytes | str | None) -> bytes | None:
    return key.encode() if isinstance(key, str) else key
