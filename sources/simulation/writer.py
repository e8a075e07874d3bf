"""Writes a simulation into a directory."""

from collections.abc import Callable, Iterable
from contextlib import ExitStack
from pathlib import Path

import msgspec

from config.settings import Settings
from sources.simulation.plan import Counts, SimulationPlan
from sources.simulation.stream import KINDS, Simulation

REPORT_EVERY = 5_000


def write(
    plan: SimulationPlan, settings: Settings, directory: Path, progress: Callable[[int], None] | None = None
) -> Counts:
    """Write ``events/*.ndjson``, ``truth.ndjson`` and ``truth_dead_letters.ndjson``; logs of an earlier simulation in
    the directory are replaced. ``progress`` is told now and then how many orders there are by now.
    """
    simulation = Simulation(plan, settings)
    (directory / "events").mkdir(parents=True, exist_ok=True)
    _clear(directory / "events")
    with ExitStack() as stack:
        files = {log: stack.enter_context((directory / log).open("wb", buffering=1 << 18)) for log in simulation.logs}
        writes = {log: file.write for log, file in files.items()}
        for number, line in enumerate(simulation):
            writes[line.partition](line.data + b"\n")
            if progress is not None and number % REPORT_EVERY == 0:
                progress(simulation.counts.orders)
    if progress is not None:
        progress(simulation.counts.orders)
    simulation.dead_letters.sort(key=lambda letter: (letter.partition, letter.position))
    _write_lines(directory / "truth.ndjson", simulation.truth)
    _write_lines(directory / "truth_dead_letters.ndjson", simulation.dead_letters)
    return simulation.counts


def _clear(events: Path) -> None:
    for kind in KINDS:
        for old in events.glob(f"{kind}-*.ndjson"):
            old.unlink()


def _write_lines(path: Path, records: Iterable[msgspec.Struct]) -> None:
    encode = msgspec.json.encode
    with path.open("wb") as file:
        file.writelines(encode(record) + b"\n" for record in records)
