"""What ``make bench`` runs: which programs, how large, in which order. Each is a process of its own."""

import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Final

from msgspec import Struct

from benchmarks.lines import Findings, Line, findings, now, read
from benchmarks.program import Say
from benchmarks.runs import ROOT


class Part(Struct, frozen=True):
    """One program, and what it is given."""

    program: str
    arguments: tuple[str, ...] = ()


SHORT: Final = (
    Part("cold"),
    Part("whole", ("--events", "1000000")),
    Part("crowd", ("--orders", "10000", "100000")),
    Part("skew", ("--shapes", "hot_customer", "hot_buyer", "alerts", "wide")),
    Part("steady"),
    Part("windows"),
    Part("over_kafka", ("--partitions", "16")),
    Part("latency", ("--seconds", "30")),
)
# Hours of event time and gigabytes on disk: for a machine that has nothing else to do.
LONG: Final = (
    *SHORT,
    Part("whole", ("--events", "4000000")),
    Part("crowd", ("--orders", "10000", "100000", "1000000", "--spread")),
    Part("crowd", ("--orders", "10000", "4000000")),
    Part("steady", ("--events", "20000000")),
    Part("skew"),
    Part("over_kafka", ("--partitions", "2")),
    Part("latency", ("--orders", "1000000")),
    Part("costs"),
)


class Ran(Struct, frozen=True):
    """How a part went: what it found, None when it failed; ``seconds``: what it took in all."""

    part: Part
    seconds: float
    found: Findings | None


def run_parts(parts: Sequence[Part], say: Say) -> list[Ran]:
    """One after the other; one that fails does not keep the others from running."""
    done = []
    for part in parts:
        say(" ".join((part.program, *part.arguments)))
        done.append(_ran(part))
        if done[-1].found is None:
            say(f"{part.program} failed; its lines are missing")
    return done


def joined(ran: Sequence[Ran]) -> Findings:
    """All lines in one, with what each program knows besides. A line that two programs give counts once."""
    lines: dict[str, Line] = {}
    for each in ran:
        for line in each.found.lines if each.found is not None else ():
            lines.setdefault(line.name, line)
    started = min((each.found.started for each in ran if each.found is not None), default=now())
    return findings("bench", started, list(lines.values()), ran)


def _ran(part: Part) -> Ran:
    began = time.monotonic()
    with TemporaryDirectory(prefix="orderpulse-bench-") as scratch:
        path = Path(scratch) / "found.json"
        command = [sys.executable, "-m", f"benchmarks.{part.program}", *part.arguments, "--json", str(path)]
        code = subprocess.run(command, cwd=ROOT, stdout=subprocess.DEVNULL, check=False).returncode
        found = read(path) if code == 0 else None
    return Ran(part, time.monotonic() - began, found)
