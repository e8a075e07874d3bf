"""The service: a form for operators and the same as JSON, behind a token."""

import asyncio
import base64
import binascii
import hmac
import json
import logging
import secrets
import time
from collections.abc import Callable, Mapping
from typing import Any, Final
from urllib.parse import parse_qsl, urlsplit

from starlette.applications import Starlette
from starlette.requests import ClientDisconnect, Request
from starlette.responses import HTMLResponse, JSONResponse, Response
from starlette.routing import Route

from events.normal_form import mask
from sources.fallback.desk import Desk, NotTakenError, Receipt
from sources.fallback.form import FormError, read_form
from sources.fallback.page import HEADERS, render
from sources.reader import Waiting
from sources.webhooks.counting import Counting

access: Final = logging.getLogger("orderpulse.fallback.access")
_MOST_BYTES: Final = 64 * 1024
_BODY_SECONDS: Final = 10
_FORM: Final = "application/x-www-form-urlencoded"
_OPERATOR: Final = 64


class FallbackService:
    """Answers ``GET /fallback``, ``POST /fallback/orders``, ``/healthz`` and ``/readyz``.

    The token comes as ``Authorization: Bearer``, or as the password of a login, whose name is the operator's. The log
    has numbers and masked phones, nothing else of an order.
    """

    def __init__(self, desk: Desk, token: str, counts: Counting, waiting: Callable[[], Waiting | None]) -> None:
        """``waiting``: what the broker is waited for, or None."""
        self._desk = desk
        self._token = token.encode()
        self._counts = counts
        self._waiting = waiting

    def application(self) -> Starlette:
        """The ASGI application."""
        return Starlette(
            routes=[
                Route("/fallback", self._page),
                Route("/fallback/orders", self._take, methods=["POST"]),
                Route("/healthz", self._alive),
                Route("/readyz", self._ready),
            ]
        )

    def readiness(self) -> tuple[bool, str]:
        """Whether orders reach the broker; while they do not, they are taken all the same."""
        waiting = self._waiting()
        if waiting is None:
            return True, ""
        return False, f"{self._desk.waiting_orders} orders wait in the journal: {waiting.reason}"

    async def _alive(self, _: Request) -> Response:
        return JSONResponse({"alive": True})

    async def _ready(self, _: Request) -> Response:
        ready, reason = self.readiness()
        return JSONResponse({"ready": ready, "reason": reason}, 200 if ready else 503)

    async def _page(self, request: Request) -> Response:
        try:
            self._operator(request)
        except NotTakenError as error:
            return _refused(request, error)
        return HTMLResponse(render(_fresh_id()), headers=HEADERS)

    async def _take(self, request: Request) -> Response:
        started = time.perf_counter()
        given: dict[str, str] = {}
        try:
            operator = self._operator(request)
            _require_same_origin(request)
            given = await _fields(request)
            form = read_form(given)
            receipt = await self._desk.take(form, operator)
        except FormError as error:
            self._note("invalid", 422, started)
            return _invalid(request, given, error)
        except NotTakenError as error:
            self._note(error.word, error.status, started)
            return _refused(request, error, given)
        word = "repeated" if receipt.repeated else "delivered" if receipt.delivered else "kept"
        self._note(word, 201, started, f"{receipt.taken.order_id} {mask(form.phone)}")
        return _taken(request, receipt)

    def _operator(self, request: Request) -> str | None:
        """Who asks; raises NotTakenError without the token."""
        scheme, _, given = request.headers.get("authorization", "").partition(" ")
        operator = None
        if scheme.lower() == "basic":
            try:
                operator, _, given = base64.b64decode(given, validate=True).decode().partition(":")
            except (binascii.Error, UnicodeDecodeError):
                given = ""
        if not hmac.compare_digest(given.strip().encode(), self._token):
            raise NotTakenError(401, "unauthorized", "give the operators' token: as a bearer token, or as a password")
        return operator[:_OPERATOR] if operator else None

    def _note(self, word: str, status: int, started: float, about: str = "") -> None:
        self._counts.add("orderpulse_fallback_requests_total", outcome=word)
        self._counts.set("orderpulse_fallback_waiting_orders", self._desk.waiting_orders)
        if access.isEnabledFor(logging.INFO):
            access.info("%d %s %s, %.1f ms", status, word, about, (time.perf_counter() - started) * 1000)


