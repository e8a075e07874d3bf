"""``orderpulse fallback``: orders taken by hand while their system is down, and files for it when it is back."""

import os
import time
from collections.abc import Iterator
from pathlib import Path
from threading import Event
from typing import TYPE_CHECKING, Annotated, Any

import typer

from config.loader import load_settings
from config.settings import Settings
from config.units import Instant
from console.errors import FINDING, WrongUseError
from console.intake import MetricsPort
from console.options import KAFKA, Config, Json, is_kafka, moment
from console.output import complain, number, print_json, some, table, to_stderr, to_stdout
from console.serving import health, stop_signal

if TYPE_CHECKING:
    from events.model import OrderCreated
    from sources.fallback.csv_in import FileRefusedError
    from sources.fallback.taking import Taken
    from sources.reader import Input

app = typer.Typer(invoke_without_command=True)
_SHORTEST_TOKEN = 16
JournalDir = Annotated[
    Path, typer.Option("--journal", metavar="DIR", help="Where orders stand until the broker has them.")
]


@app.callback()
def fallback(
    ctx: typer.Context,
    config: Config = None,
    journal: JournalDir = Path("fallback-journal"),
    metrics_port: MetricsPort = None,
) -> None:
    """Take orders by hand while their system is down: each gets its number at once, broker or no broker.

    Serves the form GET /fallback and POST /fallback/orders (form or JSON), /healthz and /readyz, until SIGTERM or
    Ctrl-C. The token that operators need stands in the variable that fallback.token_env names.

    Examples:

        ORDERPULSE_FALLBACK_TOKEN=... orderpulse fallback --journal /var/lib/orderpulse/fallback

        orderpulse fallback import orders.csv

        orderpulse fallback export --since 2026-01-31T08:00:00+08:00 --output batches
    """
    if ctx.invoked_subcommand is not None:
        if config is not None or metrics_port is not None or journal != Path("fallback-journal"):
            name = ctx.invoked_subcommand
            raise WrongUseError(f"options stand before {name}", f"write them behind it: orderpulse fallback {name} ...")
        return
    settings = _settings(config, metrics_port)
    token = os.environ.get(settings.fallback.token_env, "")
    if len(token) < _SHORTEST_TOKEN:
        what = f"the environment variable {settings.fallback.token_env} must hold the operators' token"
        raise WrongUseError(f"{what}, at least {_SHORTEST_TOKEN} characters", "set it, e.g. to `openssl rand -hex 16`")
    import asyncio

    import uvloop

    with stop_signal(), asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(_serve(settings, journal, token))


@app.command("import")
def import_(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="Orders as CSV, UTF-8 or GBK.")],
    config: Config = None,
    journal: JournalDir = Path("fallback-import-journal"),
    check: Annotated[bool, typer.Option("--check", help="Only say whether all lines are good.")] = False,
    operator: Annotated[
        str | None, typer.Option("--operator", metavar="NAME", help="Who took the orders.", show_default=False)
    ] = None,
    json_: Json = False,
) -> None:
    """Take the orders of a file: all of them, or none where a line is bad (then 1, with each bad line).

    The file may be imported again: the same line keeps its number, and the flow takes each order once. Waits for the
    broker; what is ended meanwhile goes on with the next import that has the same --journal.
    """
    settings = _settings(config, 0)
    from sources.fallback.csv_in import FileRefusedError, read_orders

    try:
        orders = read_orders(file, settings, round(time.time() * 1000), operator)
    except FileRefusedError as error:
        _show_refused(error, as_json=json_)
        raise typer.Exit(FINDING) from None
    delivered = check or _deliver(settings, journal, orders)
    _show_imported(orders, checked=check, delivered=delivered, as_json=json_)
    if not delivered:
        raise typer.Exit(FINDING)


@app.command()
def export(
    since: Annotated[Instant, moment("--since", "From the window on in which this lies.")],
    output: Annotated[Path, typer.Option("--output", metavar="DIR", help="Where the files go.")],
    config: Config = None,
    input_: Annotated[
        list[Path] | None,
        typer.Option("--input", metavar="PATH|kafka", help="Event files or directories, or the topics. [kafka]"),
    ] = None,
    journal: Annotated[
        list[Path] | None, typer.Option("--journal", metavar="DIR", help="What stands in this journal, too.")
    ] = None,
    until: Annotated[Instant | None, moment("--until", "Windows that end by then. [default: now]")] = None,
    json_: Json = False,
) -> None:
    """Write the orders that were taken as CSV, one file per window of event time (fallback.batch: 30 min).

    Whole windows alone are written; the same orders give the same bytes, so it may run as often as one likes. With
    --journal alone the broker is not asked.
    """
    settings = _settings(config, 0)
    from sources.fallback.csv_out import write_batches
    from sources.fallback.journal import read_journal

    end = int(until) if until is not None else round(time.time() * 1000)
    orders = [taken.order for directory in journal or () for taken in read_journal(directory)]
    if input_ or not journal:
        orders += _taken_in(settings, input_ or [Path(KAFKA)], int(since))
    fallback = settings.fallback
    written = write_batches(orders, output, int(since), end, int(fallback.batch), settings.zone)
    if json_:
        print_json([{"file": str(each.path), "orders": each.orders, "outcome": each.outcome} for each in written])
        return
    rows = [(each.path.name, number(each.orders), each.outcome) for each in written]
    to_stdout().print(f"{some(sum(each.orders for each in written), 'order')} in {output}")
    if rows:
        to_stdout().print(table(("file", "orders", ""), rows, numbers=("orders",)))


