"""Texts made from fields: ``"{order_id}/paid"``."""

import re
from collections.abc import Callable

from sources.mapping.paths import Getter, Scope
from sources.mapping.values import as_text

_PLACE = re.compile(r"\{([^{}]+)\}")


def placeholders(template: str) -> list[str]:
    """The paths that a template names."""
    return _PLACE.findall(template)


def renamed(template: str, rename: Callable[[str], str]) -> str:
    """The template with each path replaced."""
    return _PLACE.sub(lambda match: f"{{{rename(match[1])}}}", template)


def compiled(template: str, getter: Callable[[str], Getter]) -> Callable[[Scope], str | None]:
    """What fills a template in; None when one of its fields is missing."""
    pieces = _PLACE.split(template)  # text, path, text, path, ..., text
    start = pieces[0]
    if len(pieces) == 3:
        return _of_one(start, getter(pieces[1]), pieces[2])
    if len(pieces) == 5:
        return _of_two(start, getter(pieces[1]), pieces[2], getter(pieces[3]), pieces[4])
    parts = [(getter(path), after) for path, after in zip(pieces[1::2], pieces[2::2], strict=True)]

    def fill(scope: Scope) -> str | None:
        text = start
        for get, after in parts:
            value = get(scope)
            if value is None:
                return None
            text += (value if type(value) is str else as_text(value)) + after
        return text

    return fill


def _of_one(before: str, get: Getter, after: str) -> Callable[[Scope], str | None]:
    def fill(scope: Scope) -> str | None:
        value = get(scope)
        if value is None:
            return None
        return f"{before}{value if type(value) is str else as_text(value)}{after}"

    return fill


def _of_two(before: str, first: Getter, between: str, second: Getter, after: str) -> Callable[[Scope], str | None]:
    def fill(scope: Scope) -> str | None:
        one, other = first(scope), second(scope)
        if one is None or other is None:
            return None
        left, right = one if type(one) is str else as_text(one), other if type(other) is str else as_text(other)
        return f"{before}{left}{between}{right}{after}"

    return fill
