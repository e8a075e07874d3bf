"""``orderpulse intake``: webhooks of platforms, their mapping, and the poll that fills gaps."""

from collections.abc import Collection
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from config.loader import load_settings
from config.settings import Settings
from config.units import Instant
from console.errors import FINDING, WrongUseError
from console.options import Config, Json, moment
from console.output import number, print_json, some, table, to_stderr, to_stdout
from console.serving import health, stop_signal

if TYPE_CHECKING:
    from sources.webhooks.contract_slices import ContractSlices
    from sources.webhooks.map_run import MapSummary
    from sources.webhooks.patient_producer import PatientProducer
    from sources.webhooks.raw_reading import RawReading

app = typer.Typer(invoke_without_command=True)

MetricsPort = Annotated[
    int | None,
    typer.Option(
        "--metrics-port", metavar="P", min=0, max=65_535, help="Serve metrics and health here; 0: not at all."
    ),
]


@app.callback()
def intake(ctx: typer.Context, config: Config = None, metrics_port: MetricsPort = None) -> None:
    """Take webhooks in: each is checked, put onto its route's raw topic as it came, and only then answered with 2xx.

    Serves POST /hooks/<route>, /healthz and /readyz until SIGTERM or Ctrl-C. Routes, signatures and limits are settings
    ([intake]); `intake map` makes events of what came in.

    Examples:

        orderpulse intake --config shop.toml

        orderpulse intake map --config shop.toml --from 2026-01-31T08:00:00+08:00
    """
    if ctx.invoked_subcommand is not None:
        if config is not None or metrics_port is not None:
            name = ctx.invoked_subcommand
            raise WrongUseError(f"options stand before {name}", f"write them behind it: orderpulse intake {name} ...")
        return
    settings = _settings(config, metrics_port)
    import asyncio

    import uvloop

    from sources.webhooks.building import doors
    from sources.webhooks.server import listen

    made = doors(settings)
    opened = listen(settings.intake)
    host, port = opened.getsockname()[:2]
    to_stderr().print(f"Webhooks at http://{host}:{port}/hooks/ for {', '.join(made)}", soft_wrap=True)
    # The server ends in order on a signal, and hands it on afterwards: this takes it.
    with stop_signal(), asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(_serve(settings, made, opened))


@app.command("map")
def map_(
    config: Config = None,
    route: Annotated[
        list[str] | None, typer.Option("--route", metavar="NAME", help="Only this route; may be given several times.")
    ] = None,
    from_: Annotated[
        Instant | None,
        moment("--from", "Map again what arrived from then on, up to now, and end; the group's place stays as it is."),
    ] = None,
    until: Annotated[Instant | None, moment("--until", "With --from: up to then.")] = None,
    metrics_port: MetricsPort = None,
    json_: Json = False,
) -> None:
    """Map raw deliveries to events on the input topics; what cannot be mapped goes to the dead letters.

    Goes on until SIGTERM or Ctrl-C; several at a time share the work. Events keep their ids when they are mapped
    again, so the flow takes each once.
    """
    if until is not None and from_ is None:
        raise WrongUseError("--until stands alone", "give --from too")
    settings = _settings(config, metrics_port, follows=from_ is None)
    names = _routes(settings, route)
    from sources.webhooks.building import route_mappers
    from sources.webhooks.contract_slices import ContractSlices
    from sources.webhooks.raw_reading import GroupReading, SpanReading

    mappers = route_mappers(settings, names)
    reading: RawReading
    slices: ContractSlices | None = None
    if from_ is None:
        slices = ContractSlices(settings.intake.contract) if settings.intake.contract.enabled else None
        again = None if slices is None else slices.opened_at
        reading = GroupReading(settings.kafka, settings.intake.map_group, mappers.keys(), again)
    else:
        reading = SpanReading(settings.kafka, mappers.keys(), int(from_), None if until is None else int(until))
    _show(_map(settings, reading, mappers, slices), as_json=json_)


@app.command()
def poll(
    config: Config = None,
    cursors: Annotated[
        Path, typer.Option("--cursors", metavar="DIR", help="Where to keep how far each poll has come.")
    ] = Path("intake-cursors"),
    once: Annotated[bool, typer.Option("--once", help="Ask each interface once, and end; 1 when one failed.")] = False,
    metrics_port: MetricsPort = None,
    json_: Json = False,
) -> None:
    """Ask platforms' interfaces for orders that changed, and put them onto the raw topics like webhooks.

    Goes on until SIGTERM or Ctrl-C. What webhooks brought too gives the same events, with the same ids.
    """
    settings = _settings(config, metrics_port, follows=not once)
    if not settings.intake.polls:
        raise WrongUseError("there is no poll in the settings", "add [intake.polls.<name>]: docs/intake.md says how")
    from sinks.metrics import Metrics
    from sources.webhooks.building import scheduled_polls
    from sources.webhooks.patient_producer import PatientProducer
    from sources.webhooks.polling.cursors import CursorFiles
    from sources.webhooks.polling.poll_run import PollRun

    polls, counts = scheduled_polls(settings), Metrics()
    with stop_signal() as stopping:
        producer = PatientProducer(settings.kafka, "orderpulse-intake-poll", stopping.is_set)
        run = PollRun(polls, CursorFiles(cursors), producer, counts, stopping.is_set)
        try:
            with health(settings, counts, lambda: _readiness(producer)):
                if not once:
                    run.run(stopping.wait)
                    return
                found = {each.name: run.once(each) for each in polls}
        finally:
            producer.close()
    _show_polls(found, as_json=json_)


