"""What a run did, for people and for programs."""

from collections.abc import Iterable, Mapping
from typing import Any, Protocol

from config.settings import Settings
from console.output import local_time, number, print_json, some, table, to_stdout, warn
from console.tally import Tally
from dataflows.summary import Summary
from operators.heart.lateness import BEFORE_TIME

_MANY_LATE = 0.2
_STEPS = ("opened", "updated", "acknowledged", "resolved")


class Summarised(Protocol):
    """What was run, as far as its summary speaks of it."""

    @property
    def settings(self) -> Settings:
        """Its settings."""
        ...

    @property
    def output(self) -> object:
        """Where the results are."""
        ...


def show_summary(plan: Summarised, summary: Summary, tally: Tally, *, stopped: bool, as_json: bool) -> None:
    """Print it on stdout."""
    if as_json:
        print_json(as_values(summary, tally, stopped=stopped))
        return
    out = to_stdout()
    out.print(f"{'Stopped' if stopped else 'Done'}: {events_and_speed(summary.events, summary.seconds)}")
    if summary.watermark > BEFORE_TIME:
        out.print(f"Everything up to {local_time(summary.watermark, plan.settings.zone)} is judged (the watermark)")
    out.print()
    if tally.alerts:
        rows = [(rule, *(number(steps.get(step, 0)) for step in _STEPS)) for rule, steps in tally.by_rule().items()]
        out.print(table(("alerts", *_STEPS), rows, numbers=_STEPS))
    else:
        out.print("No alerts")
    out.print()
    out.print(table(("", "", ""), _facts(summary, tally), numbers=()), end="")
    out.print(f"\nResults: {plan.output}")


def _facts(summary: Summary, tally: Tally) -> Iterable[tuple[str, str, str]]:
    yield "dead letters", number(tally.dead_letters.total()), _by(tally.dead_letters)
    yield "late events", number(tally.late), "applied; the newest state counts" if tally.late else ""
    if summary.forced:
        yield "forced events", number(summary.forced), "wall time had passed them: a replay applies them earlier"
    yield "duplicates", number(summary.duplicates), "left out" if summary.duplicates else ""
    yield "holds", number(tally.holds.total()), _by(tally.holds)
    yield "versions", number(tally.versions), ""
    yield "diffs", number(tally.diffs.total()), _by(tally.diffs)


def warn_of_lateness(settings: Settings, summary: Summary, *, from_topics: bool) -> None:
    """Say what is likely wrong where a large part of the events came late."""
    if summary.late <= _MANY_LATE * summary.events:
        return
    share = f"{summary.late / summary.events:.0%} of the events are late"
    if settings.time.arrival == "record" and from_topics:
        warn(
            f"{share}. If the topics were filled after the fact, their timestamps are no arrivals:"
            ' run with --arrival ignore, or set time.arrival = "ignore"'
        )
    else:
        warn(
            f"{share}: their files are not in the order of time. Sort them by time, or raise time.out_of_orderness"
            f" (now {settings.time.out_of_orderness})"
        )


def _by(counts: Mapping[str, int]) -> str:
    return ", ".join(f"{name} {number(count)}" for name, count in sorted(counts.items(), key=lambda each: -each[1]))


def events_and_speed(events: int, seconds: float) -> str:
    """``2,000 events in 1.5 s, 1,333 a second``."""
    return f"{some(events, 'event')} in {seconds:,.1f} s, {number(events / max(seconds, 1e-9))} a second"


def as_values(summary: Summary, tally: Tally, *, stopped: bool) -> dict[str, Any]:
    """The same for a program. ``watermark`` in epoch ms, null when no event gave any."""
    return {
        "events": summary.events,
        "seconds": round(summary.seconds, 3),
        "events_per_second": round(summary.events / max(summary.seconds, 1e-9)),
        "watermark": summary.watermark if summary.watermark > BEFORE_TIME else None,
        "stopped": stopped,
        "alerts": tally.by_rule(),
        "dead_letters": dict(sorted(tally.dead_letters.items())),
        "late": tally.late,
        "forced": summary.forced,
        "duplicates": summary.duplicates,
        "holds": dict(sorted(tally.holds.items())),
        "versions": tally.versions,
        "diffs": dict(sorted(tally.diffs.items())),
    }
