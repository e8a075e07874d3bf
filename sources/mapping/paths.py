"""Paths into a record: ``order.items[0].sku``, ``"a.b".c``, ``lines[*].id``, and ``$`` names for what stands around it.

``[-1]`` is the last element. ``$arrival`` is when the message came in, in epoch milliseconds, where that is known.

They are compiled once per profile. A full query language costs 4 to 6 microseconds for a path of one or two steps,
more than the whole conversion of a record may; what such a language offers beyond paths (filters, joins, sums) a
profile says in words of its own.
"""

import re
from collections.abc import Callable
from decimal import Decimal
from functools import lru_cache
from typing import Any, NamedTuple
from urllib.parse import unquote_plus

import msgspec

from sources.mapping.values import AROUND_TEXTS, as_text, clean

SPECIAL = ("$key", "$line", "$each", "$index", "$record", "$arrival")
_WITH_STEPS = ("$each", "$record")
_STEP = re.compile(r'\.?(?:"(?P<quoted>[^"]+)"|\[(?P<index>-?\d+|\*)\]|(?P<name>[^.\[\]"]+))')

Step = str | int | None  # None: each element

_DECODER = msgspec.json.Decoder(float_hook=Decimal)
_ENCODED = ("%7B", "%5B")  # { and [


class Scope:
    """A record while it is mapped: where it stands, and the element at hand of a list that gives several events."""

    key: str | None = None
    arrival: int | None = None
    each: Any = None
    index = 0
    digits = 2
    currency = ""
    sets: dict[str, tuple[str, ...]] | None = None
    seen: dict[bytes, Any] | None = None  # what several rules ask of this record, once one has
    # Where somebody counts them: rule, field without a value, and whether the rule gave no event for it.
    unfilled: list[tuple[Any, str, bool]] | None = None

    def __init__(self, record: dict[str, Any], line: int, key: str | None = None) -> None:
        self.record = record
        self.line = line
        self.told: list[str] = []  # rules that had to decide something about the value that was just read
        if key is not None:
            self.key = key


Getter = Callable[[Scope], Any]


def parse(path: str) -> list[Step]:
    """The steps of a path; raises ValueError with the remedy."""
    steps: list[Step] = []
    at = 0
    while at < len(path):
        match = _STEP.match(path, at)
        if match is None or (at == 0 and path[0] == "."):
            raise ValueError(f"{path!r} is not a path: write e.g. order.items[0].sku, or quote a name with dots in it")
        index = match["index"]
        steps.append((match["quoted"] or match["name"]) if index is None else None if index == "*" else int(index))
        at = match.end()
    return steps


class Place(NamedTuple):
    """Where a plain path leads: ``name`` of the record, of an object in it (``outer``), or of the element at hand."""

    outer: str | None  # empty: the record itself; None: the element
    name: str


def place_of(path: str, *, flat: bool) -> Place | None:
    """The place of a path that is plain, as most are; None for those that have to be walked."""
    special = path.startswith("$")
    if path in _AROUND or (flat and not special):
        return None
    steps = parse(path)
    names = [step for step in steps if isinstance(step, str)]
    if names != steps or len(names) > 2:
        return None
    *outer, name = names
    if special:
        return Place(None if outer[0] == "$each" else "", name) if outer else None
    return Place(outer[0] if outer else "", name)


def text_getter(path: str, missing: frozenset[str], *, flat: bool) -> Getter:
    """What reads a path as text. A plain text of a plain path, as most are, is read in one step."""
    get = getter(path, missing, flat=flat)
    place = place_of(path, flat=flat)
    if place is None:
        return _as_text(get)
    (outer, name), number_is_value = place, numbers_are_values(missing)

    def fill(scope: Scope) -> Any:
        holder = scope.each if outer is None else scope.record.get(outer) if outer else scope.record
        if type(holder) is not dict:
            return None if holder is None else as_text_or_none(get(scope))
        value = holder.get(name)
        if type(value) is str:
            if value in missing:
                return None
            # The same test stands wherever texts are read, as a call would cost more than it: there is nothing that
            # clean() or as_text() would find.
            if value.strip(AROUND_TEXTS) == value and "+" not in value:
                return value
        elif type(value) is int and number_is_value:
            return str(value)
        return None if value is None else as_text_or_none(get(scope))

    return fill


def numbers_are_values(missing: frozenset[str]) -> bool:
    """Whether no whole number stands for a missing value."""
    return not any(word.removeprefix("-").isdecimal() for word in missing)


def _as_text(get: Getter) -> Getter:
    return lambda scope: as_text_or_none(get(scope))


def as_text_or_none(value: Any) -> str | None:
    """A value that was read as text; one that is missing stays so."""
    return None if value is None else as_text(value)


