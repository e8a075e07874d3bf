"""``--fail-on``: figures of a backtest against limits, for CI."""

import re
from collections.abc import Iterator, Sequence
from typing import Final

from msgspec import Struct

from console.errors import WrongUseError
from dataflows.backtest import Backtest
from operators.judging.comparison import RuleReport

_SHAPE: Final = re.compile(
    r"\s*(?:(?P<rule>[^<>=\s]+)\.)?(?P<figure>[a-z_]+)\s*(?P<how>[<>])\s*(?P<limit>-?\d+(\.\d+)?)\s*"
)
_COUNTS: Final = ("gained", "lost", "moved", "changed")
_SHARES: Final = ("precision", "recall", "precision_drop", "recall_drop")
_KNOWN: Final = "known"


class Condition(Struct, frozen=True):
    """``RULE.FIGURE<LIMIT``; without a rule, counts are summed over all, and shares are those of each."""

    text: str
    rule: str
    figure: str
    above: bool
    limit: float


class Finding(Struct, frozen=True):
    """A condition that holds: the rule, "" for all together, and the figure's value."""

    condition: str
    rule: str
    value: float


def parse_conditions(given: Sequence[str], *, compared: bool) -> list[Condition]:
    """Read conditions; raises WrongUseError for what is none, and where there is no candidate to compare."""
    if given and not compared:
        raise WrongUseError("--fail-on without a candidate", "name the rule set to judge with --candidate")
    return [_parsed(text) for text in given]


def findings(result: Backtest, conditions: Sequence[Condition]) -> list[Finding]:
    """The conditions that hold. What is not known is no finding: ask for ``known<1`` to refuse it."""
    return [
        Finding(condition.text, rule, value)
        for condition in conditions
        for rule, value in _values(condition, result.rules)
        if (value > condition.limit if condition.above else value < condition.limit)
    ]


def _parsed(text: str) -> Condition:
    match = _SHAPE.fullmatch(text)
    figures = (*_COUNTS, *_SHARES, _KNOWN)
    if match is None or match["figure"] not in figures:
        raise WrongUseError(
            f"--fail-on {text!r} is no condition",
            f"write FIGURE>VALUE or RULE.FIGURE<VALUE; figures are {', '.join(figures)}",
        )
    return Condition(text.strip(), match["rule"] or "", match["figure"], match["how"] == ">", float(match["limit"]))


def _values(condition: Condition, reports: Sequence[RuleReport]) -> Iterator[tuple[str, float]]:
    figure = condition.figure
    if not condition.rule and figure in _COUNTS:
        yield "", float(sum(_count(report, figure) for report in reports))
        return
    chosen = [report for report in reports if condition.rule in ("", report.rule)]
    if not chosen and condition.rule and figure not in _SHARES:
        yield condition.rule, 0.0
    for report in chosen:
        value = float(_count(report, figure)) if figure in _COUNTS else _judged(report, figure)
        if value is not None:
            yield report.rule, value


def _count(report: RuleReport, figure: str) -> int:
    counts = report.counts
    changed = counts.gained + counts.lost + counts.moved
    return {"gained": counts.gained, "lost": counts.lost, "moved": counts.moved, "changed": changed}[figure]


def _judged(report: RuleReport, figure: str) -> float | None:
    """A figure of the candidate; its drop: how far it is below that of the rules."""
    if report.quality is None:
        return 0.0 if figure == _KNOWN else None
    first, second = report.quality.first, report.quality.second
    if figure == _KNOWN:
        return float(second.alerts.right + second.alerts.wrong)
    if figure.startswith("precision"):
        before, after = first.alerts.precision, second.alerts.precision
    else:
        before, after = first.recall, second.recall
    if not figure.endswith("_drop"):
        return after
    return None if before is None or after is None else before - after
