"""The service: takes deliveries in, and says yes only when they are kept."""

import asyncio
import logging
import time
from collections.abc import Callable, Mapping
from ipaddress import IPv4Network, IPv6Network, ip_address
from typing import Final

from msgspec import Struct
from starlette.applications import Starlette
from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from config.settings import IntakeSettings
from sources.webhooks.broker import NotKeptError, RawTopics
from sources.webhooks.counting import Counting
from sources.webhooks.delivery import Answer, Delivery, RefusedError, identity
from sources.webhooks.raw import raw_record
from sources.webhooks.remembered import Remembered
from sources.webhooks.schemes.scheme import Scheme

access: Final = logging.getLogger("orderpulse.intake.access")
_UNKNOWN = "(unknown)"
_CLOSE = {"connection": "close"}  # what is left of a body that was not read must not be taken for a request


class Door(Struct, frozen=True):
    """One route: who may come, how it is signed, where it goes."""

    name: str
    scheme: Scheme
    topic: str
    networks: tuple[IPv4Network | IPv6Network, ...] = ()


class Intake:
    """Answers ``POST /hooks/<route>``, ``/healthz`` and ``/readyz``.

    ``clock`` gives epoch seconds. The access log has route, status, a word, size and duration: no header, no query,
    no body, no address.
    """

    def __init__(
        self,
        doors: Mapping[str, Door],
        topics: RawTopics,
        settings: IntakeSettings,
        counts: Counting,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._doors = doors
        self._topics = topics
        self._settings = settings
        self._counts = counts
        self._clock = clock
        self._under_way = 0
        self._remembered = {
            name: Remembered(int(settings.replay_window), settings.remembered, self._now_ms) for name in doors
        }

    def application(self) -> Starlette:
        """The ASGI application."""
        return Starlette(
            routes=[
                Route("/hooks/{route}", self._hook, methods=["POST"]),
                Route("/healthz", self._alive),
                Route("/readyz", self._ready),
            ]
        )

    def readiness(self) -> tuple[bool, str]:
        """Whether deliveries can be kept, and why not."""
        waiting = self._topics.waiting
        return (True, "") if waiting is None else (False, f"waits for the broker: {waiting.reason}")

    async def _alive(self, _: Request) -> Response:
        return JSONResponse({"alive": True})

    async def _ready(self, _: Request) -> Response:
        ready, reason = self.readiness()
        return JSONResponse({"ready": ready, "reason": reason}, 200 if ready else 503)

    async def _hook(self, request: Request) -> Response:
        started = time.perf_counter()
        door = self._doors.get(request.path_params["route"])
        if door is None:
            self._note(_UNKNOWN, "no_route", 404, 0, started)
            return JSONResponse({"error": "no_route", "detail": "there is no such route"}, 404, headers=_CLOSE)
        self._count_under_way(+1)
        try:
            visit = _Visit(door, self._settings, request, self._now_ms())
            answer, word = await self._answer(visit)
        finally:
            self._count_under_way(-1)
        self._note(door.name, word, answer.status, visit.size, started)
        return Response(answer.body, answer.status, headers=answer.headers, media_type=answer.content_type)

    async def _answer(self, visit: "_Visit") -> tuple[Answer, str]:
        scheme = visit.door.scheme
        try:
            delivery = await visit.arrive()
            greeting = scheme.greeting(delivery)
            if greeting is not None:
                return greeting, "greeting"
            delivery_id = scheme.check(delivery)
            word = await self._keep(visit.door, delivery, delivery_id)
        except RefusedError as error:
            answer = scheme.refused(visit.delivery, error)
            return Answer(answer.status, answer.body, answer.content_type, self._headers(visit, error)), error.word
        return scheme.accepted(delivery), word

    async def _keep(self, door: Door, delivery: Delivery, delivery_id: str | None) -> str:
        """Return once the delivery is on the topic; raises RefusedError when it may not be."""
        remembered = self._remembered[door.name]
        same = identity(delivery, door.scheme.topic_header, with_query=door.scheme.signs_query)
        outcome, word = remembered.find(same), "repeated"
        if outcome is None:
            if self._topics.waiting is not None:
                raise RefusedError(503, "broker_away", "it cannot be kept now: send it again later")
            word = "accepted"
            outcome = self._topics.keep(raw_record(door.name, door.topic, delivery, delivery_id, "webhook"))
            remembered.note(same, outcome)
        await self._acknowledged(outcome)
        return word

    async def _acknowledged(self, outcome: asyncio.Future[None]) -> None:
        """Shielded: others may wait for the same delivery, and a caller who has gone takes nothing back."""
        try:
            async with asyncio.timeout(self._settings.acknowledge_within / 1000 + 0.5):
                await asyncio.shield(outcome)
        except NotKeptError as error:
            if error.too_large:
                raise RefusedError(413, "too_large", "it is larger than the broker takes") from None
            raise RefusedError(503, "not_kept", "it could not be kept: send it again later") from None
        except TimeoutError:
            raise RefusedError(503, "not_kept", "it could not be kept in time: send it again later") from None

    def _headers(self, visit: "_Visit", error: RefusedError) -> dict[str, str]:
        headers = {} if visit.delivery is not None else dict(_CLOSE)
        if error.status == 503:
            headers["retry-after"] = str(max(1, self._settings.retry_after // 1000))
        return headers

    def _count_under_way(self, change: int) -> None:
        self._under_way += change
        self._counts.set("orderpulse_intake_under_way", self._under_way)

    def _now_ms(self) -> int:
        return round(self._clock() * 1000)

    def _note(self, route: str, word: str, status: int, size: int, started: float) -> None:
        seconds = time.perf_counter() - started
        self._counts.add("orderpulse_intake_requests_total", route=route, outcome=word)
        self._counts.observe("orderpulse_intake_request_seconds", seconds, route=route)
        if access.isEnabledFor(logging.INFO):
            access.info("%s %d %s, %d bytes, %.1f ms", route, status, word, size, seconds * 1000)


class _Visit:
    """One request on its way in."""

    def __init__(self, door: Door, settings: IntakeSettings, request: Request, received_ms: int) -> None:
        self.door = door
        self.delivery: Delivery | None = None
        self.size = 0
        self._settings = settings
        self._request = request
        self._received_ms = received_ms

    async def arrive(self) -> Delivery:
        """Read it whole; raises RefusedError when that takes too long or it is too large."""
        self._require_welcome()
        headers = self._headers()
        self._require_length(headers)
        try:
            async with asyncio.timeout(self._settings.body_timeout / 1000):
                body = await self._body()
        except TimeoutError:
            raise RefusedError(408, "slow", "the body did not arrive in time") from None
        except ClientDisconnect:
            raise RefusedError(400, "gone", "the connection was closed before the body was there") from None
        query: bytes = self._request.scope["query_string"]
        self.delivery = Delivery(headers, query, body, self._received_ms)
        return self.delivery

    def _require_welcome(self) -> None:
        if not self.door.networks:
            return
        client = self._request.client
        try:
            address = ip_address(client.host if client else "")
        except ValueError:
            address = None
        if address is None or not any(address in network for network in self.door.networks):
            raise RefusedError(403, "wrong_address", "this address may not call here")

    def _headers(self) -> dict[str, str]:
        """Names in small letters; of a header that comes twice the first counts, as signers send theirs once."""
        found: dict[str, str] = {}
        for name, value in self._request.scope["headers"]:
            found.setdefault(name.decode("latin-1"), value.decode("latin-1"))
        return found

    def _require_length(self, headers: Mapping[str, str]) -> None:
        length = headers.get("content-length", "")
        if length.isdigit() and int(length) > self._settings.body_limit:
            raise self._too_large()

    async def _body(self) -> bytes:
        parts = []
        async for part in self._request.stream():
            self.size += len(part)
            if self.size > self._settings.body_limit:
                raise self._too_large()
            parts.append(part)
        return b"".join(parts)

    def _too_large(self) -> RefusedError:
        return RefusedError(413, "too_large", f"the body is larger than {self._settings.body_limit} bytes")
