"""Output records: what OrderPulse writes, one typed message per topic.

Every record has an ``id`` that is made from what it says, never from when or where it was computed: the same events
give the same ids.
"""

from typing import Annotated, Any, Literal

from msgspec import Meta, Struct

from events.model import EpochMs

Step = Literal["opened", "updated", "acknowledged", "resolved"]
Severity = Literal["info", "warning", "critical"]
HoldStatus = Literal["held", "released", "confirmed"]


class LocalText(Struct, frozen=True, gc=False):
    """One text in Chinese and in English."""

    zh: str
    en: str


class AlertRecord(Struct, frozen=True, gc=False):
    """One step in the life of an alert; all steps of an ``episode`` share it, ``step_number`` counts them from 1."""

    id: str
    rule: str
    rule_version: int
    step: Step
    step_number: int
    episode: str
    entity_type: str
    entity_id: str
    severity: Severity
    level: str
    time: EpochMs
    opened_at: EpochMs
    reason: str
    orders: Annotated[tuple[str, ...], Meta(description="The orders that this step speaks of, in order of joining.")]
    evidence: dict[str, Any]
    text: LocalText


class HoldCause(Struct, frozen=True, gc=False):
    """Why an order is held: the rule and the episode that asked for it."""

    rule: str
    episode: str
    since: EpochMs


class HoldRecord(Struct, frozen=True, gc=False):
    """Whether an order may ship. The newest record of an order counts (compacted topic, key = order).

    ``held``: do not ship, a review is open. ``released``: a reviewer let it go. ``confirmed``: a reviewer confirmed
    the suspicion; do not ship.
    """

    id: str
    order_id: str
    version: int
    status: HoldStatus
    time: EpochMs
    causes: tuple[HoldCause, ...]
    operator: str | None
    reason: str


class FieldChange(Struct, frozen=True, gc=False):
    """One field's value before and after; ``None`` stands for 'not there'."""

    field: str
    old: Any
    new: Any


class VersionRecord(Struct, frozen=True, gc=False):
    """Version n of an order: what changed against version n - 1, who said so, when, in which system."""

    id: str
    order_id: str
    version: int
    time: EpochMs
    system: str
    operator: str | None
    event_id: str
    event_type: str
    changes: tuple[FieldChange, ...]


class DiffRecord(Struct, frozen=True, gc=False):
    """What one target system has to take over: only the fields that it wants and that really changed.

    ``previous`` is the version of the last diff sent to this target (0: none), so a target sees a gap by itself.
    """

    id: str
    target: str
    order_id: str
    version: int
    previous: int
    time: EpochMs
    system: str
    operator: str | None
    event_id: str
    changes: tuple[FieldChange, ...]
    actions: tuple[str, ...]


class LateRecord(Struct, frozen=True, gc=False):
    """A late event: its own time, and the event time at which it was applied instead."""

    id: str
    source: str
    event_id: str
    event_type: str
    entity_id: str
    time: EpochMs
    applied_at: EpochMs
    event: dict[str, Any]


class DeadLetterRecord(Struct, frozen=True, gc=False):
    """An input record that could not be used, with its original bytes.

    ``partition`` is the file or topic-partition it stood in, ``position`` its byte offset (files) or offset (Kafka).
    ``headers`` are those that it came with, their values in base64.
    """

    id: str
    topic: str
    partition: str
    position: int
    reason: str
    detail: str
    remedy: str
    arrival: EpochMs | None
    payload: Annotated[str, Meta(description="The original bytes, base64.")]
    headers: tuple[tuple[str, str | None], ...] = ()


class OrderSnapshot(Struct, frozen=True, gc=False):
    """An order as it stands: for the read model only, the newest version counts."""

    order_id: str
    version: int
    time: EpochMs
    closed: bool
    customer_id: str | None
    fields: dict[str, Any]


class SourceHealth(Struct, frozen=True, gc=False):
    """What a source's raw records look like: for the read model only, the newest time counts.

    ``fields``: field -> ``seen`` and the deviations of the window, and ``past``: the same of before. ``open``: its open
    alerts, as ``level`` and ``since`` by field.
    """

    source: str
    time: EpochMs
    records: int
    fields: dict[str, Any]
    open: tuple[dict[str, Any], ...]


class FeedbackTotals(Struct, frozen=True, gc=False):
    """What reviews and failures say so far: for the read model only, the largest ``number`` counts.

    ``precision`` of one version of a rule: ``raised``, ``confirmed``, ``released`` (alerts of orders). ``capture`` of
    the rule whose alerts are weak signals: ``weak``, ``turned``, ``quiet``, ``failed``, ``failed_alerted`` (orders).
    """

    subject: Literal["precision", "capture"]
    rule: str
    rule_version: int
    number: int
    time: EpochMs
    counts: dict[str, int]


ReadModelOnly = OrderSnapshot | SourceHealth | FeedbackTotals
Record = AlertRecord | HoldRecord | VersionRecord | DiffRecord | LateRecord | DeadLetterRecord | ReadModelOnly
