"""A backtest: the alerts of rule sets over one history, side by side, and how right they were."""

from collections.abc import Callable, Mapping, Sequence
from time import perf_counter
from typing import Final

from msgspec import Struct

from config.differences import Difference, differences
from config.settings import OutcomeSettings, Settings
from dataflows.backtest_plan import judged_rules, passed_over, reduced
from dataflows.backtest_shares import Shares
from dataflows.backtest_walk import Side, Walk, Walked
from dataflows.history import HistoryPosition
from operators.judging.comparison import RuleReport, compare
from operators.judging.episodes import Episode
from operators.judging.matching import Span, pairs
from operators.judging.outcomes import Outcomes
from operators.judging.series import Series, series
from sources.history import Inputs

_EXAMPLES: Final = 10


class GridPoint(Struct, frozen=True):
    """One value of the threshold that a grid goes over, as it was written, and the rule set that it gives."""

    value: str
    settings: Settings


class Plan(Struct, frozen=True):
    """What to compare over which history.

    ``second`` is compared with ``first``, and so is each point of the ``grid``. ``span``: alerts that open within it
    are judged; ``warm_up`` (ms): history from that long before is read, None: all. ``judged_by``: rule -> name of the
    outcome, over the settings' own; under "" for all rules. ``everything``: also rules whose settings do not differ.
    ``published``: the first rule set changes with the rule documents in the history; otherwise they count for nobody.
    ``offset`` (ms): of the zone whose days plots count.
    """

    first: Settings
    second: Settings | None
    inputs: Inputs
    grid: tuple[GridPoint, ...] = ()
    span: Span = Span()
    warm_up: int | None = None
    judged_by: Mapping[str, str] = {}
    everything: bool = False
    published: bool = False
    processes: int = 1
    offset: int = 0

    @property
    def sides(self) -> tuple[Settings, ...]:
        """All rule sets: the first, the second where there is one, the grid."""
        second = () if self.second is None else (self.second,)
        return (self.first, *second, *(point.settings for point in self.grid))


class GridReport(Struct, frozen=True):
    """One value of the grid, compared with the first rule set."""

    value: str
    rules: list[RuleReport]


class Backtest(Struct, frozen=True):
    """What a backtest found. ``judged``: the rules that were run, None: all. ``known``: outcome -> orders of which it
    is known. ``end``: how far history was judged (event time, epoch ms).
    """

    differences: list[Difference]
    judged: list[str] | None
    rules: list[RuleReport]
    series: dict[str, Series]
    grid: list[GridReport]
    known: dict[str, int]
    events: int
    late: int
    end: int
    seconds: float


def backtest(plan: Plan, on_progress: Callable[[HistoryPosition], None] | None = None) -> Backtest:
    """Run all rule sets over the history and compare them. Raises SourceError when it cannot be read.

    The result does not depend on ``processes``.
    """
    began = perf_counter()
    judged = None if plan.everything or plan.published else _judged(plan)
    definitions = _definitions(plan, judged)
    walked = _walk(plan, judged, definitions, on_progress)
    episodes = walked.episodes
    found = {name: Outcomes(name, definition, walked.marks) for name, definition in definitions.items()}
    alerting = {episode.rule for side in episodes for episode in side}
    outcomes = {rule: found[name] for rule in alerting if (name := _judge(plan, rule)) in found}
    offset = 1 if plan.second is None else 2
    return Backtest(
        differences=[] if plan.second is None else differences(plan.first, plan.second),
        judged=None if judged is None else sorted(judged),
        rules=_compared(plan, episodes[0], None if plan.second is None else episodes[1], outcomes),
        series={} if plan.second is None else _series(plan, episodes[0], episodes[1]),
        grid=[
            GridReport(point.value, compare(episodes[0], alerts, plan.span, outcomes, 0))
            for point, alerts in zip(plan.grid, episodes[offset:], strict=True)
        ],
        known={name: outcome.known for name, outcome in found.items()},
        events=walked.events,
        late=walked.late,
        end=walked.watermark,
        seconds=perf_counter() - began,
    )


def _judged(plan: Plan) -> frozenset[str] | None:
    """The rules that any of the rule sets may judge otherwise than the first."""
    found: set[str] = set()
    for side in plan.sides[1:]:
        judged = judged_rules(plan.first, side)
        if judged is None:
            return None
        found |= judged
    return frozenset(found)


def _judge(plan: Plan, rule: str) -> str:
    """The name of the outcome that judges a rule; "" for none."""
    named = plan.judged_by.get(rule, plan.judged_by.get("", ""))
    return named or plan.first.backtest.judged_by.get(rule, "")


def _definitions(plan: Plan, judged: frozenset[str] | None) -> dict[str, OutcomeSettings]:
    """The outcomes that may be asked for."""
    settings = plan.first.backtest
    rules = settings.judged_by.keys() if judged is None else judged
    names = {*plan.judged_by.values(), *(_judge(plan, rule) for rule in rules)} - {""}
    return {name: settings.outcomes[name] for name in sorted(names)}


def _walk(
    plan: Plan,
    judged: frozenset[str] | None,
    definitions: Mapping[str, OutcomeSettings],
    on_progress: Callable[[HistoryPosition], None] | None,
) -> Walked:
    span = plan.span
    start = None if span.start is None or plan.warm_up is None else span.start - plan.warm_up
    wanted = frozenset(condition for each in definitions.values() for condition in (*each.failed, *each.fine))
    task = Walk(
        sides=tuple(Side(side, reduced(side, judged)) for side in plan.sides),
        inputs=plan.inputs,
        start=start,
        end=span.end,
        conditions=wanted,
        published=plan.published,
        passed_over=passed_over(plan.first, judged),
    )
    return Shares(task, plan.processes).run(on_progress)


def _compared(
    plan: Plan, first: Sequence[Episode], second: Sequence[Episode] | None, outcomes: Mapping[str, Outcomes]
) -> list[RuleReport]:
    return [] if second is None else compare(first, second, plan.span, outcomes, _EXAMPLES)


def _series(plan: Plan, first: Sequence[Episode], second: Sequence[Episode]) -> dict[str, Series]:
    by_rule: dict[str, list[int]] = {}
    found = pairs(first, second, plan.span)
    for number, pair in enumerate(found):
        by_rule.setdefault(pair.any.rule, []).append(number)
    drawn = {
        rule: series([found[number] for number in numbers], plan.span, plan.offset) for rule, numbers in by_rule.items()
    }
    return {rule: each for rule, each in drawn.items() if each is not None}
