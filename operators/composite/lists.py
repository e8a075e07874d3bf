"""The lists of the settings, as functions that expressions call."""

import unicodedata
from collections.abc import Mapping

from config.composite import ListKind, ListSettings
from config.expressions.engine import Expression, Function
from events.normal_form import risk_key

_HASHED: Mapping[ListKind, str] = {"phones": "phone", "cards": "card", "ips": "ip"}


def functions_of(
    expressions: list[Expression], lists: Mapping[str, ListSettings], hash_key: bytes
) -> dict[str, Function]:
    """What the expressions call, by the engine's names."""
    functions: dict[str, Function] = {}
    for expression in expressions:
        for function, name in expression.members.items():
            functions[function] = frozenset(_keys(lists[name], hash_key)).__contains__
        for function, name in expression.mentions.items():
            functions[function] = _search(lists[name])
    return functions


def _keys(own: ListSettings, hash_key: bytes) -> list[str]:
    """The values in the form in which orders have them: what is clear in the file is compared by its keyed hash."""
    kind = _HASHED.get(own.kind)
    return [value if kind is None else risk_key(kind, value, hash_key) for value in own.values]


def _search(own: ListSettings) -> Function:
    words = tuple(dict.fromkeys(_folded(word) for word in own.values))

    def mentioned(text: str) -> bool:
        folded = _folded(text)
        return any(word in folded for word in words)

    return mentioned


def _folded(text: str) -> str:
    """One form for width and case."""
    return unicodedata.normalize("NFKC", text).casefold()
