"""How a command ends: expected errors become a short text on stderr and an exit code, never a traceback."""

import os
import traceback
from typing import Any

import typer
from typer.core import TyperGroup
from typer.exceptions import TyperException

from config.environment import UnsetVariableError
from config.problems import ConfigurationError
from console.output import complain, to_stderr

FINDING = 1
WRONG_USE = 2
DEBUG_VARIABLE = "ORDERPULSE_DEBUG"


class WrongUseError(Exception):
    """A command was asked for something that it cannot do; ``remedy`` says how to ask instead. Exit code 2."""

    def __init__(self, what: str, remedy: str) -> None:
        super().__init__(what, remedy)
        self.what = what
        self.remedy = remedy


class FailedError(Exception):
    """A command could not do its work; ``remedy`` says what to mend. Exit code 1."""

    def __init__(self, what: str, remedy: str) -> None:
        super().__init__(what, remedy)
        self.what = what
        self.remedy = remedy


class Commands(TyperGroup):
    """A group whose commands may raise what they want: each error ends as a text and an exit code."""

    def invoke(self, ctx: Any) -> Any:
        """Run the command that was asked for."""
        try:
            return super().invoke(ctx)
        except (typer.Exit, typer.Abort, TyperException, BrokenPipeError):
            raise
        except Exception as error:  # the end of the line: whatever it is, the user reads one text
            debug = ctx.params.get("debug") or os.environ.get(DEBUG_VARIABLE, "") not in ("", "0")
            if debug:
                to_stderr().print("".join(traceback.format_exception(error)), end="", soft_wrap=True)
            code = report(error, debug=bool(debug))
        raise typer.Exit(code)


def report(error: Exception, *, debug: bool = False) -> int:
    """Say on stderr what went wrong and what to do; returns the exit code."""
    match error:
        case WrongUseError(what=what, remedy=remedy):
            complain(what, remedy)
            return WRONG_USE
        case ConfigurationError(where=where, problems=problems):
            complain(f"{where} is refused: {len(problems)} problem{'s' if len(problems) != 1 else ''}")
            for problem in problems:
                to_stderr().print(f"  {problem}", soft_wrap=True)
            return WRONG_USE
        case UnsetVariableError():
            what, _, remedy = str(error).partition(": ")
            complain(what, remedy)
            return WRONG_USE
        case FailedError(what=what, remedy=remedy):
            complain(what, remedy)
            return FINDING
    told = _of_other_parts(error)
    if told is None:
        hint = "" if debug else f"run it again with --debug (or {DEBUG_VARIABLE}=1) to see where, and report it"
        told = f"this was not expected: {type(error).__name__}: {error}", hint
    complain(*told)
    return FINDING


def _of_other_parts(error: Exception) -> tuple[str, str] | None:
    """What and remedy of the errors that sources, sinks and the flow raise on purpose."""
    # Here, so that `--help` does not wait for the libraries that these modules need.
    from dataflows.store_errors import StoreError
    from operators.heart.snapshots import SnapshotError
    from operators.platform.open_alerts import PlatformSnapshotError
    from operators.platform.watch import DeadLetterLimitError
    from sinks.health import HealthServerError
    from sinks.sink import SinkError
    from sources.mapping.errors import ConversionError
    from sources.reader import SourceError

    match error:
        case (
            SourceError(where=where, what=what, remedy=remedy)
            | StoreError(where=where, what=what, remedy=remedy)
            | DeadLetterLimitError(where=where, what=what, remedy=remedy)
        ):
            return f"{where}: {what}", remedy
        case SinkError(remedy=remedy):
            return str(error).removesuffix(f"; {remedy}"), remedy
        case HealthServerError() | SnapshotError() | PlatformSnapshotError() | ConversionError():
            what, _, remedy = str(error).partition("; ")
            return what, remedy
    return None
