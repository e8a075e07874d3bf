"""Signatures over the raw body with a shared secret, in a header."""

import base64
import hashlib
import hmac
import re
from typing import ClassVar

import msgspec

from sources.webhooks.delivery import Answer, Delivery, RefusedError, json_answer
from sources.webhooks.schemes.scheme import Scheme, Secrets, header, require_recent, same, whole_number, wrong_signature

_PING = re.compile(rb"webhook_id=\d{1,20}")
_SHORT = 256  # a longer id is no id, and would be an awkward key


class _BodyHmac(Scheme):
    """HMAC-SHA256 of the body in base64."""

    signature: ClassVar[str]
    delivery_id: ClassVar[str]

    def __init__(self, secrets: Secrets) -> None:
        self._secrets = secrets

    def check(self, delivery: Delivery) -> str | None:
        given = header(delivery, self.signature)
        if not any(
            same(base64.b64encode(hmac.digest(secret, delivery.body, "sha256")), given) for secret in self._secrets
        ):
            raise wrong_signature()
        return _id(delivery, self.delivery_id)


class Shopify(_BodyHmac):
    """Shopify."""

    signature = "x-shopify-hmac-sha256"
    delivery_id = "x-shopify-webhook-id"
    topic_header = "x-shopify-topic"


class WooCommerce(_BodyHmac):
    """WooCommerce. When a webhook is made, an unsigned form with its id alone asks whether the address answers 200."""

    signature = "x-wc-webhook-signature"
    delivery_id = "x-wc-webhook-delivery-id"
    topic_header = "x-wc-webhook-topic"

    def greeting(self, delivery: Delivery) -> Answer | None:
        unsigned = self.signature not in delivery.headers
        return Answer(200) if unsigned and _PING.fullmatch(delivery.body) else None


class StandardWebhooks(Scheme):
    """Any sender that keeps to the Standard Webhooks specification: ``id.timestamp.body`` is signed."""

    def __init__(self, secrets: Secrets, window_ms: int) -> None:
        self._secrets = tuple(map(_opened, secrets))
        self._window_ms = window_ms

    def check(self, delivery: Delivery) -> str | None:
        message_id, timestamp = header(delivery, "webhook-id"), header(delivery, "webhook-timestamp")
        signed = b".".join([message_id.encode("latin-1"), timestamp.encode("latin-1"), delivery.body])
        given = [text.removeprefix("v1,") for text in header(delivery, "webhook-signature").split(" ")]
        wanted = [base64.b64encode(hmac.digest(secret, signed, "sha256")) for secret in self._secrets]
        if not any(same(each, text) for each in wanted for text in given):
            raise wrong_signature()
        require_recent(whole_number(timestamp) * 1000, delivery, self._window_ms)
        return _id(delivery, "webhook-id")


class _Challenge(msgspec.Struct):
    challenge: msgspec.Raw


class _Event(msgspec.Struct):
    event: str
    content: _Challenge


class Douyin(Scheme):
    """Douyin's open platform: SHA-1 of secret and body. It tries an address with a number that it wants back."""

    def __init__(self, secrets: Secrets) -> None:
        self._secrets = secrets

    def check(self, delivery: Delivery) -> str | None:
        given = header(delivery, "x-douyin-signature")
        if not any(same(_plain("sha1", secret + delivery.body), given) for secret in self._secrets):
            raise wrong_signature()
        return _id(delivery, "msg-id")

    def greeting(self, delivery: Delivery) -> Answer | None:
        if b"verify_webhook" not in delivery.body[:1024]:
            return None
        try:
            event = msgspec.json.decode(delivery.body, type=_Event)
            challenge = msgspec.json.decode(event.content.challenge, type=int | str)
        except (msgspec.DecodeError, UnicodeDecodeError):
            return None
        if event.event != "verify_webhook" or len(str(challenge)) > 64:
            return None
        return json_answer(200, {"challenge": challenge})


class Doudian(Scheme):
    """Douyin's shops (Doudian): MD5 or HMAC-SHA256 of app id, body and secret; a list of messages in each body."""

    def __init__(self, secrets: Secrets, app_id: bytes) -> None:
        self._secrets = secrets
        self._app_id = app_id

    def check(self, delivery: Delivery) -> str | None:
        given = header(delivery, "event-sign")
        if not same(self._app_id, delivery.headers.get("app-id", "")):
            raise RefusedError(401, "other_app", "the header app-id names another app")
        by_hmac = "hmac" in delivery.headers.get("sign-method", "")
        for secret in self._secrets:
            signed = self._app_id + delivery.body + secret
            wanted = hmac.new(secret, signed, "sha256").hexdigest().encode() if by_hmac else _plain("md5", signed)
            if same(wanted, given):
                return None
        raise wrong_signature()

    def accepted(self, delivery: Delivery) -> Answer:
        del delivery
        return json_answer(200, {"code": 0, "msg": "success"})

    def refused(self, delivery: Delivery | None, error: RefusedError) -> Answer:
        del delivery
        return json_answer(error.status, {"code": error.status, "msg": error.what})


def _plain(name: str, data: bytes) -> bytes:
    """A plain digest in hex: what these platforms prescribe, weak as it is."""
    return hashlib.new(name, data, usedforsecurity=False).hexdigest().encode()


def _opened(secret: bytes) -> bytes:
    """``whsec_`` announces a secret in base64."""
    return base64.b64decode(secret.removeprefix(b"whsec_")) if secret.startswith(b"whsec_") else secret


def _id(delivery: Delivery, name: str) -> str | None:
    value = delivery.headers.get(name)
    return value if value and len(value) <= _SHORT else None
