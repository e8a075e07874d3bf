import re
from pathlib import Path

import pytest
from prometheus_client.parser import text_string_to_metric_families

from sinks.metrics import METRICS, MetricDefinition, Metrics

DOCUMENT = Path(__file__).resolve().parents[2] / "docs" / "metrics.md"
ID_LABELS = {"order", "order_id", "customer", "customer_id", "episode", "event_id", "id", "key", "phone"}
LABEL_VALUE = "x"


def fill(metrics: Metrics, metric: MetricDefinition) -> None:
    labels = dict.fromkeys(metric.labels, LABEL_VALUE)
    match metric.kind:
        case "counter":
            metrics.add(metric.name, 2, **labels)
        case "gauge":
            metrics.set(metric.name, 2, **labels)
        case "histogram":
            metrics.observe(metric.name, 2, **labels)


def documented_rows() -> list[str]:
    return [line for line in DOCUMENT.read_text(encoding="utf-8").splitlines() if line.startswith("| `orderpulse_")]


def row(metric: MetricDefinition) -> str:
    labels = ", ".join(f"`{label}`" for label in metric.labels) or "–"
    return f"| `{metric.name}` | {metric.kind} | {labels} | {metric.help} |"


def test_the_document_lists_the_metrics_that_there_are() -> None:
    assert documented_rows() == [row(metric) for metric in METRICS]


def test_what_is_served_are_the_metrics_of_the_registry_and_no_other() -> None:
    metrics = Metrics()
    for metric in METRICS:
        fill(metrics, metric)
    served = {
        family.name + ("_total" if family.type == "counter" else ""): family
        for family in text_string_to_metric_families(metrics.render().decode())
    }
    assert {(name, family.type) for name, family in served.items()} == {(m.name, m.kind) for m in METRICS}


@pytest.mark.parametrize("metric", METRICS, ids=lambda metric: metric.name)
def test_a_name_follows_the_conventions(metric: MetricDefinition) -> None:
    assert re.fullmatch(r"orderpulse_[a-z_]+", metric.name)
    assert metric.name.endswith("_total") == (metric.kind == "counter")
    assert not re.search(r"_(ms|milliseconds|minutes|hours|kb|mb)$", metric.name)
    assert bool(metric.buckets) == (metric.kind == "histogram")
    assert not ID_LABELS & set(metric.labels)


def test_counts_add_up() -> None:
    metrics = Metrics()
    metrics.add("orderpulse_events_total", topic="orders")
    metrics.add("orderpulse_events_total", 41, topic="orders")
    assert b'orderpulse_events_total{topic="orders"} 42.0\n' in metrics.render()


def test_two_runs_do_not_share_their_metrics() -> None:
    one, other = Metrics(), Metrics()
    one.set("orderpulse_open_alerts", 3, rule="card_burst")
    assert b"card_burst" not in other.render()


def test_a_name_that_the_registry_lacks_cannot_be_counted() -> None:
    with pytest.raises(KeyError):
        Metrics().add("orderpulse_surprises_total")


def test_a_label_that_the_metric_lacks_is_refused() -> None:
    with pytest.raises(ValueError, match="label"):
        Metrics().add("orderpulse_events_total", order_id="O-1")


def test_what_changes_while_the_flow_stands_still_is_asked_for_at_each_scrape() -> None:
    metrics, waited = Metrics(), iter([3, 8])
    metrics.refresh_with(lambda each: each.set("orderpulse_waiting_seconds", next(waited), part="Redis"))

    assert b'orderpulse_waiting_seconds{part="Redis"} 3.0\n' in metrics.render()
    assert b'orderpulse_waiting_seconds{part="Redis"} 8.0\n' in metrics.render()
