"""Records that cannot be used, with the reason and what to do about it."""

from base64 import b64encode
from typing import Final

from events.batch import Headers
from events.records import DeadLetterRecord

REMEDIES: Final = {
    "not_json": "send one JSON object in UTF-8 per record",
    "not_an_event": "give the record the fields id, source, time (epoch ms) and type, each of the stated type",
    "unknown_type": "use one of the event types of docs/events.md, or map the source's records with a profile",
    "invalid_field": "mend the named field at the source or in its mapping profile; docs/events.md has its type",
    "invalid_rule": "mend the named fields and publish the rule again, as a new version; the one before goes on",
    "superseded_rule": "nothing, if the newer version is right; else publish this one again under a new version",
    "names_no_entity": "name the order, the customer or the job that the event is about",
    "time_out_of_range": "send UTC epoch milliseconds between time.earliest and time.latest",
    "time_in_seconds": "multiply by 1000: time is UTC epoch milliseconds",
    "future_time": "set the clock of the source right, or raise time.future_tolerance / time.max_advance",
    "too_large": "send the attachment elsewhere and name it in the event; a record holds at most 1 MiB",
}


def dead_letter(
    topic: str,
    partition: str,
    position: int,
    payload: bytes,
    reason: str,
    detail: str,
    arrival: int | None = None,
    headers: Headers = (),
) -> DeadLetterRecord:
    """A record as it came, where it stood, why it was refused and what to do."""
    return DeadLetterRecord(
        id=f"{partition}@{position}",
        topic=topic,
        partition=partition,
        position=position,
        reason=reason,
        detail=detail,
        remedy=REMEDIES[reason],
        arrival=arrival,
        payload=b64encode(payload).decode(),
        headers=tuple((name, None if value is None else b64encode(value).decode()) for name, value in headers),
    )
