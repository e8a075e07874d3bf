"""``orderpulse doctor``: whether all around a run is as it must be, and what to do where it is not."""

from collections.abc import Iterator
from pathlib import Path
from typing import Annotated

import typer
from rich.text import Text

from config.loader import load_settings, warnings
from config.problems import ConfigurationError
from config.settings import Settings
from console.errors import FINDING, WRONG_USE
from console.options import KAFKA, Config, Json, is_kafka
from console.output import number, print_json, some, table, to_stderr, to_stdout
from console.status import STYLES, Check

_NO_REDIS = "none"


def doctor(
    config: Config = None,
    redis: Annotated[
        str | None,
        typer.Option("--redis", metavar="URL|none", help="The read model; none: do without. [default: redis.url]"),
    ] = None,
    output: Annotated[
        Path, typer.Option("--output", metavar="DIR|kafka", help="Where a run's results are to go.")
    ] = Path(KAFKA),
    recovery: Annotated[
        Path | None, typer.Option("--recovery", metavar="DIR", help="A run's recovery store, there already or not.")
    ] = None,
    processes: Annotated[int, typer.Option("--processes", metavar="N", min=1, help="A run's worker processes.")] = 1,
    probe: Annotated[
        bool,
        typer.Option("--probe", help="Make a topic, write a record, delete it: shows rights and the broker's clock."),
    ] = False,
    json_: Json = False,
) -> None:
    """Examine configuration, Kafka, topics, Redis, directories, ports and clocks: before a run, or when one fails.

    Nothing is changed: in Redis a key of its own is written and deleted at once, in Kafka only with --probe. The exit
    code is 1 when something is wrong, 2 when the configuration is refused; warnings leave it 0.

    Example:

        orderpulse doctor --config shop.toml --recovery /var/lib/orderpulse --processes 4
    """
    given = {} if redis is None or redis == _NO_REDIS else {"redis": {"url": redis}}
    try:
        settings = load_settings(config, given)
    except ConfigurationError as error:
        _show([Check("configuration", "wrong", str(problem)) for problem in error.problems], as_json=json_)
        raise typer.Exit(WRONG_USE) from None
    with to_stderr().status("examining"):
        checks = [*_configuration(settings), *_around(settings, redis, output, recovery, processes, probe=probe)]
    _show(checks, as_json=json_)
    if any(check.state == "wrong" for check in checks):
        raise typer.Exit(FINDING)


def _configuration(settings: Settings) -> Iterator[Check]:
    doubts = warnings(settings)
    if not doubts:
        yield Check("configuration", "ok", f"in order; chain {settings.chain}")
    for doubt in doubts:
        yield Check("configuration", "warning", str(doubt), "`orderpulse config check` shows all")


def _around(
    settings: Settings, redis: str | None, output: Path, recovery: Path | None, processes: int, *, probe: bool
) -> Iterator[Check]:
    from console.doctor_host import hash_key, output_directory, ports, recovery_store
    from console.doctor_kafka import examine_kafka
    from console.doctor_redis import examine_redis

    yield from hash_key(settings)
    yield from examine_kafka(settings, processes, to_topics=is_kafka(output), probe=probe)
    if redis != _NO_REDIS:
        yield from examine_redis(settings.redis)
    if not is_kafka(output):
        yield from output_directory(output, goes_on=recovery is not None)
    if recovery is not None:
        yield from recovery_store(recovery, settings)
    yield from ports(settings, processes)


def _show(checks: list[Check], *, as_json: bool) -> None:
    wrong = sum(check.state == "wrong" for check in checks)
    doubtful = sum(check.state == "warning" for check in checks)
    if as_json:
        findings = [
            {"name": check.name, "state": check.state, "detail": check.detail, "remedy": check.remedy}
            for check in checks
        ]
        print_json({"ok": not wrong, "wrong": wrong, "warnings": doubtful, "checks": findings})
        return
    rows = [
        (check.name, Text(check.state, style=STYLES[check.state]), check.detail + _to_do(check)) for check in checks
    ]
    out = to_stdout()
    out.print(table(("", "", ""), rows))
    found = f"{number(wrong)} wrong, {some(doubtful, 'warning')}" if wrong or doubtful else "All is in order"
    out.print(f"\n{found}")


def _to_do(check: Check) -> str:
    return f"\nto do: {check.remedy}" if check.remedy else ""
