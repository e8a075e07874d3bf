"""``make faults``: every fault, again and again, each from a seed; a table of what was lost, doubled, or differs."""

import argparse
import math
import sys
import time
import traceback
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from statistics import median

from rich.console import Console
from rich.table import Table

from tests.faults.catalogue import BY_NAME, FAULTS, Fault
from tests.faults.ground import Ground, prepared
from tests.faults.trial import Verdict
from tests.support.kafka_broker import BrokerError
from tests.support.linux_processes import SUPPORTED

_OUT = Path(__file__).resolve().parents[2] / "out" / "faults"
_COLUMNS = ("runs", "failed", "lost", "doubled", "differing", "to recover, s", "peak MB", "s per run")
_OTHER = ("invented", "differing", "reordered", "redis", "invented or doubled")
_ORDERS = 220
_FEED_SECONDS = 10.0


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the faults, print the table. Exit code: 0 none left a trace, 1 one did, 2 this machine cannot run them."""
    options = _options(arguments)
    log = Console(stderr=True, highlight=False)
    if not SUPPORTED:
        log.print("error: the processes of a run are found through /proc: faults are tried on Linux")
        return 2
    began = time.monotonic()
    directory = _OUT / time.strftime("%Y-%m-%dT%H%M%S")
    try:
        with prepared(directory, options.orders, _FEED_SECONDS) as ground:
            verdicts = {fault: list(_run(ground, fault, options, log)) for fault in _chosen(options.only)}
    except BrokerError as error:
        log.print(f"error: {error}", markup=False)
        return 2
    _show(verdicts, time.monotonic() - began)
    return 0 if all(verdict.passed for each in verdicts.values() for verdict in each) else 1


def _options(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.faults", description=__doc__)
    parser.add_argument("only", nargs="*", metavar="FAULT", help=f"only these: {', '.join(BY_NAME)}")
    parser.add_argument("--seed", type=int, default=1, help="the first seed; further runs count up (default 1)")
    parser.add_argument("--runs", type=int, help="so many runs of each fault, instead of its own number")
    parser.add_argument("--share", type=float, default=1.0, help="of each fault's number of runs (default 1.0)")
    parser.add_argument("--orders", type=int, default=_ORDERS, help=f"size of the workload (default {_ORDERS})")
    options = parser.parse_args(arguments)
    if unknown := sorted(set(options.only) - set(BY_NAME)):
        parser.error(f"there is no fault {unknown[0]}; there are {', '.join(BY_NAME)}")
    return options


def _chosen(only: Sequence[str]) -> Sequence[Fault]:
    return [BY_NAME[name] for name in only] or FAULTS


def _run(ground: Ground, fault: Fault, options: argparse.Namespace, log: Console) -> Iterator[Verdict]:
    runs = options.runs or max(1, math.ceil(fault.runs * options.share))
    for seed in range(options.seed, options.seed + runs):
        verdict = _tried(ground, fault, seed)
        state = "passed" if verdict.passed else "FAILED"
        log.print(f"{fault.name}, seed {seed}: {state}, {verdict.seconds:.1f} s", markup=False)
        if not verdict.passed:
            again = f"again: make faults ARGS='{fault.name} --seed {seed} --runs 1'"
            log.print(f"{verdict}\n{again}", markup=False, soft_wrap=True)
        yield verdict


def _tried(ground: Ground, fault: Fault, seed: int) -> Verdict:
    """One run. An error in it is a finding; the others go on."""
    try:
        return fault.run(ground, seed)
    except Exception:  # whatever it is, an hour of runs must not end by it
        return Verdict(fault.name, seed, problems=[traceback.format_exc()])


def _show(verdicts: dict[Fault, list[Verdict]], seconds: float) -> None:
    table = Table(caption=f"{sum(map(len, verdicts.values()))} runs in {seconds / 60:.0f} min")
    table.add_column("fault")
    for column in _COLUMNS:
        table.add_column(column, justify="right", no_wrap=True)
    for fault, each in verdicts.items():
        table.add_row(fault.name, *_row(each))
    Console(width=None if sys.stdout.isatty() else 140).print(table)


def _row(verdicts: Sequence[Verdict]) -> Iterator[str]:
    differences: Counter[str] = sum((verdict.differences for verdict in verdicts), Counter())
    yield str(len(verdicts))
    yield str(sum(not verdict.passed for verdict in verdicts))
    yield str(differences["lost"])
    yield str(differences["doubled"])
    yield str(sum(differences[name] for name in _OTHER))
    recoveries = [seconds for verdict in verdicts for seconds in verdict.recoveries]
    yield f"{min(recoveries):.1f} / {median(recoveries):.1f} / {max(recoveries):.1f}" if recoveries else "–"
    peak = max(verdict.peak_bytes for verdict in verdicts)
    yield f"{peak >> 20}" if peak else "–"
    yield f"{sum(verdict.seconds for verdict in verdicts) / len(verdicts):.1f}"


if __name__ == "__main__":
    sys.exit(main())
