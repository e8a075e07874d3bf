import http.client
import json
import socket
from collections.abc import Iterator

import pytest

from sinks.health import HealthServer, HealthServerError
from sinks.metrics import Metrics


class Flow:
    """A flow whose readiness the test decides."""

    def __init__(self) -> None:
        self.answer: tuple[bool, str] = (True, "watermark 3 s behind")
        self.broken = False

    def readiness(self) -> tuple[bool, str]:
        if self.broken:
            raise RuntimeError("no driver")
        return self.answer


@pytest.fixture
def flow() -> Flow:
    return Flow()


@pytest.fixture
def metrics() -> Metrics:
    return Metrics()


@pytest.fixture
def server(flow: Flow, metrics: Metrics) -> Iterator[HealthServer]:
    with HealthServer("127.0.0.1", 0, metrics, flow.readiness) as running:
        yield running


def get(server: HealthServer, path: str) -> tuple[int, str, bytes]:
    connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=5)
    connection.request("GET", path)
    response = connection.getresponse()
    answer = response.status, response.headers["Content-Type"], response.read()
    connection.close()
    return answer


def test_prometheus_finds_the_metrics(server: HealthServer, metrics: Metrics) -> None:
    metrics.add("orderpulse_alerts_total", rule="card_burst", step="opened", severity="critical")
    status, content_type, body = get(server, "/metrics")
    assert status == 200
    assert content_type.startswith("text/plain; version=")
    assert b'orderpulse_alerts_total{rule="card_burst",severity="critical",step="opened"} 1.0' in body


def test_a_process_that_runs_is_alive(server: HealthServer, flow: Flow) -> None:
    flow.broken = True
    assert get(server, "/healthz") == (200, "application/json", b'{"alive": true}')


def test_a_ready_flow_says_so(server: HealthServer) -> None:
    status, _, body = get(server, "/readyz?verbose=1")
    assert (status, json.loads(body)) == (200, {"ready": True, "reason": "watermark 3 s behind"})


def test_a_flow_that_is_not_ready_says_why(server: HealthServer, flow: Flow) -> None:
    flow.answer = (False, "分区 3 没有数据")
    status, content_type, body = get(server, "/readyz")
    assert (status, content_type) == (503, "application/json")
    assert json.loads(body) == {"ready": False, "reason": "分区 3 没有数据"}


def test_a_readiness_check_that_fails_means_not_ready(server: HealthServer, flow: Flow) -> None:
    flow.broken = True
    status, _, body = get(server, "/readyz")
    assert status == 503
    assert json.loads(body)["reason"] == "the readiness check failed: RuntimeError: no driver"


def test_another_path_is_answered_with_those_that_there_are(server: HealthServer) -> None:
    status, _, body = get(server, "/status")
    assert status == 404
    assert json.loads(body)["paths"] == ["/healthz", "/metrics", "/readyz"]


def test_a_client_that_says_nothing_keeps_nobody_waiting(server: HealthServer) -> None:
    with socket.create_connection(("127.0.0.1", server.port)):
        assert get(server, "/healthz")[0] == 200


def test_a_port_in_use_is_an_error_that_names_it(server: HealthServer, metrics: Metrics, flow: Flow) -> None:
    expected = rf"127\.0\.0\.1:{server.port}: Address already in use; set metrics\.port to a free port"
    with pytest.raises(HealthServerError, match=expected):
        HealthServer("127.0.0.1", server.port, metrics, flow.readiness)


def test_a_port_is_free_again_after_the_end(metrics: Metrics, flow: Flow) -> None:
    with HealthServer("127.0.0.1", 0, metrics, flow.readiness) as first:
        get(first, "/healthz")
    with HealthServer("127.0.0.1", first.port, metrics, flow.readiness) as second:
        assert get(second, "/healthz")[0] == 200
