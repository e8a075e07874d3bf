"""The words of ``explain.toml``, checked when they are loaded."""

import tomllib
from functools import cache
from pathlib import Path

import msgspec
from msgspec import Struct

from config.texts import Pair


class ExplainTexts(Struct, frozen=True):
    """``words``: sentences with names in braces; the other tables name what they speak of."""

    words: dict[str, Pair]
    units: dict[str, Pair]
    verdicts: dict[str, Pair]
    statuses: dict[str, Pair]
    steps: dict[str, Pair]
    subjects: dict[str, Pair]
    never: dict[str, Pair]


@cache
def load_explain_texts() -> ExplainTexts:
    """The shipped words."""
    text = (Path(__file__).parent / "explain.toml").read_text(encoding="utf-8")
    return msgspec.convert(tomllib.loads(text), ExplainTexts)
