"""What reviews and failed orders say about rules, as `orderpulse status` shows it."""

from typing import Any

from config.settings import Settings
from console.output import number, table, to_stdout
from console.view import Feedback, ReadModelView, ViewError
from sinks.feedback import CAPTURE_COUNTS, PRECISION_COUNTS, capture, precision, recall


def feedback_of(settings: Settings) -> Feedback | None:
    """The counts of the read model; None where nothing counts them, or Redis went away in the meantime."""
    if not settings.feedback.enabled:
        return None
    try:
        with ReadModelView(settings.redis) as view:
            return view.feedback()
    except ViewError:
        return None


def feedback_values(feedback: Feedback | None) -> dict[str, Any]:
    """For programs: counts, and the shares that follow; null for a share of nothing."""
    if feedback is None:
        return {}
    rules = [
        {"rule": rule, "version": version, **_counts(counts, PRECISION_COUNTS), "precision": precision(counts)}
        for rule, version, counts in feedback.rules
    ]
    found, weak = feedback.capture, _counts(feedback.capture, CAPTURE_COUNTS)
    return {"feedback": {"rules": rules, "weak_signals": weak | {"capture": capture(found), "recall": recall(found)}}}


def show_feedback(feedback: Feedback | None) -> None:
    """For people."""
    if feedback is None:
        return
    out = to_stdout()
    rows = [
        (rule, str(version), *(number(counts.get(name, 0)) for name in PRECISION_COUNTS), _percent(precision(counts)))
        for rule, version, counts in feedback.rules
    ]
    if rows:
        columns = ("reviewed rule", "version", *PRECISION_COUNTS, "precision")
        out.print(table(columns, rows, numbers=columns[1:]))
    else:
        out.print("\nNo alert was raised yet that a review could confirm")
    found = feedback.capture
    if found:
        weak, failed = number(found.get("weak", 0)), number(found.get("failed", 0))
        out.print(f"\n{weak} orders had weak signals: {_percent(capture(found))} of those decided turned into trouble")
        out.print(f"{failed} orders failed: {_percent(recall(found))} of them had an alert before")


def _counts(counts: dict[str, int], names: tuple[str, ...]) -> dict[str, int]:
    return {name: counts.get(name, 0) for name in names}


def _percent(share: float | None) -> str:
    return "unknown" if share is None else f"{100 * share:.1f} %"
