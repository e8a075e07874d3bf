"""The topics that a flow needs: makes those that are missing and leaves those that exist as they are."""

from collections.abc import Sequence

from confluent_kafka import KafkaError, KafkaException
from confluent_kafka.admin import AdminClient, ConfigResource  # type: ignore[attr-defined]  # public all the same
from confluent_kafka.cimpl import NewTopic
from msgspec import Struct

from config.settings import KafkaSettings, TopicSettings
from events.topics import INPUT_TOPICS, OUTPUTS, Output
from sources.kafka_client import (
    ANSWER_SECONDS,
    SETTLE_SECONDS,
    client_options,
    existing_topics,
    log,
    missing_topic,
    no_answer,
    reason,
)
from sources.reader import SourceError

FOREVER = -1

# A record may hold 1 MiB. An input topic takes twice that, so that a larger one comes to the flow and is a dead letter
# with its remedy, and does not fail at its sender alone.
INPUT_BYTES = 2 << 20
# A version names the old and the new value of what one event changed.
OUTPUT_BYTES = 4 << 20
# A topic's limit counts what the sender compressed. A dead letter is compressed anew, not as tightly, and has headers
# of its own.
DEAD_LETTER_BYTES = 32 << 20


class TopicPlan(Struct, frozen=True):
    """A topic to make, with the settings in which it differs from the broker's defaults.

    ``partitions``: as many as the settings say, unless told.
    """

    name: str
    config: dict[str, str]
    partitions: int | None = None


class TopicReport(Struct, frozen=True):
    """What became of a planned topic: made now, or there already with that many partitions."""

    name: str
    created: bool
    partitions: int


class TopicFacts(Struct, frozen=True):
    """What a loader must know of a topic. ``retention``: ms, -1: for ever. ``broker_stamps``: LogAppendTime."""

    partitions: int
    retention: int
    broker_stamps: bool


def planned_topics(
    settings: KafkaSettings, *, retention: int = FOREVER, broker_stamps: bool = False
) -> list[TopicPlan]:
    """Inputs, their dead letters, and outputs.

    ``retention`` (ms) is that of the inputs: a backfill can go back as far as they reach. ``broker_stamps``: the
    broker's clock, not the producer's, gives the arrival of input records; right for live production, wrong for topics
    that are filled from files. A dead letter always fits where its record did.
    """
    topics = settings.topics
    inputs = [str(getattr(topics, name)) for name in INPUT_TOPICS]
    input_config = {
        "max.message.bytes": str(INPUT_BYTES),
        "retention.ms": str(retention),
        "message.timestamp.type": "LogAppendTime" if broker_stamps else "CreateTime",
        # Records carry the time of their events; what lies too far ahead is judged by the flow, not refused here.
        "message.timestamp.after.max.ms": str(2**63 - 1),
    }
    dead_letter_config = {"max.message.bytes": str(DEAD_LETTER_BYTES), "retention.ms": str(FOREVER)}
    # Rules are few, and each version of one has a key of its own, so that all of them stay.
    rules = TopicPlan(topics.rules, input_config | {"cleanup.policy": "compact", "retention.ms": str(FOREVER)}, 1)
    return [
        *(TopicPlan(name, input_config) for name in inputs if name != topics.rules),
        rules,
        *(_planned_output(output, topics) for output in OUTPUTS if not output.original),
        *(TopicPlan(f"{name}{topics.dlq_suffix}", dead_letter_config) for name in inputs),
    ]


def _planned_output(output: Output, topics: TopicSettings) -> TopicPlan:
    config = {"max.message.bytes": str(OUTPUT_BYTES)}
    if output.compacted:
        config["cleanup.policy"] = "compact"
    return TopicPlan(getattr(topics, output.topic), config)


def create_topics(
    settings: KafkaSettings, *, retention: int = FOREVER, broker_stamps: bool = False
) -> list[TopicReport]:
    """Makes the planned topics that are missing; see ``planned_topics``. Existing ones are reported and left alone.

    Raises SourceError when the cluster does not answer or refuses a topic.
    """
    return create_planned(settings, planned_topics(settings, retention=retention, broker_stamps=broker_stamps))


def create_planned(settings: KafkaSettings, plans: Sequence[TopicPlan]) -> list[TopicReport]:
    """Makes those of some topics that are missing; existing ones are reported and left alone.

    Raises SourceError when the cluster does not answer or refuses a topic.
    """
    admin = AdminClient(client_options(settings), logger=log)
    existing = existing_topics(admin, settings)
    created = _create(admin, settings, [plan for plan in plans if plan.name not in existing])
    known = existing_topics(admin, settings, [plan.name for plan in plans], ANSWER_SECONDS)
    return [TopicReport(plan.name, plan.name in created, len(known.get(plan.name, ()))) for plan in plans]


def topic_facts(settings: KafkaSettings, names: Sequence[str]) -> dict[str, TopicFacts]:
    """Partitions, retention and clock of existing topics. Raises SourceError for one that is missing."""
    admin = AdminClient(client_options(settings), logger=log)
    existing = existing_topics(admin, settings, names, SETTLE_SECONDS)
    for name in names:
        if name not in existing:
            raise missing_topic(settings, name)
    resources = [ConfigResource(ConfigResource.Type.TOPIC, name) for name in names]
    facts = {}
    try:
        for resource, answer in admin.describe_configs(resources, request_timeout=ANSWER_SECONDS).items():
            config = answer.result()
            facts[resource.name] = TopicFacts(
                partitions=len(existing[resource.name]),
                retention=int(config["retention.ms"].value),
                broker_stamps=config["message.timestamp.type"].value == "LogAppendTime",
            )
    except KafkaException as error:
        raise no_answer(settings, error) from error
    return facts


def _create(admin: AdminClient, settings: KafkaSettings, plans: Sequence[TopicPlan]) -> set[str]:
    """Asks for topics and gives the names of those that were made; another process may have been faster."""
    if not plans:
        return set()
    topics = [
        NewTopic(
            plan.name,
            num_partitions=plan.partitions or settings.partitions,
            replication_factor=settings.replication,
            config=plan.config,
        )
        for plan in plans
    ]
    created = set()
    for name, answer in admin.create_topics(topics, request_timeout=ANSWER_SECONDS).items():
        try:
            answer.result()
            created.add(name)
        except KafkaException as error:
            if error.args[0].code() != KafkaError.TOPIC_ALREADY_EXISTS:
                raise SourceError(
                    f"the topic {name} was not made: {reason(error)}",
                    settings.bootstrap,
                    "check kafka.partitions, kafka.replication (not above the number of brokers) and your rights",
                ) from error
    return created