@app.command()
def topics(config: Config = None, json_: Json = False) -> None:
    """Make the raw topics of all routes, and their dead letters, where they are missing."""
    settings = _settings(config, None)
    from sources.topics import create_planned
    from sources.webhooks.building import raw_topic_plans

    reports = create_planned(settings.kafka, raw_topic_plans(settings))
    if json_:
        print_json([{"name": each.name, "created": each.created, "partitions": each.partitions} for each in reports])
        return
    rows = [(each.name, number(each.partitions), "made" if each.created else "was there") for each in reports]
    to_stdout().print(table((f"topic at {settings.kafka.bootstrap}", "partitions", ""), rows, numbers=("partitions",)))


async def _serve(settings: Settings, made: Any, opened: Any) -> None:
    from sinks.metrics import Metrics
    from sources.webhooks.application import Intake
    from sources.webhooks.broker import KafkaRawTopics
    from sources.webhooks.server import serve

    counts = Metrics()
    kept = KafkaRawTopics(settings.kafka, settings.intake, [door.topic for door in made.values()])
    service = Intake(made, kept, settings.intake, counts)
    try:
        with health(settings, counts, service.readiness):
            await serve(service.application(), settings.intake, opened)
    finally:
        kept.close()


def _map(
    settings: Settings, reading: "RawReading", mappers: Any, slices: "ContractSlices | None" = None
) -> "MapSummary":
    from sinks.encoding import Message, message
    from sinks.metrics import Metrics
    from sources.webhooks.map_run import MapRun
    from sources.webhooks.mapped_topics import MappedTopics
    from sources.webhooks.patient_producer import PatientProducer

    def form(letter: Any) -> Message:
        made = message(letter, settings.kafka.topics)
        assert made is not None  # a dead letter has a topic
        return made

    counts = Metrics()
    with stop_signal() as stopping:
        producer = PatientProducer(settings.kafka, "orderpulse-intake-map", stopping.is_set)
        target = MappedTopics(settings.kafka.topics, form, producer)
        try:
            with health(settings, counts, lambda: _readiness(producer)):
                run = MapRun(reading, mappers, target, counts, stopping.is_set, slices)
                return run.run(settings.intake.map_batch)
        finally:
            reading.close()
            producer.close()


def _settings(config: Path | None, metrics_port: int | None, *, follows: bool = True) -> Settings:
    """The settings; a command that ends by itself serves metrics only when asked."""
    port = metrics_port if metrics_port is not None or follows else 0
    settings = load_settings(config, {} if port is None else {"metrics": {"port": port}})
    if not settings.intake.routes:
        raise WrongUseError("there is no route in the settings", "add [intake.routes.<name>]: docs/intake.md says how")
    return settings


def _routes(settings: Settings, wanted: list[str] | None) -> Collection[str]:
    known = settings.intake.routes
    for name in wanted or ():
        if name not in known:
            raise WrongUseError(f"--route {name}: there is no such route", f"name one of {', '.join(known)}")
    return wanted or known


def _readiness(producer: "PatientProducer") -> tuple[bool, str]:
    waiting = producer.waiting
    return (True, "") if waiting is None else (False, waiting.reason)


def _show(summary: "MapSummary", *, as_json: bool) -> None:
    if as_json:
        print_json({"records": summary.records, "events": summary.by_type, "dead_letters": summary.by_reason})
        return
    out = to_stdout()
    events, letters = sum(summary.by_type.values()), sum(summary.by_reason.values())
    counted = some(summary.records, "raw record"), some(events, "event"), some(letters, "dead letter")
    out.print("{}: {}, {}".format(*counted))
    rows = [(name, number(count)) for name, count in summary.by_type.items()]
    rows += [(f"dead letter: {reason}", number(count)) for reason, count in summary.by_reason.items()]
    if rows:
        out.print(table(("", "count"), rows, numbers=("count",)))


def _show_polls(found: dict[str, int | None], *, as_json: bool) -> None:
    if as_json:
        print_json(found)
    else:
        rows = [(name, "failed" if count is None else number(count)) for name, count in found.items()]
        to_stdout().print(table(("poll", "new records"), rows, numbers=("new records",)))
    if None in found.values():
        raise typer.Exit(FINDING)
