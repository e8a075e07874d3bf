"""``python -m benchmarks.cold``: from the start of ``orderpulse run`` to its first alert in ``alerts.ndjson``.

Everything is on that is on by default; the events are a handful of orders on one card, which is one alert. The floor is
a Python that loads the engine and nothing else.
"""

import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Final

import msgspec

from benchmarks.answers import WrongAnswerError, answers_in
from benchmarks.lines import Line, line_of
from benchmarks.program import Say, parser, run_program
from benchmarks.runs import ROOT
from events.model import OrderCreated

_TARGET_SECONDS: Final = 2.0
_BEGIN: Final = 1_772_323_200_000
_ORDERS: Final = 5
_PATIENCE: Final = 120.0
_LOOK_SECONDS: Final = 0.002
_FLOOR: Final = "import bytewax.run, bytewax.operators, msgspec"


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure and report."""
    given = parser("cold", __doc__, rounds=7).parse_args(arguments)
    return run_program("cold", "cold start", given.json, lambda say: measured(given.rounds, say))


def measured(rounds: int, say: Say) -> tuple[list[Line], Any]:
    """The lines, and nothing more. Raises WrongAnswerError when the one alert does not come, or another one does."""
    floor, one, two = [], [], []
    for number in range(1, rounds + 1):
        say(f"round {number} of {rounds}")
        with TemporaryDirectory(prefix="orderpulse-cold-") as scratch:
            events = Path(scratch) / "events"
            write_burst(events)
            floor.append(_python())
            one.append(first_alert(events, Path(scratch) / "one", 1))
            two.append(first_alert(events, Path(scratch) / "two", 2))
    name = "start to first alert, cold"
    found = [
        line_of(f"{name}, 1 process", one, "s", target=_TARGET_SECONDS, better="less"),
        line_of(f"{name}, 2 processes", two, "s", better="less"),
        line_of("Python that loads the engine", floor, "s", better="less"),
        line_of(
            f"{name} : loading the engine", [run / least for run, least in zip(one, floor, strict=True)], better="less"
        ),
    ]
    return found, None


def write_burst(directory: Path) -> None:
    """Orders on one card within a few minutes, in two partitions: one burst."""
    directory.mkdir(parents=True)
    encode = msgspec.json.Encoder().encode
    lines = [
        encode(
            OrderCreated(
                id=f"e{number}",
                source="oms",
                time=_BEGIN + number * 60_000,
                order_id=f"2026030100{number}",
                customer_id=f"u{number}",
                amount=1_000 + number,
                card="6222000011112222",
            )
        )
        for number in range(_ORDERS)
    ]
    for part in range(2):
        (directory / f"order-{part}.ndjson").write_bytes(b"".join(line + b"\n" for line in lines[part::2]))


def first_alert(events: Path, output: Path, processes: int) -> float:
    """Seconds from the start of the process to the first whole line of an alert. The run is then left to its end."""
    command = [sys.executable, "-m", "console.main", "run", "--input", str(events), "--output", str(output)]
    began = time.monotonic()
    with subprocess.Popen([*command, "--processes", str(processes)], cwd=ROOT, stdout=subprocess.DEVNULL) as run:
        found = _await_line(output, began + _PATIENCE, run)
        seconds = time.monotonic() - began
        code = run.wait(_PATIENCE)
    if code:
        raise subprocess.CalledProcessError(code, command)
    rules = {answer[0] for answer in answers_in(output)}
    if not found or rules != {"card_burst"}:
        raise WrongAnswerError(f"one burst on one card was to be alerted; found: {sorted(rules) or 'nothing'}")
    return seconds


def _await_line(output: Path, until: float, run: "subprocess.Popen[bytes]") -> bool:
    while time.monotonic() < until:
        if any(b"\n" in path.read_bytes() for path in output.glob("alerts*.ndjson")):
            return True
        if run.poll() is not None:
            return any(path.stat().st_size for path in output.glob("alerts*.ndjson"))
        time.sleep(_LOOK_SECONDS)
    return False


def _python() -> float:
    began = time.monotonic()
    subprocess.run([sys.executable, "-c", _FLOOR], cwd=ROOT, check=True)
    return time.monotonic() - began


if __name__ == "__main__":
    sys.exit(main())
