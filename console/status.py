"""``orderpulse status``: whether all that a flow needs is there, and what stands open."""

import time
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer
from msgspec import Struct
from rich.text import Text

from config.loader import load_settings, warnings
from config.problems import ConfigurationError
from config.settings import Settings
from config.units import Duration
from console.errors import FINDING, WRONG_USE
from console.options import Config, Json, parse_duration
from console.output import local_time, number, print_json, table, to_stderr, to_stdout

if TYPE_CHECKING:
    from console.view import ViewState

State = Literal["ok", "warning", "wrong"]
STYLES = {"ok": "green", "warning": "yellow", "wrong": "bold red"}


class Check(Struct, frozen=True):
    """One thing that was looked at; ``remedy`` says what to do unless it is fine."""

    name: str
    state: State
    detail: str
    remedy: str = ""


def status(
    config: Config = None,
    redis: Annotated[
        str | None, typer.Option("--redis", metavar="URL", help="The read model. [default: redis.url of the settings]")
    ] = None,
    max_age: Annotated[
        Duration,
        typer.Option(
            "--max-age", metavar="D", parser=parse_duration, help="A view not written for longer is wrong, e.g. 10m."
        ),
    ] = Duration(300_000),  # noqa: B008  # a number
    json_: Json = False,
) -> None:
    """Look at the configuration, the broker, its topics and the read model, and count what stands open.

    The exit code is 1 when something is wrong, 2 when the configuration is refused.
    """
    try:
        settings = load_settings(config, {} if redis is None else {"redis": {"url": redis}})
    except ConfigurationError as error:
        if not json_:
            raise
        problems = [Check("configuration", "wrong", str(problem)) for problem in error.problems]
        print_json(_values(problems, None))
        raise typer.Exit(WRONG_USE) from None
    from console.feedback import feedback_of, feedback_values, show_feedback

    with to_stderr().status("asking Kafka and Redis"):
        view, of_view = _view(settings, int(max_age))
        feedback = feedback_of(settings) if view is not None else None
        checks = [*_configuration(settings), *_kafka(settings), *of_view]
    if json_:
        print_json(_values(checks, view) | feedback_values(feedback))
    else:
        _show(checks, view, settings.zone)
        show_feedback(feedback)
    if any(check.state == "wrong" for check in checks):
        raise typer.Exit(FINDING)


def _configuration(settings: Settings) -> Iterator[Check]:
    doubts = warnings(settings)
    if not doubts:
        yield Check("configuration", "ok", f"in order; chain {settings.chain}")
    for doubt in doubts:
        yield Check("configuration", "warning", str(doubt), "`orderpulse config check` shows all")


def _kafka(settings: Settings) -> Iterator[Check]:
    from confluent_kafka.admin import AdminClient

    from sources.kafka_client import client_options, existing_topics, log
    from sources.reader import SourceError
    from sources.topics import planned_topics

    kafka = settings.kafka
    try:
        existing = existing_topics(AdminClient(client_options(kafka), logger=log), kafka)
    except SourceError as error:
        yield Check("broker", "wrong", f"{error.where}: {error.what}", error.remedy)
        return
    yield Check("broker", "ok", f"{kafka.bootstrap} answers")
    planned = [plan.name for plan in planned_topics(kafka)]
    missing = [name for name in planned if name not in existing]
    if missing:
        yield Check("topics", "wrong", f"missing: {', '.join(missing)}", "make them with `orderpulse topics create`")
    else:
        yield Check("topics", "ok", f"all {len(planned)} are there")


def _view(
    settings: Settings, max_age: int, now: Callable[[], float] = time.time
) -> tuple["ViewState | None", list[Check]]:
    from console.view import ReadModelView, ViewError

    try:
        with ReadModelView(settings.redis) as view:
            state = view.state()
    except ViewError as error:
        return None, [Check("read model", "wrong", error.what, error.remedy)]
    if state.updated_at is None or state.watermark is None:
        return state, [
            Check(
                "read model",
                "wrong",
                f"{view.place} answers, but no run has written to it",
                "start one: `orderpulse run --redis URL`; or correct redis.url and redis.prefix",
            )
        ]
    age = int(now() * 1000) - state.updated_at
    reached = local_time(state.watermark, settings.zone)
    detail = f"{view.place}: everything up to {reached} is in, written {Duration(max(0, age) // 1000 * 1000)} ago"
    if age > max_age:
        return state, [Check("read model", "wrong", detail, "see whether `orderpulse run --redis` still runs")]
    return state, [Check("read model", "ok", detail)]


def _show(checks: list[Check], view: "ViewState | None", zone: str) -> None:
    out = to_stdout()
    rows = [(check.name, Text(check.state, style=STYLES[check.state]), _with_remedy(check)) for check in checks]
    out.print(table(("", "", ""), rows))
    if view is None:
        return
    out.print(table(("open alerts", ""), [(rule, number(count)) for rule, count in view.open_alerts.items()]))
    out.print(f"\n{number(view.holds)} orders are held, {number(view.merges)} merge groups are open")


def _with_remedy(check: Check) -> str:
    return check.detail + (f"\nto do: {check.remedy}" if check.remedy else "")


def _values(checks: list[Check], view: "ViewState | None") -> dict[str, Any]:
    values: dict[str, Any] = {
        "ok": all(check.state != "wrong" for check in checks),
        "checks": [
            {"name": check.name, "state": check.state, "detail": check.detail, "remedy": check.remedy}
            for check in checks
        ],
    }
    if view is not None:
        values |= {
            "watermark": view.watermark,
            "updated_at": view.updated_at,
            "open_alerts": view.open_alerts,
            "holds": view.holds,
            "open_merge_groups": view.merges,
        }
    return values
