"""An explanation cut down to one alert."""

from collections.abc import Iterator
from typing import Any

from msgspec.structs import replace

from events.explanation import AlertEntry, AnyEntry, EventEntry, Explanation, HoldEntry, LookEntry, RuleEntry
from events.records import AlertRecord


def episodes_of(explanation: Explanation) -> list[str]:
    """The alerts that the explanation tells of."""
    entries = (entry for entry in explanation.timeline if isinstance(entry, AlertEntry))
    return list(dict.fromkeys(entry.record.episode for entry in entries))


def about_alert(explanation: Explanation, episode: str) -> Explanation:
    """Only what has to do with one episode: its steps and holds, what its rule saw, the events of these moments."""
    steps = [
        entry.record
        for entry in explanation.timeline
        if isinstance(entry, AlertEntry) and entry.record.episode == episode
    ]
    rule, last = steps[0].rule, steps[-1].time
    ids = {name for record in steps for name in _event_ids(record.evidence)}
    looked = [entry.at for entry in explanation.timeline if isinstance(entry, LookEntry) and entry.look.rule == rule]
    moments = {*looked, *(record.time for record in steps)}

    def belongs(entry: AnyEntry) -> bool:
        match entry:
            case AlertEntry(record=record):
                return record.episode == episode
            case HoldEntry(record=hold):
                return any(cause.episode == episode for cause in hold.causes)
            case LookEntry(look=look):
                return look.rule == rule and entry.at <= last
            case EventEntry(id=name, at=at):
                return name in ids or (at in moments and at <= last)
            case RuleEntry(rule=changed):
                return changed == rule
            case _:
                return False

    return replace(
        explanation,
        timeline=tuple(entry for entry in explanation.timeline if belongs(entry)),
        nearest=tuple(each for each in explanation.nearest if each.look.rule == rule),
        related=tuple(each for each in explanation.related if each.key == _key_of(steps[0])),
    )


def _key_of(record: AlertRecord) -> str:
    return f"{record.entity_type}:{record.entity_id}"


def _event_ids(value: Any) -> Iterator[str]:
    """The ids of events that evidence names, at any depth."""
    if isinstance(value, dict):
        for name, inner in value.items():
            if name == "event_id" and isinstance(inner, str):
                yield inner
            else:
                yield from _event_ids(inner)
    elif isinstance(value, list | tuple):
        for inner in value:
            yield from _event_ids(inner)
