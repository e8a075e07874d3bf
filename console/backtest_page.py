"""The page of a backtest: one file that opens without a network, in Chinese and English, light and dark."""

import re
import tomllib
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Final

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup
from msgspec import Struct

from console.backtest_findings import Finding
from console.backtest_plots import curve, over_time, shares
from console.backtest_sets import RuleSets, explain_command
from console.backtest_text import length
from console.errors import FailedError
from console.output import local_time
from dataflows.backtest import Backtest, Plan
from events.normal_form import mask
from operators.judging.comparison import CHANGES, Example, RuleReport

_HERE: Final = Path(__file__).parent / "templates"
_PHONE: Final = re.compile(r"(?<!\d)(\+?86)?1[3-9]\d{9}(?!\d)")
_OPEN_IDS: Final = frozenset({"order", "parcel"})


class Row(Struct, frozen=True):
    """An example as the page shows it."""

    change: str
    rule: str
    subject: str
    level: str
    time: str
    moved_by: str
    outcome: str
    command: str


def write_page(path: Path, plan: Plan, sets: RuleSets, result: Backtest, found: Sequence[Finding]) -> None:
    """Write the page; raises FailedError where that cannot be."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(page(plan, sets, result, found), encoding="utf-8")
    except OSError as error:
        raise FailedError(f"--html {path}: cannot be written: {error.strerror}", "name another file") from None


def page(plan: Plan, sets: RuleSets, result: Backtest, found: Sequence[Finding]) -> str:
    """The page as HTML. The same backtest gives the same page."""
    environment = Environment(
        loader=FileSystemLoader(_HERE), autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    zone = plan.first.zone
    words = tomllib.loads((_HERE / "backtest.toml").read_text(encoding="utf-8"))["words"]
    return environment.get_template("backtest.html.j2").render(
        words=words,
        language="zh-CN" if zone.startswith("Asia/") else "en",
        names=sets.names,
        compared=sets.second is not None,
        field=sets.field,
        since="" if plan.span.start is None else local_time(plan.span.start, zone),
        until="" if plan.span.end is None else local_time(plan.span.end, zone),
        end=local_time(result.end, zone),
        zone=zone,
        result=result,
        known=result.known if any(report.quality for report in result.rules) else {},
        findings=found,
        examples=list(_rows(plan, sets, result.rules)),
        plots=_plots(result, words, zone),
        length=length,
    )


def _plots(result: Backtest, words: Any, zone: str) -> dict[str, Any]:
    rules = sorted({report.rule for point in result.grid for report in point.rules})
    return {
        "shares": Markup(shares(result.rules, words)) if result.rules else "",
        "over_time": {
            rule: Markup(over_time(f"time-{number}", drawn, words, zone))
            for number, (rule, drawn) in enumerate(result.series.items())
        },
        "grid": {rule: _curve(f"grid-{number}", rule, result, words) for number, rule in enumerate(rules)},
    }


def _curve(name: str, rule: str, result: Backtest, words: Any) -> list[Markup]:
    found = [(point.value, report) for point in result.grid for report in point.rules if report.rule == rule]
    values, reports = [value for value, _ in found], [report for _, report in found]
    return [Markup(plot) for plot in curve(name, values, reports, words)]


def _rows(plan: Plan, sets: RuleSets, reports: Sequence[RuleReport]) -> Iterator[Row]:
    for report in reports:
        for change in CHANGES:
            for example in report.examples[change]:
                yield _row(plan, sets, report.rule, example)


def _row(plan: Plan, sets: RuleSets, rule: str, example: Example) -> Row:
    variant = f" ({example.variant})" if example.variant else ""
    return Row(
        change=example.change,
        rule=rule,
        subject=f"{example.entity_type} {shown_id(example.entity_type, example.entity_id)}{variant}",
        level=example.level,
        time=local_time(example.time, plan.first.zone),
        moved_by=length(example.moved_by) if example.change == "moved" else "",
        outcome=example.outcome,
        command=explain_command(rule, example, plan.inputs, sets),
    )


def shown_id(entity_type: str, entity_id: str) -> str:
    """Numbers that may be a person's phone are masked; ids of orders and parcels stay, they are what is looked up."""
    if entity_type in _OPEN_IDS:
        return entity_id
    return _PHONE.sub(lambda match: mask(match[0]), entity_id)
