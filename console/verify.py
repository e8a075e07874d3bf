"""``orderpulse verify``: whether two runs gave the same, or a run gave what the truth asks."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from config.loader import load_settings
from config.units import Instant
from console.errors import FINDING, WrongUseError
from console.options import Config, Json, moment
from console.output import local_time, number, print_json, some, table, to_stdout, warn
from console.results import holds_results, require_results
from console.truth import FILE, Opening, TruthReport, check_truth, hashes_differ

if TYPE_CHECKING:
    from console.causes import Explained
    from console.compare import Comparison, KindReport

_SHOWN = 5
_SHOWN_CHARACTERS = 160


def verify(
    first: Annotated[
        Path,
        typer.Argument(
            metavar="A", help="A run's output directory, a simulation's, or kafka: the output topics of --config."
        ),
    ],
    second: Annotated[
        Path,
        typer.Argument(
            metavar="B", help="What to compare it with: a directory, kafka, or kafka:FILE (another --config)."
        ),
    ],
    since: Annotated[Instant | None, moment("--from", "Compare only what happens at this moment or later.")] = None,
    until: Annotated[Instant | None, moment("--until", "Compare only what happens before this moment.")] = None,
    config: Config = None,
    json_: Json = False,
) -> None:
    """Compare two runs: equal when both hold the same lines, and each entity's lines stand in the same order.

    Topics are read up to their ends of now. Each difference comes with its likely cause, as far as the lines and the
    run.json beside them tell. Alerts about the flow itself are left out: they depend on how a run went.

    Where A is a simulation's directory (it holds truth.ndjson), the alerts that B opened are compared with those that
    must be. The exit code is 1 when something differs.

    Examples:

        orderpulse verify out/live out/replay

        orderpulse verify --config shop.toml kafka out/week --from 2026-03-02T00:00:00+08:00
          --until 2026-03-09T00:00:00+08:00
    """
    if first.resolve() == second.resolve():
        raise WrongUseError(f"{first} and {second} are the same", "name two")
    if since is not None and until is not None and since >= until:
        raise WrongUseError(f"--from {since} is not before --until {until}", "give an earlier --from")
    zone = load_settings(config).zone
    truth = _check_truth(first, second, None if until is None else until - 1) if (first / FILE).is_file() else None
    comparison = None
    if truth is None or holds_results(first):
        from console.compare import compare
        from console.digests import Span
        from console.sides import side_of

        sides = side_of(first, config), side_of(second, config)
        comparison = compare(sides, Span(since, until), lambda moment: local_time(moment, zone))
    equal = (truth is None or truth.right) and (comparison is None or comparison.equal)
    if json_:
        print_json(_values(equal, truth, comparison))
    else:
        if truth is not None:
            show_truth(truth, zone)
        if comparison is not None:
            _show_comparison(comparison, zone)
        to_stdout().print("\nEqual" if equal else "\nNot equal")
    if not equal:
        raise typer.Exit(FINDING)


def _check_truth(truth: Path, run: Path, until: int | None) -> TruthReport:
    require_results(run)
    return check_truth(truth, run, until)


def truth_in_words(report: TruthReport) -> str:
    """``413 of 413 alerts as the truth asks, 0 extra``."""
    total = report.expected.total()
    return f"{number(report.matched)} of {some(total, 'alert')} as the truth asks, {number(len(report.extra))} extra"


def show_truth(report: TruthReport, zone: str) -> None:
    """The comparison with the truth, rule by rule, with the first that differ."""
    out = to_stdout()
    rows = [(rule, *map(number, counts)) for rule, counts in report.by_rule().items()]
    columns = ("rule", "asked for", "missing", "extra")
    out.print(table(columns, rows, numbers=columns[1:]))
    out.print(f"\n{truth_in_words(report)}")
    for name, openings in (("missing", report.missing), ("extra", report.extra)):
        for rule, entity, time in openings[:_SHOWN]:
            out.print(f"  {name}: {rule} of {entity} at {local_time(time, zone)} ({time})", soft_wrap=True)
        if len(openings) > _SHOWN:
            out.print(f"  {name}: ... and {number(len(openings) - _SHOWN)} more")
    if hashes_differ(report):
        warn("only hashed entities differ: simulate and run with the same ORDERPULSE_HASH_KEY")


def _show_comparison(comparison: "Comparison", zone: str) -> None:
    out = to_stdout()
    rows = [
        (
            report.kind,
            *map(number, report.lines),
            *map(number, report.only),
            number(report.reordered),
            "equal" if report.equal else "differs",
        )
        for report in comparison.kinds
    ]
    columns = ("", "lines in A", "lines in B", "only in A", "only in B", "in another order", " ")
    out.print(table(columns, rows, numbers=columns[1:-1]))
    for report in comparison.kinds:
        if not report.equal:
            _show_difference(report)
    if comparison.causes:
        _show_causes(comparison.causes, zone)
    out.print(f"\nA: {comparison.names[0]}\nB: {comparison.names[1]}", soft_wrap=True)


def _show_causes(causes: "list[Explained]", zone: str) -> None:
    from console.causes import WORDS

    out = to_stdout()
    out.print("\nLikely causes", style="bold")
    for each in causes:
        lines = f"{number(each.lines[0])} only in A, {number(each.lines[1])} only in B"
        first = "" if each.first is None else f", the first at {local_time(each.first, zone)}"
        out.print(f"  {WORDS[each.cause]}: {lines}{first}", soft_wrap=True)
        for detail in each.details:
            out.print(f"    {detail}", soft_wrap=True)


def _show_difference(report: "KindReport") -> None:
    out = to_stdout()
    out.print(f"\n{report.kind}", style="bold")
    for label, (in_first, in_second) in report.by_label.items():
        out.print(f"  {label}: {number(in_first)} only in A, {number(in_second)} only in B")
    for name, examples in zip("AB", report.examples, strict=True):
        for example in examples:
            out.print(f"  only in {name}: {_begin(example)}", soft_wrap=True)
    for each in report.reordered_examples:
        out.print(f"  {each.entity} in another order:")
        for name, lines in (("A", each.first), ("B", each.second)):
            for line in lines:
                out.print(f"    {name}: {_begin(line)}", soft_wrap=True)


def _begin(line: str) -> str:
    """Enough to know the record by; versions go on for pages, with names and phones. ``--json`` has the whole."""
    return line if len(line) <= _SHOWN_CHARACTERS else f"{line[:_SHOWN_CHARACTERS]}…"


def _values(equal: bool, truth: TruthReport | None, comparison: "Comparison | None") -> dict[str, Any]:
    values: dict[str, Any] = {"equal": equal}
    if truth is not None:
        values["truth"] = {
            "expected": truth.expected.total(),
            "matched": truth.matched,
            "missing": [_opening(each) for each in truth.missing],
            "extra": [_opening(each) for each in truth.extra],
        }
    if comparison is not None:
        values["kinds"] = {
            report.kind: {
                "equal": report.equal,
                "lines": list(report.lines),
                "only": list(report.only),
                "by": {label: list(counts) for label, counts in report.by_label.items()},
                "examples": list(report.examples),
                "reordered": report.reordered,
                "reordered_entities": [each.entity for each in report.reordered_examples],
            }
            for report in comparison.kinds
        }
        values["causes"] = [
            {
                "cause": each.cause,
                "lines": list(each.lines),
                "first": each.first,
                "details": each.details,
                "example": each.example,
            }
            for each in comparison.causes
        ]
    return values


def _opening(opening: Opening) -> dict[str, Any]:
    return dict(zip(("rule", "entity_id", "time"), opening, strict=True))
