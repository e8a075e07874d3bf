"""``orderpulse verify``: whether two runs gave the same, or a run gave what the truth asks."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from config.loader import load_settings
from console.errors import FINDING, WrongUseError
from console.options import Config, Json
from console.output import local_time, number, print_json, some, table, to_stdout, warn
from console.results import holds_results, require_results
from console.truth import FILE, Opening, TruthReport, check_truth, hashes_differ

if TYPE_CHECKING:
    from console.compare import KindReport

_SHOWN = 5


def verify(
    first: Annotated[Path, typer.Argument(metavar="A", help="A run's output directory, or a simulation's.")],
    second: Annotated[Path, typer.Argument(metavar="B", help="The run's output directory to compare it with.")],
    config: Config = None,
    json_: Json = False,
) -> None:
    """Compare two runs: equal when both hold the same lines, and each entity's lines stand in the same order.

    Where A is a simulation's directory (it holds truth.ndjson), the alerts that B opened are compared with those that
    must be. Alerts about the flow itself are left out: they depend on how a run went. The exit code is 1 when something
    differs.
    """
    has_truth = (first / FILE).is_file()
    if not has_truth:
        require_results(first)
    require_results(second)
    if first.resolve() == second.resolve():
        raise WrongUseError(f"{first} and {second} are the same directory", "name two")
    truth = check_truth(first, second) if has_truth else None
    kinds = None
    if holds_results(first):
        from console.compare import compare_runs

        kinds = compare_runs(first, second)
    equal = (truth is None or truth.right) and all(kind.equal for kind in kinds or ())
    if json_:
        print_json(_values(equal, truth, kinds))
    else:
        zone = load_settings(config).zone
        if truth is not None:
            show_truth(truth, zone)
        if kinds is not None:
            _show_kinds(first, second, kinds)
        to_stdout().print("\nEqual" if equal else "\nNot equal")
    if not equal:
        raise typer.Exit(FINDING)


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


def _show_kinds(first: Path, second: Path, kinds: "list[KindReport]") -> None:
    out = to_stdout()
    rows = [
        (
            report.kind,
            *map(number, report.lines),
            *map(number, report.only),
            number(report.reordered),
            "equal" if report.equal else "differs",
        )
        for report in kinds
    ]
    columns = ("", "lines in A", "lines in B", "only in A", "only in B", "in another order", " ")
    out.print(table(columns, rows, numbers=columns[1:-1]))
    for report in kinds:
        if not report.equal:
            _show_difference(report)
    out.print(f"\nA: {first}\nB: {second}", soft_wrap=True)


def _show_difference(report: "KindReport") -> None:
    out = to_stdout()
    out.print(f"\n{report.kind}", style="bold")
    for label, (in_first, in_second) in report.by_label.items():
        out.print(f"  {label}: {number(in_first)} only in A, {number(in_second)} only in B")
    for name, examples in zip("AB", report.examples, strict=True):
        for example in examples:
            out.print(f"  only in {name}: {example}", soft_wrap=True)
    for each in report.reordered_examples:
        out.print(f"  {each.entity} in another order:")
        for name, lines in (("A", each.first), ("B", each.second)):
            for line in lines:
                out.print(f"    {name}: {line}", soft_wrap=True)


def _values(equal: bool, truth: TruthReport | None, kinds: "list[KindReport] | None") -> dict[str, Any]:
    values: dict[str, Any] = {"equal": equal}
    if truth is not None:
        values["truth"] = {
            "expected": truth.expected.total(),
            "matched": truth.matched,
            "missing": [_opening(each) for each in truth.missing],
            "extra": [_opening(each) for each in truth.extra],
        }
    if kinds is not None:
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
            for report in kinds
        }
    return values


def _opening(opening: Opening) -> dict[str, Any]:
    return dict(zip(("rule", "entity_id", "time"), opening, strict=True))
