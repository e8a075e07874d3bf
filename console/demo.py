"""``orderpulse demo``: a made-up trade through the real flow into a real Redis, watched live, judged by the truth."""

import shutil
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, get_args

import typer

from config.loader import load_settings
from console.errors import FINDING, WrongUseError
from console.output import local_time, number, some, table, to_stdout
from console.results import require_free
from console.truth import TruthReport, check_truth

if TYPE_CHECKING:
    from console.live_view import Language
    from console.tally import Tally
    from dataflows.run import RunPlan
    from dataflows.summary import Summary
    from sources.simulator import Counts

LIVE_SECONDS = 25.0
_CASES = 0.3  # of the orders: many more troubles than a real trade has, for there is little time to see them
_FEED_LINES_LEFT = 18  # what the live view needs of the terminal's height besides the feed


def demo(
    ctx: typer.Context,
    orders: Annotated[int, typer.Option("--orders", metavar="N", min=50, help="How many orders.")] = 1000,
    seed: Annotated[int, typer.Option("--seed", metavar="S", help="Another seed, another trade.")] = 1,
    keep: Annotated[
        Path | None, typer.Option("--keep", metavar="DIR", help="Keep events, truth and results here.")
    ] = None,
    language: Annotated[
        str | None, typer.Option("--language", metavar="zh|en", help="Of the alerts' texts. [default: both]")
    ] = None,
    live: Annotated[
        bool, typer.Option("--live/--no-live", help="Show alerts as they arise, at a pace to watch.")
    ] = True,
) -> None:
    """See it work: simulated orders through the real flow, alerts as they arise, and a check that they are right.

    Takes about half a minute on a terminal, a few seconds without one. The exit code is 1 when the alerts are not
    those that the simulator put in.
    """
    languages = _languages(language)
    watched = live and to_stdout().is_terminal
    directory = _directory(keep)
    try:
        right = _demonstrate(
            orders, seed, directory, languages, live=watched, debug=bool(ctx.find_root().params["debug"])
        )
        if keep is not None or watched:
            _say_what_next(directory, orders, seed)
        else:
            to_stdout().print("\nThe files are removed; --keep DIR keeps them")
    finally:
        if keep is None and not watched:
            shutil.rmtree(directory)
    if not right:
        raise typer.Exit(FINDING)


def _languages(given: str | None) -> "tuple[Language, ...]":
    from console.live_view import Language

    known: tuple[Language, ...] = get_args(Language)
    chosen = tuple(each for each in known if given in (None, each))
    if not chosen:
        raise WrongUseError(f"--language {given}: no such language", f"write one of {', '.join(known)}")
    return chosen


def _directory(keep: Path | None) -> Path:
    if keep is None:
        return Path(tempfile.mkdtemp(prefix="orderpulse-demo-"))
    if (keep / "truth.ndjson").exists():
        raise WrongUseError(f"--keep {keep}: holds an earlier demo or simulation", "name another directory")
    require_free(keep, overwrite=False)
    return keep


def _demonstrate(
    orders: int, seed: int, directory: Path, languages: "tuple[Language, ...]", *, live: bool, debug: bool
) -> bool:
    """Simulate, run, compare; whether the alerts are right."""
    from console.embedded_redis import EmbeddedRedis
    from console.engine import quiet_engine
    from console.tally import Tally
    from dataflows.run import RunPlan

    out = to_stdout()
    counts = _simulate(orders, seed, directory)
    out.print(
        f"Made up {some(counts.orders, 'order')} with {some(counts.events, 'event')};"
        f" {some(counts.alerts, 'alert')} must come of them"
    )
    tally = Tally()
    with EmbeddedRedis() as redis:
        settings = load_settings(overrides={"redis": {"url": redis.url}})
        plan = RunPlan(
            settings=settings, inputs=(directory / "events",), output=directory / "run", redis=True, serve=False
        )
        with quiet_engine(enabled=not debug):
            summary, stopped = (_run_live if live else _run)(plan, tally, counts, languages)
    _say_what_happened(summary, tally, settings.zone, languages, show_alerts=not live)
    truth = check_truth(directory, directory / "run", until=summary.watermark if stopped else None)
    _say_whether_right(truth, tally, settings.zone, stopped=stopped)
    return truth.right


