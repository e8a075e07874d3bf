"""Raw records: a delivery as it stands in its raw topic, with the headers that it came with but no secret."""

from collections.abc import Iterable, Mapping
from functools import lru_cache
from hashlib import sha256
from typing import Literal

from msgspec import Struct

from sources.webhooks.delivery import Delivery, RefusedError
from sources.webhooks.parameters import parse

Origin = Literal["webhook", "poll"]
LEFT_OUT = "(left out)"
_HTTP = "http_"
# A header or parameter whose name holds one of these may be a secret, or let someone repeat the delivery elsewhere.
_SECRET = ("authorization", "cookie", "token", "secret", "password", "session", "api-key", "apikey", "hmac", "sign")
_NO_SECRET = frozenset({"sign_method", "sign_type", "sign-method"})


class RawRecord(Struct, frozen=True):
    """What goes to a raw topic: ``key`` is the delivery's id or the hash of its body."""

    topic: str
    key: bytes
    value: bytes
    headers: list[tuple[str, bytes]]


class RawDelivery(Struct, frozen=True):
    """What a raw record says besides its body. ``received_ms``: when it was taken in, None where nothing says so."""

    route: str
    origin: str
    delivery_id: str | None
    received_ms: int | None
    headers: dict[str, str]
    query: dict[str, str]


def raw_record(route: str, topic: str, delivery: Delivery, delivery_id: str | None, origin: Origin) -> RawRecord:
    """The raw record of a delivery."""
    key = delivery_id.encode() if delivery_id else sha256(delivery.body).hexdigest().encode()
    headers = [
        ("op_route", route.encode()),
        ("op_origin", origin.encode()),
        ("op_received", str(delivery.received_ms).encode()),
    ]
    if delivery_id:
        headers.append(("op_delivery", delivery_id.encode()))
    if delivery.query:
        headers.append(("op_query", _query_without_secrets(delivery.query)))
    headers += [
        (_HTTP + name, (LEFT_OUT if is_secret(name) else value).encode("latin-1", "replace"))
        for name, value in delivery.headers.items()
    ]
    return RawRecord(topic, key, delivery.body, headers)


def raw_delivery(headers: Iterable[tuple[str, bytes | None]], route: str) -> RawDelivery:
    """What the headers of a raw record say; a record that others wrote may have none of them."""
    texts = {name: (value or b"").decode("utf-8", "replace") for name, value in headers}
    received = texts.get("op_received", "")
    return RawDelivery(
        route=route,
        origin=texts.get("op_origin", ""),
        delivery_id=texts.get("op_delivery"),
        received_ms=int(received) if received.isdigit() and received.isascii() else None,
        headers={name.removeprefix(_HTTP): value for name, value in texts.items() if name.startswith(_HTTP)},
        query=_texts(texts.get("op_query", "").encode()),
    )


@lru_cache(maxsize=4096)
def is_secret(name: str) -> bool:
    """Whether the value of a header or parameter of that name must not be kept."""
    small = name.lower()
    return small not in _NO_SECRET and any(word in small for word in _SECRET)


def _query_without_secrets(query: bytes) -> bytes:
    pairs = (pair.partition(b"=") for pair in query.split(b"&"))
    return b"&".join(
        name + equals + (LEFT_OUT.encode() if is_secret(name.decode("latin-1")) else value)
        for name, equals, value in pairs
    )


def _texts(query: bytes) -> dict[str, str]:
    try:
        found: Mapping[bytes, bytes] = parse(query)
    except RefusedError:
        return {}
    return {name.decode("utf-8", "replace"): value.decode("utf-8", "replace") for name, value in found.items()}
