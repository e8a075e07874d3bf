"""``orderpulse profile health``: whether sources send what their profiles expect."""

from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any

import msgspec
import typer

from config.loader import load_settings
from config.settings import ContractLimits, Settings
from console.errors import FINDING, WrongUseError
from console.options import Config, Json
from console.output import local_time, number, print_json, table, to_stdout

_DEVIATIONS = ("missing", "lacking", "unparsable", "unknown_status", "decrypt_failed", "time_offset")
# In a file there is no past to compare with: these need none.
_LEVELS = {
    "lacking": "vanished",
    "unparsable": "unparsable",
    "unknown_status": "unknown_status",
    "decrypt_failed": "decrypt_failed",
}
Health = dict[str, Any]


def health(
    path: Annotated[
        Path | None,
        typer.Argument(
            metavar="DIRECTORY", help="What `convert` wrote. Without it: the read model.", show_default=False
        ),
    ] = None,
    config: Config = None,
    redis: Annotated[
        str | None, typer.Option("--redis", metavar="URL", help="The read model. [default: redis.url of the settings]")
    ] = None,
    json_: Json = False,
) -> None:
    """Show, per source and field, what is missing, cannot be read or is not known, and which alerts are open.

    The exit code is 1 when one is open; of a directory, when a share is above its limit.
    """
    settings = load_settings(config, {} if redis is None else {"redis": {"url": redis}})
    sources = list(_of_file(path, settings) if path is not None else _of_read_model(settings))
    if json_:
        print_json({"sources": sources})
    else:
        _show(sources, settings.zone)
    if any(source["open"] for source in sources):
        raise typer.Exit(FINDING)


def _of_read_model(settings: Settings) -> Iterator[Health]:
    from console.view import ReadModelView

    with ReadModelView(settings.redis) as view:
        for found in view.contracts():
            yield {
                "source": found["source"],
                "time": int(found["time"]),
                "records": int(found["records"]),
                "fields": msgspec.json.decode(found["fields"]),
                "open": msgspec.json.decode(found["open"]),
            }


def _of_file(path: Path, settings: Settings) -> Iterator[Health]:
    from sources.mapping.contract_file import NAME, read_fields

    file = path / NAME if path.is_dir() else path
    try:
        fields = read_fields(file)
    except (OSError, msgspec.DecodeError) as error:
        raise WrongUseError(f"{file} is no {NAME}: {error}", "name a directory that `convert` wrote") from None
    of_source: dict[str, Health] = {}
    for each in fields:
        made: Health = {"source": each.source, "time": None, "records": 0, "fields": {}, "open": []}
        source = of_source.setdefault(each.source, made)
        name = f"{each.input}: {each.field}"
        known = source["fields"].setdefault(name, {"seen": 0})
        known["seen"] += each.seen
        for what, count in each.wrong.items():
            known[what] = known.get(what, 0) + count
            if _above(what, count, each.seen, settings.detectors.contract.limits):
                example = f"{each.file}/{each.first[what]}"
                source["open"].append({"field": name, "level": _LEVELS[what], "since": None, "example": example})
    for source in of_source.values():
        records = {(each.input, each.file): each.records for each in fields if each.source == source["source"]}
        source["records"] = sum(records.values())
        yield source


def _above(what: str, count: int, seen: int, limits: ContractLimits) -> bool:
    return what in _LEVELS and count * 1000 >= seen * int(getattr(limits, _LEVELS[what]))


def _show(sources: list[Health], zone: str) -> None:
    out = to_stdout()
    if not sources:
        out.print("No source has been counted yet: `orderpulse intake map` counts, the flow judges")
    for source in sources:
        at = "" if source["time"] is None else f", up to {local_time(source['time'], zone)}"
        out.print(f"\n{source['source']}: {number(source['records'])} records{at}")
        rows = list(_rows(source["fields"]))
        if rows:
            out.print(table(("field", "looked at", "not as it should be", "before"), rows, numbers=("looked at",)))
        else:
            out.print("every field is as it should be")
        for alert in source["open"]:
            since = "" if alert["since"] is None else f" since {local_time(alert['since'], zone)}"
            out.print(f"open: {alert['level']} {alert['field']}{since}, e.g. {alert['example']}", soft_wrap=True)


def _rows(fields: dict[str, dict[str, Any]]) -> Iterator[tuple[str, str, str, str]]:
    """The fields with something to say."""
    for name, counts in fields.items():
        wrong = _shares(counts)
        if wrong:
            yield name, number(counts["seen"]), wrong, _shares(counts.get("past", {"seen": 0})) or "-"


def _shares(counts: dict[str, Any]) -> str:
    seen = counts["seen"]
    return ", ".join(f"{what} {100 * counts[what] / seen:.1f} %" for what in _DEVIATIONS if seen and counts.get(what))
