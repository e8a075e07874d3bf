"""What ``orderpulse doctor`` asks Kafka: the brokers, the topics and their settings, the broker's clock."""

import time
import uuid
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from confluent_kafka import KafkaException, Producer, TopicPartition
from confluent_kafka.admin import AdminClient, ConfigResource, OffsetSpec  # type: ignore[attr-defined]  # public all the same
from confluent_kafka.cimpl import NewTopic

from config.settings import Settings
from config.units import Duration
from console.output import some
from console.status import Check
from events.topics import INPUT_TOPICS
from sources.kafka_client import ANSWER_SECONDS, client_options, existing_topics, log, reason
from sources.reader import SourceError
from sources.topics import TopicPlan, planned_topics

Configs = Mapping[str, Mapping[str, str]]

_DAY = 86_400_000
_CLOCKS_APART_MS = 2_000
_PROBE_SECONDS = 15.0
# A setting that brokers know since a version; they do not tell the version itself.
_KNOWN_SINCE = (
    ("sasl.oauthbearer.assertion.algorithm", (4, 1)),
    ("group.share.assignors", (4, 0)),
    ("controller.quorum.bootstrap.servers", (3, 9)),
    ("log.message.timestamp.after.max.ms", (3, 6)),
    ("process.roles", (2, 8)),
)
_OLDEST = (3, 6)
_ONE_CLOCK = "let both follow one time server (chrony, ntpd): this host's clock carries silent partitions"
_CREATE = "make it with `orderpulse topics create`, or correct its name in [kafka.topics]"


def examine_kafka(
    settings: Settings, processes: int, *, to_topics: bool, probe: bool, now: Callable[[], float] = time.time
) -> Iterator[Check]:
    """Whether a run can read its inputs and, ``to_topics``, write its outputs there; ``probe``: by doing it.

    ``now``: this host's clock, in seconds.
    """
    try:
        options = client_options(settings.kafka)
        admin = AdminClient(options, logger=log)
        partitions = existing_topics(admin, settings.kafka)
    except SourceError as error:
        yield Check("broker", "wrong", f"{error.where}: {error.what}", error.remedy)
        return
    except KafkaException as error:
        yield Check("broker", "wrong", f"kafka.client: {reason(error)}", "correct [kafka.client]")
        return
    yield from _broker(admin, settings)
    inputs = [str(getattr(settings.kafka.topics, name)) for name in INPUT_TOPICS]
    plans = [plan for plan in planned_topics(settings.kafka) if to_topics or plan.name in inputs]
    yield from _existence(plans, partitions)
    yield from _partitions([len(partitions.get(name, ())) for name in inputs], processes)
    yield from _topic_settings(admin, settings, [plan for plan in plans if plan.name in partitions], inputs)
    if probe:
        yield from _probe(admin, options, now)
    else:
        yield from _stamped_ahead(admin, {name: partitions.get(name, []) for name in inputs}, now)


def _broker(admin: AdminClient, settings: Settings) -> Iterator[Check]:
    place = settings.kafka.bootstrap
    try:
        cluster = admin.describe_cluster(request_timeout=ANSWER_SECONDS).result()
        resource = ConfigResource(ConfigResource.Type.BROKER, str(cluster.nodes[0].id))
        config = admin.describe_configs([resource], request_timeout=ANSWER_SECONDS)[resource].result()
    except KafkaException as error:
        what = f"{place} answers, but tells nothing of its settings: {reason(error)}"
        yield Check("broker", "warning", what, "allow Describe and DescribeConfigs on the cluster, or look by hand")
        return
    count = some(len(cluster.nodes), "broker")
    version = next((since for name, since in _KNOWN_SINCE if name in config), None)
    if version is None or version < _OLDEST:
        what = f"{place}: {count}, older than Kafka {'.'.join(map(str, _OLDEST))}"
        yield Check("broker", "warning", what, "update it: `orderpulse topics create` sets what it does not know")
    else:
        yield Check("broker", "ok", f"{place}: {count}, Kafka {'.'.join(map(str, version))} or later")
    if settings.kafka.replication > len(cluster.nodes):
        what = f"kafka.replication is {settings.kafka.replication}, and there are {count}"
        yield Check("broker", "wrong", what, "lower kafka.replication, or start more brokers")


def _existence(plans: list[TopicPlan], partitions: Mapping[str, list[int]]) -> Iterator[Check]:
    missing = [plan.name for plan in plans if plan.name not in partitions]
    for name in missing:
        yield Check("topics", "wrong", f"{name} does not exist, or a partition of it has no leader", _CREATE)
    if not missing:
        yield Check("topics", "ok", f"all {len(plans)} are there")


