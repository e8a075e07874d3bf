"""``orderpulse run``: the flow over files or Kafka."""

import os
import sys
import traceback
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, NoReturn

import typer

from config.loader import load_settings
from config.settings import Settings
from config.units import Instant
from console.errors import FailedError, WrongUseError, report
from console.options import KAFKA, Config, Json, chosen_inputs, is_kafka, parse_instant
from console.output import warn

if TYPE_CHECKING:
    from console.progress import FileProgress
    from dataflows.run import RunPlan


def run(  # noqa: PLR0913, PLR0917  # one argument for each option
    ctx: typer.Context,
    input_: Annotated[
        list[Path] | None,
        typer.Option(
            "--input",
            metavar="PATH|kafka",
            help="Event files or directories of them; of a simulated one, its events/. [default: kafka]",
        ),
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
    processes: Annotated[
        int,
        typer.Option(
            "--processes", metavar="N", min=1, max=64, help="Run in so many processes of this machine, watched over."
        ),
    ] = 1,
    process_id: Annotated[
        int | None,
        typer.Option(
            "--process-id", metavar="I", min=0, help="Of processes on several hosts: this is the I-th, from 0 on."
        ),
    ] = None,
    addresses: Annotated[
        str | None,
        typer.Option("--addresses", metavar="HOST:PORT;...", help="All processes on several hosts, in their order."),
    ] = None,
    recovery: Annotated[
        Path | None,
        typer.Option(
            "--recovery",
            metavar="DIR",
            help="Keep what a restart needs here, and go on where the run before on this store ended.",
        ),
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
    order, 1 when it failed, 2 when it was refused. With --recovery a run that was killed goes on when it is started
    again, with another --processes if need be, and its outputs are those of a run that was never killed.

    Examples:

        orderpulse run --input events/ --output out

        orderpulse run --config shop.toml --recovery store --processes 2

        orderpulse run --config shop.toml --redis redis://localhost:6379/0
    """
    from dataflows.child import follow_supervisor, supervisor

    follow_supervisor()

    from console.places import may_replace, place_of, require_store_place

    place = place_of(processes, process_id, addresses)
    if recovery is not None:
        require_store_place(recovery, overwrite=overwrite)
    settings = load_settings(config, _overrides(redis, arrival, metrics_port))
    inputs = chosen_inputs(input_, more)
    if (redis is not None or is_kafka(output)) and supervisor() is None:
        _warn_of_open_hashes(settings)
    if supervisor() is None:
        _warn_of_unknown_holidays(settings)
    debug = bool(ctx.find_root().params.get("debug"))
    _require_work_for_all(max(processes, len(place.addresses)), settings.key_groups)

    from dataflows.run import RunPlan

    plan = RunPlan(
        settings=settings,
        inputs=inputs,
        output=KAFKA if is_kafka(output) else output,
        redis=redis is not None,
        overwrite=not is_kafka(output) and may_replace(output, recovery, place, overwrite=overwrite),
        bounded=bounded,
        until=until,
        serve=inputs == KAFKA or metrics_port is not None,
        process_id=place.process_id,
        addresses=place.addresses,
        recovery=recovery,
    )
    if processes == 1:
        _execute(plan, as_json=json_, debug=debug)
        return

    from console.processes import run_processes

    given = {"--config": config, "--redis": redis, "--arrival": arrival, "--metrics-port": metrics_port}
    run_processes(plan, processes, _arguments(ctx, plan, given), as_json=json_)


def _require_work_for_all(processes: int, groups: int) -> None:
    from dataflows.placement import groups_of

    idle = [number for number in range(processes) if not groups_of(number, processes, groups)]
    if processes > 1 and idle:
        raise WrongUseError(
            f"{processes} processes share {groups} key groups: none is left for process {idle[0]}",
            "start fewer processes, or raise key_groups (for a new recovery store)",
        )


def _arguments(ctx: typer.Context, plan: "RunPlan", given: Mapping[str, object]) -> list[str]:
    """The same command for each of several processes; the outputs have been made ready for all of them."""
    root = ctx.find_root().params
    arguments = ["--log-level", str(root["log_level"]), *(["--debug"] if root["debug"] else []), "run"]
    for path in (KAFKA,) if plan.inputs == KAFKA else plan.inputs:
        arguments += ["--input", str(path)]
    named = {**given, "--output": plan.output, "--recovery": plan.recovery, "--until": plan.until}
    for name, value in named.items():
        if value is not None:
            arguments += [name, str(value)]
    return [*arguments, *(["--bounded"] if plan.bounded else [])]


def _execute(plan: "RunPlan", *, as_json: bool, debug: bool) -> None:
    from console.engine import quiet_engine
    from console.run_notes import keep_note
    from console.summary import show_summary, warn_of_lateness
    from console.tally import Tally
    from dataflows.control import Control
    from dataflows.run import execute

    tally, control = Tally(), Control(plan.settings.supervisor.stop_within / 2000)
    with _progress(plan.inputs) as progress, quiet_engine(enabled=not debug), _clean_stdout(plan):
        wrap = None if progress is None else progress.watch
        try:
            summary = execute(plan, extra_sinks=(tally,), control=control, wrap_reader=wrap)
        except (KeyboardInterrupt, SystemExit):
            raise
        except BaseException as error:  # the engine's panics are no Exceptions
            _fail(error, plan, debug=debug)
    keep_note(plan, summary)
    show_summary(plan, summary, tally, stopped=control.stopping, as_json=as_json)
    warn_of_lateness(plan.settings, summary, from_topics=plan.inputs == KAFKA)


def _fail(error: BaseException, plan: "RunPlan", *, debug: bool) -> NoReturn:
    """Say why the run failed, to its supervisor too; one of several processes then ends at once.

    The engine's other threads may hang or abort the process when they are given time to.
    """
    from dataflows.failures import failure_of, leave
    from dataflows.store_errors import of_engine

    of_store = None if plan.recovery is None else of_engine(error, plan.recovery)
    leave(failure_of(of_store or error))
    if of_store is not None:
        told: Exception = of_store
    elif isinstance(error, Exception):
        told = error
    else:
        told = FailedError(
            f"the engine ended ({error}), most often because the connection to another process was lost",
            "look at what the other processes say",
        )
    if plan.process_id is None:
        raise told from error
    if debug:
        traceback.print_exception(error)
    code = report(told, debug=debug)
    sys.stderr.flush()
    os._exit(code)


@contextmanager
def _clean_stdout(plan: "RunPlan") -> Iterator[None]:
    """The engine tells on stdout, where the result belongs, that it waits for other processes: onto stderr with it."""
    if plan.process_id is None:
        yield
        return
    sys.stdout.flush()
    visible = os.dup(1)
    os.dup2(2, 1)
    try:
        yield
    finally:
        os.dup2(visible, 1)
        os.close(visible)


def _progress(inputs: Any) -> "AbstractContextManager[FileProgress | None]":
    from console.output import to_stderr

    if inputs == KAFKA or not to_stderr().is_terminal:
        return nullcontext()
    from console.progress import FileProgress

    return FileProgress(inputs)


def _overrides(redis: str | None, arrival: str | None, metrics_port: int | None) -> dict[str, object]:
    given: dict[str, object] = {}
    if redis is not None:
        given["redis"] = {"url": redis}
    if arrival is not None:
        given["time"] = {"arrival": arrival}
    if metrics_port is not None:
        given["metrics"] = {"port": metrics_port}
    return given


def _warn_of_unknown_holidays(settings: Settings) -> None:
    from config.limits import unknown_holidays

    for problem in unknown_holidays(settings):
        warn(str(problem))


def _warn_of_open_hashes(settings: Settings) -> None:
    name = settings.privacy.hash_key_env
    if not os.environ.get(name):
        warn(f"{name} is not set: hashes of phones, cards and addresses are made without a key and can be guessed")
