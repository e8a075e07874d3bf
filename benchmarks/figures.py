"""What is measured, one figure per process: python -m benchmarks.figures NAME EVENTS OUTPUT prints one JSON line."""

import resource
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from time import perf_counter
from typing import Any, Final

import msgspec
from msgspec import Struct

from benchmarks.plain_loop import PlainLoop, read_in_order
from config.loader import load_settings
from config.settings import Settings
from dataflows.backtest import Plan, backtest
from dataflows.history import HistoryPass
from dataflows.run import RunPlan, execute
from events.model import AnyEvent
from operators.heart.headers import Header
from sinks.files import FileSink
from sources.files import FileInput

ALERTS: Final = "alerts.ndjson"
_OFF: Final = {"enabled": False}
_NO_DOCUMENT: Final[Mapping[str, Any]] = {"versions": _OFF, "diffs": _OFF}
# What both the plain loop and the flow are given: four detectors, cards only, weights that know no seasons, no holds.
FOUR_DETECTORS: Final[Mapping[str, Any]] = {
    **_NO_DOCUMENT,
    "detectors": {
        "order_timeout": _OFF,
        "no_progress": _OFF,
        "illegal_transition": _OFF,
        "card_burst": {"keys": ["card"], "hold": False},
        "resonance": {"season": "none", "hold": False},
    },
}

ANOTHER_LIMIT: Final[Mapping[str, Any]] = {"detectors": {"order_timeout": {"limit": "3h"}}}


class Figure(Struct, frozen=True):
    """One line of the table. ``run`` takes events and output directory and returns the number of events.

    ``answers_like`` names the figure that must give the same alerts; empty: it gives none, or is the first to.
    """

    title: str
    run: Callable[[Path, Path], int]
    alerts: bool = True
    answers_like: str = ""


class Cost(Struct, frozen=True):
    """What one run took, without the start of Python and its imports. ``cpu`` is user and system time."""

    events: int
    wall_s: float
    cpu_s: float
    peak_rss_mb: float


def four_detectors() -> Settings:
    """The settings that make the flow do what the plain loop does."""
    return load_settings(overrides=FOUR_DETECTORS)


def _plain_loop(events: Path, output: Path) -> int:
    with (output / ALERTS).open("wb") as out:
        return PlainLoop(four_detectors(), out).run(read_in_order(events))


def _flow(overrides: Mapping[str, Any]) -> Callable[[Path, Path], int]:
    def run(events: Path, output: Path) -> int:
        settings = load_settings(overrides=overrides)
        return execute(RunPlan(settings, [events], output, overwrite=True, serve=False)).events

    return run


def _replay(overrides: Mapping[str, Any]) -> Callable[[Path, Path], int]:
    def run(events: Path, output: Path) -> int:
        history = HistoryPass(load_settings(overrides=overrides), [events])
        sink = FileSink(output)
        for records in history.batches():
            sink.write(records)
        sink.close()
        return history.events

    return run


def _backtest(overrides: Mapping[str, Any], *, everything: bool = False) -> Callable[[Path, Path], int]:
    """Two rule sets over the same history, in this one process."""

    def run(events: Path, output: Path) -> int:
        first, second = load_settings(), load_settings(overrides=overrides)
        return backtest(Plan(first, second, [events], everything=everything)).events

    return run


def _decoding(kind: Any) -> Callable[[Path, Path], int]:
    def run(events: Path, output: Path) -> int:
        decode = msgspec.json.Decoder(kind).decode_lines
        reader = FileInput([events]).open()
        count = 0
        while not reader.finished:
            for batch in reader.read(None):
                count += len(decode(b"\n".join(batch.lines)))
        reader.close()
        return count

    return run


PLAIN, FLOW = "plain_loop", "flow"
FIGURES: Final[Mapping[str, Figure]] = {
    "read_headers": Figure("read and decode headers, nothing else", _decoding(Header), alerts=False),
    "read_events": Figure("read and decode events, nothing else", _decoding(AnyEvent), alerts=False),
    PLAIN: Figure("plain loop, four detectors, no guarantees", _plain_loop),
    FLOW: Figure("flow, four detectors", _flow(FOUR_DETECTORS), answers_like=PLAIN),
    "replay": Figure("replay, four detectors", _replay(FOUR_DETECTORS), answers_like=PLAIN),
    "flow_all_detectors": Figure("flow, all seven detectors, all keys, holds", _flow(_NO_DOCUMENT)),
    "flow_as_shipped": Figure("flow as shipped: also versions and diffs", _flow({}), answers_like="flow_all_detectors"),
    "replay_as_shipped": Figure("replay as shipped", _replay({}), answers_like="flow_all_detectors"),
    "backtest": Figure("backtest of two rule sets, another limit", _backtest(ANOTHER_LIMIT), alerts=False),
    "backtest_all_rules": Figure(
        "backtest of two rule sets, all rules", _backtest(ANOTHER_LIMIT, everything=True), alerts=False
    ),
}


def measured(run: Callable[[Path, Path], int], events: Path, output: Path) -> Cost:
    """Run a figure once in this process."""
    return cost_of(lambda: run(events, output))


def cost_of(run: Callable[[], int]) -> Cost:
    """What a run in this process takes; it returns the number of events."""
    cpu, wall = _cpu(), perf_counter()
    count = run()
    return Cost(count, perf_counter() - wall, _cpu() - cpu, _peak_rss_mb())


def _cpu() -> float:
    usage = resource.getrusage(resource.RUSAGE_SELF)
    return usage.ru_utime + usage.ru_stime


def _peak_rss_mb() -> float:
    """Linux carries a parent's peak over into ru_maxrss; the process's own stands in /proc."""
    status = Path("/proc/self/status")
    if status.exists():
        peak = next(line for line in status.read_text().splitlines() if line.startswith("VmHWM:"))
        return int(peak.split()[1]) / 1024
    unit = 1 << 20 if sys.platform == "darwin" else 1 << 10
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / unit


if __name__ == "__main__":
    _, name, events_directory, output_directory = sys.argv
    cost = measured(FIGURES[name].run, Path(events_directory), Path(output_directory))
    print(msgspec.json.encode(cost).decode())
