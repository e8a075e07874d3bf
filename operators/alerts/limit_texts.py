"""Says in words how a limit came about."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, Final, Literal
from zoneinfo import ZoneInfo

from config.texts import Pair, Texts
from config.units import Duration, Thousandths

Language = Literal["zh", "en"]
_MINUTE: Final = 60_000  # from here on, milliseconds say nothing to a reader


class LimitTexts:
    """Renders ``limit_from`` of an alert's evidence with the templates of ``[limits]``."""

    def __init__(self, texts: Texts, zone: ZoneInfo) -> None:
        self._templates = texts.limits
        self._zone = zone

    def of(self, parts: Sequence[Mapping[str, Any]], language: Language) -> str:
        """All parts, in their order; ready to stand behind a sentence."""
        told = [self._part(part, language) for part in parts]
        return _say(self._templates["all"], language).format(parts=("、" if language == "zh" else ", ").join(told))

    def _part(self, part: Mapping[str, Any], language: Language) -> str:
        name = str(part["what"])
        if name == "norm" and "category" in part:
            name = "category"
        elif name == "history":
            name = _bound(part)
        values = {field: self._value(field, value) for field, value in part.items()}
        text = _say(self._templates[name], language).format(**values)
        if name in ("norm", "category") and part["factor_thousandths"] != 1000:
            text += _say(self._templates["factor"], language).format(**values)
        return text

    def _value(self, field: str, value: Any) -> object:
        if field.endswith("ms"):
            return Duration(value if value < _MINUTE else value // 1000 * 1000)
        if field.endswith("_thousandths"):
            return Thousandths(value // 10 * 1000 if field.startswith("quantile") else value)
        if field.endswith("_at"):
            return datetime.fromtimestamp(value / 1000, tz=self._zone).isoformat(sep=" ", timespec="minutes")
        return value


def _bound(history: Mapping[str, Any]) -> str:
    """Which of its texts a limit by history has: whether a bound held it."""
    limit = history["ms"] * history["factor_thousandths"] // 1000
    if limit < history["least_ms"]:
        return "history_at_least"
    return "history_at_most" if limit > history["most_ms"] else "history"


def _say(pair: Pair, language: Language) -> str:
    return pair.zh if language == "zh" else pair.en
