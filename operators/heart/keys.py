"""Whose event an event is."""

from collections.abc import Callable
from operator import attrgetter
from typing import Any

from msgspec import Struct

KeyOf = Callable[[Any], str]


class Key(Struct, frozen=True):
    """How the key of an event is found: ``of(event)``.

    Where it is ``prefix`` and one field of the event, ``field`` names that, for those who can do the same faster.
    """

    of: KeyOf
    prefix: str = ""
    field: str | None = None


def by_field(field: str, kind: str = "") -> Key:
    """The key that one field makes: its value, after ``kind`` and a colon if there is a kind."""
    if not kind:
        return Key(attrgetter(field), "", field)
    value, prefix = attrgetter(field), f"{kind}:"
    return Key(lambda event: f"{prefix}{value(event)}", prefix, field)
