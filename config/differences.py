"""What differs between two settings, value by value."""

from collections.abc import Iterator, Mapping
from typing import Any

import msgspec
from msgspec import Struct

from config.settings import Settings


class Difference(Struct, frozen=True):
    """One value that differs. ``field`` as in a file (``detectors.order_timeout.limit``); "": not set on that side."""

    field: str
    first: str
    second: str


def differences(first: Settings, second: Settings) -> list[Difference]:
    """All values that differ, by field."""
    one, other = dict(_leaves(first, "")), dict(_leaves(second, ""))
    return [
        Difference(field, _text(one.get(field)), _text(other.get(field)))
        for field in sorted(one.keys() | other.keys())
        if one.get(field) != other.get(field)
    ]


def _leaves(value: Any, path: str) -> Iterator[tuple[str, Any]]:
    if isinstance(value, Struct):
        value = {name: getattr(value, name) for name in value.__struct_fields__}
    if isinstance(value, Mapping):
        for key, inner in value.items():
            yield from _leaves(inner, f"{path}.{key}" if path else str(key))
    else:
        yield path, value


def _text(value: Any) -> str:
    """As in a file, as far as one line can say it."""
    match value:
        case None:
            return ""
        case bool():
            return str(value).lower()
        case tuple() | list():
            return "[" + ", ".join(map(_text, value)) + "]"
        case Struct():
            return msgspec.json.encode(value).decode()
        case _:
            return str(value)
