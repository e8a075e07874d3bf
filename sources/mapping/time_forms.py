"""Which form a time may have that is not of the declared one: a hint for who writes the profile, never used to read."""

from datetime import datetime
from typing import Any

_EPOCH_BY_LENGTH = {10: "epoch_s", 13: "epoch_ms"}
_OFTEN_USED = (
    *("%Y-%m-%d %H:%M:%S", "%Y/%m/%d %H:%M:%S", "%Y/%m/%d %H:%M", "%Y/%m/%d", "%Y.%m.%d %H:%M:%S", "%Y%m%d%H%M%S"),
    *("%Y年%m月%d日 %H:%M:%S", "%Y年%m月%d日 %H:%M", "%Y年%m月%d日%H:%M:%S", "%Y年%m月%d日%H:%M", "%Y年%m月%d日"),
)


def likely_form(value: Any) -> str:
    """A form that the value has, of those that exports often use; empty where none fits, or days and months may be."""
    text = str(value)
    if text.isdecimal() and len(text) in _EPOCH_BY_LENGTH:
        return f", e.g. format = {_EPOCH_BY_LENGTH[len(text)]!r}"
    for pattern in _OFTEN_USED:
        try:
            datetime.strptime(text, pattern)  # noqa: DTZ007 - only asked whether it fits
        except ValueError:
            continue
        return f", e.g. format = {pattern!r}"
    return ""
