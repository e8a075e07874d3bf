"""Raw records to Kafka from an event loop: each is awaited until every in-sync replica has it."""

import asyncio
import logging
import time
from collections import deque
from collections.abc import Callable, Collection
from functools import partial
from threading import Event, Thread
from typing import Any, Protocol

from confluent_kafka import KafkaError, KafkaException, Message, Producer

from config.settings import IntakeSettings, KafkaSettings
from sources.kafka_client import client_options, log, reason
from sources.reader import Waiting
from sources.webhooks.raw import RawRecord

# What an installation may change under [kafka.client].
_DEFAULTS: dict[str, Any] = {
    "client.id": "orderpulse-intake",
    "compression.type": "lz4",
    "linger.ms": 2,  # many callers share a request to the broker; each waits at most that much longer
    "partitioner": "murmur2_random",
    # Rather hold on to a delivery until its caller gives up than to fill memory with what nobody waits for.
    "queue.buffering.max.kbytes": 262_144,
}
_PROBE_SECONDS = 2.0
_LOOK_SECONDS = 5.0  # between two looks at a broker that nothing is written to
_LOOK_AGAIN_SECONDS = 0.5  # ... and at one that is away
_POLL_SECONDS = 0.2


class NotKeptError(Exception):
    """A record is not on the topic, as far as anyone knows. ``too_large``: it never will be."""

    def __init__(self, what: str, *, too_large: bool = False) -> None:
        super().__init__(what)
        self.what = what
        self.too_large = too_large


class RawTopics(Protocol):
    """Where raw records go."""

    @property
    def waiting(self) -> Waiting | None:
        """Why nothing can be kept now, or None. Safe to ask from any thread."""
        ...

    def keep(self, record: RawRecord) -> asyncio.Future[None]:
        """Hand a record over; the future is done when it is kept, or holds NotKeptError."""
        ...


class KafkaRawTopics:
    """Raw records to Kafka. Made inside of the event loop that uses it; ``close`` ends its threads.

    One thread serves what the broker reports, another looks whether the broker and the topics are there: ``waiting``
    is known before a caller has to wait in vain, and ends by itself.
    """

    def __init__(
        self,
        settings: KafkaSettings,
        intake: IntakeSettings,
        topics: Collection[str],
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._topics = frozenset(topics)
        self._clock = clock
        self._loop = asyncio.get_running_loop()
        self._settled: deque[tuple[asyncio.Future[None], KafkaError | None]] = deque()
        self._called = False
        self._closing = Event()
        self._heard_at = 0.0
        self.waiting: Waiting | None = None
        self._producer = Producer(_options(settings, intake), logger=log)
        self._threads = [
            Thread(target=self._serve, name="raw-topics", daemon=True),
            Thread(target=self._watch, name="raw-topics-watch", daemon=True),
        ]
        for thread in self._threads:
            thread.start()

    def keep(self, record: RawRecord) -> asyncio.Future[None]:
        """Hand a record over; see RawTopics."""
        outcome: asyncio.Future[None] = self._loop.create_future()
        outcome.add_done_callback(_looked_at)
        try:
            self._producer.produce(
                record.topic,
                record.value,
                record.key,
                headers=list(record.headers),
                on_delivery=partial(self._reported, outcome),
            )
        except BufferError:
            outcome.set_exception(NotKeptError("too many deliveries wait for the broker"))
        except KafkaException as error:
            outcome.set_exception(_not_kept(error.args[0]))
        return outcome

    def close(self) -> None:
        """Give up what is still under way, and let go of the broker. Callers have had their answers by now."""
        self._closing.set()
        for thread in self._threads:
            thread.join()
        self._producer.purge()
        self._producer.close()

    def _serve(self) -> None:
        while not self._closing.is_set():
            self._producer.poll(_POLL_SECONDS)

    def _reported(self, outcome: asyncio.Future[None], error: KafkaError | None, _: "Message[bytes, bytes]") -> None:
        """In the serving thread: collect, and wake the event loop once for all that came together."""
        self._settled.append((outcome, error))
        if error is None:
            self._heard_at = time.monotonic()
            self.waiting = None
        elif not _is_too_large(error):
            self._wait(error.str())
        if not self._called:
            self._called = True
            self._loop.call_soon_threadsafe(self._settle)

    def _settle(self) -> None:
        """In the event loop. The mark goes first: what is reported from now on wakes the loop again."""
        self._called = False
        while self._settled:
            outcome, error = self._settled.popleft()
            if outcome.done():  # its caller gave up
                continue
            if error is None:
                outcome.set_result(None)
            else:
                outcome.set_exception(_not_kept(error))

    def _watch(self) -> None:
        while True:
            if time.monotonic() - self._heard_at > _LOOK_SECONDS or self.waiting is not None:
                self._look()
            if self._closing.wait(_LOOK_AGAIN_SECONDS):
                return

    def _look(self) -> None:
        try:
            known = self._producer.list_topics(timeout=_PROBE_SECONDS).topics
        except KafkaException as error:
            self._wait(f"no answer from Kafka ({reason(error)})")
            return
        missing = sorted(self._topics.difference(known))
        if missing:
            self._wait(f"no topic {', '.join(missing)}: make it with `orderpulse intake topics`")
            return
        self._heard_at = time.monotonic()
        self.waiting = None

    def _wait(self, why: str) -> None:
        before = self.waiting
        self.waiting = Waiting(before.since_ms if before else round(self._clock() * 1000), why)
        if before is None:
            log.log(logging.WARNING, "webhook intake waits for the broker: %s", why)


def _looked_at(outcome: asyncio.Future[None]) -> None:
    """A failure that no caller waits for any more is no reason for a warning."""
    if not outcome.cancelled():
        outcome.exception()


def _options(settings: KafkaSettings, intake: IntakeSettings) -> dict[str, Any]:
    return {
        **_DEFAULTS,
        **client_options(settings),
        "enable.idempotence": True,
        "max.in.flight.requests.per.connection": 1,  # see sinks/kafka.py: more can lose records unnoticed
        "acks": "all",
        "message.timeout.ms": int(intake.acknowledge_within),
        "queue.buffering.max.messages": intake.queue,
        # The topic's limit decides; here a body with its headers has to fit.
        "message.max.bytes": 2 * intake.body_limit + 262_144,
    }


def _is_too_large(error: KafkaError) -> bool:
    return error.code() in {KafkaError.MSG_SIZE_TOO_LARGE, KafkaError.INVALID_RECORD}


def _not_kept(error: KafkaError) -> NotKeptError:
    return NotKeptError(error.str(), too_large=_is_too_large(error))
