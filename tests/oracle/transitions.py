"""``illegal_transition`` of docs/rules.md."""

from collections.abc import Iterator

from config.settings import Settings
from tests.oracle.histories import Histories, Life
from tests.oracle.limits import why_moved
from tests.oracle.model import ExpectedStep, Step


def illegal_transition(histories: Histories, settings: Settings) -> Iterator[ExpectedStep]:
    """Moves that the stage chain does not allow, until the order moves on or is forgotten."""
    for life in histories:
        yield from _of_order(life, settings)


def _of_order(life: Life, settings: Settings) -> Iterator[ExpectedStep]:
    rule, entity, orders = "illegal_transition", ("order", life.order_id), (life.order_id,)
    level = ""  # of the open alert; empty: none is open
    for change in life.changes:
        if change.kind in ("unknown", "backwards", "skipped"):
            step: Step = "updated" if level else "opened"
            level = change.kind
            yield ExpectedStep(rule, step, *entity, change.time, level, None, orders)
        elif change.kind == "applied" and level:
            reason = why_moved(settings, change.after)
            yield ExpectedStep(rule, "resolved", *entity, change.time, level, reason, orders)
            level = ""
    if level and life.forgotten is not None:
        yield ExpectedStep(rule, "resolved", *entity, life.forgotten, level, "forgotten", orders)