@app.command("number")
def number_(text: Annotated[str, typer.Argument(metavar="NUMBER", help="As somebody read it out.")]) -> None:
    """Check the number of a fallback order and write it as it should be; 1 when there is a slip in it."""
    from sources.fallback.numbers import read_number

    found = read_number(text)
    if found is None:
        complain(f"{text!r} is no fallback number, or has a slip in it", "have it read out again")
        raise typer.Exit(FINDING)
    print(found)


async def _serve(settings: Settings, directory: Path, token: str) -> None:
    from msgspec.structs import replace

    from sinks.metrics import Metrics
    from sources.fallback.application import FallbackService
    from sources.fallback.delivery import KafkaDelivery
    from sources.fallback.desk import Desk
    from sources.fallback.journal import Journal
    from sources.webhooks.server import listen, serve

    own = replace(settings.intake, host=settings.fallback.host, port=settings.fallback.port)
    journal, counts = Journal(directory), Metrics()
    delivery = KafkaDelivery(settings.kafka, journal.delivered)
    try:
        desk = Desk(settings.fallback, journal, delivery, journal.waiting)
        service = FallbackService(desk, token, counts, lambda: delivery.waiting)
        opened = listen(own)
        host, port = opened.getsockname()[:2]
        to_stderr().print(f"Fallback orders at http://{host}:{port}/fallback, journal in {directory}", soft_wrap=True)
        with health(settings, counts, service.readiness):
            await serve(service.application(), own, opened)
    finally:
        delivery.close()
        journal.close()


def _deliver(settings: Settings, directory: Path, orders: "tuple[Taken, ...]") -> bool:
    """All orders in one line of the journal, so that none or all are there; then to the broker. False: not all yet."""
    from sources.fallback.delivery import KafkaDelivery
    from sources.fallback.journal import Journal

    journal = Journal(directory)
    with stop_signal() as stopping:
        delivery = KafkaDelivery(settings.kafka, journal.delivered)
        try:
            entries = [*journal.waiting, *(journal.append([orders]) if orders else ())]
            if entries:
                delivery.hand_over(entries)
            return _drained(delivery, stopping)
        finally:
            delivery.close()
            journal.close()


def _drained(delivery: Any, stopping: Event) -> bool:
    said = False
    while not delivery.drain(0.2):
        if stopping.is_set():
            return False
        waiting = delivery.waiting
        if waiting is not None and not said:
            said = True
            to_stderr().print(f"kept in the journal; waits for the broker: {waiting.reason}", soft_wrap=True)
    return True


def _taken_in(settings: Settings, inputs: list[Path], since: int) -> "Iterator[OrderCreated]":
    """The fallback orders of files or topics."""
    import msgspec
    from msgspec.structs import replace

    from events.model import UNREADABLE, AnyEvent, OrderCreated
    from sources.clock import SteadyClock
    from sources.files import FileInput
    from sources.kafka import KafkaInput

    source: Input
    if any(is_kafka(path) for path in inputs):
        kafka = replace(settings.kafka, start=str(Instant(since - since % settings.fallback.batch)))
        source = KafkaInput(kafka, (kafka.topics.orders,), start=kafka.start, bounded=True, clock=SteadyClock())
    else:
        source = FileInput(inputs)
    reader, decoder = source.open(), msgspec.json.Decoder(AnyEvent)
    wanted = settings.fallback.source.encode()
    try:
        while not reader.finished:
            for batch in reader.read(None):
                for line in batch.lines:
                    if wanted not in line or b"order.created" not in line:
                        continue
                    try:
                        event = decoder.decode(line)
                    except UNREADABLE:
                        continue  # the flow makes it a dead letter
                    if isinstance(event, OrderCreated) and event.source == settings.fallback.source:
                        yield event
    finally:
        reader.close()
        source.close()


def _settings(config: Path | None, metrics_port: int | None) -> Settings:
    return load_settings(config, {} if metrics_port is None else {"metrics": {"port": metrics_port}})


def _show_refused(error: "FileRefusedError", *, as_json: bool) -> None:
    if as_json:
        lines = [{"line": each.line, "field": each.field, "zh": each.zh, "en": each.en} for each in error.problems]
        print_json({"imported": 0, "problems": lines})
        return
    complain(f"{error.path}: nothing is imported, {some(len(error.problems), 'problem')}", "mend these lines")
    rows = [(number(each.line), each.field, f"{each.en} · {each.zh}") for each in error.problems]
    to_stderr().print(table(("line", "field", "what is wrong"), rows, numbers=("line",)))


def _show_imported(orders: "tuple[Taken, ...]", *, checked: bool, delivered: bool, as_json: bool) -> None:
    high = sum(taken.priority is not None for taken in orders)
    if as_json:
        imported = 0 if checked else len(orders)
        numbers = [taken.order_id for taken in orders]
        print_json({"orders": numbers, "imported": imported, "high": high, "delivered": delivered and not checked})
        return
    what = "are good" if checked else "imported" if delivered else "kept in the journal; run it again to deliver them"
    to_stdout().print(f"{some(len(orders), 'order')} {what}, {number(high)} of high priority")
