"""Time limits: ``stage_timeout``, ``order_timeout``, ``no_progress`` of docs/rules.md."""

from collections.abc import Iterator
from itertools import pairwise

from config.settings import Settings
from tests.oracle.adapting import Shops, ends, runs_of, stage_limit
from tests.oracle.histories import Change, Histories, Life, Stay
from tests.oracle.model import ExpectedStep, Step

Ending = tuple[int, str]  # when a clock stopped, and why


def stage_timeout(histories: Histories, settings: Settings) -> Iterator[ExpectedStep]:
    """Stays in a stage, of orders and of parcels, that last longer than the stage's limit."""
    shops = Shops(histories, settings)
    for life in histories:
        for stay in life.stays:
            norm = stage_limit(settings, stay.stage, stay.category)
            if norm is None:
                continue
            clock = clock_of("stage_timeout", life, stay)
            limit = shops.limit(life, stay, norm)
            for run in runs_of(life, stay, settings):
                breach, reminder = ends(settings, settings.detectors.stage_timeout, stay.stage, limit, run.started)
                yield from clock.run_to(breach, reminder, run.ending, not_before=run.known_from)


def order_timeout(histories: Histories, settings: Settings) -> Iterator[ExpectedStep]:
    """Paid orders that the warehouse does not handle in time."""
    rule = settings.detectors.order_timeout
    for life in histories:
        for started, category, ending in _unhandled(life, settings):
            limit = rule.by_category.get(category, rule.limit)
            clock = _Clock("order_timeout", "order", life.order_id, life.order_id)
            yield from clock.run_to(*ends(settings, rule, "handling", limit, started), ending)


def no_progress(histories: Histories, settings: Settings) -> Iterator[ExpectedStep]:
    """Open orders whose status does not change for too long."""
    floor = settings.detectors.no_progress.floor
    for life in histories:
        changes: list[Change | None] = [item for item in life.changes if item.kind in ("applied", "parcels", "status")]
        for change, following in pairwise([*changes, None]):
            if change is None or change.after is None or settings.stages[change.after].terminal:
                continue
            limit = max(floor, stage_limit(settings, change.after, change.category) or 0)
            deadline, _ = ends(settings, settings.detectors.stage_timeout, change.after, limit, change.time)
            if following is not None and following.time <= deadline:
                continue
            yield _standstill("opened", life.order_id, deadline, deadline)
            if following is not None:
                reason = why_moved(settings, following.after)
                yield _standstill("resolved", life.order_id, following.time, deadline, reason)


def why_moved(settings: Settings, stage: str | None) -> str:
    """The reason with which a move of the order resolves what a standstill had raised."""
    return "cancelled" if stage is not None and settings.stages[stage].cancels else "moved_on"


def clock_of(rule: str, life: Life, stay: Stay) -> "_Clock":
    """The clock of a stay."""
    return _Clock(rule, *_unit(life, stay), life.order_id)


def _unit(life: Life, stay: Stay) -> tuple[str, str]:
    if stay.parcel is None:
        return "order", life.order_id
    return "parcel", f"{life.order_id}/{stay.parcel}"


def _unhandled(life: Life, settings: Settings) -> Iterator[tuple[int, str, Ending | None]]:
    """From paid until handled: when, the category then, and the end."""
    started: Change | None = None
    for change in life.changes:
        if change.kind not in ("applied", "parcels") or change.after is None or change.after == change.before:
            continue
        stage = settings.stages[change.after]
        if started is None:
            paid_before = change.before is not None and settings.stages[change.before].paid
            if stage.paid and not paid_before and not stage.handled and not stage.terminal:
                started = change
        elif stage.handled or stage.terminal:
            reason = "moved_on" if stage.handled else "cancelled" if stage.cancels else "closed"
            yield started.time, started.category, (change.time, reason)
            started = None
    if started is not None:
        yield started.time, started.category, None


class _Clock:
    """One clock with a deadline, and with a reminder before it where there is a lead."""

    def __init__(self, rule: str, entity_type: str, entity_id: str, order_id: str) -> None:
        self._rule = rule
        self._entity = entity_type, entity_id
        self._order_id = order_id

    def run_to(self, deadline: int, lead: int, ending: Ending | None, not_before: int = 0) -> Iterator[ExpectedStep]:
        """The steps of one episode, with its reminder at ``lead``; what ends at a deadline is in time."""
        breach, reminder = max(deadline, not_before), max(lead, not_before)
        if ending is not None and ending[0] <= reminder:
            return
        level = "reminder" if reminder < breach else "breach"
        yield self._step("opened", reminder, level, reminder)
        if reminder < breach and (ending is None or ending[0] > breach):
            level = "breach"
            yield self._step("updated", breach, level, reminder)
        if ending is not None:
            yield self._step("resolved", ending[0], level, reminder, ending[1])

    def _step(self, step: Step, time: int, level: str, opened_at: int, reason: str | None = None) -> ExpectedStep:
        return ExpectedStep(
            self._rule,
            step,
            *self._entity,
            time,
            level,
            reason,
            (self._order_id,),
            opened_at=opened_at,
        )


def _standstill(step: Step, order_id: str, time: int, opened_at: int, reason: str | None = None) -> ExpectedStep:
    rule = "no_progress"
    return ExpectedStep(rule, step, "order", order_id, time, rule, reason, (order_id,), opened_at=opened_at)
