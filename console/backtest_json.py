"""The result of a backtest for programs. Times are epoch ms, lengths of time ms, shares between 0 and 1 or null."""

from typing import Any

import msgspec

from console.backtest_findings import Finding
from console.backtest_sets import RuleSets
from dataflows.backtest import Backtest, GridReport, Plan
from operators.judging.comparison import Counts, Qualities, RuleReport
from operators.judging.outcomes import Quality, Tally


def as_values(plan: Plan, sets: RuleSets, result: Backtest, found: list[Finding]) -> dict[str, Any]:
    """One JSON value."""
    return {
        "rules": sets.names[0],
        "candidate": None if sets.second is None else sets.names[1],
        "from": plan.span.start,
        "until": plan.span.end,
        "end": result.end,
        "events": result.events,
        "late": result.late,
        "seconds": round(result.seconds, 3),
        "events_per_second": round(result.events / max(result.seconds, 1e-9)),
        "differences": [msgspec.to_builtins(each) for each in result.differences],
        "judged": result.judged,
        "known": result.known,
        "by_rule": {report.rule: _rule(report) for report in result.rules},
        "series": {rule: msgspec.to_builtins(each) for rule, each in result.series.items()},
        "grid": None if not sets.field else {"field": sets.field, "values": [_point(each) for each in result.grid]},
        "findings": [msgspec.to_builtins(each) for each in found],
    }


def _rule(report: RuleReport) -> dict[str, Any]:
    return {
        **_counts(report.counts),
        "moves": msgspec.to_builtins(report.moves),
        "quality": _qualities(report.quality),
        "levels": {
            level: {**_counts(each.counts), "quality": _qualities(each.quality)}
            for level, each in report.levels.items()
        },
        "examples": {change: msgspec.to_builtins(each) for change, each in report.examples.items()},
    }


def _counts(counts: Counts) -> dict[str, int]:
    return {
        "rules": counts.first,
        "candidate": counts.second,
        "both": counts.both,
        "moved": counts.moved,
        "gained": counts.gained,
        "lost": counts.lost,
        "orders": counts.orders,
    }


def _qualities(qualities: Qualities | None) -> dict[str, Any] | None:
    if qualities is None:
        return None
    return {
        "outcome": qualities.first.outcome,
        "rules": _quality(qualities.first),
        "candidate": _quality(qualities.second),
        "gained": _tally(qualities.gained),
        "lost": _tally(qualities.lost),
    }


def _quality(quality: Quality) -> dict[str, Any]:
    return {
        **_tally(quality.alerts),
        "recall": quality.recall,
        "failed": quality.failed,
        "caught": quality.caught,
        "lead": quality.lead,
    }


def _tally(tally: Tally) -> dict[str, Any]:
    return {"precision": tally.precision, "right": tally.right, "wrong": tally.wrong, "unknown": tally.unknown}


def _point(point: GridReport) -> dict[str, Any]:
    return {"value": point.value, "by_rule": {report.rule: _rule(report) for report in point.rules}}
