"""The metrics of a flow that runs, as Prometheus would ask for them."""

import urllib.error
import urllib.request
from collections.abc import Mapping, Sequence
from typing import Final

from msgspec import Struct
from prometheus_client.parser import text_string_to_metric_families

_LATENCY: Final = "orderpulse_alert_latency_seconds"
_PARTS: Final = "orderpulse_alert_latency_part_seconds"
_PAUSE: Final = "orderpulse_snapshot_duration_seconds"
_TIMEOUT_SECONDS: Final = 5.0

Key = tuple[str, tuple[tuple[str, str], ...]]
Samples = list[dict[Key, float]]
"""Of each process: name and labels -> value."""


class Histogram(Struct, frozen=True):
    """``buckets``: upper bound in seconds -> how many values up to there; ``total_s``: the sum of all values.

    Values above the last bound are only in ``count``.
    """

    buckets: Mapping[float, float]
    total_s: float
    count: float

    @property
    def mean_ms(self) -> float:
        """0 when there is no value."""
        return self.total_s * 1000 / self.count if self.count else 0.0

    def quantile_ms(self, share: float) -> float:
        """As Prometheus estimates it: evenly within a bucket, the last bound for what lies above all of them."""
        wanted, below, bound_below = share * self.count, 0.0, 0.0
        for bound, upto in sorted(self.buckets.items()):
            if upto >= wanted and upto > below:
                return (bound_below + (bound - bound_below) * (wanted - below) / (upto - below)) * 1000
            below, bound_below = upto, bound
        return bound_below * 1000


def scrape(ports: Sequence[int]) -> Samples:
    """All samples of all processes; empty while one of them does not answer yet."""
    found: Samples = []
    for port in ports:
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=_TIMEOUT_SECONDS) as answer:
                text = answer.read().decode()
        except (urllib.error.URLError, ConnectionError, TimeoutError):
            return []
        samples = (sample for family in text_string_to_metric_families(text) for sample in family.samples)
        found.append({(each.name, tuple(sorted(each.labels.items()))): each.value for each in samples})
    return found


def total(samples: Samples, name: str) -> float:
    """One metric over all of its labels and all processes."""
    return sum(_values(samples, name))


def least(samples: Samples, name: str) -> float:
    """The smallest value of a metric; 0 when there is none."""
    return min(_values(samples, name), default=0.0)


def _values(samples: Samples, name: str) -> list[float]:
    return [value for process in samples for (found, _), value in process.items() if found == name]


def histograms(before: Samples, after: Samples) -> dict[str, Histogram]:
    """What the flow's own histograms got in between.

    ``all``: the latency of alerts; each part of it by its name; ``snapshot``: how long the flow stood for each.
    """
    grown = _summed(after)
    for key, value in _summed(before).items():
        grown[key] -= value
    parts = sorted({dict(labels)["part"] for name, labels in grown if name == f"{_PARTS}_count"})
    return {
        "all": _histogram(grown, _LATENCY, ()),
        **{part: _histogram(grown, _PARTS, (("part", part),)) for part in parts},
        "snapshot": _histogram(grown, _PAUSE, ()),
    }


def _summed(samples: Samples) -> dict[Key, float]:
    found: dict[Key, float] = {}
    for process in samples:
        for key, value in process.items():
            found[key] = found.get(key, 0.0) + value
    return found


def _histogram(grown: Mapping[Key, float], name: str, labels: tuple[tuple[str, str], ...]) -> Histogram:
    buckets = {
        float(dict(of)["le"]): value
        for (found, of), value in grown.items()
        if found == f"{name}_bucket" and set(labels) < set(of) and dict(of)["le"] != "+Inf"
    }
    return Histogram(buckets, grown.get((f"{name}_sum", labels), 0.0), grown.get((f"{name}_count", labels), 0.0))
