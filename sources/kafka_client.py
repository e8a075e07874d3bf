"""What all Kafka clients of the sources share: connection settings, how partitions are named, first contact."""

import logging
import time
from collections.abc import Collection
from typing import Any, NamedTuple

from confluent_kafka import Consumer, KafkaException
from confluent_kafka.admin import AdminClient

from config.environment import UnsetVariableError, expand_all
from config.settings import KafkaSettings
from sources.reader import SourceError

ANSWER_SECONDS = 10.0
SETTLE_SECONDS = 3.0  # for which a topic that seems to be missing may just have been made
PAUSE_SECONDS = 0.1

CONNECTION = {
    # A connection that went silent is given up after that; the default, a minute, would let time stand for so long.
    "socket.timeout.ms": 10_000,
    "socket.keepalive.enable": True,
    "reconnect.backoff.max.ms": 2_000,
}

log = logging.getLogger("orderpulse.kafka")


class Partition(NamedTuple):
    """One log of a topic."""

    topic: str
    number: int

    def __str__(self) -> str:
        return f"{self.topic}/{self.number}"


def client_options(settings: KafkaSettings) -> dict[str, Any]:
    """The librdkafka options that every client needs; ``settings.client`` has the last word.

    Raises SourceError when an option refers to an environment variable that is not set.
    """
    try:
        return CONNECTION | {"bootstrap.servers": settings.bootstrap} | expand_all(settings.client)
    except UnsetVariableError as error:
        raise SourceError(
            f"the environment variable {error.name} is not set",
            "kafka.client",
            f"set it, or write the value without ${{{error.name}}}",
        ) from error


def existing_topics(
    client: AdminClient | Consumer, settings: KafkaSettings, wanted: Collection[str] = (), patience: float = 0.0
) -> dict[str, list[int]]:
    """The partition numbers of each topic whose partitions all have a leader.

    A topic made a moment ago may not be known to every broker: up to ``patience`` seconds are spent until the
    ``wanted`` ones are there. Raises SourceError when no broker answers.
    """
    deadline = time.monotonic() + patience
    while True:
        found = _topics_with_leaders(client, settings)
        if found.keys() >= set(wanted) or time.monotonic() > deadline:
            return found
        time.sleep(PAUSE_SECONDS)


def _topics_with_leaders(client: AdminClient | Consumer, settings: KafkaSettings) -> dict[str, list[int]]:
    try:
        topics = client.list_topics(timeout=ANSWER_SECONDS).topics
    except KafkaException as error:
        raise no_answer(settings, error) from error
    return {
        name: sorted(topic.partitions)
        for name, topic in topics.items()
        if topic.partitions and all(partition.leader >= 0 for partition in topic.partitions.values())
    }


def no_answer(settings: KafkaSettings, error: KafkaException) -> SourceError:
    """The error for a cluster that cannot be reached or does not answer."""
    return SourceError(
        f"no answer from Kafka ({reason(error)})",
        settings.bootstrap,
        "check kafka.bootstrap, that a broker runs there, and the security options in kafka.client",
        passing=True,
    )


def reason(error: KafkaException) -> str:
    """The text of the error inside an exception."""
    return str(error.args[0].str()) if error.args else str(error)


def missing_topic(settings: KafkaSettings, name: str) -> SourceError:
    """The error for a topic that is not there."""
    return SourceError(
        f"the topic {name} does not exist, or a partition of it has no leader",
        settings.bootstrap,
        "make it with `orderpulse topics create`, correct its name in kafka.topics, or start the broker that holds it",
        passing=True,
    )
