"""Texts made from fields: ``"{order_id}/paid"``."""

import re
from collections.abc import Callable

from sources.mapping.paths import Getter, Scope
from sources.mapping.values import as_text

_PLACE = re.compile(r"\{([^{}]+)\}")


def placeholders(template: str) -> list[str]:
    """The paths that a template names."""
    return _PLACE.findall(template)


def compiled(template: str, getter: Callable[[str], Getter]) -> Callable[[Scope], str | None]:
    """What fills a template in; None when one of its fields is missing."""
    pieces = _PLACE.split(template)  # text, path, text, path, ..., text
    start = pieces[0]
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
