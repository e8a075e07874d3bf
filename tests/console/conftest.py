import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from console.main import app

COMMAND_WIDTH = {"COLUMNS": "200"}


class Outcome:
    """How a command ended: its exit code, and what it said where."""

    def __init__(self, code: int, said: str, complained: str) -> None:
        self.code = code
        self.said = said
        self.complained = complained

    @property
    def value(self) -> Any:
        """What it said, as JSON."""
        return json.loads(self.said)


def orderpulse(*arguments: object) -> Outcome:
    """Run a command within this process."""
    result = CliRunner().invoke(app, [str(each) for each in arguments], env=COMMAND_WIDTH)
    return Outcome(result.exit_code, result.stdout, result.stderr)


@pytest.fixture(scope="session")
def trade(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A simulation with copies, late events and bad records."""
    directory = tmp_path_factory.mktemp("trade") / "sim"
    outcome = orderpulse(
        "simulate", "--orders", 220, "--seed", 5, "--output", directory, "--late", 0.02, "--bad", 0.02,
        "--duplicates", 0.02, "--partitions", 2,
    )  # fmt: skip
    assert outcome.code == 0, outcome.complained
    return directory


@pytest.fixture(scope="session")
def results(trade: Path) -> Path:
    """What a run made of the simulation."""
    directory = trade.parent / "run"
    outcome = orderpulse("run", "--input", trade / "events", "--output", directory)
    assert outcome.code == 0, outcome.complained
    return directory


@pytest.fixture
def copy_of(results: Path, tmp_path: Path) -> Callable[[str], Path]:
    """A copy of the results that a test may change."""

    def copy(name: str) -> Path:
        directory = tmp_path / name
        directory.mkdir()
        for file in results.iterdir():
            (directory / file.name).write_bytes(file.read_bytes())
        return directory

    return copy