def _require_same_origin(request: Request) -> None:
    """A login goes along with every form that a browser sends, also one on a page of somebody else."""
    origin = request.headers.get("origin")
    foreign = request.headers.get("sec-fetch-site", "same-origin") not in ("same-origin", "none")
    if foreign or (origin is not None and urlsplit(origin).netloc != request.headers.get("host")):
        raise NotTakenError(403, "foreign_page", "the form must come from this service's own page")


async def _fields(request: Request) -> dict[str, str]:
    """The fields as texts, from JSON or a form; raises NotTakenError."""
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if kind not in (_FORM, "application/json"):
        raise NotTakenError(415, "other_type", f"send application/json or {_FORM}")
    try:
        async with asyncio.timeout(_BODY_SECONDS):
            body = await _body(request)
        return _of_form(body) if kind == _FORM else _of_json(body)
    except TimeoutError:
        raise NotTakenError(408, "slow", "the body did not arrive in time") from None
    except ClientDisconnect:
        raise NotTakenError(400, "gone", "the connection was closed before the body was there") from None
    except (ValueError, RecursionError):
        raise NotTakenError(
            400, "unreadable", "the body cannot be read: send one object of texts and numbers"
        ) from None


async def _body(request: Request) -> bytes:
    parts, size = [], 0
    async for part in request.stream():
        size += len(part)
        if size > _MOST_BYTES:
            raise NotTakenError(413, "too_large", f"the body is larger than {_MOST_BYTES} bytes")
        parts.append(part)
    return b"".join(parts)


def _of_form(body: bytes) -> dict[str, str]:
    pairs = parse_qsl(body.decode(), keep_blank_values=True, strict_parsing=bool(body), max_num_fields=50)
    found = dict(pairs)
    if len(found) != len(pairs):
        raise ValueError("a field twice")
    return found


def _of_json(body: bytes) -> dict[str, str]:
    document: Any = json.loads(body, parse_float=str, parse_int=str, object_pairs_hook=_once)
    if not isinstance(document, dict) or not all(isinstance(value, str | None) for value in document.values()):
        raise ValueError("not an object of texts and numbers")
    return {name: value for name, value in document.items() if value is not None}


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise ValueError("a field twice")
    return found


def _taken(request: Request, receipt: Receipt) -> Response:
    status = 200 if receipt.repeated else 201
    if _is_form(request):
        return HTMLResponse(render(_fresh_id(), receipt=receipt), status, headers=HEADERS)
    taken = receipt.taken
    said = {"order_id": taken.order_id, "priority": taken.priority or "normal", "delivered": receipt.delivered}
    return JSONResponse(said, status)


def _invalid(request: Request, given: Mapping[str, str], error: FormError) -> Response:
    if _is_form(request):
        page = render(given.get("request_id") or _fresh_id(), given, error.problems)
        return HTMLResponse(page, 422, headers=HEADERS)
    fields = [{"field": each.field, "zh": each.zh, "en": each.en} for each in error.problems]
    return JSONResponse({"error": "invalid", "fields": fields}, 422)


def _refused(request: Request, error: NotTakenError, given: Mapping[str, str] | None = None) -> Response:
    headers = {"connection": "close"} if error.status in (401, 403, 408, 413, 415) else {}
    if error.status == 401:
        headers["www-authenticate"] = 'Basic realm="orderpulse fallback", charset="UTF-8"'
    if error.status == 503:
        headers["retry-after"] = "5"
    if given and _is_form(request):
        page = render(given.get("request_id") or _fresh_id(), given, refused=error.what)
        return HTMLResponse(page, error.status, headers=HEADERS | headers)
    return JSONResponse({"error": error.word, "detail": error.what}, error.status, headers=headers)


def _is_form(request: Request) -> bool:
    return request.headers.get("content-type", "").startswith(_FORM)


def _fresh_id() -> str:
    """Sent along with the form, so that a second click is no second order."""
    return secrets.token_hex(16)
