"""Options that several commands share, and the values that they are given."""

from pathlib import Path
from typing import Annotated, Any, Literal

import typer

from config.units import Duration, Instant
from console.errors import WrongUseError

KAFKA: Literal["kafka"] = "kafka"
Inputs = tuple[Path, ...] | Literal["kafka"]

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


WarmUp = Annotated[
    Duration | None,
    typer.Option(
        "--warm-up",
        metavar="D",
        parser=parse_duration,
        help="Begin to read so long before --from, e.g. 30d. [default: read from the beginning]",
        show_default=False,
    ),
]


def moment(flag: str, help_text: str) -> Any:
    """An option that takes a moment."""
    return typer.Option(flag, metavar="T", parser=parse_instant, help=help_text, show_default=False)


def chosen_inputs(given: list[Path] | None, more: list[Path] | None) -> Inputs:
    """What ``--input`` names: files and directories, or Kafka. Raises WrongUseError."""
    if more and not given:
        raise WrongUseError(f"{more[0]} stands alone", f"write --input {more[0]}")
    paths = (*(given or ()), *(more or ()))
    if not paths or (len(paths) == 1 and is_kafka(paths[0])):
        return KAFKA
    if any(map(is_kafka, paths)):
        raise WrongUseError("--input names kafka and files", "read one or the other; a directory called kafka: ./kafka")
    for path in paths:
        if not path.exists():
            raise WrongUseError(f"--input {path}: does not exist", "check the path")
    return paths


def is_kafka(value: Path) -> bool:
    """Whether a path is the word ``kafka``; a directory of that name is written ``./kafka``."""
    return str(value) == KAFKA
