"""Canonical events to the input topics, and dead letters beside the raw ones."""

from collections.abc import Callable
from typing import Protocol

import msgspec

from config.settings import TopicSettings
from events.model import Event
from events.records import DeadLetterRecord
from events.topics import topic_of
from sources.webhooks.patient_producer import PatientProducer

_KEYS = ("order_id", "customer_id", "entity_id")
_ENCODER = msgspec.json.Encoder()


class Outgoing(Protocol):
    """A message as it goes to Kafka."""

    @property
    def topic(self) -> str:
        """Where it goes."""
        ...

    @property
    def key(self) -> str:
        """What keeps it in order with others."""
        ...

    @property
    def value(self) -> bytes:
        """What it says."""
        ...

    @property
    def headers(self) -> list[tuple[str, str | bytes | None]]:
        """What is said about it."""
        ...


DeadLetterForm = Callable[[DeadLetterRecord], Outgoing]


class MappedTopics:
    """Writes what the mapping gives."""

    def __init__(self, topics: TopicSettings, dead_letter_form: DeadLetterForm, producer: PatientProducer) -> None:
        self._topics = topics
        self._dead_letter_form = dead_letter_form
        self._producer = producer

    def event(self, event: Event) -> None:
        """Hand an event over to its topic, keyed by what it is about."""
        topic: str = getattr(self._topics, topic_of(type(event)))
        key = next((value for field in _KEYS if (value := getattr(event, field, None))), None)
        self._producer.produce(topic, key, _ENCODER.encode(event), [])

    def dead_letter(self, letter: DeadLetterRecord) -> None:
        """Hand a dead letter over."""
        out = self._dead_letter_form(letter)
        self._producer.produce(out.topic, out.key, out.value, out.headers)

    def flush(self) -> bool:
        """Return when the broker has everything; False when that was given up. Raises SourceError."""
        return self._producer.flush()
