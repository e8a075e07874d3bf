"""From the journal to the input topics, for as long as it takes."""

import logging
import time
from collections import deque
from collections.abc import Callable
from threading import Condition, Event, Thread
from typing import Protocol

import msgspec

from config.settings import KafkaSettings
from events.model import Event as Message
from events.topics import topic_of
from sources.fallback.journal import Entry, Place
from sources.reader import SourceError, Waiting
from sources.webhooks.patient_producer import PatientProducer

log = logging.getLogger("orderpulse.fallback")
_AT_ONCE = 200  # batches between two looks at what the broker has
_LOOK_SECONDS = 0.5
_PAUSE_SECONDS = 2.0
_ENCODER = msgspec.json.Encoder()


class Delivery(Protocol):
    """Takes over what stands in the journal."""

    @property
    def waiting(self) -> Waiting | None:
        """Why the broker gets nothing now, or None. Safe to ask from any thread."""
        ...

    def hand_over(self, entries: list[Entry], done: Callable[[], None]) -> None:
        """Deliver these too, in their order; ``done`` is called, in another thread, when the broker has them."""
        ...


class KafkaDelivery:
    """A thread that writes to the topics what it is handed; ``delivered`` is told up to which place it has come.

    A broker that is away, or a topic that is missing, holds it back; it goes on by itself.
    """

    def __init__(
        self, settings: KafkaSettings, delivered: Callable[[Place], None], clock: Callable[[], float] = time.time
    ) -> None:
        self._settings = settings
        self._delivered = delivered
        self._clock = clock
        self._queue: deque[tuple[Entry, Callable[[], None] | None]] = deque()
        self._changed = Condition()
        self._closing = Event()
        self._failure: Waiting | None = None
        self._producer: PatientProducer | None = None
        self._thread = Thread(target=self._run, name="fallback-delivery", daemon=True)
        self._thread.start()

    @property
    def waiting(self) -> Waiting | None:
        """Why the broker gets nothing now, or None."""
        producer = self._producer
        return self._failure or (producer.waiting if producer is not None else None)

    def hand_over(self, entries: list[Entry], done: Callable[[], None] | None = None) -> None:
        """Deliver these too; see Delivery."""
        with self._changed:
            self._queue.extend((entry, done if entry is entries[-1] else None) for entry in entries)
            self._changed.notify_all()

    def drain(self, seconds: float | None = None) -> bool:
        """Return when the broker has everything, False when that takes longer."""
        with self._changed:
            return self._changed.wait_for(lambda: not self._queue, seconds)

    def close(self) -> None:
        """Stop. What the broker does not have stays in the journal."""
        self._closing.set()
        with self._changed:
            self._changed.notify_all()
        self._thread.join()

    def _run(self) -> None:
        while not self._closing.is_set():
            with self._changed:
                self._changed.wait_for(lambda: bool(self._queue) or self._closing.is_set(), _LOOK_SECONDS)
                some = [self._queue[place] for place in range(min(_AT_ONCE, len(self._queue)))]
            if some:
                self._try(some)
        if self._producer is not None:
            self._producer.close()

    def _try(self, some: list[tuple[Entry, Callable[[], None] | None]]) -> None:
        try:
            if not self._write([entry for entry, _ in some]):
                return
            self._delivered(some[-1][0].end)
        except (SourceError, OSError) as error:
            since = self._failure.since_ms if self._failure else round(self._clock() * 1000)
            if self._failure is None:
                log.warning("fallback orders wait in the journal: %s", error)
            self._failure = Waiting(since, str(error))
            self._begin_anew()
            self._closing.wait(_PAUSE_SECONDS)
            return
        self._failure = None
        with self._changed:
            for _ in some:
                self._queue.popleft()
            self._changed.notify_all()
        for _, done in some:
            if done is not None:
                done()

    def _write(self, entries: list[Entry]) -> bool:
        producer = self._producer
        if producer is None:
            producer = self._producer = PatientProducer(
                self._settings, "orderpulse-fallback", self._closing.is_set, self._clock
            )
        for entry in entries:
            for taken in entry.orders:
                for message in (taken.order, taken.notice):
                    self._produce(producer, message, taken.order_id)
        return producer.flush()

    def _produce(self, producer: PatientProducer, message: Message, key: str) -> None:
        topic: str = getattr(self._settings.topics, topic_of(type(message)))
        producer.produce(topic, key, _ENCODER.encode(message), [])

    def _begin_anew(self) -> None:
        if self._producer is not None:
            self._producer.close()
            self._producer = None
