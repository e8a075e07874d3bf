"""Paths into a record: ``order.items[0].sku``, ``"a.b".c``, ``lines[*].id``, and ``$`` names for what stands around it.

They are compiled once per profile. A full query language costs 4 to 6 microseconds for a path of one or two steps,
more than the whole conversion of a record may; what such a language offers beyond paths (filters, joins, sums) a
profile says in words of its own.
"""

import re
from collections.abc import Callable
from decimal import Decimal
from typing import Any

import msgspec

from sources.mapping.values import clean

SPECIAL = ("$key", "$line", "$each", "$index")
_STEP = re.compile(r'\.?(?:"(?P<quoted>[^"]+)"|\[(?P<index>\d+|\*)\]|(?P<name>[^.\[\]"]+))')

Step = str | int | None  # None: each element

_DECODER = msgspec.json.Decoder(float_hook=Decimal)


class Scope:
    """A record while it is mapped: where it stands, and the element at hand of a list that gives several events."""

    __slots__ = ("digits", "each", "index", "key", "line", "record", "sets")

    def __init__(self, record: dict[str, Any], line: int, key: str | None = None) -> None:
        self.record = record
        self.line = line
        self.key = key
        self.each: Any = None
        self.index = 0
        self.digits = 2
        self.sets: dict[str, tuple[str, ...]] | None = None


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


def getter(path: str, missing: frozenset[str], *, flat: bool) -> Getter:
    """What reads a path from a scope: the cleaned value, or None where there is none.

    ``flat``: the record is a row of named columns, so the path is a column's name as it stands.
    """
    if path.startswith("$"):
        return _special(path, missing)
    if flat:  # the reader has cleaned its cells
        return _cell(path, missing)
    steps = parse(path)
    if len(steps) == 1 and isinstance(steps[0], str):
        return _named(steps[0], missing)
    return lambda scope: _present(walk(scope.record, steps), missing)


def check(path: str, *, flat: bool) -> None:
    """Raises ValueError when ``path`` cannot be read."""
    if path.startswith("$"):
        name = path.partition(".")[0].partition("[")[0]
        if name not in SPECIAL or name not in ("$each", path):
            raise ValueError(f"{path!r} is not known: write one of {', '.join(SPECIAL)}, or $each.name")
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


def _named(name: str, missing: frozenset[str]) -> Getter:
    def get(scope: Scope) -> Any:
        value = scope.record.get(name)
        if type(value) is not str:
            return value
        value = clean(value)
        return None if value in missing else value

    return get


def _special(path: str, missing: frozenset[str]) -> Getter:
    if path == "$key":
        return lambda scope: scope.key
    if path == "$line":
        return lambda scope: scope.line
    if path == "$index":
        return lambda scope: scope.index
    steps = parse(path)[1:]
    return lambda scope: _present(walk(scope.each, steps), missing)


def _present(value: Any, missing: frozenset[str]) -> Any:
    if type(value) is str:
        value = clean(value)
        return None if value in missing else value
    return value


def walk(value: Any, steps: list[Step]) -> Any:
    """Follow ``steps`` from ``value``; a text that holds JSON is opened where a step goes into it."""
    for at, step in enumerate(steps):
        if isinstance(value, str):
            value = _opened(value)
        if step is None:
            if not isinstance(value, list):
                return None
            return _flattened([walk(item, steps[at + 1 :]) for item in value])
        if isinstance(step, int):
            value = value[step] if isinstance(value, list) and step < len(value) else None
        else:
            value = value.get(step) if isinstance(value, dict) else None
        if value is None:
            return None
    return value


def _opened(text: str) -> Any:
    try:
        return decode_json(text)
    except msgspec.DecodeError:
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
