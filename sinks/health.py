"""What a platform asks a process over HTTP: its metrics, whether it lives, whether it is ready."""

import errno
import json
import socket
from collections.abc import Callable
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler
from socketserver import ThreadingTCPServer
from threading import Thread
from typing import Any, Self

from prometheus_client import CONTENT_TYPE_LATEST

from sinks.metrics import Metrics

Readiness = Callable[[], tuple[bool, str]]

_REQUEST_SECONDS = 5.0
_JSON = "application/json"


class HealthServerError(Exception):
    """The endpoint cannot be served; the text says where, why and what to do."""


class HealthServer:
    """Serves ``/metrics``, ``/healthz`` and ``/readyz`` from threads of its own until ``close``.

    ``readiness`` says whether the process is ready and why not; it is called from those threads. Port 0 takes a
    free one, which ``port`` tells.
    """

    def __init__(self, host: str, port: int, metrics: Metrics, readiness: Readiness) -> None:
        """Listen and serve; raises HealthServerError when the address cannot be had."""
        answers: dict[str, Callable[[], _Answer]] = {
            "/metrics": lambda: (HTTPStatus.OK, CONTENT_TYPE_LATEST, metrics.render()),
            "/healthz": lambda: _json(HTTPStatus.OK, {"alive": True}),
            "/readyz": lambda: _ready(readiness),
        }
        try:
            self._server = _Server(host, port, answers)
        except OSError as error:
            raise HealthServerError(_explanation(host, port, error)) from error
        self.port: int = self._server.server_address[1]
        self._thread = Thread(target=self._server.serve_forever, name="health", daemon=True)
        self._thread.start()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Stop listening."""
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()


_Answer = tuple[HTTPStatus, str, bytes]


class _Server(ThreadingTCPServer):
    # Not HTTPServer: that asks the name service for the host's name before it listens, which can take seconds.
    allow_reuse_address = True
    daemon_threads = True
    block_on_close = False

    def __init__(self, host: str, port: int, answers: dict[str, Callable[[], _Answer]]) -> None:
        self.address_family = socket.AF_INET6 if ":" in host else socket.AF_INET
        self.answers = answers
        super().__init__((host, port), _Handler)


class _Handler(BaseHTTPRequestHandler):
    server: _Server
    timeout = _REQUEST_SECONDS  # a client that says nothing does not keep its thread

    def do_GET(self) -> None:
        answer = self.server.answers.get(self.path.partition("?")[0], self._not_found)
        status, content_type, body = answer()
        self.send_response(status)
        self.send_header("Content-Type", content_type)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002  # the base class names it so
        """A probe each few seconds is not worth a line."""

    def _not_found(self) -> _Answer:
        known = sorted(self.server.answers)
        return _json(HTTPStatus.NOT_FOUND, {"error": f"nothing at {self.path}", "paths": known})


def _ready(readiness: Readiness) -> _Answer:
    try:
        ready, reason = readiness()
    except Exception as error:  # whatever is wrong, the answer is 'not ready'
        ready, reason = False, f"the readiness check failed: {type(error).__name__}: {error}"
    status = HTTPStatus.OK if ready else HTTPStatus.SERVICE_UNAVAILABLE
    return _json(status, {"ready": ready, "reason": reason})


def _json(status: HTTPStatus, content: dict[str, Any]) -> _Answer:
    return status, _JSON, json.dumps(content, ensure_ascii=False).encode()


def _explanation(host: str, port: int, error: OSError) -> str:
    cause = f"cannot serve metrics and health at {host}:{port}: {error.strerror or error}"
    if error.errno == errno.EADDRINUSE:
        return f"{cause}; set metrics.port to a free port, or to 0 to do without"
    return f"{cause}; correct metrics.host and metrics.port"