def getter(path: str, missing: frozenset[str], *, flat: bool) -> Getter:
    """What reads a path from a scope: the cleaned value, or None where there is none.

    ``flat``: the record is a row of named columns, so the path is a column's name as it stands.
    """
    if path in _AROUND:
        return _AROUND[path]
    place = place_of(path, flat=flat)
    if place is not None:
        return _named(place.name, missing) if place.outer == "" else _at(place, missing)
    if path.startswith("$"):
        first, *steps = parse(path)
        return _from(_record if first == "$record" else _element, steps, missing)
    if flat:  # the reader has cleaned its cells
        return _cell(path, missing)
    return _from(_record, parse(path), missing)


def _record(scope: Scope) -> Any:
    return scope.record


def _from(start: Getter, steps: list[Step], missing: frozenset[str]) -> Getter:
    """What walks a path from the record or from the element at hand."""
    return lambda scope: _present(walk(start(scope), steps), missing)


def _named(name: str, missing: frozenset[str]) -> Getter:
    """What reads a field of the record itself: the plainest path, and the most read one."""
    number_is_value = numbers_are_values(missing)

    def get(scope: Scope) -> Any:
        value = scope.record.get(name)
        if type(value) is str:
            if value in missing:
                return None
            if value.strip(AROUND_TEXTS) == value:
                return value
        elif type(value) is int and number_is_value:
            return value
        return None if value is None else _present(value, missing)

    return get


def _at(place: Place, missing: frozenset[str]) -> Getter:
    """What reads a plain path."""
    (outer, name), number_is_value = place, numbers_are_values(missing)

    def get(scope: Scope) -> Any:
        holder = scope.each if outer is None else scope.record.get(outer) if outer else scope.record
        value = holder.get(name) if type(holder) is dict else walk(holder, [name])
        if type(value) is str:
            if value in missing:
                return None
            if value.strip(AROUND_TEXTS) == value:
                return value
        elif type(value) is int and number_is_value:
            return value
        return None if value is None else _present(value, missing)

    return get


def check(path: str, *, flat: bool) -> None:
    """Raises ValueError when ``path`` cannot be read."""
    if path.startswith("$"):
        name = path.partition(".")[0].partition("[")[0]
        if name not in SPECIAL or name not in (*_WITH_STEPS, path):
            raise ValueError(f"{path!r} is not known: write one of {', '.join(SPECIAL)}, or $each.name, $record.name")
    if not path:
        raise ValueError("a path is empty: name a field")
    if not flat:
        parse(path)


def _cell(name: str, missing: frozenset[str]) -> Getter:
    if missing == {""}:
        return lambda scope: scope.record.get(name) or None

    def get(scope: Scope) -> Any:
        value = scope.record.get(name)
        return None if value in missing else value

    return get


def _element(scope: Scope) -> Any:
    return scope.each


def _arrival(scope: Scope) -> int | None:
    if scope.arrival is not None:
        scope.told.append("arrival")
    return scope.arrival


_AROUND: dict[str, Getter] = {
    "$key": lambda scope: scope.key,
    "$line": lambda scope: scope.line,
    "$index": lambda scope: scope.index,
    "$arrival": _arrival,
}


def _present(value: Any, missing: frozenset[str]) -> Any:
    """The value, or None where it stands for none: an empty text, or a word (or number) of ``missing``."""
    if type(value) is str:
        value = clean(value)
        return None if value in missing else value
    if len(missing) == 1 or value is None or isinstance(value, (dict, list)):
        return value
    return None if str(value) in missing else value


def walk(value: Any, steps: list[Step]) -> Any:
    """Follow ``steps`` from ``value``; a text that holds JSON is opened where a step goes into it."""
    for at, step in enumerate(steps):
        if type(value) is dict and type(step) is str:  # most steps by far
            value = value.get(step)
            if value is None:
                return None
            continue
        if isinstance(value, str):
            value = opened(value)
        if step is None:
            if not isinstance(value, list):
                return None
            return _flattened([walk(item, steps[at + 1 :]) for item in value])
        if isinstance(step, int):
            value = value[step] if isinstance(value, list) and -len(value) <= step < len(value) else None
        else:
            value = value.get(step) if isinstance(value, dict) else None
        if value is None:
            return None
    return value


@lru_cache(maxsize=8)
def opened(text: str) -> Any:
    """What a text holds that is JSON, plain or percent-encoded as in a web form; None when it is neither.

    Many paths go into the same text, one after the other, so the last ones are kept. Do not change the result.
    """
    try:
        return decode_json(unquote_plus(text, errors="strict") if text[:3].upper() in _ENCODED else text)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return None


def _flattened(values: list[Any]) -> list[Any]:
    found: list[Any] = []
    for value in values:
        if isinstance(value, list):
            found.extend(value)
        elif value is not None:
            found.append(value)
    return found


def decode_json(text: bytes | str | msgspec.Raw) -> Any:
    """JSON with every number exact: integers of any length, and fractions as Decimal. Raises msgspec.DecodeError."""
    return _DECODER.decode(text)
