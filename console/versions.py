"""``orderpulse versions``: an order's versions, or what differs between any two of them."""

import json
from pathlib import Path
from typing import Annotated, Any

import msgspec
import typer

from config.loader import load_settings
from console.errors import FailedError, WrongUseError
from console.options import Config, Json
from console.output import local_time, print_json, table, to_stdout
from console.results import damaged, lines_of, require_results
from events.records import FieldChange, VersionRecord


def versions(
    order: Annotated[str, typer.Argument(metavar="ORDER", help="The order's id.")],
    input_: Annotated[Path, typer.Option("--input", metavar="DIR", help="A run's output directory.")],
    first: Annotated[
        int | None, typer.Option("--from", metavar="A", min=0, help="Compare this version (0: before the first) ...")
    ] = None,
    second: Annotated[int | None, typer.Option("--to", metavar="B", min=0, help="... with this one.")] = None,
    config: Config = None,
    json_: Json = False,
) -> None:
    """Show an order's versions: what changed, who said so, when; or compare any two of them.

    With only one of --from and --to, the other is the first or the newest version.
    """
    require_results(input_)
    zone = load_settings(config).zone
    known = _versions_of(order, input_)
    if not known:
        raise FailedError(
            f"{input_}: no version of order {order!r}", "check the order's id, and that versions.enabled is set"
        )
    if first is None and second is None:
        _show_all(known, zone, as_json=json_)
        return
    _show_difference(known, 1 if first is None else first, known[-1].version if second is None else second, json_)


def _versions_of(order: str, directory: Path) -> list[VersionRecord]:
    """Its versions in their order."""
    decoder = msgspec.json.Decoder(VersionRecord)
    name = json.dumps(order, ensure_ascii=False).encode()
    found = []
    for line in lines_of(directory, "versions"):
        if name in line:
            try:
                record = decoder.decode(line)
            except msgspec.DecodeError as error:
                raise damaged(f"{directory}: a version of {order}", str(error)) from error
            if record.order_id == order:
                found.append(record)
    return sorted(found, key=lambda record: record.version)


def _show_all(known: list[VersionRecord], zone: str, *, as_json: bool) -> None:
    if as_json:
        print_json(msgspec.to_builtins(known))
        return
    out = to_stdout()
    for record in known:
        who = record.system + (f" ({record.operator})" if record.operator else "")
        out.print(f"version {record.version}   {local_time(record.time, zone)}   {who}   {record.event_type}")
        out.print(_changes(record.changes))
        out.print()


def _show_difference(known: list[VersionRecord], first: int, second: int, as_json: bool) -> None:
    from operators.orders.targets import compare

    newest = known[-1].version
    for number in (first, second):
        if number > newest:
            raise WrongUseError(f"there is no version {number} of {known[0].order_id}", f"the newest one is {newest}")
    changes = compare(_fields_at(known, first), _fields_at(known, second))
    if as_json:
        listed = msgspec.to_builtins(changes)
        print_json({"order_id": known[0].order_id, "from": first, "to": second, "changes": listed})
        return
    out = to_stdout()
    out.print(f"{known[0].order_id}: version {first} against version {second}\n")
    out.print(_changes(changes) if changes else "nothing differs")


def _fields_at(known: list[VersionRecord], version: int) -> dict[str, object]:
    """The order's fields as of a version."""
    fields: dict[str, object] = {}
    for record in known:
        if record.version <= version:
            for change in record.changes:
                fields[change.field] = change.new
    return {name: value for name, value in fields.items() if value is not None}


def _changes(changes: tuple[FieldChange, ...]) -> Any:
    rows = [(f"  {change.field}", _text(change.old), _text(change.new)) for change in changes]
    return table(("  field", "before", "after"), rows)


def _text(value: object) -> str:
    if value is None:
        return "-"
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
