"""Units of the configuration: durations with a unit, weights in exact thousandths, instants with a zone."""

import re
from datetime import UTC, datetime
from decimal import Decimal, InvalidOperation
from functools import lru_cache
from typing import Any

_DURATION_PART = re.compile(r"([0-9]{1,12})(ms|s|m|h|d)")
_LARGEST_WEIGHT = 10**9
_UNIT_MS = {"ms": 1, "s": 1_000, "m": 60_000, "h": 3_600_000, "d": 86_400_000}


class Duration(int):
    """A length of time in milliseconds, written with its unit: ``"90s"``, ``"1h30m"``, ``"3d"``."""

    @classmethod
    def parse(cls, text: object) -> "Duration":
        """Read a duration; raises ValueError with the remedy when the unit is missing or unknown."""
        if isinstance(text, int) and text >= 0 and not isinstance(text, bool):
            raise ValueError(f'a duration needs a unit: write "{text}s", "{text}m" or "{text}h", not {text!r}')
        if not isinstance(text, str):
            raise ValueError(f'{text!r} is not a duration: write a number and ms, s, m, h or d, e.g. "1h30m"')
        parts = _DURATION_PART.findall(text)
        if not parts or "".join(number + unit for number, unit in parts) != text:
            raise ValueError(f'{text!r} is not a duration: write a number and ms, s, m, h or d, e.g. "1h30m"')
        return cls(sum(int(number) * _UNIT_MS[unit] for number, unit in parts))

    def __str__(self) -> str:
        rest, parts = int(self), []
        for unit in ("d", "h", "m", "s", "ms"):
            count, rest = divmod(rest, _UNIT_MS[unit])
            if count:
                parts.append(f"{count}{unit}")
        return "".join(parts) or "0s"


class Thousandths(int):
    """A weight or factor with at most three decimals, kept as a count of thousandths so that sums are exact."""

    @classmethod
    def parse(cls, value: object) -> "Thousandths":
        """Read ``0.8`` or ``"0.8"`` as 800; raises ValueError for more than three decimals or no number."""
        if isinstance(value, bool) or not isinstance(value, str | int | float):
            raise ValueError(f"{value!r} is not a number")
        try:
            number = Decimal(str(value))
        except InvalidOperation:
            raise ValueError(f"{value!r} is not a number") from None
        if not number.is_finite() or "_" in str(value):
            raise ValueError(f"{value!r} is not a number")
        if abs(number) > _LARGEST_WEIGHT:
            raise ValueError(f"{value!r} is too large")
        whole, denominator = number.as_integer_ratio()
        if 1000 % denominator:
            raise ValueError(f"{value!r} has more than three decimals")
        return cls(whole * (1000 // denominator))

    def __str__(self) -> str:
        sign = "-" if self < 0 else ""
        whole, rest = divmod(abs(int(self)), 1000)
        return f"{sign}{whole}.{rest:03d}".rstrip("0").rstrip(".")


class Instant(int):
    """A moment as epoch milliseconds, written as RFC 3339 with a zone."""

    @classmethod
    def parse(cls, value: object) -> "Instant":
        """Read a TOML date-time or an RFC 3339 text; raises ValueError when the zone is missing."""
        try:
            moment = value if isinstance(value, datetime) else datetime.fromisoformat(str(value))
        except ValueError:
            raise ValueError(f"{value!r} is not a date-time: write e.g. 2026-01-31T08:00:00+08:00") from None
        if moment.tzinfo is None:
            raise ValueError(f"{value!r} has no zone: write e.g. {moment.isoformat()}+08:00 or ...Z")
        return cls(round(moment.timestamp() * 1000))

    def __str__(self) -> str:
        return f"{_to_the_second(self // 1000)}.{self % 1000:03d}Z"


@lru_cache
def _to_the_second(seconds: int) -> str:
    """Every record that is written names its moment, and those of one second come together."""
    return datetime.fromtimestamp(seconds, tz=UTC).replace(tzinfo=None).isoformat()


def decode_unit(kind: type[Any], value: object) -> Any:
    """msgspec ``dec_hook`` for the three units."""
    if issubclass(kind, Duration | Thousandths | Instant):
        return kind.parse(value)
    raise NotImplementedError(f"no decoder for {kind!r}")
