"""The HTTP server around the service: limits on headers and connections, and an orderly end."""

import asyncio
import socket
from asyncio import TimerHandle, Transport
from typing import Any, ClassVar, cast

from starlette.applications import Starlette
from uvicorn import Config, Server
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from config.settings import IntakeSettings
from sources.reader import SourceError

_MOST_HEADER_BYTES = 64 * 1024
_KEEP_ALIVE_SECONDS = 30
_END_SECONDS = 15
_BACKLOG = 1024


def listen(settings: IntakeSettings) -> socket.socket:
    """A socket that listens where the settings say; raises SourceError when the address cannot be had."""
    family = socket.AF_INET6 if ":" in settings.host else socket.AF_INET
    opened = socket.socket(family, socket.SOCK_STREAM)
    try:
        opened.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        opened.bind((settings.host, settings.port))
        opened.listen(_BACKLOG)
    except OSError as error:
        opened.close()
        where = f"{settings.host}:{settings.port}"
        what = f"webhooks cannot be taken there: {error.strerror or error}"
        raise SourceError(what, where, "correct intake.host and intake.port, or end what listens there") from error
    return opened


async def serve(application: Starlette, settings: IntakeSettings, opened: socket.socket) -> None:
    """Serve until SIGTERM or SIGINT; then answer what is under way."""
    await IntakeServer(application, settings).serve(sockets=[opened])


class IntakeServer(Server):
    """uvicorn with the limits of intake."""

    def __init__(self, application: Starlette, settings: IntakeSettings) -> None:
        super().__init__(
            Config(
                application,
                http=guarded(settings.body_timeout / 1000),
                ws="none",
                lifespan="off",
                log_config=None,
                access_log=False,
                server_header=False,
                proxy_headers=bool(settings.trusted_proxies),
                forwarded_allow_ips=list(settings.trusted_proxies),
                limit_concurrency=settings.connections,
                timeout_keep_alive=_KEEP_ALIVE_SECONDS,
                timeout_graceful_shutdown=_END_SECONDS,
            )
        )


def guarded(header_seconds: float) -> type["GuardedProtocol"]:
    """The protocol with its limit; uvicorn makes one object of it for each connection."""
    return type("GuardedProtocol", (GuardedProtocol,), {"header_seconds": header_seconds})


class GuardedProtocol(HttpToolsProtocol):
    """uvicorn's connection, which has no limits for headers, with one for their time and one for their size."""

    header_seconds: ClassVar[float]

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.access_log = False  # it would tell addresses and queries; the service has a log of its own
        self._in_headers = True
        self._header_bytes = 0
        self._header_timer: TimerHandle | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        super().connection_made(cast(Transport, transport))
        self._expect_headers()

    def connection_lost(self, exc: Exception | None) -> None:
        self._stop_timer()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        if self._in_headers:
            self._header_bytes += len(data)
        super().data_received(data)
        if self._in_headers and self._header_bytes > _MOST_HEADER_BYTES:
            self.transport.abort()

    def on_message_begin(self) -> None:
        super().on_message_begin()
        self._expect_headers()

    def on_headers_complete(self) -> None:
        self._in_headers = False
        self._stop_timer()
        super().on_headers_complete()

    def _expect_headers(self) -> None:
        self._in_headers = True
        self._header_bytes = 0
        self._stop_timer()
        self._header_timer = self.loop.call_later(self.header_seconds, self._too_slow)

    def _stop_timer(self) -> None:
        if self._header_timer is not None:
            self._header_timer.cancel()
            self._header_timer = None

    def _too_slow(self) -> None:
        self.transport.abort()
