"""Paths into a record: ``order.items[0].sku``, ``"a.b".c``, ``lines[*].id``, and ``$`` names for what stands around it.

``[-1]`` is the last element. ``$arrival`` is when the message came in, in epoch milliseconds, where that is known.

They are compiled once per profile. A full query language costs 4 to 6 microseconds for a path of one or two steps,
more than the whole conversion of a record may; what such a language offers beyond paths (filters, joins, sums) a
profile says in words of its own.
"""

import re
from collections.abc import Callable
from decimal import Decimal
from typing import Any

import msgspec

from sources.mapping.values import as_text, clean

SPECIAL = ("$key", "$line", "$each", "$index", "$record", "$arrival")
_WITH_STEPS = ("$each", "$record")
_STEP = re.compile(r'\.?(?:"(?P<quoted>[^"]+)"|\[(?P<index>-?\d+|\*)\]|(?P<name>[^.\[\]"]+))')

Step = str | int | None  # None: each element

_DECODER = msgspec.json.Decoder(float_hook=Decimal)


class Scope:
    """A record while it is mapped: where it stands, and the element at hand of a list that gives several events."""

    key: str | None = None
    arrival: int | None = None
    each: Any = None
    index = 0
    digits = 2
    currency = ""
    sets: dict[str, tuple[str, ...]] | None = None
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


def text_getter(path: str, missing: frozenset[str], *, flat: bool) -> Getter:
    """What reads a path as text. Plain fields of the record, which are most, are read in one step."""
    get = getter(path, missing, flat=flat)
    steps = [] if flat or path.startswith("$") else parse(path)
    names = [step for step in steps if isinstance(step, str)]
    if names != steps or len(names) not in (1, 2):
        return _as_text(get)
    return _text_of_record(names[0], names[1] if len(names) == 2 else "", missing, _as_text(get))


_OPEN = object()  # a text that holds JSON, or a list: for the long way


def _text_of_record(outer: str, inner: str, missing: frozenset[str], otherwise: Getter) -> Getter:
    def fill(scope: Scope) -> Any:
        value = scope.record.get(outer)
        if inner:
            value = value.get(inner) if type(value) is dict else _OPEN if value is not None else None
        if type(value) is str:
            if value in missing:
                return None
            if "'" < value[0] < "\x7f" and value[0] != "=" and " " < value[-1] < "\x7f" and "+" not in value:
                return value  # there is nothing that clean() or as_text() would find
        return None if value is None else otherwise(scope)

    return fill


def _as_text(get: Getter) -> Getter:
    def fill(scope: Scope) -> Any:
        value = get(scope)
        if value is None or (type(value) is str and "+" not in value):
            return value
        return as_text(value)

    return fill


def getter(path: str, missing: frozenset[str], *, flat: bool) -> Getter:
    """What reads a path from a scope: the cleaned value, or None where there is none.

    ``flat``: the record is a row of named columns, so the path is a column's name as it stands.
    """
    if path.startswith("$"):
        return _special(path, missing)
    if flat:  # the reader has cleaned its cells
        return _cell(path, missing)
    return _from(_record, parse(path), missing)


def _record(scope: Scope) -> Any:
    return scope.record


def _from(start: Getter, steps: list[Step], missing: frozenset[str]) -> Getter:
    """What reads a path from the record or from the element at hand; plain paths of the record the quick way."""
    names = [step for step in steps if isinstance(step, str)]
    if start is _record and names == steps and len(names) == 1:
        return _named(names[0], missing)
    if start is _record and names == steps and len(names) == 2:
        return _nested(names[0], names[1], missing)
    if start is _element and names == steps and len(names) == 1:
        return _of_element(names[0], missing)
    return lambda scope: _present(walk(start(scope), steps), missing)


def _nested(outer: str, name: str, missing: frozenset[str]) -> Getter:
    def get(scope: Scope) -> Any:
        value = scope.record.get(outer)
        if type(value) is dict:
            value = value.get(name)
        elif value is not None:
            value = walk(value, [name])
        if type(value) is str:
            if value in missing:
                return None
            if "'" < value[0] < "\x7f" and value[0] != "=" and " " < value[-1] < "\x7f":  # as clean() asks
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


def _named(name: str, missing: frozenset[str]) -> Getter:
    def get(scope: Scope) -> Any:
        value = scope.record.get(name)
        if type(value) is str:
            if value in missing:
                return None
            if "'" < value[0] < "\x7f" and value[0] != "=" and " " < value[-1] < "\x7f":  # as clean() asks
                return value
        return None if value is None else _present(value, missing)

    return get


def _special(path: str, missing: frozenset[str]) -> Getter:
    if path in _AROUND:
        return _AROUND[path]
    first, *steps = parse(path)
    return _from(_record if first == "$record" else _element, steps, missing)


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


def _of_element(name: str, missing: frozenset[str]) -> Getter:
    def get(scope: Scope) -> Any:
        each = scope.each
        value = each.get(name) if type(each) is dict else walk(each, [name])
        return None if value is None else _present(value, missing)

    return get


def _present(value: Any, missing: frozenset[str]) -> Any:
    """The value, or None where it stands for none: an empty text, or a word (or number) of ``missing``."""
    if type(value) is str:
        value = clean(value)
        return None if value in missing else value
    if len(missing) == 1 or value is None or isinstance(value, dict | list):
        return value
    return None if str(value) in missing else value


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
            value = value[step] if isinstance(value, list) and -len(value) <= step < len(value) else None
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
