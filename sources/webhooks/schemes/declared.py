"""Signatures of platforms that no other scheme knows, as the settings of the route describe them."""

import base64
import hashlib
import hmac
import re
from collections.abc import Callable

from config.settings import IntakeSignature
from sources.webhooks.delivery import Answer, Delivery
from sources.webhooks.schemes.scheme import Scheme, Secrets, header, require_recent, same, whole_number, wrong_signature

_PLACE = re.compile(r"\{([^{}]+)\}")
_UNITS = {"epoch_s": 1000, "epoch_ms": 1}
_SHORT = 256  # a longer id is no id, and would be an awkward key

Part = Callable[[Delivery, bytes], bytes]  # a delivery and the secret to what is signed of them


class Declared(Scheme):
    """A digest, or an HMAC, of body, headers, app id and secret in a header, in hex or base64."""

    def __init__(self, declared: IntakeSignature, secrets: Secrets, app_id: bytes, window_ms: int) -> None:
        self._declared = declared
        self._secrets = secrets
        self._window_ms = window_ms
        self._parts = _parts(declared.of, app_id)

    def check(self, delivery: Delivery) -> str | None:
        declared = self._declared
        given = header(delivery, declared.header.lower()).removeprefix(declared.prefix)
        if declared.encoding == "hex":
            given = given.lower()
        if not any(same(self._signature(delivery, secret), given) for secret in self._secrets):
            raise wrong_signature()
        if declared.time_header is not None:
            moment = whole_number(header(delivery, declared.time_header.lower())) * _UNITS[declared.time_format]
            require_recent(moment, delivery, self._window_ms)
        given_id = delivery.headers.get(declared.id_header.lower()) if declared.id_header else None
        return given_id if given_id and len(given_id) <= _SHORT else None

    def accepted(self, delivery: Delivery) -> Answer:
        del delivery
        text = self._declared.accepted
        kind = "application/json" if text.startswith("{") else "text/plain; charset=utf-8"
        return Answer(200, text.encode(), kind) if text else Answer(200)

    def _signature(self, delivery: Delivery, secret: bytes) -> bytes:
        signed = b"".join(part(delivery, secret) for part in self._parts)
        method = self._declared.method
        if method.startswith("hmac-"):
            digest = hmac.digest(secret, signed, method.removeprefix("hmac-"))
        else:
            digest = hashlib.new(method, signed, usedforsecurity=False).digest()
        return base64.b64encode(digest) if self._declared.encoding == "base64" else digest.hex().encode()


def _parts(of: str, app_id: bytes) -> list[Part]:
    pieces = _PLACE.split(of)  # text, name, text, name, ..., text
    parts: list[Part] = []
    for at, piece in enumerate(pieces):
        if at % 2:
            parts.append(_named(piece, app_id))
        elif piece:
            parts.append(_constant(piece.encode()))
    return parts


def _named(name: str, app_id: bytes) -> Part:
    if name == "body":
        return lambda delivery, _secret: delivery.body
    if name == "secret":
        return lambda _delivery, secret: secret
    if name == "app_id":
        return _constant(app_id)
    return lambda delivery, _secret: header(delivery, name.lower()).encode("latin-1")


def _constant(text: bytes) -> Part:
    return lambda _delivery, _secret: text
