"""``python -m benchmarks.recovery``: what snapshots cost, and how long a start from them takes.

Each run is a process of its own, in interleaved rounds: the same shop with many open orders without a recovery store
and with one; then a run with a store is killed in its middle and started again. All must give the same alerts.
"""

import signal
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory
from typing import Any, Final

import msgspec
from msgspec import Struct

from benchmarks.answers import answers_in, require_equal
from benchmarks.lines import Line, line_of
from benchmarks.open_orders import OpenOrders, cached
from benchmarks.program import Say, parser, positive, run_program, size
from benchmarks.recovery_run import Kept, Plan
from benchmarks.runs import ROOT

_ALERT_EVERY: Final = 500


class Round(Struct, frozen=True):
    """``without`` a store, with one that is ``kept``, and ``again`` after kill -9."""

    without: Kept
    kept: Kept
    again: Kept


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure and report."""
    options = parser("recovery", __doc__, rounds=3)
    options.add_argument("--orders", type=positive, default=1_000_000, help="that are open (default 1000000)")
    options.add_argument("--touches", type=positive, default=500_000, help="events over them (default 500000)")
    given = options.parse_args(arguments)
    shop = OpenOrders(given.orders, given.touches, alert_every=_ALERT_EVERY)
    title = f"snapshots of {size(shop.orders)} open orders, {size(shop.touches)} events over them"
    return run_program("recovery", title, given.json, lambda say: measured(shop, given.rounds, say))


def measured(shop: OpenOrders, rounds: int, say: Say) -> tuple[list[Line], Any]:
    """The lines, and each round by itself."""
    say(f"a shop with {shop.orders:,} open orders (made once, then kept)")
    cached(shop)
    done = []
    for number in range(1, rounds + 1):
        say(f"round {number} of {rounds}")
        with TemporaryDirectory(prefix="orderpulse-recovery-") as scratch:
            done.append(one_round(shop, Path(scratch)))
    return lines(shop, done), {"shop": shop, "rounds": done}


def one_round(shop: OpenOrders, place: Path) -> Round:
    """All runs once. Raises WrongAnswerError when they do not alert alike."""
    without = _run(Plan(shop, place / "without"))
    kept = _run(Plan(shop, place / "kept", _store(place / "store")))
    killed = Plan(shop, place / "again", _store(place / "killed"), kill_after=shop.orders + shop.touches // 2)
    _run_to_its_death(killed)
    again = _run(msgspec.structs.replace(killed, kill_after=None))
    wanted = answers_in(place / "without")
    for name in ("kept", "again"):
        require_equal("without a store", wanted, name, answers_in(place / name))
    return Round(without, kept, again)


def lines(shop: OpenOrders, rounds: Sequence[Round]) -> list[Line]:
    """What the rounds say."""
    at = f"{size(shop.orders)} open orders"
    dearer = [(each.kept.cpu_s / each.kept.events) / (each.without.cpu_s / each.without.events) for each in rounds]
    pauses = [each.kept.pauses or [0.0] for each in rounds]
    return [
        line_of(f"CPU per event with snapshots : without, {at}", dearer, better="less"),
        line_of(f"pause for a snapshot, median, {at}", list(map(median, pauses)), "s", better="less"),
        line_of(f"pause for a snapshot, longest, {at}", list(map(max, pauses)), "s", better="less"),
        line_of(
            f"start after kill -9 to the first record read, {at}",
            [each.again.ready_s for each in rounds],
            "s",
            better="less",
        ),
        line_of(
            f"store per open order, {at}",
            [each.kept.store_bytes / shop.orders for each in rounds],
            "bytes",
            better="less",
        ),
    ]


def _store(place: Path) -> Path:
    place.mkdir()
    return place


def _run(plan: Plan) -> Kept:
    done = subprocess.run(_command(plan), cwd=ROOT, stdout=subprocess.PIPE, check=True)
    return msgspec.json.decode(done.stdout.splitlines()[-1], type=Kept)


def _run_to_its_death(plan: Plan) -> None:
    done = subprocess.run(_command(plan), cwd=ROOT, stdout=subprocess.DEVNULL, check=False)
    if done.returncode != -signal.SIGKILL:
        raise RuntimeError(f"the run that was to kill itself ended with {done.returncode}")


def _command(plan: Plan) -> list[str]:
    given = msgspec.json.encode(plan, enc_hook=str).decode()
    return [sys.executable, "-m", "benchmarks.recovery_run", given]


if __name__ == "__main__":
    sys.exit(main())
