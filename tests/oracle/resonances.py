"""``resonance`` of docs/rules.md: what comes into and goes out of each order's window, added up."""

from collections.abc import Iterator, Sequence

import polars as pl

from config.settings import ResonanceSettings, Settings
from tests.oracle.histories import Histories, Life
from tests.oracle.model import EVENT, LEAVES_A_WINDOW, AppliedEvent, ExpectedStep, Step
from tests.oracle.signals import signals

_SIGNALS = {
    "life": pl.Int64,
    "time": pl.Int64,
    "phase": pl.Int64,
    "position": pl.Int64,
    "weight": pl.Int64,
    "closed": pl.Boolean,
}
_PLACE = ["time", "phase", "position"]


def resonance(events: Sequence[AppliedEvent], histories: Histories, settings: Settings) -> Iterator[ExpectedStep]:
    """Levels of the weighted sum of each order's signals."""
    rule = settings.detectors.resonance
    lives: dict[Life, int] = {}
    rows = []
    for signal in signals(events, histories, settings):
        number = lives.setdefault(signal.life, len(lives))
        rows.append((number, *signal.place, signal.weight, False))
    rows += [(number, *end, 0, True) for life, number in lives.items() if (end := _end(life)) is not None]
    orders = [life.order_id for life in lives]
    changes = _level_changes(pl.DataFrame(rows, schema=_SIGNALS, orient="row"), rule)
    opened_at = 0
    for number, time, phase, position, closed, before, level in changes.iter_rows():
        step: Step = "opened" if not before else "updated" if level else "resolved"
        opened_at = time if step == "opened" else opened_at
        reason = ("closed" if closed else "quiet") if step == "resolved" else None
        yield ExpectedStep(
            "resonance",
            step,
            "order",
            orders[number],
            time,
            level or before,
            reason,
            (orders[number],),
            place=(time, phase, position),
            opened_at=opened_at,
        )


def _end(life: Life) -> tuple[int, int, int] | None:
    return None if life.closed is None else (life.closed[0], EVENT, life.closed[1])


def _level_changes(rows: pl.DataFrame, rule: ResonanceSettings) -> pl.DataFrame:
    """Life after life, each change of level in its order; an empty level: below orange."""
    leaves = rows.filter(~pl.col("closed")).with_columns(
        time=pl.col("time") + rule.window + 1,
        phase=pl.lit(LEAVES_A_WINDOW, pl.Int64),
        position=pl.lit(0, pl.Int64),
        weight=-pl.col("weight"),
    )
    level = (
        pl.when(pl.col("closed"))
        .then(pl.lit(""))
        .when(pl.col("sum") >= rule.lock)
        .then(pl.lit("lock"))
        .when(pl.col("sum") >= rule.orange)
        .then(pl.lit("orange"))
        .otherwise(pl.lit(""))
    )
    return (
        pl.concat([rows, leaves])
        # what one event gives, and what leaves in one millisecond, is judged together
        .group_by(["life", *_PLACE])
        .agg(pl.col("weight").sum(), pl.col("closed").any())
        .sort(["life", *_PLACE])
        # nothing comes after the end of an order: its window is dropped
        .filter(pl.col("closed").cast(pl.Int64).cum_sum().shift(1, fill_value=0).over("life") == 0)
        .with_columns(sum=pl.col("weight").cum_sum().over("life"))
        .with_columns(level=level)
        .with_columns(before=pl.col("level").shift(1).over("life").fill_null(""))
        .filter(pl.col("level") != pl.col("before"))
        .select(["life", *_PLACE, "closed", "before", "level"])
    )
