"""The templates of ``texts.toml``, checked when they are loaded."""

import tomllib
from functools import cache
from pathlib import Path

import msgspec
from msgspec import Struct


class Pair(Struct, frozen=True):
    """One text or name in both languages."""

    zh: str
    en: str


class Texts(Struct, frozen=True):
    """``rules``: rule -> level or ``resolved`` -> template; the other tables name what templates speak of."""

    rules: dict[str, dict[str, Pair]]
    acknowledged: Pair
    reasons: dict[str, Pair]
    kinds: dict[str, Pair]
    signals: dict[str, Pair]
    limits: dict[str, Pair]


@cache
def load_texts() -> Texts:
    """The shipped texts."""
    raw = tomllib.loads((Path(__file__).parent / "texts.toml").read_text(encoding="utf-8"))
    tables = {name: raw.pop(name) for name in ("reasons", "kinds", "signals", "limits")}
    acknowledged = raw.pop("common")["acknowledged"]
    return msgspec.convert({"rules": raw, "acknowledged": acknowledged, **tables}, Texts)