def _partitions(counts: list[int], processes: int) -> Iterator[Check]:
    total = sum(counts)
    if total and total < processes:
        what = f"{some(total, 'partition')} of inputs for {processes} processes: some read nothing"
        yield Check("partitions", "warning", what, "give the inputs more partitions, or run fewer processes")
    elif total:
        yield Check("partitions", "ok", f"{', '.join(map(str, counts))} of {', '.join(INPUT_TOPICS)}")


def _topic_settings(
    admin: AdminClient, settings: Settings, plans: list[TopicPlan], inputs: list[str]
) -> Iterator[Check]:
    try:
        configs = _describe(admin, [plan.name for plan in plans])
    except KafkaException as error:
        what = f"the topics' settings cannot be seen: {reason(error)}"
        yield Check("topic settings", "warning", what, "allow DescribeConfigs on the topics, or look by hand")
        return
    found = []
    for plan in plans:
        config = configs[plan.name]
        if plan.name in inputs:
            found += [*_retention(plan.name, config, settings), *_stamps(plan.name, config, settings)]
        elif plan.name.endswith(settings.kafka.topics.dlq_suffix):
            found += _kept_for_ever(plan.name, config)
        found += [*_cleanup(plan, config), *_sizes(plan, config)]
    yield from found
    if not found and plans:
        yield Check("topic settings", "ok", "retention, clean-up, sizes and timestamps are in order")


def _describe(admin: AdminClient, names: list[str]) -> Configs:
    resources = [ConfigResource(ConfigResource.Type.TOPIC, name) for name in names]
    if not resources:
        return {}
    answers = admin.describe_configs(resources, request_timeout=ANSWER_SECONDS)
    return {
        resource.name: {name: str(entry.value) for name, entry in answer.result().items()}
        for resource, answer in answers.items()
    }


def _retention(topic: str, config: Mapping[str, str], settings: Settings) -> Iterator[Check]:
    """A restart reads from the newest snapshot on: the log must reach back over the longest outage, and further."""
    kept = int(config["retention.ms"])
    if 0 <= kept < _DAY:
        too_short = kept <= settings.recovery.keep
        what = f"{topic}: records are kept for {Duration(kept)}; a longer outage loses what was not read"
        remedy = f"kafka-configs --alter --topic {topic} --add-config retention.ms={7 * _DAY}, or -1 for ever"
        yield Check("retention", "wrong" if too_short else "warning", what, remedy)
    if int(config["retention.bytes"]) >= 0:
        what = f"{topic}: records are deleted from {int(config['retention.bytes']) >> 20} MiB on, read or not"
        remedy = f"kafka-configs --alter --topic {topic} --add-config retention.bytes=-1"
        yield Check("retention", "warning", what, remedy)


def _stamps(topic: str, config: Mapping[str, str], settings: Settings) -> Iterator[Check]:
    """Arrival decides about lateness; see docs/time.md."""
    by_broker = config["message.timestamp.type"] == "LogAppendTime"
    if not by_broker and settings.time.arrival == "record":
        what = f"{topic}: message.timestamp.type is CreateTime, so producers' clocks decide what is late"
        remedy = "for live production set LogAppendTime (`orderpulse topics create --broker-stamps`)"
        yield Check("timestamps", "warning", what, remedy)
    ahead = int(config.get("message.timestamp.after.max.ms", 2**63 - 1))
    if not by_broker and ahead < settings.time.future_tolerance:
        what = f"{topic}: the broker refuses records over {Duration(ahead)} ahead, before the flow can say why"
        remedy = "raise message.timestamp.after.max.ms above time.future_tolerance"
        yield Check("timestamps", "warning", what, remedy)


def _kept_for_ever(topic: str, config: Mapping[str, str]) -> Iterator[Check]:
    kept = int(config["retention.ms"])
    if kept >= 0:
        what = f"{topic}: dead letters are deleted after {Duration(kept)}"
        yield Check("retention", "warning", what, f"set retention.ms=-1 on {topic}, or replay them in time")


def _cleanup(plan: TopicPlan, config: Mapping[str, str]) -> Iterator[Check]:
    compacted, wanted = "compact" in config["cleanup.policy"], plan.config.get("cleanup.policy") == "compact"
    if wanted and not compacted:
        what = f"{plan.name}: cleanup.policy is {config['cleanup.policy']}: what stands for long is deleted"
        yield Check("clean-up", "wrong", what, f"set cleanup.policy=compact on {plan.name}")
    elif wanted and "delete" in config["cleanup.policy"] and int(config["retention.ms"]) >= 0:
        what = f"{plan.name}: what is older than {Duration(int(config['retention.ms']))} is deleted"
        yield Check("clean-up", "wrong", what, f"set cleanup.policy=compact alone on {plan.name}")
    elif compacted and not wanted:
        what = f"{plan.name}: cleanup.policy is {config['cleanup.policy']}: all but the newest record of a key are lost"
        yield Check("clean-up", "wrong", what, f"set cleanup.policy=delete on {plan.name}")


