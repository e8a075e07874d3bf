"""Kills of a run from files to files: the directory ends with the same lines, each once."""

import shutil
import time
from collections import Counter
from pathlib import Path
from random import Random

from config.loader import load_settings
from console.compare import KindReport, compare_runs
from sources.simulator import SimulationPlan, write
from tests.faults.flow_command import FlowCommand
from tests.faults.ground import Ground
from tests.faults.kills import START_SECONDS
from tests.faults.trial import MOST_PROCESSES, ORPHAN_SECONDS, Verdict
from tests.faults.workload import CASES

ORDERS = 600
SEED = 7
RUN_SECONDS = 120.0
_CONFIG = '[recovery]\ninterval = "200ms"\n[supervisor]\nfirst_pause = "50ms"\nlongest_pause = "200ms"\n'


def killed_over_files(ground: Ground, seed: int) -> Verdict:
    """One to three kills of all processes, each start with another number of them."""
    return kill_over_files(ground.directory, seed)


def kill_over_files(directory: Path, seed: int, orders: int = ORDERS) -> Verdict:
    """The same without servers. The events and the undisturbed run are made once per directory."""
    began = time.monotonic()
    verdict = Verdict("killed over files", seed)
    events, expected = _undisturbed(directory, orders)
    own = directory / f"killed-over-files-{seed}"
    own.mkdir()
    (own / "orderpulse.toml").write_text(_CONFIG)
    options = ["--config", str(own / "orderpulse.toml"), "--input", str(events), "--output", str(own / "out")]
    flow = FlowCommand([*options, "--recovery", str(own / "recovery")], own / "flow.log")
    try:
        _kill_and_finish(flow, Random(seed), verdict)
        if not verdict.problems:
            _compare(expected, own / "out", verdict)
    finally:
        flow.end()
    verdict.seconds = time.monotonic() - began
    if verdict.passed:
        shutil.rmtree(own)
    else:
        verdict.kept = own
    return verdict


def _kill_and_finish(flow: FlowCommand, rng: Random, verdict: Verdict) -> None:
    for _ in range(rng.randint(1, 3)):
        flow.start(rng.randint(1, MOST_PROCESSES))
        flow.wait(rng.uniform(START_SECONDS / 2, 2 * START_SECONDS))
        flow.kill(flow.members())
        if left := flow.wait_gone(ORPHAN_SECONDS):
            verdict.problems.append(f"{len(left)} processes could not be killed")
    flow.start(rng.randint(1, MOST_PROCESSES))
    if (code := flow.wait(RUN_SECONDS)) != 0:
        verdict.problems.append(f"the run after the kills ended with exit code {code}")


def _undisturbed(directory: Path, orders: int) -> tuple[Path, Path]:
    """The events, and what a run in one process without recovery makes of them."""
    trade, out = directory / f"trade-{orders}", directory / f"undisturbed-{orders}"
    if not out.exists():
        plan = SimulationPlan(orders, SEED, duplicates=0.03, late=0.03, bad=0.01, cases=CASES)
        write(plan, load_settings(), trade)
        flow = FlowCommand(["--input", str(trade / "events"), "--output", str(out)], directory / "undisturbed.log")
        flow.start()
        if (code := flow.wait(RUN_SECONDS)) != 0:
            message = f"the undisturbed run failed, exit code {code}:\n{flow.log_tail()}"
            raise RuntimeError(message)
    return trade / "events", out


def _compare(expected: Path, found: Path, verdict: Verdict) -> None:
    reports = [report for report in compare_runs(expected, found) if not report.equal]
    for report in reports:
        verdict.differences.update(_differences(report))
        verdict.problems.append(f"{report.kind}: {_differences(report)} {report.examples}")


def _differences(report: KindReport) -> Counter[str]:
    lost, more = report.only
    return +Counter({"lost": lost, "invented or doubled": more, "reordered": report.reordered})
