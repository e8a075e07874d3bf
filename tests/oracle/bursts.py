"""``card_burst`` of docs/rules.md: presence intervals of orders on a key, overlaid."""

from collections.abc import Iterator, Sequence

import polars as pl

from config.settings import BurstLimit, Settings
from events.model import OrderCreated, PaymentSucceeded
from tests.oracle.histories import Details, Histories
from tests.oracle.keys import Keys
from tests.oracle.model import EVENT, LEAVES_A_WINDOW, AppliedEvent, ExpectedStep, Place, Step

_USES = {
    "kind": pl.Int64,  # place in the settings' list of keys, so that steps of one moment have an order
    "key": pl.String,
    "order": pl.String,
    "amount": pl.Int64,
    "time": pl.Int64,
    "position": pl.Int64,
}
Use = tuple[int, str, str, int, int, int]


def card_burst(
    events: Sequence[AppliedEvent], histories: Histories, settings: Settings, keys: Keys
) -> Iterator[ExpectedStep]:
    """Bursts of orders on one key, by any amount and by the same amount."""
    rule = settings.detectors.card_burst
    uses = pl.DataFrame(list(key_uses(events, histories, settings, keys)), schema=_USES, orient="row")
    if rule.any_amount is not None:
        yield from _episodes(uses, ["kind", "key"], rule.any_amount, rule.keys, ("any_amount", "burst"))
    if rule.same_amount is not None:
        amounts = uses.filter(pl.col("amount") > 0)
        group = ["kind", "key", "amount"]
        yield from _episodes(amounts, group, rule.same_amount, rule.keys, ("same_amount", "same_amount"))


def key_uses(events: Sequence[AppliedEvent], histories: Histories, settings: Settings, keys: Keys) -> Iterator[Use]:
    """Who used which key, and when. Only moments that are judged count."""
    rule = settings.detectors.card_burst
    for position, applied in enumerate(events):
        event = applied.event
        if isinstance(event, OrderCreated) and "created" in rule.judged_on:
            details = histories.at(event.order_id, position).details_at(position)
            if details is None or details.position != position:
                continue  # repeated or illegal
            card = details.card
        elif isinstance(event, PaymentSucceeded) and "paid" in rule.judged_on:
            details = histories.at(event.order_id, position).details_at(position)
            if details is None:
                continue  # before its order.created
            card = event.card or details.card
        else:
            continue
        for number, kind in enumerate(rule.keys):
            value = card if kind == "card" else _value(details, kind)
            key = keys.of(kind, value) if value is not None else None
            if key is not None:
                yield number, key, event.order_id, details.amount, applied.time, position


def _value(details: Details, kind: str) -> str | None:
    value: str | None = getattr(details, kind)
    return value


def _borders(uses: pl.DataFrame, group: list[str], limit: BurstLimit) -> pl.DataFrame:
    """Where orders come into and go out of the window of a key, for keys that ever have enough at once.

    An order is in the window from a use until ``window`` after it; uses that touch make one interval.
    """
    order = [*group, "order"]
    intervals = (
        uses.sort("position")
        .with_columns(gap=(pl.col("time") - pl.col("time").shift(1).over(order)).fill_null(limit.window + 1))
        .with_columns(interval=(pl.col("gap") > limit.window).cum_sum().over(order))
        .group_by([*order, "interval"])
        .agg(
            comes=pl.col("time").min(),
            position=pl.col("position").min(),
            goes=pl.col("time").max() + limit.window + 1,
        )
    )
    side = [*order, "time", "phase", "position", "change"]
    comes = intervals.with_columns(time="comes", phase=pl.lit(EVENT, pl.Int64), change=pl.lit(1, pl.Int64)).select(side)
    goes = intervals.with_columns(
        time="goes", phase=pl.lit(LEAVES_A_WINDOW, pl.Int64), change=pl.lit(-1, pl.Int64)
    ).select(side)
    return (
        pl.concat([comes, goes])
        .sort([*group, "time", "phase", "position", "order"])
        .with_columns(inside=pl.col("change").cum_sum().over(group))
        .filter(pl.col("inside").max().over(group) >= limit.count)
    )


def _episodes(
    uses: pl.DataFrame, group: list[str], limit: BurstLimit, kinds: Sequence[str], names: tuple[str, str]
) -> Iterator[ExpectedStep]:
    for _, rows in _borders(uses, group, limit).group_by(group, maintain_order=True):
        burst = _Burst(kinds[rows["kind"][0]], rows["key"][0], *names)
        for row in rows.select("order", "time", "phase", "position", "change", "inside").iter_rows():
            order, time, phase, position, change, inside = row
            place = time, phase, position
            if change > 0:
                yield from burst.comes(order, place, inside >= limit.count)
            else:
                yield from burst.goes(order, place, inside < limit.count)


class _Burst:
    """The episodes of one key, or of one key and amount."""

    def __init__(self, entity_type: str, entity_id: str, variant: str, level: str) -> None:
        self._entity = entity_type, entity_id
        self._variant = variant
        self._level = level
        self._present: dict[str, None] = {}
        self._named: dict[str, None] = {}  # empty: no episode is open
        self._opened_at = 0

    def comes(self, order: str, place: Place, enough: bool) -> Iterator[ExpectedStep]:
        self._present[order] = None
        if self._named:
            if order not in self._named:
                self._named[order] = None
                yield self._step("updated", place)
        elif enough:
            self._named = dict(self._present)
            self._opened_at = place[0]
            yield self._step("opened", place)

    def goes(self, order: str, place: Place, too_few: bool) -> Iterator[ExpectedStep]:
        del self._present[order]
        if self._named and too_few:
            yield self._step("resolved", place, "window_passed")
            self._named = {}

    def _step(self, step: Step, place: Place, reason: str | None = None) -> ExpectedStep:
        return ExpectedStep(
            "card_burst",
            step,
            *self._entity,
            place[0],
            self._level,
            reason,
            tuple(self._named),
            self._variant,
            place,
            self._opened_at,
        )
