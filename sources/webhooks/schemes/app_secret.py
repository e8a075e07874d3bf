"""Signatures over sorted parameters between two secrets: the form of the large Chinese platforms' gateways."""

import hashlib
import hmac
from datetime import datetime
from typing import Literal
from zoneinfo import ZoneInfo

from sources.webhooks.delivery import Answer, Delivery, RefusedError, json_answer
from sources.webhooks.parameters import Parameters, is_form, merged, parse
from sources.webhooks.schemes.scheme import Scheme, Secrets, require_recent, same, whole_number, wrong_signature

_ZONE = ZoneInfo("Asia/Shanghai")
Clock = Literal["local", "epoch_s"]


class AppSecret(Scheme):
    """``secret + name1 + value1 + ... [+ body] + secret``, MD5 or HMAC, in hex.

    Parameters come in the query, or in the query and a form. ``with_body``: a body that is no form is signed behind the
    parameters; otherwise such a body is refused, for nothing would vouch for it. ``clock``: how ``timestamp`` is
    written: Chinese local time, or seconds.
    """

    signs_query = True

    def __init__(self, secrets: Secrets, window_ms: int, clock: Clock, *, with_body: bool) -> None:
        self._secrets = secrets
        self._window_ms = window_ms
        self._clock: Clock = clock
        self._with_body = with_body

    def check(self, delivery: Delivery) -> str | None:
        parameters, rest = self._parts(delivery)
        given = parameters.pop(b"sign", b"")
        if not given:
            raise RefusedError(401, "unsigned", "the parameter sign is missing")
        method = parameters.get(b"sign_method", b"md5")
        middle = b"".join(name + parameters[name] for name in sorted(parameters)) + rest
        given_text = given.decode("latin-1").upper()
        if not any(same(_digest(method, middle, secret), given_text) for secret in self._secrets):
            raise wrong_signature()
        require_recent(self._moment(parameters.get(b"timestamp", b"")), delivery, self._window_ms)
        return None

    def _parts(self, delivery: Delivery) -> tuple[Parameters, bytes]:
        query = parse(delivery.query)
        if is_form(delivery):
            return merged(query, parse(delivery.body)), b""
        if delivery.body and not self._with_body:
            raise RefusedError(400, "unsigned_body", "the body is no form, so the signature does not cover it")
        return query, delivery.body

    def _moment(self, text: bytes) -> int:
        if not text:
            raise RefusedError(401, "bad_time", "the parameter timestamp is missing")
        if self._clock == "epoch_s":
            return whole_number(text) * 1000
        try:
            moment = datetime.strptime(text.decode("latin-1"), "%Y-%m-%d %H:%M:%S")  # noqa: DTZ007  # zone follows
        except ValueError:
            raise RefusedError(401, "bad_time", "timestamp is not a time like 2026-01-31 08:00:00") from None
        return int(moment.replace(tzinfo=_ZONE).timestamp() * 1000)


class Taobao(AppSecret):
    """Calls of Qimen, the gateway of Taobao and Tmall; they want their answer in their own words, XML or JSON."""

    def accepted(self, delivery: Delivery) -> Answer:
        return _qimen(delivery, 200, "success", "0", "")

    def refused(self, delivery: Delivery | None, error: RefusedError) -> Answer:
        code = "sign-check-failure" if error.status == 401 else error.word
        return _qimen(delivery, error.status, "failure", code, error.what)


def _qimen(delivery: Delivery | None, status: int, flag: str, code: str, message: str) -> Answer:
    if delivery is not None and b"format=json" in delivery.query:
        return json_answer(status, {"response": {"flag": flag, "code": code, "message": message}})
    text = f"<response><flag>{flag}</flag><code>{code}</code><message>{message}</message></response>"
    return Answer(status, f'<?xml version="1.0" encoding="utf-8"?>{text}'.encode(), "text/xml; charset=utf-8")


def _digest(method: bytes, middle: bytes, secret: bytes) -> bytes:
    if method == b"md5":
        return hashlib.md5(secret + middle + secret, usedforsecurity=False).hexdigest().upper().encode()
    if method == b"hmac":
        return hmac.new(secret, middle, "md5").hexdigest().upper().encode()
    if method == b"hmac-sha256":
        return hmac.new(secret, middle, "sha256").hexdigest().upper().encode()
    raise RefusedError(401, "unknown_method", "sign_method is none of md5, hmac and hmac-sha256")