def _sizes(plan: TopicPlan, config: Mapping[str, str]) -> Iterator[Check]:
    allowed, wanted = int(config["max.message.bytes"]), int(plan.config["max.message.bytes"])
    if allowed < wanted:
        what = f"{plan.name}: max.message.bytes is {allowed:,}; a larger record would stop the flow or its sender"
        yield Check("sizes", "warning", what, f"set max.message.bytes={wanted} on {plan.name}")


def _stamped_ahead(
    admin: AdminClient, partitions: Mapping[str, list[int]], now: Callable[[], float]
) -> Iterator[Check]:
    """A record that the broker stamped later than now shows a clock ahead; one behind shows in a probe only."""
    try:
        configs = _describe(admin, [name for name, numbers in partitions.items() if numbers])
    except KafkaException:  # what cannot be seen was said above
        return
    newest = {
        TopicPartition(name, number): OffsetSpec.max_timestamp()  # type: ignore[no-untyped-call]
        for name, config in configs.items()
        if config["message.timestamp.type"] == "LogAppendTime"
        for number in partitions[name]
    }
    stamps, refused = [], {}
    # Each partition answers for itself: one that was just made has no leader for a moment, and the others still tell.
    for partition, answer in (admin.list_offsets(newest, request_timeout=ANSWER_SECONDS) if newest else {}).items():
        try:
            stamps.append(answer.result().timestamp)
        except KafkaException as error:
            refused[f"{partition.topic}[{partition.partition}]"] = reason(error)
    off = max(stamps, default=0) - round(now() * 1000)
    if off > _CLOCKS_APART_MS:
        yield Check(
            "clock of the broker", "wrong", f"it is at least {off / 1000:.1f} s ahead of this host's", _ONE_CLOCK
        )
    elif refused:
        where, why = next(iter(refused.items()))
        what = f"{some(len(refused), 'partition')} did not tell when the newest record came, {where} first: {why}"
        yield Check(
            "clock of the broker", "warning", what, "ask again; if it stays, look for a leader of the partition"
        )


def _probe(admin: AdminClient, options: dict[str, Any], now: Callable[[], float]) -> Iterator[Check]:
    """Writes a record into a topic of its own, which the broker stamps with its clock, and deletes the topic."""
    topic = f"orderpulse.doctor.{uuid.uuid4().hex[:12]}"
    new = NewTopic(topic, num_partitions=1, replication_factor=-1, config={"message.timestamp.type": "LogAppendTime"})
    try:
        admin.create_topics([new], request_timeout=ANSWER_SECONDS)[topic].result()
    except KafkaException as error:
        what = f"no topic can be made: {reason(error)}"
        yield Check("probe", "warning", what, "give the account the right Create, or leave --probe out")
        return
    try:
        yield _written(topic, options, now)
    finally:
        admin.delete_topics([topic], request_timeout=ANSWER_SECONDS)[topic].exception()


def _written(topic: str, options: dict[str, Any], now: Callable[[], float]) -> Check:
    answers: list[tuple[Any, int]] = []
    producer = Producer({"message.timeout.ms": int(_PROBE_SECONDS * 1000)} | options | {"acks": "all"}, logger=log)
    producer.produce(topic, b"warm", on_delivery=lambda error, _: None)  # the first one waits for connections
    producer.flush(_PROBE_SECONDS)
    before = now()
    producer.produce(topic, b"clock", on_delivery=lambda error, sent: answers.append((error, sent.timestamp()[1])))
    producer.flush(_PROBE_SECONDS)
    here = (before + now()) / 2 * 1000
    if not answers or answers[0][0] is not None:
        why = answers[0][0].str() if answers else "no acknowledgement"
        return Check(
            "probe", "wrong", f"a record was not taken: {why}", "check the brokers' log and the rights to write"
        )
    off = round(answers[0][1] - here)
    if abs(off) > _CLOCKS_APART_MS:
        what = f"the broker's clock is {abs(off) / 1000:.1f} s {'ahead of' if off > 0 else 'behind'} this host's"
        return Check("clock of the broker", "wrong", what, _ONE_CLOCK)
    return Check("clock of the broker", "ok", f"{off} ms off this host's; records are taken")
