"""How commands end when something is wrong."""

from pathlib import Path

import pytest

from config.environment import UnsetVariableError
from config.problems import ConfigurationError, Problem
from console.errors import FailedError, WrongUseError, report
from operators.heart.snapshots import SnapshotError
from operators.platform.watch import DeadLetterLimitError
from sinks.health import HealthServerError
from sinks.sink import SinkError
from sources.mapping.errors import ConversionError
from sources.reader import SourceError
from tests.console.conftest import orderpulse


@pytest.mark.parametrize(
    ("error", "code", "lines"),
    [
        (SourceError("was cut", "a.ndjson", "copy it"), 1, ["error: a.ndjson: was cut", "  to do: copy it"]),
        (
            SinkError("Kafka at k:9", "refused", "allow it", "alerts", "O-1"),
            1,
            ["error: Kafka at k:9, topic alerts, key O-1: refused", "  to do: allow it"],
        ),
        (
            DeadLetterLimitError("100 in a row", "t/3, from position 7", "mend it"),
            1,
            ["error: t/3, from position 7: 100 in a row", "  to do: mend it"],
        ),
        (HealthServerError("port taken; set another"), 1, ["error: port taken", "  to do: set another"]),
        (SnapshotError("too new; take the newer program"), 1, ["error: too new", "  to do: take the newer program"]),
        (ConversionError("no such file; check it"), 1, ["error: no such file", "  to do: check it"]),
        (FailedError("no luck", "try again"), 1, ["error: no luck", "  to do: try again"]),
        (WrongUseError("two is too many", "write one"), 2, ["error: two is too many", "  to do: write one"]),
        (
            ConfigurationError("my.toml", [Problem("zone", "is wrong"), Problem("[kafka]", "is missing")]),
            2,
            ["error: my.toml is refused: 2 problems", "  zone: is wrong", "  [kafka]: is missing"],
        ),
    ],
)
def test_an_expected_error_says_what_and_what_to_do(
    error: Exception, code: int, lines: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert report(error) == code

    said = capsys.readouterr()
    assert said.out == ""
    assert said.err.splitlines() == lines


def test_a_variable_that_is_not_set_is_wrong_use(capsys: pytest.CaptureFixture[str]) -> None:
    assert report(UnsetVariableError("SECRET")) == 2

    assert "SECRET is not set\n  to do: set it" in capsys.readouterr().err


@pytest.mark.parametrize(("flags", "variable"), [(("--debug",), ""), ((), "1")])
def test_an_unexpected_error_shows_its_trace_only_on_demand(
    results: Path, monkeypatch: pytest.MonkeyPatch, flags: tuple[str, ...], variable: str
) -> None:
    def broken(_: Path) -> None:
        raise KeyError("surprise")

    monkeypatch.setattr("console.letters.letters_in", broken)

    quiet = orderpulse("dlq", "list", "--input", results)
    monkeypatch.setenv("ORDERPULSE_DEBUG", variable)
    loud = orderpulse(*flags, "dlq", "list", "--input", results)

    assert (quiet.code, loud.code) == (1, 1)
    assert "this was not expected: KeyError: 'surprise'" in quiet.complained
    assert "--debug" in quiet.complained
    assert "Traceback" not in quiet.complained
    assert "Traceback" in loud.complained


@pytest.mark.parametrize("arguments", [("fly",), ("verify", "only-one"), ("simulate",), ("run", "--unknown")])
def test_a_command_that_does_not_exist_or_lacks_something_is_wrong_use(arguments: tuple[str, ...]) -> None:
    assert orderpulse(*arguments).code == 2
