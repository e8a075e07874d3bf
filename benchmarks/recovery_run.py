"""One run over a shop with many open orders and a recovery store, in this process.

``python -m benchmarks.recovery_run PLAN`` prints one JSON line, unless it is to kill itself in the middle.
"""

import os
import signal
import sys
from collections.abc import Callable
from pathlib import Path

import msgspec
from msgspec import Struct

from benchmarks.crowd_run import Clock, settings
from benchmarks.open_orders import OpenOrders, cached
from benchmarks.watch import Watched
from dataflows.run import RunPlan, execute
from sinks.metrics import Metrics


class Plan(Struct, frozen=True):
    """``store``: the recovery store, None for none. ``kill_after``: kill -9 after so many events, None for never."""

    shop: OpenOrders
    output: Path
    store: Path | None = None
    kill_after: int | None = None


class Kept(Struct, frozen=True):
    """What a run took. ``events`` and ``cpu_s``: of the steady part; ``pauses``: seconds the flow stood for snapshots.

    ``ready_s``: from its start on a store that a run has left to the first record read.
    """

    events: int
    cpu_s: float
    pauses: list[float]
    ready_s: float
    store_bytes: int


class Noted(Metrics):
    """Keeps what the flow says of its snapshots."""

    def __init__(self) -> None:
        super().__init__()
        self.pauses: list[float] = []
        self.ready = 0.0

    def observe(self, name: str, value: float, **labels: str) -> None:
        """A pause, among others."""
        if name == "orderpulse_snapshot_duration_seconds":
            self.pauses.append(value)

    def set(self, name: str, value: float, **labels: str) -> None:
        """The time that a start took, among others."""
        if name == "orderpulse_recovery_seconds":
            self.ready = value


def run(plan: Plan) -> Kept:
    """Run once."""
    shop, metrics = plan.shop, Noted()
    clock = Clock(shop.orders + shop.touches // 2, shop.touches // 8)
    given = RunPlan(
        settings(), [cached(shop)], plan.output, serve=False, recovery=plan.store, overwrite=plan.store is None
    )
    before = _before(plan, clock)
    execute(given, metrics=metrics, wrap_reader=lambda reader: Watched(reader, before))
    found = clock.stretches()
    size = 0 if plan.store is None else sum(path.stat().st_size for path in plan.store.iterdir())
    return Kept(
        sum(stretch.events for stretch in found),
        sum(stretch.cpu_s for stretch in found),
        metrics.pauses,
        metrics.ready,
        size,
    )


def _before(plan: Plan, clock: Clock) -> Callable[[int], None]:
    def before(read: int) -> None:
        clock.read(read)
        if plan.kill_after is not None and read >= plan.kill_after:
            os.kill(os.getpid(), signal.SIGKILL)

    return before


if __name__ == "__main__":
    given = msgspec.json.decode(sys.argv[1], type=Plan, dec_hook=lambda kind, text: kind(text))
    print(msgspec.json.encode(run(given)).decode())
