"""``orderpulse run``: the flow over files or Kafka."""

import os
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from config.loader import load_settings
from config.settings import Settings
from config.units import Instant
from console.errors import WrongUseError
from console.options import KAFKA, Config, Json, is_kafka, parse_instant
from console.output import warn

if TYPE_CHECKING:
    from console.progress import FileProgress
    from dataflows.run import RunPlan, Summary

_MANY_LATE = 0.2
Inputs = tuple[Path, ...] | Literal["kafka"]


def run(  # noqa: PLR0913, PLR0917  # one argument for each option
    ctx: typer.Context,
    input_: Annotated[
        list[Path] | None,
        typer.Option("--input", metavar="PATH|kafka", help="Event files or directories of them. [default: kafka]"),
    ] = None,
    more: Annotated[list[Path] | None, typer.Argument(metavar="PATH", help="More inputs, as in --input A B C.")] = None,
    config: Config = None,
    output: Annotated[
        Path, typer.Option("--output", metavar="DIR|kafka", help="Where the results go: a directory, or Kafka topics.")
    ] = Path(KAFKA),
    redis: Annotated[
        str | None,
        typer.Option("--redis", metavar="URL", help="Keep the read model in this Redis. Without it there is none."),
    ] = None,
    processes: Annotated[int, typer.Option("--processes", metavar="N", help="Worker processes; 1 for now.")] = 1,
    recovery: Annotated[
        Path | None,
        typer.Option("--recovery", metavar="DIR", help="Where to keep what a restart needs; not available yet."),
    ] = None,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace an earlier run's results.")] = False,
    until: Annotated[
        Instant | None,
        typer.Option(
            "--until",
            metavar="T",
            parser=parse_instant,
            help="Let time go on to this moment after the last event of bounded input, so that limits run out.",
        ),
    ] = None,
    bounded: Annotated[
        bool, typer.Option("--bounded", help="End where the topics end now, instead of waiting for more.")
    ] = False,
    arrival: Annotated[
        str | None,
        typer.Option(
            "--arrival",
            metavar="record|ignore",
            help="Whether a record's own timestamp counts as its arrival; ignore for topics filled after the fact.",
        ),
    ] = None,
    metrics_port: Annotated[
        int | None,
        typer.Option(
            "--metrics-port",
            metavar="P",
            min=0,
            max=65_535,
            help="Serve /metrics, /healthz and /readyz here; 0: not at all. A run over files serves only if asked.",
        ),
    ] = None,
    json_: Json = False,
) -> None:
    """Run the flow: events in, alerts, diffs, holds and versions out.

    Files end the run; Kafka does not, until SIGTERM or Ctrl-C end it in order. The exit code is 0 when the run ended in
    order, 1 when it failed, 2 when it was refused.

    Examples:

        orderpulse run --input events/ --output out

        orderpulse run --config shop.toml --redis redis://localhost:6379/0
    """
    _refuse_what_is_missing(processes, recovery)
    settings = load_settings(config, _overrides(redis, arrival, metrics_port))
    inputs = _inputs(input_, more)
    if redis is not None or is_kafka(output):
        _warn_of_open_hashes(settings)
    debug = bool(ctx.find_root().params.get("debug"))

    from dataflows.run import RunPlan

    plan = RunPlan(
        settings=settings,
        inputs=inputs,
        output=_output(output, overwrite=overwrite),
        redis=redis is not None,
        overwrite=overwrite,
        bounded=bounded,
        until=until,
        serve=inputs == KAFKA or metrics_port is not None,
    )
    _execute(plan, as_json=json_, debug=debug)


def _execute(plan: "RunPlan", *, as_json: bool, debug: bool) -> None:
    from console.engine import quiet_engine
    from console.summary import show_summary
    from console.tally import Tally
    from dataflows.control import Control
    from dataflows.run import execute

    tally, control = Tally(), Control()
    with _progress(plan.inputs) as progress, quiet_engine(enabled=not debug):
        wrap = None if progress is None else progress.watch
        summary = execute(plan, extra_sinks=(tally,), control=control, wrap_reader=wrap)
    show_summary(plan, summary, tally, stopped=control.stopping, as_json=as_json)
    _warn_of_lateness(plan, summary)


def _progress(inputs: Any) -> "AbstractContextManager[FileProgress | None]":
    from console.output import to_stderr

    if inputs == KAFKA or not to_stderr().is_terminal:
        return nullcontext()
    from console.progress import FileProgress

    return FileProgress(inputs)


def _refuse_what_is_missing(processes: int, recovery: Path | None) -> None:
    if processes != 1:
        raise WrongUseError(
            f"--processes {processes}: a run has one process for now", "leave --processes out, or write 1"
        )
    if recovery is not None:
        raise WrongUseError(
            f"--recovery {recovery}: a run cannot go on from where an earlier one stopped, for now",
            "leave --recovery out; the run then reads its input from kafka.start on",
        )


def _overrides(redis: str | None, arrival: str | None, metrics_port: int | None) -> dict[str, object]:
    given: dict[str, object] = {}
    if redis is not None:
        given["redis"] = {"url": redis}
    if arrival is not None:
        given["time"] = {"arrival": arrival}
    if metrics_port is not None:
        given["metrics"] = {"port": metrics_port}
    return given


def _inputs(given: list[Path] | None, more: list[Path] | None) -> Inputs:
    if more and not given:
        raise WrongUseError(f"{more[0]} stands alone", f"write --input {more[0]}")
    paths = (*(given or ()), *(more or ()))
    if not paths or (len(paths) == 1 and is_kafka(paths[0])):
        return KAFKA
    if any(map(is_kafka, paths)):
        raise WrongUseError("--input names kafka and files", "read one or the other; a directory called kafka: ./kafka")
    for path in paths:
        if not path.exists():
            raise WrongUseError(f"--input {path}: does not exist", "check the path")
    return paths


def _output(given: Path, *, overwrite: bool) -> Path | Literal["kafka"]:
    if is_kafka(given):
        return KAFKA
    from console.results import require_free

    require_free(given, overwrite=overwrite)
    return given


def _warn_of_open_hashes(settings: Settings) -> None:
    name = settings.privacy.hash_key_env
    if not os.environ.get(name):
        warn(f"{name} is not set: hashes of phones, cards and addresses are made without a key and can be guessed")


def _warn_of_lateness(plan: "RunPlan", summary: "Summary") -> None:
    if summary.late <= _MANY_LATE * summary.events:
        return
    share = f"{summary.late / summary.events:.0%} of the events are late"
    if plan.settings.time.arrival == "record" and plan.inputs == KAFKA:
        warn(
            f"{share}. If the topics were filled after the fact, their timestamps are no arrivals:"
            ' run with --arrival ignore, or set time.arrival = "ignore"'
        )
    else:
        warn(
            f"{share}: their files are not in the order of time. Sort them by time, or raise time.out_of_orderness"
            f" (now {plan.settings.time.out_of_orderness})"
        )
