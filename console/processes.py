"""``orderpulse run --processes N``: the same command in several processes, and one summary of what they did."""

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import msgspec
import typer

from console.errors import WrongUseError
from console.output import complain, print_json, to_stdout, warn
from console.run_notes import keep_note
from console.summary import show_summary
from console.tally import Tally
from dataflows.run import RunPlan, goes_on, prepare_outputs
from dataflows.store import is_new
from dataflows.store_lock import hold
from dataflows.summary import Summary
from dataflows.supervisor import Outcome, Supervisor, this_command
from operators.heart.lateness import BEFORE_TIME

if TYPE_CHECKING:
    from dataflows.store_lock import StoreLock

_HIGHEST_PORT = 65_535
_ADDED = ("events", "late", "forced", "duplicates", "versions")
_ADDED_BY_NAME = ("dead_letters", "holds", "diffs")


def run_processes(plan: RunPlan, processes: int, arguments: Sequence[str], *, as_json: bool) -> None:
    """Run a plan in so many processes, each started with these arguments; ends the command with one exit code."""
    port = plan.settings.metrics.port
    if plan.serve and port and port + processes - 1 > _HIGHEST_PORT:
        raise WrongUseError(
            f"--processes {processes}: process {processes - 1} would serve its metrics at port {port + processes - 1}",
            f"set metrics.port to {_HIGHEST_PORT - processes + 1} or lower, or to 0",
        )
    lock = None if plan.recovery is None else hold(plan.recovery)
    try:
        outcome = _supervised(plan, processes, arguments, lock)
    finally:
        if lock is not None:
            lock.release()
    if outcome.code:
        complain(outcome.cause, outcome.remedy)
        raise typer.Exit(outcome.code)
    _show(plan, processes, outcome, as_json=as_json)


def merged(outputs: Iterable[bytes]) -> dict[str, Any] | None:
    """One summary of those that the processes printed; None when none of them came as far."""
    parts: list[dict[str, Any]] = [msgspec.json.decode(found) for output in outputs if (found := _summary_in(output))]
    if not parts:
        return None
    watermarks = [part["watermark"] for part in parts]
    alerts: dict[str, Counter[str]] = {}
    for part in parts:
        for rule, steps in part["alerts"].items():
            alerts.setdefault(rule, Counter()).update(steps)
    return {
        **{name: sum(part[name] for part in parts) for name in _ADDED},
        **{name: _added(part[name] for part in parts) for name in _ADDED_BY_NAME},
        "alerts": {rule: dict(steps) for rule, steps in sorted(alerts.items())},
        "watermark": None if None in watermarks else min(watermarks),
        "seconds": max(part["seconds"] for part in parts),
        "stopped": any(part["stopped"] for part in parts),
    }


def _supervised(plan: RunPlan, processes: int, arguments: Sequence[str], lock: "StoreLock | None") -> Outcome:
    return Supervisor(
        processes,
        this_command([*arguments, "--json"]),
        plan.settings.supervisor,
        restarts=plan.recovery is not None,
        lock=None if lock is None else lock.descriptor,
        prepare=_preparing(plan),
        say=warn,
    ).run()


def _preparing(plan: RunPlan) -> Callable[[int], None]:
    def prepare(restarts: int) -> None:
        store = plan.recovery
        going_on = restarts > 0 or (store is not None and goes_on(store, is_new=is_new(store)))
        prepare_outputs(plan, going_on=going_on)

    return prepare


def _summary_in(output: bytes) -> bytes:
    """What a process printed, without the lines of the engine before it."""
    lines = output.splitlines()
    begin = next((number for number, line in enumerate(lines) if line.startswith(b"{")), len(lines))
    return b"\n".join(lines[begin:])


def _added(counts: Iterable[Mapping[str, int]]) -> dict[str, int]:
    total: Counter[str] = Counter()
    for each in counts:
        total.update(each)
    return dict(sorted(total.items()))


def _show(plan: RunPlan, processes: int, outcome: Outcome, *, as_json: bool) -> None:
    values = merged(outcome.outputs)
    if values is None:
        if as_json:
            print_json({"stopped": True, "processes": processes, "restarts": outcome.restarts})
        else:
            to_stdout().print("Stopped before it began to read")
        return
    keep_note(plan, _summary(values))
    if as_json:
        speed = round(values["events"] / max(values["seconds"], 1e-9))
        print_json({**values, "events_per_second": speed, "processes": processes, "restarts": outcome.restarts})
        return
    show_summary(plan, _summary(values), _tally(values), stopped=values["stopped"], as_json=False)
    if outcome.restarts:
        warn(f"started again {outcome.restarts} times; the figures are those since the last start")


def _summary(values: Mapping[str, Any]) -> Summary:
    return Summary(
        events=values["events"],
        duplicates=values["duplicates"],
        late=values["late"],
        forced=values["forced"],
        watermark=BEFORE_TIME if values["watermark"] is None else values["watermark"],
        seconds=values["seconds"],
    )


def _tally(values: Mapping[str, Any]) -> Tally:
    tally = Tally()
    tally.alerts.update({(rule, step): count for rule, by in values["alerts"].items() for step, count in by.items()})
    tally.dead_letters.update(values["dead_letters"])
    tally.holds.update(values["holds"])
    tally.diffs.update(values["diffs"])
    tally.versions = values["versions"]
    tally.late = values["late"]
    return tally
