"""Writes a rule document where documents stand."""

from pathlib import Path

import msgspec

from config.settings import Settings
from console.errors import FailedError
from console.options import is_kafka
from events.model import RulePublished
from events.topics import rule_key

_ENCODER = msgspec.json.Encoder()


def publish_document(document: RulePublished, to: Path, settings: Settings) -> str:
    """Append it to a file of events, or put it onto the rules topic; returns where it stands now.

    Raises FailedError when it was not taken, and when somebody else has published that version at the same time.
    """
    return _to_topic(document, settings) if is_kafka(to) else _to_file(document, to)


def _to_file(document: RulePublished, path: Path) -> str:
    try:
        torn = path.exists() and path.stat().st_size > 0 and not path.read_bytes().endswith(b"\n")
        with path.open("ab") as file:
            file.write((b"\n" if torn else b"") + _ENCODER.encode(document) + b"\n")
    except OSError as error:
        raise FailedError(
            f"{path}: cannot be written: {error.strerror}", "name another file, or mend its rights"
        ) from error
    return str(path)


def _to_topic(document: RulePublished, settings: Settings) -> str:
    from confluent_kafka.admin import AdminClient

    from console.kafka_writer import KafkaWriter
    from console.rules_log import read_rules
    from sources.kafka_client import SETTLE_SECONDS, client_options, existing_topics, log, missing_topic

    topic, name = settings.kafka.topics.rules, rule_key(document)
    admin = AdminClient(client_options(settings.kafka), logger=log)
    if topic not in existing_topics(admin, settings.kafka, [topic], SETTLE_SECONDS):
        raise missing_topic(settings.kafka, topic)
    writer = KafkaWriter(settings.kafka)
    try:
        writer.write(name, topic, None, name.encode(), _ENCODER.encode(document), ())
        places = writer.flush()
        writer.check()
    finally:
        writer.close()
    for each in read_rules(Path("kafka"), settings, document.time).of(document.kind, document.rule):
        if each.document.version == document.version and each.document.id != document.id:
            raise FailedError(
                f"version {document.version} of {document.rule} was published by somebody else at the same moment "
                f"({each.place}), and one of the two has no effect",
                "see `orderpulse rules show`, and publish yours again: it gets the next version",
            )
    return places[name]
