"""Alerts of a run, made up by tests."""

from collections.abc import Iterable

from hypothesis import strategies as st
from hypothesis.strategies import SearchStrategy

from operators.judging.episodes import Episode

HOUR = 3_600_000


def alert(
    opened: int,
    ended: int | None = None,
    order: str = "A",
    rule: str = "order_timeout",
    orders: Iterable[str] = (),
    **levels: int,
) -> Episode:
    """An alert about an order; times in hours."""
    named = dict.fromkeys(orders or (order,), opened * HOUR)
    reached = {level: moment * HOUR for level, moment in levels.items()} or {"breach": opened * HOUR}
    return Episode(rule, "order", order, "", opened * HOUR, reached, named, None if ended is None else ended * HOUR)


@st.composite
def _runs(draw: st.DrawFn) -> list[Episode]:
    """Alerts of one run: those of one subject follow each other."""
    found = []
    for rule in ("order_timeout", "stage_timeout"):
        for order in ("A", "B"):
            moments = sorted(draw(st.sets(st.integers(0, 12), max_size=6)))
            for opened, ended in zip(moments[::2], moments[1::2], strict=False):
                found.append(alert(opened, ended, order, rule))
            if len(moments) % 2:
                found.append(alert(moments[-1], None, order, rule))
    return found


RUNS: SearchStrategy[list[Episode]] = _runs()
