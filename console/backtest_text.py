"""The result of a backtest for people, on the terminal."""

from collections.abc import Iterator, Sequence
from pathlib import Path

from config.settings import Settings
from config.units import Duration
from console.backtest_findings import Finding
from console.backtest_sets import RuleSets, explain_command
from console.output import local_time, number, some, table, to_stdout
from dataflows.backtest import Backtest, GridReport, Plan
from operators.judging.comparison import CHANGES, Counts, Example, Moves, Qualities, RuleReport
from operators.judging.outcomes import Quality, Tally

UNKNOWN = "unknown"
_SHOWN = 3
_COLUMNS = ("rule", "level", "rules", "candidate", "both", "moved", "by (median)", "gained", "lost", "orders")
_GRID = ("value", "rule", "alerts", "both", "moved", "gained", "lost", "precision", "recall")
_QUALITY = ("rule", "level", "rule set", "precision", "right", "wrong", "unknown", "recall", "caught", "failed", "lead")


def show(plan: Plan, sets: RuleSets, result: Backtest, found: Sequence[Finding], page: Path | None) -> None:
    """Print it."""
    out = to_stdout()
    for line in _head(plan, sets, result):
        out.print(line, soft_wrap=True)
    if sets.second is not None:
        _show_rules(result)
        _show_quality(result)
        _show_examples(plan, sets, result.rules)
    if result.grid:
        _show_grid(sets.field, result.grid)
    if page is not None:
        out.print(f"\nPage: {page}", soft_wrap=True)
    for each in found:
        out.print(f"\nFinding: {each.condition}: {each.rule + ' ' if each.rule else ''}{each.value:g}", style="bold")


def share(value: float | None) -> str:
    """0.1234 as ``12.3 %``."""
    return UNKNOWN if value is None else f"{value:.1%}".replace("%", " %")


def length(moves: int | None) -> str:
    """A length of time (ms) with its sign, as far as it matters: ``+3d``, ``-1h30m``."""
    if moves is None:
        return UNKNOWN
    rounded = abs(moves) // 1000 * 1000 if abs(moves) >= 60_000 else abs(moves)
    parts = Duration(rounded)
    return ("-" if moves < 0 else "+") + _coarse(str(parts))


def span_in_words(plan: Plan, result: Backtest, zone: str) -> str:
    """``alerts that open from ... to before ...``."""
    start, end = plan.span.start, plan.span.end
    if start is None and end is None:
        return f"all alerts up to {local_time(result.end, zone)}"
    since = "" if start is None else f" from {local_time(start, zone)}"
    until = "" if end is None else f" to before {local_time(end, zone)}"
    return f"alerts that open{since}{until}"


def _head(plan: Plan, sets: RuleSets, result: Backtest) -> Iterator[str]:
    yield f"Rules:     {sets.names[0]}"
    if sets.second is not None:
        yield f"Candidate: {sets.names[1]}"
        for each in result.differences:
            yield f"  {each.field}: {each.first or '(not set)'} -> {each.second or '(not set)'}"
    if sets.field:
        yield f"Grid:      {sets.field}"
    yield f"History:   {some(result.events, 'event')}; {span_in_words(plan, result, _zone(plan))}"
    if result.judged is None:
        yield "Judged:    all rules"
    else:
        yield f"Judged:    {', '.join(result.judged) or 'no rule'}, the others do not differ"


def _zone(plan: Plan) -> str:
    settings: Settings = plan.first
    return settings.zone


def _show_rules(result: Backtest) -> None:
    out = to_stdout()
    if not result.rules:
        out.print("\nNo alerts in either")
        return
    rows = []
    for report in result.rules:
        rows.append((report.rule, "", *_counts(report.counts, report.moves)))
        if len(report.levels) > 1:
            rows += [("", level, *_counts(each.counts, None)) for level, each in report.levels.items()]
    out.print()
    out.print(table(_COLUMNS, rows, numbers=_COLUMNS[2:]))


