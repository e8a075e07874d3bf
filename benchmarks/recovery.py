"""``python -m benchmarks.recovery``: what snapshots cost, and how long a start from them takes.

Each run is a process of its own, in interleaved rounds: the same events without a recovery store and with one; then the
run with a store is killed in its middle and started again. Medians over the rounds; shares are within one round.
"""

import argparse
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from statistics import median
from typing import Any

import msgspec
from msgspec import Struct
from rich.console import Console
from rich.table import Table

from benchmarks.figures import FOUR_DETECTORS
from benchmarks.machine import this_machine
from benchmarks.open_orders import OpenOrders, cached
from config.loader import load_settings
from dataflows.run import RunPlan, execute
from events.batch import RawBatch
from sinks.metrics import Metrics
from sources.reader import Reader

_OUT = Path(__file__).parent.parent / "out" / "benchmarks"


class Cost(Struct, frozen=True):
    """One run. ``touched_s``: CPU seconds from the first touch read to the last; ``pauses``: seconds the flow stood."""

    touches: int
    touched_s: float
    wall_s: float
    rss_mb: float
    pauses: list[float]
    ready_s: float
    store_mb: float


class _Watch:
    """Notes when the orders are all there, by the number of records that were read."""

    def __init__(self, reader: Reader, orders: int, kill_after: int | None) -> None:
        self._reader = reader
        self._left = orders
        self._kill_at = None if kill_after is None else orders + kill_after
        self._read = 0
        self.begun: tuple[float, float] | None = None
        self.ended = (0.0, 0.0)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._reader, name)

    def read(self, prefer: str | None) -> list[RawBatch]:
        if self.begun is None and self._read >= self._left:
            self.begun = (time.process_time(), time.perf_counter())
        if self._kill_at is not None and self._read >= self._kill_at:
            os.kill(os.getpid(), signal.SIGKILL)
        batches = self._reader.read(prefer)
        self._read += sum(len(batch.lines) for batch in batches)
        self.ended = (time.process_time(), time.perf_counter())
        return batches


class _Pauses(Metrics):
    def __init__(self) -> None:
        super().__init__()
        self.pauses: list[float] = []
        self.ready = 0.0

    def observe(self, name: str, value: float, **labels: str) -> None:
        if name == "orderpulse_snapshot_duration_seconds":
            self.pauses.append(value)

    def set(self, name: str, value: float, **labels: str) -> None:
        if name == "orderpulse_recovery_seconds":
            self.ready = value


def run(events: Path, plan: OpenOrders, output: Path, store: Path | None, kill_after: int | None) -> Cost:
    """Run once in this process."""
    detectors = msgspec.to_builtins(FOUR_DETECTORS)
    detectors["detectors"].setdefault("stage_timeout", {})["factor"] = 1000  # nobody is late here
    settings = load_settings(overrides=detectors)
    metrics, watches = _Pauses(), []

    def watch(reader: Reader) -> Reader:
        watches.append(_Watch(reader, plan.orders, kill_after))
        return watches[0]

    execute(
        RunPlan(settings, [events], output, serve=False, recovery=store, overwrite=True),
        metrics=metrics,
        wrap_reader=watch,
    )
    cpu, wall = watches[0].begun or (0.0, 0.0)
    status = Path("/proc/self/status").read_text(encoding="ascii")
    rss = int(next(line for line in status.splitlines() if line.startswith("VmHWM:")).split()[1]) / 1024
    size = 0.0 if store is None else sum(path.stat().st_size for path in store.iterdir()) / 2**20
    return Cost(
        plan.touches,
        watches[0].ended[0] - cpu,
        watches[0].ended[1] - wall,
        rss,
        metrics.pauses,
        metrics.ready,
        size,
    )


def _child(plan: OpenOrders, output: Path, store: Path | None, kill_after: int | None = None) -> Cost:
    events = cached(plan)
    given = {"plan": msgspec.to_builtins(plan), "kill_after": kill_after}
    command = [sys.executable, "-m", "benchmarks.recovery", "--child", json.dumps(given)]
    command += [str(events), str(output), "" if store is None else str(store)]
    done = subprocess.run(command, stdout=subprocess.PIPE, check=False, cwd=Path(__file__).parent.parent)
    if kill_after is not None:
        return Cost(0, 0, 0, 0, [], 0, 0)
    done.check_returncode()
    return msgspec.json.decode(done.stdout.splitlines()[-1], type=Cost)


def main() -> int:
    """Measure, print the table, write the JSON."""
    if "--child" in sys.argv:
        _, _, given, events, output, store = sys.argv
        values = json.loads(given)
        plan = msgspec.convert(values["plan"], OpenOrders)
        cost = run(Path(events), plan, Path(output), Path(store) if store else None, values["kill_after"])
        print(msgspec.json.encode(cost).decode())
        return 0
    parser = argparse.ArgumentParser(prog="python -m benchmarks.recovery", description=__doc__)
    parser.add_argument("--orders", type=int, default=1_000_000)
    parser.add_argument("--touches", type=int, default=500_000)
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args()
    plan = OpenOrders(options.orders, options.touches)
    few = OpenOrders(10_000, options.touches)
    rounds = []
    for number in range(options.rounds):
        with tempfile.TemporaryDirectory(prefix="orderpulse-recovery-") as scratch:
            place = Path(scratch)
            print(f"round {number + 1} of {options.rounds} ...", file=sys.stderr)
            small = _child(few, place / "few", None)
            without = _child(plan, place / "without", None)
            kept = _child(plan, place / "kept", place / "store")
            _child(plan, place / "killed", place / "killed_store", kill_after=options.touches // 2)
            again = _child(plan, place / "killed", place / "killed_store")
            rounds.append((small, without, kept, again))
    figures = {
        "CPU per event with snapshots : without": median(k.touched_s / w.touched_s for _, w, k, _ in rounds),
        f"events/s at {plan.orders:,} open orders : at {few.orders:,}": median(
            s.touched_s / w.touched_s for s, w, _, _ in rounds
        ),
        "pause for a snapshot, median (s)": median(median(k.pauses or [0]) for _, _, k, _ in rounds),
        "pause for a snapshot, longest (s)": median(max(k.pauses or [0]) for _, _, k, _ in rounds),
        "start after kill -9 to the first record read (s)": median(a.ready_s for *_, a in rounds),
        "store per open order (bytes)": median(k.store_mb * 2**20 / plan.orders for _, _, k, _ in rounds),
        "memory per open order (bytes)": median(
            (w.rss_mb - s.rss_mb) * 2**20 / (plan.orders - few.orders) for s, w, _, _ in rounds
        ),
    }
    table = Table(title=f"{plan.orders:,} open orders, {plan.touches:,} events, median of {len(rounds)} rounds")
    table.add_column("figure")
    table.add_column("value", justify="right")
    for name, value in figures.items():
        table.add_row(name, f"{value:,.2f}")
    Console().print(table)
    _OUT.mkdir(parents=True, exist_ok=True)
    path = _OUT / f"recovery-{time.strftime('%Y-%m-%dT%H%M%SZ', time.gmtime())}.json"
    path.write_bytes(
        msgspec.json.encode({"machine": this_machine(), "plan": plan, "figures": figures, "rounds": rounds})
    )
    print(f"written to {path}")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
