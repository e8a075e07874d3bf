"""Alerts of two runs over event time, in steps that a plot can show."""

from collections.abc import Sequence
from typing import Final

from msgspec import Struct

from operators.judging.comparison import change_of
from operators.judging.matching import Pair, Span

_MOST_STEPS: Final = 48
_MINUTE: Final = 60_000
_STEPS: Final = tuple(
    minutes * _MINUTE for minutes in (1, 5, 15, 60, 3 * 60, 12 * 60, 24 * 60, 7 * 24 * 60, 28 * 24 * 60, 364 * 24 * 60)
)


class Series(Struct, frozen=True):
    """How many alerts opened in each step: ``starts`` in epoch ms, ``step`` in ms."""

    step: int
    starts: tuple[int, ...]
    both: tuple[int, ...]
    gained: tuple[int, ...]
    lost: tuple[int, ...]


def series(found: Sequence[Pair], span: Span, offset: int = 0) -> Series | None:
    """The alerts of ``pairs`` over time; None where there are none. ``offset``: of the zone whose days count, in ms."""
    if not found:
        return None
    moments = [pair.any.opened_at for pair in found]
    first = min(moments) if span.start is None else min(span.start, *moments)
    last = max(moments) if span.end is None else max(span.end - 1, *moments)
    step = next((step for step in _STEPS if (last - first) // step < _MOST_STEPS), _STEPS[-1])
    begin = (first + offset) // step * step - offset
    size = (last - begin) // step + 1
    counts = {"both": [0] * size, "gained": [0] * size, "lost": [0] * size}
    for pair in found:
        change = change_of(pair)
        counts[change if change in counts else "both"][(pair.any.opened_at - begin) // step] += 1
    return Series(
        step,
        tuple(begin + number * step for number in range(size)),
        tuple(counts["both"]),
        tuple(counts["gained"]),
        tuple(counts["lost"]),
    )
