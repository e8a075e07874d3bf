"""One delivery of a platform, and what it is answered."""

import json
from collections.abc import Mapping
from hashlib import sha256

from msgspec import Struct

JSON = "application/json"


class Delivery(Struct, frozen=True):
    """A request as it came: names of headers in small letters, ``query`` and ``body`` as bytes on the wire."""

    headers: Mapping[str, str]
    query: bytes
    body: bytes
    received_ms: int


class Answer(Struct, frozen=True):
    """What a caller gets."""

    status: int
    body: bytes = b""
    content_type: str = "text/plain; charset=utf-8"
    headers: dict[str, str] = {}


class RefusedError(Exception):
    """A delivery is not taken. ``word`` is counted and logged, ``what`` tells the caller; neither quotes the body."""

    def __init__(self, status: int, word: str, what: str) -> None:
        super().__init__(status, word, what)
        self.status = status
        self.word = word
        self.what = what


def json_answer(status: int, content: Mapping[str, object]) -> Answer:
    """An answer with a JSON object."""
    return Answer(status, json.dumps(content, ensure_ascii=False).encode(), JSON)


def identity(delivery: Delivery, topic_header: str, *, with_query: bool) -> bytes:
    """What makes two deliveries the same: all that is signed, and the kind of message that a header names.

    Ids in headers have no part in it: they are not signed, so a repetition could come under any.
    """
    digest = sha256(delivery.headers.get(topic_header, "").encode())
    digest.update(b"\0" + (delivery.query if with_query else b"") + b"\0")
    digest.update(delivery.body)
    return digest.digest()
