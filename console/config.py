"""``orderpulse config``: checks and shows settings."""

from pathlib import Path
from typing import Annotated

import typer

from config.loader import CHAINS, load_settings, warnings
from config.problems import ConfigurationError, Problem
from console.errors import WRONG_USE
from console.options import Json
from console.output import print_json, table, to_stdout, warn

app = typer.Typer(help="Check and show settings, and list the shipped stage chains.", no_args_is_help=True)


@app.command()
def check(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="Your settings (TOML).")],
    json_: Json = False,
) -> None:
    """Check a configuration: every problem at once, each with its field and what to do, and warnings.

    The exit code is 2 when the configuration is refused; warnings leave it 0.
    """
    try:
        settings = load_settings(file)
    except ConfigurationError as error:
        if not json_:
            raise
        print_json({"ok": False, "problems": _values(error.problems), "warnings": []})
        raise typer.Exit(WRONG_USE) from None
    doubts = warnings(settings)
    if json_:
        print_json({"ok": True, "problems": [], "warnings": _values(doubts)})
        return
    for doubt in doubts:
        warn(str(doubt))
    to_stdout().print(f"{file} is in order" + (", with warnings" if doubts else ""))


@app.command()
def show(
    file: Annotated[Path | None, typer.Argument(metavar="FILE", help="Your settings; without it the defaults.")] = None,
) -> None:
    """Show the effective settings as TOML, each with where it comes from: the defaults, the chain, your file."""
    from console.effective import effective_toml

    load_settings(file)
    print(effective_toml(file), end="")


@app.command()
def chains(json_: Json = False) -> None:
    """List the stage chains that are shipped: the names that the setting `chain` takes."""
    found = {}
    for file in sorted(CHAINS.glob("*.toml")):
        settings = load_settings(overrides={"chain": file.stem})
        found[file.stem] = list(settings.stages)
    if json_:
        print_json(found)
        return
    to_stdout().print(table(("chain", "stages"), [(name, " > ".join(stages)) for name, stages in found.items()]))


def _values(problems: list[Problem]) -> list[dict[str, str]]:
    return [{"field": problem.field, "what": problem.what} for problem in problems]
