"""Whether two small samples differ: the Mann-Whitney test, exact, with the interval that belongs to it."""

from collections.abc import Sequence
from functools import cache
from math import comb, exp, log
from statistics import median

from msgspec import Struct


class Change(Struct, frozen=True):
    """New value over old: the estimate (Hodges and Lehmann's), and the interval in which the true one lies."""

    estimate: float
    low: float
    high: float

    @property
    def seen(self) -> bool:
        """Whether the interval rules out that nothing changed."""
        return not self.low <= 1 <= self.high


def change(old: Sequence[float], new: Sequence[float], confidence: float) -> Change | None:
    """The change from one sample to the other; None when they are too small for this confidence, or not positive.

    No distribution is assumed, only that both have the same shape on a scale of ratios.
    """
    left_out = _left_out(len(old), len(new), 1 - confidence)
    if left_out is None or min(*old, *new) <= 0:
        return None
    ratios = sorted(log(after) - log(before) for before in old for after in new)
    return Change(exp(median(ratios)), exp(ratios[left_out]), exp(ratios[-1 - left_out]))


def _left_out(first: int, second: int, error: float) -> int | None:
    """How many of the sorted differences lie outside on each side: the test's critical value."""
    allowed = error * comb(first + second, first) / 2
    outside = 0
    for value in range(first * second + 1):
        outside += _ways(first, second, value)
        if outside > allowed:
            return value - 1 if value else None
    return None


@cache
def _ways(first: int, second: int, pairs: int) -> int:
    """In how many orders of two samples exactly so many pairs stand the wrong way round."""
    if pairs < 0 or pairs > first * second:
        return 0
    if not first or not second:
        return int(pairs == 0)
    return _ways(first - 1, second, pairs - second) + _ways(first, second - 1, pairs)
