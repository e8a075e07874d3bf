"""Options that several commands share, and the values that they are given."""

from pathlib import Path
from typing import Annotated, Any, Literal

import typer

from config.units import Duration, Instant

KAFKA: Literal["kafka"] = "kafka"

Config = Annotated[
    Path | None,
    typer.Option("--config", metavar="FILE", help="Your settings (TOML), over the defaults.", show_default=False),
]
Json = Annotated[bool, typer.Option("--json", help="Print the result as JSON.")]
Overwrite = Annotated[bool, typer.Option("--overwrite", help="Replace what an earlier one left in the directory.")]


def parse_instant(text: str | Instant) -> Instant:
    """A date-time with its zone; as a parser of options it refuses anything else with the remedy."""
    try:
        return Instant.parse(text)
    except ValueError as error:
        raise typer.BadParameter(str(error)) from None


def parse_duration(text: str | Duration) -> Duration:
    """A length of time with its unit; as a parser of options it refuses anything else with the remedy."""
    if isinstance(text, Duration):
        return text
    try:
        return Duration.parse(text)
    except ValueError as error:
        raise typer.BadParameter(str(error)) from None


def moment(flag: str, help_text: str) -> Any:
    """An option that takes a moment."""
    return typer.Option(flag, metavar="T", parser=parse_instant, help=help_text, show_default=False)


def is_kafka(value: Path) -> bool:
    """Whether a path is the word ``kafka``; a directory of that name is written ``./kafka``."""
    return str(value) == KAFKA