def _simulate(orders: int, seed: int, directory: Path) -> "Counts":
    from console.progress import counted
    from dataflows.environment import environment_of
    from sources.simulator import SimulationPlan, write

    settings = load_settings()
    hash_key = environment_of(settings, read_model=False).hash_key
    plan = SimulationPlan(
        orders, seed, partitions=2, late=0.01, duplicates=0.01, bad=0.002, cases=_CASES, hash_key=hash_key
    )
    with counted("making up a trade", "orders"):
        return write(plan, settings, directory)


def _run(
    plan: "RunPlan", tally: "Tally", counts: "Counts", languages: "tuple[Language, ...]"
) -> "tuple[Summary, bool]":
    """As fast as it goes."""
    from dataflows.control import Control
    from dataflows.run import execute

    control = Control()
    return execute(plan, extra_sinks=(tally,), control=control), control.stopping


def _run_live(
    plan: "RunPlan", tally: "Tally", counts: "Counts", languages: "tuple[Language, ...]"
) -> "tuple[Summary, bool]":
    """At a pace at which a person sees what happens. What is judged is the same."""
    from rich.live import Live

    from console.live_view import LiveView
    from console.readers import PacedReader
    from console.view import ReadModelView
    from dataflows.control import Control
    from dataflows.run import execute

    control = Control()
    out = to_stdout()
    total = counts.events + counts.duplicates + counts.bad
    with ReadModelView(plan.settings.redis) as view:
        board = LiveView(view, tally, plan.settings.zone, languages, total=total, height=out.height - _FEED_LINES_LEFT)
        with Live(get_renderable=board.render, console=out, refresh_per_second=5):
            summary = execute(
                plan,
                extra_sinks=(tally,),
                control=control,
                wrap_reader=lambda reader: PacedReader(reader, total, LIVE_SECONDS),
            )
    return summary, control.stopping


def _say_what_happened(
    summary: "Summary", tally: "Tally", zone: str, languages: "tuple[Language, ...]", *, show_alerts: bool
) -> None:
    from console.summary import events_and_speed

    out = to_stdout()
    out.print(f"Through the flow: {events_and_speed(summary.events, summary.seconds)}")
    out.print(
        f"Left out or set aside: {some(summary.duplicates, 'duplicate')},"
        f" {some(tally.dead_letters.total(), 'dead letter')}; {some(tally.late, 'late event')} applied"
    )
    if not show_alerts:
        return
    out.print("\nThe first alert of each rule:")
    for rule, alert in tally.first.items():
        out.print(f"  {local_time(alert.time // 1000 * 1000, zone)}  {rule}")
        for language in languages:
            out.print(f"    {getattr(alert.text, language)}", soft_wrap=True)


def _say_whether_right(truth: TruthReport, tally: "Tally", zone: str, *, stopped: bool) -> None:
    from console.verify import show_truth, truth_in_words

    out = to_stdout()
    out.print()
    if not truth.right:
        show_truth(truth, zone)
        return
    rows = [(rule, level, number(count)) for (rule, level), count in sorted(tally.levels.items())]
    out.print(table(("rule", "level", "alerts"), rows, numbers=("alerts",)))
    out.print(f"\n{truth_in_words(truth)}" + (" (up to where it was stopped)" if stopped else ""), style="bold green")


def _say_what_next(directory: Path, orders: int, seed: int) -> None:
    out = to_stdout()
    run = directory / "run"
    out.print(f"\nThe files: {directory} (events/, truth.ndjson, run/alerts.ndjson and others)", soft_wrap=True)
    out.print("\nTry next:")
    for command in (
        f"orderpulse dlq list --input {run}",
        f"orderpulse run --input {directory / 'events'} --output {directory / 'again'}",
        f"orderpulse verify {run} {directory / 'again'}",
    ):
        out.print(f"  {command}", soft_wrap=True)
