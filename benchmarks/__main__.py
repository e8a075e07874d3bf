"""``make bench``: all benchmarks, one table with their targets, one JSON with machine, versions and commit."""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

import msgspec
from rich.console import Console

from benchmarks.compare import BASELINE
from benchmarks.lines import Findings, show, write
from benchmarks.runs import ROOT
from benchmarks.suite import LONG, SHORT, joined, run_parts

OUT = ROOT / "out" / "benchmarks"


def main(arguments: Sequence[str] | None = None) -> int:
    """Run all, print the table, write the JSON. 1 when a program failed, as one does that answers wrongly."""
    options = _options(arguments)
    log = Console(stderr=True)
    parts = [part for part in (LONG if options.long else SHORT) if not options.only or part.program in options.only]
    ran = run_parts(parts, lambda text: log.print(f"-- {text}", highlight=False, markup=False))
    found = joined(ran)
    path = options.output / f"{found.started:%Y-%m-%dT%H%M%SZ}.json"
    write(found, path)
    show("all benchmarks", found.lines, found.machine)
    took = ", ".join(f"{each.part.program} {each.seconds:.0f} s" for each in ran)
    print(f"written to {path}; {sum(each.seconds for each in ran) / 60:.1f} minutes: {took}")
    failed = [each.part.program for each in ran if each.found is None]
    if failed:
        log.print(f"error: {', '.join(failed)} failed", style="bold red", markup=False)
        return 1
    if options.save_baseline:
        save_baseline(found, BASELINE)
        print(f"baseline: {BASELINE}")
    return 0


def save_baseline(found: Findings, path: Path) -> None:
    """The lines with their rounds, without the details."""
    write(msgspec.structs.replace(found, detail=None), path)


def _options(arguments: Sequence[str] | None) -> argparse.Namespace:
    names = sorted({part.program for part in LONG})
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("--long", action="store_true", help="4M events and 4M open orders too, and 20M steady events")
    parser.add_argument("--only", nargs="+", choices=names, metavar="NAME", help=f"of {', '.join(names)}")
    parser.add_argument("--save-baseline", action="store_true", help="keep the lines for make bench-compare")
    parser.add_argument("--output", type=Path, default=OUT, help="directory of the JSON (default out/benchmarks)")
    return parser.parse_args(arguments)


if __name__ == "__main__":
    sys.exit(main())
