"""``orderpulse backtest``: what a changed rule would have said about the past."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from config.units import Instant
from console.errors import FINDING, WrongUseError
from console.options import KAFKA, Json, WarmUp, chosen_inputs, moment

if TYPE_CHECKING:
    from console.backtest_findings import Finding
    from console.backtest_sets import RuleSets
    from dataflows.backtest import Backtest, Plan
    from operators.judging.matching import Span
    from sources.history import Inputs

_SMALL = 16 << 20


def backtest(  # noqa: PLR0913, PLR0917  # one argument for each option
    rules: Annotated[
        Path | None,
        typer.Option("--rules", metavar="FILE", help="Today's settings (TOML). [default: the defaults]"),
    ] = None,
    candidate: Annotated[
        Path | None,
        typer.Option(
            "--candidate", metavar="FILE", help="The settings to try, or rule documents. [default: the defaults]"
        ),
    ] = None,
    input_: Annotated[
        list[Path] | None,
        typer.Option(
            "--input",
            metavar="PATH|kafka",
            help="Event files or directories of them, or the input topics up to their ends of now. [default: kafka]",
        ),
    ] = None,
    more: Annotated[list[Path] | None, typer.Argument(metavar="PATH", help="More inputs, as in --input A B C.")] = None,
    since: Annotated[Instant | None, moment("--from", "Judge alerts that open at this moment or later.")] = None,
    until: Annotated[
        Instant | None,
        moment("--until", "Judge alerts that open before; where history ends earlier, time goes on to it."),
    ] = None,
    warm_up: WarmUp = None,
    grid: Annotated[
        str | None,
        typer.Option("--grid", metavar="FIELD=V,V,...", help="Try these values of one setting, each against --rules."),
    ] = None,
    outcomes: Annotated[
        list[str] | None,
        typer.Option(
            "--outcomes",
            metavar="[RULE=]NAME",
            help="Judge alerts (of one rule) by this outcome of [backtest.outcomes]; may be repeated.",
        ),
    ] = None,
    every_rule: Annotated[
        bool, typer.Option("--all", help="Compare also the rules whose settings do not differ.")
    ] = False,
    published: Annotated[
        bool,
        typer.Option(
            "--published", help="Let the rule documents in the history change --rules, as they did in the live run."
        ),
    ] = False,
    processes: Annotated[
        int | None,
        typer.Option(
            "--processes",
            metavar="N",
            min=1,
            max=64,
            help="Share the rule sets among so many processes. [default: one per core; for less than 16 MB, one]",
            show_default=False,
        ),
    ] = None,
    fail_on: Annotated[
        list[str] | None,
        typer.Option(
            "--fail-on",
            metavar="[RULE.]FIGURE<>VALUE",
            help="Exit code 1 when this is so, e.g. 'lost>0', 'order_timeout.precision<0.8'; may be repeated.",
        ),
    ] = None,
    html: Annotated[
        Path | None, typer.Option("--html", metavar="FILE", help="Write a page with plots; it needs no network.")
    ] = None,
    json_: Json = False,
) -> None:
    """Run two rule sets over the same history and compare their alerts, before the candidate goes live.

    An alert is in both, gained (the candidate alone has it), lost, or moved in time. Where events tell what became of
    the orders, precision and recall of both are shown with the counts that they rest on. Nothing is written but the
    page, and nobody is notified. The exit code is 1 when something that --fail-on names is found.

    Examples:

        orderpulse backtest --rules shop.toml --candidate slower.toml --input events/

        orderpulse backtest --rules shop.toml --grid detectors.order_timeout.limit=1h,2h,4h --input events/ --html
          page.html
    """
    from console.backtest_findings import findings, parse_conditions
    from console.backtest_sets import load_sets, require_known
    from dataflows.backtest import Plan

    _require_sense(since, until, warm_up)
    inputs = chosen_inputs(input_, more)
    sets = load_sets(rules, candidate, grid)
    limits = parse_conditions(fail_on or [], compared=sets.second is not None)
    plan = Plan(
        first=sets.first,
        second=sets.second,
        inputs=inputs,
        grid=sets.grid,
        span=_span(since, until),
        warm_up=warm_up,
        judged_by=require_known(outcomes or [], sets.first),
        everything=every_rule,
        published=published,
        processes=processes or _processes(1 + (sets.second is not None) + len(sets.grid), inputs),
        offset=_offset(sets.first.zone, since),
    )
    result = _run(plan)
    found = findings(result, limits)
    _tell(plan, sets, result, found, html, as_json=json_)
    if found:
        raise typer.Exit(FINDING)


def _require_sense(since: int | None, until: int | None, warm_up: int | None) -> None:
    if since is not None and until is not None and since >= until:
        raise WrongUseError(f"--from {Instant(since)} is not before --until {Instant(until)}", "give an earlier --from")
    if warm_up is not None and since is None:
        raise WrongUseError("--warm-up without --from", "say with --from when the part begins that you want")


def _span(since: int | None, until: int | None) -> "Span":
    from operators.judging.matching import Span

    return Span(since, until)


def _processes(sides: int, inputs: "Inputs") -> int:
    """As many as there are cores to keep busy; what is read at once is not worth the start of another process."""
    import os

    from sources.files import named_files

    if inputs != KAFKA and sum(path.stat().st_size for _, path in named_files(inputs)) < _SMALL:
        return 1
    return max(1, min(sides, os.cpu_count() or 1))


def _offset(zone: str, moment_ms: int | None) -> int:
    """How far local days are ahead of those of UTC, in ms."""
    from datetime import UTC, datetime
    from zoneinfo import ZoneInfo

    at = datetime.fromtimestamp((moment_ms or 0) / 1000, tz=UTC).astimezone(ZoneInfo(zone))
    offset = at.utcoffset()
    return 0 if offset is None else int(offset.total_seconds() * 1000)


def _run(plan: "Plan") -> "Backtest":
    from console.progress import HistoryProgress
    from dataflows.backtest import backtest as run_backtest

    with HistoryProgress(plan.first.zone) as progress:
        return run_backtest(plan, progress.show)


def _tell(
    plan: "Plan", sets: "RuleSets", result: "Backtest", found: "list[Finding]", html: Path | None, *, as_json: bool
) -> None:
    if html is not None:
        from console.backtest_page import write_page

        write_page(html, plan, sets, result, found)
    if as_json:
        from console.backtest_json import as_values
        from console.output import print_json

        print_json(as_values(plan, sets, result, found))
    else:
        from console.backtest_text import show

        show(plan, sets, result, found, html)
