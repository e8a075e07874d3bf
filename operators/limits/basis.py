"""How a limit came about, kept with the clock that it rules, and told in the evidence of its alert."""

from collections.abc import Mapping
from typing import Any, Final

from msgspec import Struct

from operators.heart.messages import LimitStep

_NUMBERS: Final[Mapping[LimitStep, tuple[str, ...]]] = {
    "norm": ("ms", "factor_thousandths"),
    "history": ("ms", "count", "quantile_thousandths", "factor_thousandths", "least_ms", "most_ms"),
    "floor": ("ms",),
    "season": ("factor_thousandths",),
    "hours": ("extra_ms",),
    "promised": ("promised_at", "entered_at"),
    "calendar": ("working_ms",),
}
_NAMED: Final[Mapping[LimitStep, str]] = {
    "norm": "category",
    "season": "season",
    "hours": "hours",
    "calendar": "calendar",
}


class Part(Struct, frozen=True, gc=False, array_like=True):
    """One step on the way to a limit. ``name``: of the category, season, hours or calendar; "" where there is none."""

    what: LimitStep
    name: str
    numbers: tuple[int, ...]

    def told(self) -> dict[str, Any]:
        """As it stands in the evidence."""
        named = {_NAMED[self.what]: self.name} if self.name else {}
        return {"what": self.what, **named, **dict(zip(_NUMBERS[self.what], self.numbers, strict=True))}
