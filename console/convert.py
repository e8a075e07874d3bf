"""``orderpulse convert``: a platform's records to canonical events."""

from pathlib import Path
from typing import Annotated

import typer

from console.options import Json
from console.output import number, print_json, some, table, to_stdout


def convert(
    inputs: Annotated[list[Path], typer.Argument(metavar="INPUT", help="The platform's files, or folders of them.")],
    output: Annotated[Path, typer.Argument(metavar="OUTPUT", help="A folder, or a file that ends in .ndjson.")],
    profile: Annotated[
        str, typer.Option("--profile", metavar="P", help="A shipped profile's name, or a profile file of your own.")
    ],
    json_: Json = False,
) -> None:
    """Convert a platform's records to canonical events; what cannot be used goes to dead letters with the reason.

    Example:

        orderpulse convert --profile orders_csv export.csv converted
    """
    from config.loader import load_settings
    from sources.mapping.contract_file import NAME, read_fields
    from sources.mapping.convert import convert as convert_files
    from sources.mapping.loading import load_profile

    report = convert_files(load_profile(profile), inputs, output, load_settings().intake.contract)
    contract_file = report.dead_letters_file.with_name(NAME)
    if json_:
        print_json(
            {
                "records": report.records,
                "events": report.events,
                "by_type": report.by_type,
                "dead_letters": report.dead_letters,
                "by_reason": report.by_reason,
                "notes": list(report.notes),
                "events_file": str(report.events_file),
                "dead_letters_file": str(report.dead_letters_file),
                "contract_file": str(contract_file),
            }
        )
        return
    out = to_stdout()
    out.print(f"{some(report.records, 'record')} gave {some(report.events, 'event')}: {report.events_file}\n")
    out.print(table(("event", ""), [(name, number(count)) for name, count in report.by_type.items()], numbers=("",)))
    if report.dead_letters:
        out.print(f"\n{some(report.dead_letters, 'dead letter')}: {report.dead_letters_file}\n")
        rows = [(name, number(count)) for name, count in report.by_reason.items()]
        out.print(table(("reason", ""), rows, numbers=("",)))
    odd = sum(1 for field in read_fields(contract_file) if field.wrong)
    out.print(f"\n{some(odd, 'field')} with missing or odd values; `orderpulse profile health {output}` lists them")
    if report.notes:
        out.print()
    for note in report.notes:
        out.print(f"note: {note}")
