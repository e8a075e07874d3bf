"""How records look outside: one JSON encoding for files and topics, CloudEvents headers on topics.

A record's bytes depend on what it says alone, so two runs can be compared line by line.
"""

import base64

import msgspec
from msgspec import Struct

from config.settings import TopicSettings
from config.units import Instant
from events.records import DeadLetterRecord, ReadModelOnly, Record
from events.topics import CE_SOURCE, OUTPUTS

# Keys of free-form parts (evidence, old and new values) are sorted: how they were put in must not show.
ENCODER = msgspec.json.Encoder(order="deterministic")

Headers = list[tuple[str, str | bytes | None]]  # as the client's type has it; all values here are bytes


class Message(Struct, frozen=True, gc=False):
    """One record as Kafka takes it."""

    topic: str
    key: str
    value: bytes
    headers: Headers


_OUTPUTS = {output.record: output for output in OUTPUTS}
_FIXED_HEADERS: dict[type, Headers] = {
    output.record: [
        ("content-type", b"application/json"),
        ("ce_specversion", b"1.0"),
        ("ce_source", CE_SOURCE.encode()),
        ("ce_type", output.ce_type.encode()),
    ]
    for output in OUTPUTS
    if not output.original
}


def dead_letter_topic(topic: str, topics: TopicSettings) -> str:
    """Where the dead letters of an input topic go."""
    return topic + topics.dlq_suffix


def message(record: Record, topics: TopicSettings) -> Message | None:
    """The record as a message, a CloudEvent in binary mode; None for what is for the read model alone.

    A dead letter is no CloudEvent: it keeps the bytes and headers that it came with, so that a repaired reader can
    read it again. What was wrong with it stands in headers ``op_*`` behind them.
    """
    if isinstance(record, ReadModelOnly):
        return None
    output = _OUTPUTS[type(record)]
    key: str = getattr(record, output.key)
    if isinstance(record, DeadLetterRecord):
        topic = dead_letter_topic(record.topic, topics)
        return Message(topic, key, base64.b64decode(record.payload), _dead_letter_headers(record))
    headers = [
        *_FIXED_HEADERS[type(record)],
        ("ce_id", record.id.encode()),
        ("ce_subject", key.encode()),
        ("ce_time", str(Instant(record.time)).encode()),
    ]
    return Message(getattr(topics, output.topic), key, ENCODER.encode(record), headers)


def _dead_letter_headers(record: DeadLetterRecord) -> Headers:
    headers: Headers = [
        # The record holds header values as base64, like the payload: they need not be text.
        (name, None if value is None else base64.b64decode(value))
        for name, value in record.headers
    ]
    headers += [
        ("op_reason", record.reason.encode()),
        ("op_detail", record.detail.encode()),
        ("op_remedy", record.remedy.encode()),
        ("op_partition", record.partition.encode()),
        ("op_position", str(record.position).encode()),
    ]
    if record.arrival is not None:
        headers.append(("op_arrival", str(Instant(record.arrival)).encode()))
    return headers
