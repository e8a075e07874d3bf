"""Which topic an event is read from and a record is written to, and by which key its order is kept."""

from dataclasses import dataclass
from typing import Literal

from msgspec import Struct

from events.model import EVENT_TYPES, Event, RulePublished, type_name
from events.records import (
    AlertRecord,
    DeadLetterRecord,
    DiffRecord,
    HoldRecord,
    LateRecord,
    VersionRecord,
)

InputTopic = Literal["orders", "behaviour", "actions", "rules"]
INPUT_TOPICS: tuple[InputTopic, ...] = ("orders", "behaviour", "actions", "rules")

# The first word of an event's type decides, so a new type of a known family needs no entry here.
_TOPIC_OF_FAMILY: dict[str, InputTopic] = {
    "order": "orders",
    "payment": "orders",
    "system": "orders",
    "logistics": "orders",
    "waybill": "orders",
    "behaviour": "behaviour",
    "review": "actions",
    "fallback": "actions",
    "buyer": "actions",
    "alert": "actions",
    "job": "actions",
    "contract": "actions",
    "rule": "rules",
}

_TOPIC_OF_KIND: dict[type[Event], InputTopic] = {
    kind: _TOPIC_OF_FAMILY[type_name(kind).partition(".")[0]] for kind in EVENT_TYPES
}


CE_SOURCE = "/orderpulse"

# What stands behind the headers that a dead letter came with, by name.
DEAD_LETTER_HEADERS: dict[str, str] = {
    "op_reason": "Why it could not be used, as a word for programs.",
    "op_detail": "The same in a sentence, with the field.",
    "op_remedy": "What to do about it.",
    "op_partition": "The topic and partition, or the file, it stood in.",
    "op_position": "Where it stood: offset in Kafka, byte offset in a file.",
    "op_arrival": "When it arrived, as RFC 3339 in UTC; absent where the log does not say.",
}
OPTIONAL_DEAD_LETTER_HEADERS = frozenset({"op_arrival"})


@dataclass(frozen=True)
class Output:
    """One kind of output record on its way out.

    ``file`` is its name in a directory of results. ``topic`` is its entry in ``[kafka.topics]``; ``dlq_suffix`` is
    appended to the name of each input topic. ``key`` names the record's field that is the Kafka key and the CloudEvents
    subject. ``original``: in Kafka no CloudEvent, but the bytes and headers that came in.
    """

    name: str
    record: type[Struct]
    file: str
    topic: str
    key: str
    compacted: bool = False
    original: bool = False

    @property
    def ce_type(self) -> str:
        """The CloudEvents type, e.g. ``orderpulse.alert.v1``."""
        return f"orderpulse.{self.name}.v1"


OUTPUTS: tuple[Output, ...] = (
    Output("alert", AlertRecord, "alerts.ndjson", topic="alerts", key="entity_id"),
    Output("hold", HoldRecord, "holds.ndjson", topic="holds", key="order_id", compacted=True),
    Output("version", VersionRecord, "versions.ndjson", topic="versions", key="order_id"),
    Output("diff", DiffRecord, "diffs.ndjson", topic="diffs", key="order_id"),
    Output("late", LateRecord, "late.ndjson", topic="late", key="entity_id"),
    Output("dead_letter", DeadLetterRecord, "dead_letters.ndjson", topic="dlq_suffix", key="partition", original=True),
)


def topic_of(kind: type[Event]) -> InputTopic:
    """The input topic that events of this class stand in; raises ValueError for a class that is no input event."""
    try:
        return _TOPIC_OF_KIND[kind]
    except KeyError:
        raise ValueError(f"{kind.__name__} is not in events.model.EVENT_TYPES, so no topic carries it") from None


def kinds_of(topic: InputTopic) -> tuple[type[Event], ...]:
    """The event classes that stand in this topic, in the order of ``EVENT_TYPES``."""
    return tuple(kind for kind in EVENT_TYPES if _TOPIC_OF_KIND[kind] == topic)


def rule_key(event: RulePublished) -> str:
    """The Kafka key of a rule document: compaction leaves each version of each rule."""
    return f"{event.kind}/{event.rule}/{event.version}"
