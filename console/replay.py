"""``orderpulse replay``: history through the flow once more, into files and nowhere else.

Nothing that this module and those that it imports can reach writes to topics, keeps a read model or notifies anybody:
the import contract ``replay-without-effects`` in pyproject.toml holds that.
"""

import time
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from msgspec import Struct

from config.loader import load_settings
from config.settings import Settings
from config.units import Instant
from console.errors import WrongUseError
from console.options import (
    KAFKA,
    Config,
    Inputs,
    Json,
    Overwrite,
    WarmUp,
    chosen_inputs,
    is_kafka,
    moment,
)
from console.output import print_json, some, warn
from console.results import require_free

if TYPE_CHECKING:
    from collections.abc import Mapping

    from console.progress import HistoryProgress
    from console.selection import Selection
    from console.tally import Tally
    from dataflows.history import HistoryPass
    from dataflows.summary import Summary
    from sources.kafka_client import Partition


class ReplayPlan(Struct, frozen=True):
    """What to read and what to keep of it; moments in epoch ms. ``start``: where reading begins, with the warm-up."""

    settings: Settings
    inputs: Inputs
    output: Path
    since: int | None
    until: int | None
    start: int | None
    order: str | None
    start_offsets: str | None
    end_offsets: str | None


def replay(  # noqa: PLR0913, PLR0917  # one argument for each option
    output: Annotated[Path, typer.Option("--output", metavar="DIR", help="Where the results go: a directory.")],
    input_: Annotated[
        list[Path] | None,
        typer.Option(
            "--input",
            metavar="PATH|kafka",
            help="Event files or directories of them, or the input topics up to their ends of now. [default: kafka]",
        ),
    ] = None,
    more: Annotated[list[Path] | None, typer.Argument(metavar="PATH", help="More inputs, as in --input A B C.")] = None,
    config: Config = None,
    since: Annotated[Instant | None, moment("--from", "Write only what happens at this moment or later.")] = None,
    until: Annotated[
        Instant | None,
        moment(
            "--until", "Write only what happens before this moment; where history ends earlier, time goes on to it."
        ),
    ] = None,
    warm_up: WarmUp = None,
    order: Annotated[str | None, typer.Option("--order", metavar="ID", help="Write only what concerns it.")] = None,
    start_offsets: Annotated[
        str | None,
        typer.Option(
            "--start-offsets",
            metavar="TOPIC/PARTITION:OFFSET,...",
            help="Begin to read at these offsets; partitions not named at their beginning.",
        ),
    ] = None,
    end_offsets: Annotated[
        str | None,
        typer.Option(
            "--end-offsets", metavar="TOPIC/PARTITION:OFFSET,...", help="End before these offsets; the others: now."
        ),
    ] = None,
    arrival: Annotated[
        str | None,
        typer.Option(
            "--arrival",
            metavar="record|ignore",
            help="Whether a record's own timestamp counts as its arrival: as in the run that is replayed.",
        ),
    ] = None,
    overwrite: Overwrite = False,
    json_: Json = False,
) -> None:
    """Run the flow over history once more: the results go to files, and nothing else happens.

    The results are those of the live run, record for record, if its settings and its hash key are given. Nobody is
    notified, and neither topics nor Redis are touched. `orderpulse verify` compares the results with those of the live
    run.

    Examples:

        orderpulse replay --input events/ --output out

        orderpulse replay --config shop.toml --output week --from 2026-03-02T00:00:00+08:00
          --until 2026-03-09T00:00:00+08:00
    """
    inputs = chosen_inputs(input_, more)
    _require_sense(inputs, output, since, until, warm_up, [start_offsets, end_offsets])
    require_free(output, overwrite=overwrite)
    settings = load_settings(config, {} if arrival is None else {"time": {"arrival": arrival}})
    plan = ReplayPlan(
        settings=settings,
        inputs=inputs,
        output=output,
        since=since,
        until=until,
        start=None if since is None or warm_up is None else max(since - warm_up, 0),
        order=order,
        start_offsets=start_offsets,
        end_offsets=end_offsets,
    )
    _replay(plan, overwrite=overwrite, as_json=json_)


