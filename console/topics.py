"""``orderpulse topics``: makes the topics that a flow needs, and fills them from files."""

from pathlib import Path
from typing import Annotated

import typer

from config.loader import load_settings
from config.units import Duration
from console.options import Config, Json, parse_duration
from console.output import number, print_json, some, table, to_stdout

app = typer.Typer(help="Make the topics that a flow needs, and fill them from files.", no_args_is_help=True)


@app.command()
def create(
    config: Config = None,
    retention: Annotated[
        Duration | None,
        typer.Option(
            "--retention",
            metavar="D",
            parser=parse_duration,
            help="How long the inputs keep records, e.g. 30d: a backfill reaches as far. [default: for ever]",
            show_default=False,
        ),
    ] = None,
    broker_stamps: Annotated[
        bool,
        typer.Option(
            "--broker-stamps",
            help="The broker's clock gives the arrival of events: for live production, not for topics that you load.",
        ),
    ] = False,
    json_: Json = False,
) -> None:
    """Make the topics that are missing; those that exist stay as they are."""
    from sources.topics import FOREVER, create_topics

    settings = load_settings(config).kafka
    kept = FOREVER if retention is None else int(retention)
    reports = create_topics(settings, retention=kept, broker_stamps=broker_stamps)
    if json_:
        print_json([{"name": each.name, "created": each.created, "partitions": each.partitions} for each in reports])
        return
    rows = [(each.name, number(each.partitions), "made" if each.created else "was there") for each in reports]
    to_stdout().print(table((f"topic at {settings.bootstrap}", "partitions", ""), rows, numbers=("partitions",)))


@app.command()
def load(
    paths: Annotated[list[Path], typer.Argument(metavar="PATH", help="Event files or directories of them.")],
    config: Config = None,
    json_: Json = False,
) -> None:
    """Put event files onto the input topics, so that a flow judges each event there as in the files.

    The name of a file says where it goes: order-3.ndjson to partition 3 of the orders topic, behaviour-3.ndjson and
    actions-3.ndjson likewise.
    """
    from console.progress import counted
    from sources.load import load_files

    settings = load_settings(config)
    with counted("loading", "records") as advance:
        loaded = load_files(paths, settings.kafka, settings.time, progress=advance)
    if json_:
        print_json(loaded)
        return
    out = to_stdout()
    out.print(f"{some(sum(loaded.values()), 'record')} at {settings.kafka.bootstrap}\n")
    rows = [(name, number(count)) for name, count in loaded.items()]
    out.print(table(("topic", "records"), rows, numbers=("records",)))
