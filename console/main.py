"""The command ``orderpulse``."""

import gc
import logging
import sys
from enum import StrEnum
from importlib.metadata import version
from typing import Annotated

import typer

from console import config, dlq, fallback, intake, profile, rules, topics
from console.backtest import backtest
from console.convert import convert
from console.demo import demo
from console.doctor import doctor
from console.errors import Commands
from console.explain import explain
from console.replay import replay
from console.run import run
from console.simulate import simulate
from console.status import status
from console.verify import verify
from console.versions import versions
from operators.heart.built import BUILT

app = typer.Typer(
    name="orderpulse",
    cls=Commands,
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
)


class LogLevel(StrEnum):
    """How much is logged to stderr."""

    DEBUG = "debug"
    INFO = "info"
    WARNING = "warning"
    ERROR = "error"


def _show_version(wanted: bool) -> None:
    if wanted:
        part = "with its compiled part" if BUILT else "without its compiled part: slower, with the same results"
        print(f"orderpulse {version('orderpulse')}, {part}")
        raise typer.Exit


@app.callback()
def orderpulse(
    log_level: Annotated[
        LogLevel,
        typer.Option("--log-level", metavar="debug|info|warning|error", help="Log to stderr from this level on."),
    ] = (LogLevel.WARNING),
    debug: Annotated[  # read where errors end
        bool, typer.Option("--debug", help="Show tracebacks; so does ORDERPULSE_DEBUG=1.")
    ] = False,
    show_version: Annotated[
        bool, typer.Option("--version", callback=_show_version, is_eager=True, help="Show the version.")
    ] = False,
) -> None:
    """Watch the order flow: time limits, risk, merging and weak signals, the same live and replayed.

    Exit codes: 0 fine; 1 a finding or a failed run; 2 wrong use or a refused configuration.
    """
    root = logging.getLogger()
    root.setLevel(log_level.upper())
    if not any(isinstance(handler, _StderrHandler) for handler in root.handlers):
        root.addHandler(_StderrHandler())


class _StderrHandler(logging.Handler):
    """Logs to stderr as it is at that moment: a command may exchange it for a while."""

    def __init__(self) -> None:
        super().__init__()
        self.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(name)s: %(message)s"))

    def emit(self, record: logging.LogRecord) -> None:
        print(self.format(record), file=sys.stderr)


app.command(short_help="See it work: simulated orders, alerts as they arise")(demo)
app.command(short_help="Run the flow over files or Kafka")(run)
app.command(short_help="The flow over history once more, into files")(replay)
app.command(short_help="Make up a trade, with the truth about it")(simulate)
app.command(short_help="Compare two runs, or a run with the truth")(verify)
app.command(short_help="Try changed rules on the past")(backtest)
app.command(short_help="Look whether all is there, and what is open")(status)
app.command(short_help="Examine all that a run needs, with remedies")(doctor)
app.command(short_help="Show or compare an order's versions")(versions)
app.command(short_help="Why an order alerted, or why not")(explain)
app.command(short_help="A platform's records to canonical events")(convert)
app.add_typer(profile.app, name="profile")
app.add_typer(config.app, name="config")
app.add_typer(topics.app, name="topics")
app.add_typer(rules.app, name="rules")
app.add_typer(dlq.app, name="dlq")
app.add_typer(intake.app, name="intake")
app.add_typer(fallback.app, name="fallback")


def main() -> None:
    """The entry point; ends the process with the command's exit code."""
    try:
        app()
    finally:
        # As it ends, Python would look for garbage among all that a run remembers, and then throw it away.
        gc.freeze()


if __name__ == "__main__":
    main()
