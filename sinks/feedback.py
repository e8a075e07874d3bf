"""The figures that follow from feedback, wherever they are shown; docs/feedback.md has the formulas."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Final

from events.records import FeedbackTotals

if TYPE_CHECKING:
    from sinks.metrics import Metrics

PRECISION_COUNTS: Final = ("raised", "confirmed", "released")
CAPTURE_COUNTS: Final = ("weak", "turned", "quiet", "failed", "failed_alerted")


def precision(counts: Mapping[str, int]) -> float | None:
    """Share of the reviewed alerts that were confirmed; None before the first review."""
    return _share(counts.get("confirmed", 0), counts.get("released", 0))


def capture(counts: Mapping[str, int]) -> float | None:
    """Share of the orders with weak signals that turned into trouble; None while none of them is decided."""
    return _share(counts.get("turned", 0), counts.get("quiet", 0))


def recall(counts: Mapping[str, int]) -> float | None:
    """Share of the failed orders that had an alert before; None before the first failure."""
    alerted = counts.get("failed_alerted", 0)
    return _share(alerted, counts.get("failed", 0) - alerted)


def tell_feedback(metrics: "Metrics", totals: FeedbackTotals) -> None:
    """Give the gauges the values of a record. A share of nothing is not given."""
    counts = totals.counts
    if totals.subject == "capture":
        for name in CAPTURE_COUNTS:
            metrics.set("orderpulse_weak_signal_orders", counts.get(name, 0), rule=totals.rule, outcome=name)
        _set(metrics, "orderpulse_weak_signal_capture_ratio", capture(counts), rule=totals.rule)
        _set(metrics, "orderpulse_weak_signal_recall_ratio", recall(counts), rule=totals.rule)
        return
    labels = {"rule": totals.rule, "version": str(totals.rule_version)}
    for name in PRECISION_COUNTS:
        metrics.set("orderpulse_rule_alerted_orders", counts.get(name, 0), outcome=name, **labels)
    _set(metrics, "orderpulse_rule_precision_ratio", precision(counts), **labels)


def _set(metrics: "Metrics", name: str, share: float | None, **labels: str) -> None:
    if share is not None:
        metrics.set(name, share, **labels)


def _share(of: int, others: int) -> float | None:
    return of / (of + others) if of + others else None
