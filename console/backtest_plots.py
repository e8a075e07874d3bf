"""The plots of a backtest's page: plain SVG that takes its colours from the page, without a script of its own."""

import re
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, Final
from zoneinfo import ZoneInfo

import pygal
from pygal.style import Style

from operators.judging.comparison import RuleReport
from operators.judging.outcomes import Quality
from operators.judging.series import Series

Words = Mapping[str, Mapping[str, str]]
_DAY: Final = 86_400_000
_COLOURS: Final = {"both": "--both", "moved": "--moved", "gained": "--gained", "lost": "--lost", "count": "--accent"}
_SCRIPT: Final = re.compile(r"<script.*?</script>|<!--.*?-->", re.DOTALL)
# Browsers show the text of a title beside the pointer; pygal leaves that to its script.
_VALUE: Final = re.compile(r'<desc class="value">(.*?)</desc>')
_MOST_LABELS: Final = 12


def over_time(name: str, drawn: Series, words: Words, zone: str) -> str:
    """Alerts that open in each step: in both, gained, lost."""
    chart = _chart(pygal.StackedBar, name, ("both", "gained", "lost"), height=300, order_min=0)
    labels = [_label(start, drawn.step, zone) for start in drawn.starts]
    every = max(1, -(-len(labels) // _MOST_LABELS))
    chart.x_labels = labels
    chart.x_labels_major = labels[::every]
    chart.show_minor_x_labels = False
    for change in ("both", "gained", "lost"):
        chart.add(_both(words, change), list(getattr(drawn, change)))
    return _svg(chart)


def shares(reports: Sequence[RuleReport], words: Words) -> str:
    """Of each rule's alerts, the share that stays, moves, is gained and is lost."""
    parts = ("unchanged", "moved", "gained", "lost")
    chart = _chart(
        pygal.HorizontalStackedBar,
        "shares",
        ("both", "moved", "gained", "lost"),
        height=110 + 40 * len(reports),
        range=(0, 1),
    )
    chart.x_labels = [report.rule for report in reversed(reports)]
    chart.value_formatter = _percent
    for part in parts:
        chart.add(_both(words, part), [_share(report, part) for report in reversed(reports)])
    return _svg(chart)


def curve(name: str, values: Sequence[str], reports: Sequence[RuleReport], words: Words) -> list[str]:
    """How many alerts each value of a grid gives; and how right they are, where that is known of any."""
    count = _chart(pygal.Line, f"{name}-count", ("count",), height=300, order_min=0)
    count.x_labels = list(values)
    count.add(_both(words, "count"), [report.counts.second for report in reports])
    plots = [_svg(count)]
    qualities = [None if report.quality is None else report.quality.second for report in reports]
    if any(quality is not None and quality.alerts.precision is not None for quality in qualities):
        right = _chart(pygal.Line, f"{name}-right", ("gained", "lost"), height=300, range=(0, 1))
        right.x_labels = list(values)
        right.value_formatter = _percent
        right.add(_both(words, "precision"), [_precision(quality) for quality in qualities])
        right.add(_both(words, "recall"), [None if quality is None else quality.recall for quality in qualities])
        plots.append(_svg(right))
    return plots


def _chart(kind: Any, name: str, colours: Sequence[str], **options: Any) -> Any:
    style = Style(
        background="transparent",
        plot_background="transparent",
        foreground="var(--ink)",
        foreground_strong="var(--ink)",
        foreground_subtle="var(--line)",
        opacity=".9",
        opacity_hover="1",
        transition="0ms",
        font_family="inherit",
        label_font_size=12,
        major_label_font_size=12,
        legend_font_size=13,
        colors=tuple(f"var({_COLOURS[colour]})" for colour in colours),
    )
    chart = kind(
        style=style,
        js=[],
        disable_xml_declaration=True,
        width=1100,
        legend_at_bottom=True,
        legend_at_bottom_columns=4,
        legend_box_size=12,
        margin=8,
        margin_bottom=28,
        truncate_label=-1,
        spacing=8,
        value_formatter=_whole,
        **options,
    )
    chart.uuid = name  # names the styles of the chart; a name of chance would make each page another one
    return chart


def _svg(chart: Any) -> str:
    text: str = chart.render(is_unicode=True)
    return _VALUE.sub(r"<title>\1</title>", _SCRIPT.sub("", text))


def _both(words: Words, word: str) -> str:
    return f"{words[word]['en']} · {words[word]['zh']}"


def _whole(value: float) -> str:
    return f"{value:,.0f}"


def _percent(value: float) -> str:
    return f"{100 * value:.0f} %"


def _precision(quality: Quality | None) -> float | None:
    return None if quality is None else quality.alerts.precision


def _share(report: RuleReport, part: str) -> float:
    counts = report.counts
    total = counts.both + counts.gained + counts.lost
    found = counts.both - counts.moved if part == "unchanged" else getattr(counts, part)
    return float(found) / total if total else 0.0


def _label(start: int, step: int, zone: str) -> str:
    local = datetime.fromtimestamp(start / 1000, tz=UTC).astimezone(ZoneInfo(zone))
    return f"{local:%Y-%m-%d}" if step >= _DAY else f"{local:%m-%d %H:%M}"