def _require_sense(
    inputs: Inputs,
    output: Path,
    since: int | None,
    until: int | None,
    warm_up: int | None,
    offsets: list[str | None],
) -> None:
    if is_kafka(output):
        raise WrongUseError("--output kafka: a replay writes files alone", "name a directory")
    if since is not None and until is not None and since >= until:
        raise WrongUseError(f"--from {Instant(since)} is not before --until {Instant(until)}", "give an earlier --from")
    if warm_up is not None and since is None:
        raise WrongUseError("--warm-up without --from", "say with --from when the part begins that you want")
    if any(offsets) and inputs != KAFKA:
        raise WrongUseError("offsets belong to topics, and --input names files", "use --from, --until and --warm-up")
    if offsets[0] and warm_up is not None:
        raise WrongUseError("--warm-up and --start-offsets both say where reading begins", "give one of them")


def _replay(plan: ReplayPlan, *, overwrite: bool, as_json: bool) -> None:
    from console.progress import HistoryProgress
    from console.run_note import Part, note_of, write_note
    from console.selection import Selection
    from console.tally import Tally
    from dataflows.summary import Summary

    selection, tally = Selection(plan.since, plan.until, plan.order), Tally()
    began = time.monotonic()
    with HistoryProgress(plan.settings.zone) as progress:
        history = _history(plan, progress)
        _write(history, plan.output, selection, tally, overwrite=overwrite)
    summary = Summary(
        events=history.events,
        duplicates=history.duplicates,
        late=history.late,
        forced=0,
        watermark=history.watermark,
        seconds=time.monotonic() - began,
    )
    part = Part(plan.since, plan.until, plan.start, plan.start_offsets, plan.order)
    inputs = [KAFKA] if plan.inputs == KAFKA else plan.inputs
    write_note(plan.output, note_of("replay", plan.settings, inputs, summary, part=part, first=history.first))
    _show(plan, summary, tally, selection.undated, as_json=as_json)


def _history(plan: ReplayPlan, progress: "HistoryProgress") -> "HistoryPass":
    from dataflows.history import HistoryPass
    from sources.history import Offsets

    return HistoryPass(
        plan.settings,
        plan.inputs,
        start=plan.start,
        end=plan.until,
        until=plan.until,
        offsets=Offsets(_offsets("--start-offsets", plan.start_offsets), _offsets("--end-offsets", plan.end_offsets)),
        on_progress=progress.show,
    )


def _offsets(flag: str, text: str | None) -> "Mapping[Partition, int]":
    from sources.start import parse_start

    found = {} if text is None else parse_start(text)
    if not isinstance(found, dict):
        raise WrongUseError(f"{flag} {text}: names no offsets", "write TOPIC/PARTITION:OFFSET, with commas between")
    return found


def _write(history: "HistoryPass", output: Path, selection: "Selection", tally: "Tally", *, overwrite: bool) -> None:
    from sinks.files import FileSink

    batches = history.batches()
    # The input is opened first: a mistyped name must not leave an empty directory behind.
    first = next(batches, [])
    sink = FileSink(output, overwrite=overwrite)
    try:
        for batch in chain((first,), batches):
            wanted = selection.of(batch)
            sink.write(wanted)
            tally.write(wanted)
    finally:
        sink.close()


def _show(plan: ReplayPlan, summary: "Summary", tally: "Tally", undated: int, *, as_json: bool) -> None:
    from console.summary import as_values, show_summary, warn_of_lateness

    if as_json:
        values = as_values(summary, tally, stopped=False)
        print_json({**values, "from": plan.since, "until": plan.until, "order": plan.order, "undated": undated})
    else:
        show_summary(plan, summary, tally, stopped=False, as_json=False)
    if undated:
        warn(
            f"{some(undated, 'dead letter')} left out: the input keeps no arrivals, so nothing says whether they"
            " belong between --from and --until"
        )
    warn_of_lateness(plan.settings, summary, from_topics=plan.inputs == KAFKA)
