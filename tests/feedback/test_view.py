"""Feedback in Redis, in metrics and in `orderpulse status`."""

from collections.abc import Iterator
from typing import Any

import pytest
import redis

from config.loader import load_settings
from console.feedback import feedback_of, feedback_values, show_feedback
from events.records import FeedbackTotals
from sinks.feedback import capture, precision, recall, tell_feedback
from sinks.metrics import Metrics
from sinks.read_model import ReadModelSink
from tests.sinks.samples import CAPTURE, NOON, PRECISION, redis_settings


@pytest.fixture
def client(redis_server: str) -> Iterator[redis.Redis]:
    with redis.Redis.from_url(redis_server, decode_responses=True) as connection:
        yield connection


@pytest.fixture
def sink(redis_server: str) -> Iterator[ReadModelSink]:
    opened = ReadModelSink(redis_settings(redis_server))
    yield opened
    opened.close()


def older(**changes: int) -> FeedbackTotals:
    return FeedbackTotals("precision", "card_burst", 2, 2, NOON - 60_000, {"raised": 11, **changes})


def test_redis_has_the_newest_counts_whatever_the_order(sink: ReadModelSink, client: redis.Redis) -> None:
    sink.write([PRECISION, CAPTURE])
    sink.write([older(confirmed=9)])
    sink.write([PRECISION])
    expected: dict[str, Any] = {"raised": "12", "confirmed": "3", "released": "1", "number": "3", "time": str(NOON)}
    assert client.hgetall("op:v1:precision:card_burst:2") == expected
    assert client.zrange("op:v1:precisions", 0, -1) == ["card_burst:2"]
    assert client.hgetall("op:v1:capture") == {
        "weak": "9", "turned": "2", "quiet": "6", "failed": "5", "failed_alerted": "2", "number": "1",
        "time": str(NOON),
    }  # fmt: skip
    assert client.pttl("op:v1:capture") > 0


def test_status_shows_counts_and_shares(
    sink: ReadModelSink, redis_server: str, capsys: pytest.CaptureFixture[str]
) -> None:
    sink.write([PRECISION, CAPTURE])
    settings = load_settings(overrides={"feedback": {"enabled": True}, "redis": {"url": redis_server}})
    feedback = feedback_of(settings)
    assert feedback_values(feedback) == {
        "feedback": {
            "rules": [
                {"rule": "card_burst", "version": 2, "raised": 12, "confirmed": 3, "released": 1, "precision": 0.75}
            ],
            "weak_signals": {
                "weak": 9, "turned": 2, "quiet": 6, "failed": 5, "failed_alerted": 2, "capture": 0.25, "recall": 0.4,
            },
        }
    }  # fmt: skip
    show_feedback(feedback)
    shown = capsys.readouterr().out
    assert "75.0 %" in shown
    assert "9 orders had weak signals: 25.0 % of those decided turned into trouble" in shown
    assert "5 orders failed: 40.0 % of them had an alert before" in shown


def test_without_feedback_status_says_nothing_of_it() -> None:
    assert feedback_of(load_settings()) is None
    assert feedback_values(None) == {}


def test_a_share_of_nothing_is_unknown() -> None:
    assert (precision({"raised": 3}), capture({"weak": 3}), recall({})) == (None, None, None)


def test_metrics_have_counts_and_shares() -> None:
    metrics = Metrics()
    for record in (PRECISION, CAPTURE, FeedbackTotals("precision", "resonance", 1, 1, NOON, {"raised": 1})):
        tell_feedback(metrics, record)
    rendered = metrics.render().decode()
    assert 'orderpulse_rule_precision_ratio{rule="card_burst",version="2"} 0.75' in rendered
    assert 'orderpulse_rule_alerted_orders{outcome="released",rule="card_burst",version="2"} 1.0' in rendered
    assert 'orderpulse_rule_precision_ratio{rule="resonance"' not in rendered
    assert 'orderpulse_weak_signal_capture_ratio{rule="resonance"} 0.25' in rendered
    assert 'orderpulse_weak_signal_recall_ratio{rule="resonance"} 0.4' in rendered
