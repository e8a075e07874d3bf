"""What all Kafka clients of the sources share: connection settings, how partitions are named, first contact."""

import logging
from typing import Any, NamedTuple

from confluent_kafka import Consumer, KafkaException
from confluent_kafka.admin import AdminClient

from config.environment import UnsetVariableError, expand_all
from config.settings import KafkaSettings
from sources.reader import SourceError

ANSWER_SECONDS = 10.0

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
        return {"bootstrap.servers": settings.bootstrap} | expand_all(settings.client)
    except UnsetVariableError as error:
        raise SourceError(
            f"the environment variable {error.name} is not set",
            "kafka.client",
            f"set it, or write the value without ${{{error.name}}}",
        ) from error


def existing_topics(client: AdminClient | Consumer, settings: KafkaSettings) -> dict[str, list[int]]:
    """The partition numbers of each topic that is there now. Raises SourceError when no broker answers."""
    try:
        topics = client.list_topics(timeout=ANSWER_SECONDS).topics
    except KafkaException as error:
        raise no_answer(settings, error) from error
    return {name: sorted(topic.partitions) for name, topic in topics.items()}


def no_answer(settings: KafkaSettings, error: KafkaException) -> SourceError:
    """The error for a cluster that cannot be reached or does not answer."""
    return SourceError(
        f"no answer from Kafka ({reason(error)})",
        settings.bootstrap,
        "check kafka.bootstrap, that a broker runs there, and the security options in kafka.client",
    )


def reason(error: KafkaException) -> str:
    """The text of the error inside an exception."""
    return str(error.args[0].str()) if error.args else str(error)