def _counts(counts: Counts, moves: Moves | None) -> tuple[str, ...]:
    by = "" if moves is None else length(moves.median)
    return (
        number(counts.first),
        number(counts.second),
        number(counts.both),
        number(counts.moved),
        by,
        number(counts.gained),
        number(counts.lost),
        number(counts.orders),
    )


def _show_quality(result: Backtest) -> None:
    judged = [report for report in result.rules if report.quality is not None]
    if not judged:
        return
    out = to_stdout()
    if not any(result.known.values()):
        names = ", ".join(result.known)
        out.print(f"\nHow right they were is unknown: no event tells what became of an order ({names})", soft_wrap=True)
        return
    known = ", ".join(f"{name}: known of {some(count, 'order')}" for name, count in result.known.items())
    out.print(f"\nHow right they were ({known})\n", soft_wrap=True)
    rows = [row for report in judged for row in _quality_rows(report)]
    out.print(table(_QUALITY, rows, numbers=_QUALITY[3:]))


def _quality_rows(report: RuleReport) -> Iterator[tuple[str, ...]]:
    several = len(report.levels) > 1
    levels = [(level, each.quality) for level, each in report.levels.items()] if several else []
    for level, quality in [("", report.quality), *levels]:
        if quality is not None:
            yield from _sides(report.rule if not level else "", level, quality)


def _sides(rule: str, level: str, quality: Qualities) -> Iterator[tuple[str, ...]]:
    yield (rule, level, "rules", *_quality(quality.first))
    yield ("", "", "candidate", *_quality(quality.second))
    if not level:
        for name, tally in (("gained", quality.gained), ("lost", quality.lost)):
            yield ("", "", name, share(tally.precision), *_tally(tally), "", "", "", "")


def _quality(quality: Quality) -> tuple[str, ...]:
    return (
        share(quality.alerts.precision),
        *_tally(quality.alerts),
        share(quality.recall),
        number(quality.caught),
        number(quality.failed),
        "" if quality.lead is None else length(quality.lead).removeprefix("+"),
    )


def _tally(tally: Tally) -> tuple[str, str, str]:
    return number(tally.right), number(tally.wrong), number(tally.unknown)


def _show_examples(plan: Plan, sets: RuleSets, reports: Sequence[RuleReport]) -> None:
    out = to_stdout()
    for report in reports:
        for change in CHANGES:
            examples = report.examples[change]
            if examples:
                out.print(f"\n{change}: {report.rule}", style="bold")
            for example in examples[:_SHOWN]:
                out.print(f"  {_example(example, _zone(plan))}", soft_wrap=True)
                command = explain_command(report.rule, example, plan.inputs, sets)
                if command:
                    out.print(f"    {command}", soft_wrap=True)


def _example(example: Example, zone: str) -> str:
    what = f"{example.entity_type} {example.entity_id}" + (f" ({example.variant})" if example.variant else "")
    by = f", {length(example.moved_by)}" if example.change == "moved" else ""
    verdict = "" if example.outcome == UNKNOWN else f", {example.outcome}"
    return f"{what}: {example.level} at {local_time(example.time, zone)}{by}{verdict}"


def _show_grid(field: str, points: Sequence[GridReport]) -> None:
    out = to_stdout()
    out.print(f"\n{field}\n")
    rows = []
    for point in points:
        for place, report in enumerate(point.rules):
            quality = report.quality
            rows.append(
                (
                    "" if place else point.value,
                    report.rule,
                    number(report.counts.second),
                    number(report.counts.both),
                    number(report.counts.moved),
                    number(report.counts.gained),
                    number(report.counts.lost),
                    UNKNOWN if quality is None else share(quality.second.alerts.precision),
                    UNKNOWN if quality is None else share(quality.second.recall),
                )
            )
    out.print(table(_GRID, rows, numbers=_GRID[2:]))


def _coarse(text: str) -> str:
    """The two largest units."""
    units = ("d", "h", "m", "s")
    kept, rest = "", text
    for _ in range(2):
        place = next((rest.find(unit) for unit in units if unit in rest), -1)
        if place < 0:
            break
        kept, rest = kept + rest[: place + 1], rest[place + 1 :]
    return kept or text
