"""Whether a faulty run left behind what the undisturbed one did; if not, what differs first, readably."""

from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, Literal

import msgspec
from msgspec import Struct

from tests.faults.outputs import Held, Outputs, Written

Kind = Literal["lost", "doubled", "invented", "differing", "reordered"]
ORDERED = ("alerts", "holds", "versions", "diffs")  # elsewhere the records of an entity come from several stages
TTL_TOLERANCE_MS = 3_600_000  # the view's times to live are days; runs lie minutes apart
SHOWN = 4
_WIDTH = 160


class Difference(Struct, frozen=True):
    """One thing that is not as it should be. ``where``: a topic, or ``redis``."""

    kind: Kind
    where: str
    what: str


def compare(expected: Outputs, found: Outputs) -> list[Difference]:
    """All differences; none when the fault left no trace."""
    return [*_compare_topics(expected, found), *compare_redis(expected.redis, found.redis)]


def count(differences: Iterable[Difference]) -> Counter[str]:
    """How many of each kind; everything in Redis counts as ``redis``."""
    return Counter("redis" if each.where == "redis" else each.kind for each in differences)


def describe(differences: Sequence[Difference]) -> str:
    """How many of each kind and place, and the first of them."""
    by_place: dict[tuple[str, str], list[str]] = defaultdict(list)
    for each in differences:
        by_place[each.where, each.kind].append(each.what)
    lines = []
    for (where, kind), what in by_place.items():
        lines.append(f"{where}: {len(what)} {kind}")
        lines += [f"    {text}" for text in what[:SHOWN]]
    return "\n".join(lines)


def _compare_topics(expected: Outputs, found: Outputs) -> Iterator[Difference]:
    for topic in sorted(expected.topics.keys() | found.topics.keys()):
        right, given = expected.topics.get(topic, []), found.topics.get(topic, [])
        yield from compare_records(topic, right, given)
        if topic in ORDERED:
            yield from _compare_order(topic, right, given)


def compare_records(topic: str, expected: Sequence[Written], found: Sequence[Written]) -> Iterator[Difference]:
    """Which records are lost, doubled, invented or other than they should be."""
    right, given = {each.id: each for each in expected}, _by_id(found)
    for record in expected:
        if record.id not in given:
            yield Difference("lost", topic, f"{record.id} of {record.entity}: {_short(record.value)}")
    for name, copies in given.items():
        for copy in copies[1:]:
            yield Difference("doubled", topic, f"{name} at {copies[0].place}, again at {copy.place}")
        if name not in right:
            yield Difference("invented", topic, f"{name} at {copies[0].place}: {_short(copies[0].value)}")
        else:
            yield from _compare_record(topic, right[name], copies)


def _by_id(records: Iterable[Written]) -> dict[str, list[Written]]:
    by_id: dict[str, list[Written]] = defaultdict(list)
    for record in records:
        by_id[record.id].append(record)
    return by_id


def _compare_record(topic: str, right: Written, copies: Iterable[Written]) -> Iterator[Difference]:
    for each in copies:
        changes = [
            f"{name} {_short(getattr(right, name))} became {_short(getattr(each, name))}"
            for name in ("key", "headers")
            if getattr(right, name) != getattr(each, name)
        ]
        if right.value != each.value:
            changes.append(_changed_value(right.value, each.value))
        if changes:
            yield Difference("differing", topic, f"{right.id} at {each.place}: {'; '.join(changes)}")


def _compare_order(topic: str, expected: Sequence[Written], found: Sequence[Written]) -> Iterator[Difference]:
    right, given = _ids_of_entities(expected), _ids_of_entities(found)
    for entity, ids in given.items():
        known = right.get(entity, [])
        if ids != known and set(ids) == set(known):
            first = next(index for index, (one, other) in enumerate(zip(known, ids, strict=True)) if one != other)
            what = f"{entity}: {ids[first]} stands where {known[first]} should"
            yield Difference("reordered", topic, what)


def _ids_of_entities(records: Iterable[Written]) -> dict[str, list[str]]:
    """The ids of each entity in the order in which they came first."""
    ids: dict[str, dict[str, None]] = defaultdict(dict)
    for record in records:
        ids[record.entity][record.id] = None
    return {entity: list(names) for entity, names in ids.items()}


def compare_redis(expected: Mapping[str, Held], found: Mapping[str, Held]) -> Iterator[Difference]:
    """Which keys are lost or invented, hold something else, or expire at another time."""
    for key in sorted(expected.keys() - found.keys()):
        yield Difference("lost", "redis", f"{key}: {_short(expected[key].content)}")
    for key in sorted(found.keys() - expected.keys()):
        yield Difference("invented", "redis", f"{key}: {_short(found[key].content)}")
    for key in sorted(expected.keys() & found.keys()):
        right, given = expected[key], found[key]
        if (right.type, right.content) != (given.type, given.content):
            yield Difference("differing", "redis", f"{key}: {_changed(right.content, given.content)}")
        elif _expires_otherwise(right.ttl_ms, given.ttl_ms):
            yield Difference("differing", "redis", f"{key}: expires after {given.ttl_ms} ms, not {right.ttl_ms} ms")


def _expires_otherwise(right: int, given: int) -> bool:
    if -1 in (right, given):
        return right != given
    return abs(right - given) > TTL_TOLERANCE_MS


def _changed_value(right: bytes, given: bytes) -> str:
    try:
        return _changed(msgspec.json.decode(right), msgspec.json.decode(given))
    except msgspec.DecodeError:
        return f"{_short(right)} became {_short(given)}"


def _changed(right: Any, given: Any) -> str:
    """The fields that are not the same, or both as they are."""
    if not (isinstance(right, dict) and isinstance(given, dict)):
        return f"{_short(right)} became {_short(given)}"
    names = [name for name in {**right, **given} if right.get(name) != given.get(name)]
    if not names:
        return "the same fields in other bytes"
    return ", ".join(f"{name} {_short(right.get(name))} became {_short(given.get(name))}" for name in names[:SHOWN])


def _short(content: object) -> str:
    text = content.decode(errors="replace") if isinstance(content, bytes) else str(content)
    return text if len(text) <= _WIDTH else f"{text[:_WIDTH]}..."
