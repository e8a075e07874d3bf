"""``python -m benchmarks.crowd``: what the number of open orders does to the rate, and what an open order takes.

A shop creates its orders, then a steady stream touches them at random, and only that is timed, stretch by stretch. Each
stretch of a shop is compared with the same one of the shop with the fewest orders. The flow in one process and the
plain loop go through the same shops, and must give the same alerts.
"""

import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Final

import msgspec

from benchmarks.answers import answers_in, require_equal
from benchmarks.crowd_run import UNTIMED, Runner, Steady, Stretch
from benchmarks.lines import Line, line_of
from benchmarks.open_orders import OpenOrders, cached
from benchmarks.program import Say, parser, positive, run_program, size
from benchmarks.runs import ROOT

_ALERT_EVERY: Final = 500
_DAYS: Final = 12
_DAY_MS: Final = 86_400_000
_RATE_TARGET, _BYTES_TARGET = 0.9, 600
_FEW, _MANY = 10_000, 1_000_000
_MOST_FOR_THE_LOOP: Final = 1_000_000  # beyond, its memory is a matter of its own
_YOUNG: Final = "created within an hour or so: each is in a merging window still, each event's id is still remembered"
Runs = Mapping[int, Steady]  # by the number of open orders


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure and report."""
    options = parser("crowd", __doc__, rounds=5)
    options.add_argument(
        "--orders", type=positive, nargs="+", default=[_FEW, _MANY], help="open (default 10000 1000000)"
    )
    options.add_argument("--touches", type=positive, default=80_000, help="events of each round (default 80000)")
    options.add_argument("--spread", action="store_true", help=f"also as many orders, created over {_DAYS} days")
    given = options.parse_args(arguments)
    orders = sorted(given.orders)
    title = f"open orders, {size(given.touches)} events over each shop and round, 1 process"

    def measure(say: Say) -> tuple[list[Line], Any]:
        found, detail = measured(orders, given.touches, given.rounds, say)
        if given.spread:
            found.append(spread(orders[0], orders[-1], given.touches, say))
        return found, detail

    return run_program("crowd", title, given.json, measure)


def measured(orders: Sequence[int], touches: int, rounds: int, say: Say) -> tuple[list[Line], Any]:
    """The lines, and each run by itself. The first of ``orders`` is what the others are compared with."""
    flow, loop = {}, {}
    for count in orders:
        plan = OpenOrders(count, touches * (rounds + UNTIMED), alert_every=_ALERT_EVERY)
        say(f"a shop with {count:,} open orders (made once, then kept)")
        cached(plan)
        with TemporaryDirectory(prefix="orderpulse-crowd-") as scratch:
            say(f"flow, {count:,} open orders")
            flow[count] = _child("flow", plan, rounds, Path(scratch) / "flow")
            if count > _MOST_FOR_THE_LOOP:
                continue
            say(f"plain loop, {count:,} open orders")
            loop[count] = _child("plain", plan, rounds, Path(scratch) / "plain")
            wanted, given = answers_in(Path(scratch) / "plain"), answers_in(Path(scratch) / "flow")
            require_equal("plain loop", wanted, f"flow, {count} open orders", given)
    return lines(orders, flow, loop), {"touches": touches, "flow": flow, "loop": loop}


def lines(orders: Sequence[int], flow: Runs, loop: Runs) -> list[Line]:
    """What the runs say."""
    few, many = orders[0], orders[-1]
    found = [
        line_of(
            f"events/s at {size(count)} open orders : at {size(few)}",
            _ratios(flow[count], flow[few]),
            target=_RATE_TARGET if count >= _MANY else None,
        )
        for count in orders[1:]
    ]
    for count in orders[1:]:
        name = f"CPU per event at {size(count)} open orders : at {size(few)}"
        found.append(line_of(name, _cpu_ratios(flow[count], flow[few]), better="less"))
    for count in loop:
        name = f"flow : plain loop, events/s at {size(count)} open orders"
        found.append(line_of(name, _ratios(flow[count], loop[count])))
    for count in loop:
        if count != few:
            name = f"plain loop, events/s at {size(count)} open orders : at {size(few)}"
            found.append(line_of(name, _ratios(loop[count], loop[few])))
    of_each = [_per_order(flow, few, many)]
    name = f"RSS per open order, {size(many)}"
    found.append(line_of(name, of_each, "bytes", target=_BYTES_TARGET, better="less", note=_YOUNG))
    if many in loop:
        found.append(line_of(f"plain loop, {name}", [_per_order(loop, few, many)], "bytes", better="less"))
    return found


def _ratios(one: Steady, other: Steady) -> list[float]:
    pairs = zip(one.stretches, other.stretches, strict=True)
    return [_rate(ours) / _rate(theirs) for ours, theirs in pairs]


def _cpu_ratios(one: Steady, other: Steady) -> list[float]:
    pairs = zip(one.stretches, other.stretches, strict=True)
    return [(ours.cpu_s / ours.events) / (theirs.cpu_s / theirs.events) for ours, theirs in pairs]


def _rate(stretch: Stretch) -> float:
    return stretch.events / stretch.wall_s


def _per_order(runs: Runs, few: int, many: int) -> float:
    return (runs[many].peak_rss_mb - runs[few].peak_rss_mb) * 2**20 / (many - few)


def spread(few: int, many: int, touches: int, say: Say) -> Line:
    """Memory when the orders are of many days, once; events go on at the pace of the creations."""
    step = _DAYS * _DAY_MS // many
    runs = {}
    for count in (few, many):
        say(f"a shop with {count:,} orders, one each {step} ms")
        plan = OpenOrders(count, (1 + UNTIMED) * touches, alert_every=_ALERT_EVERY, step_ms=step)
        with TemporaryDirectory(prefix="orderpulse-crowd-") as scratch:
            runs[count] = _child("flow", plan, 1, Path(scratch) / "flow")
    name = f"RSS per open order, {size(many)}, created over {_DAYS} days"
    return line_of(name, [_per_order(runs, few, many)], "bytes", target=_BYTES_TARGET, better="less")


def _child(runner: Runner, plan: OpenOrders, rounds: int, output: Path) -> Steady:
    output.mkdir()
    given = msgspec.json.encode(plan).decode()
    command = [sys.executable, "-m", "benchmarks.crowd_run", runner, given, str(rounds), str(output)]
    done = subprocess.run(command, cwd=ROOT, stdout=subprocess.PIPE, check=True)
    return msgspec.json.decode(done.stdout.splitlines()[-1], type=Steady)


if __name__ == "__main__":
    sys.exit(main())
