"""What is told of a late event besides applying it."""

import msgspec

from events.model import Event, type_name
from events.records import LateRecord
from operators.heart.messages import entity_of


def late_record(event: Event, at: int) -> LateRecord:
    """That an event was applied at ``at`` (epoch ms) instead of at its own time."""
    return LateRecord(
        id=f"late/{event.source}/{event.id}/{entity_of(event)}",
        source=event.source,
        event_id=event.id,
        event_type=type_name(type(event)),
        entity_id=entity_of(event),
        time=event.time,
        applied_at=at,
        event=msgspec.to_builtins(event),
    )
