"""What every scheme of signatures offers, and the parts that several share."""

import hmac
from typing import ClassVar

from sources.webhooks.delivery import Answer, Delivery, RefusedError, json_answer

Secrets = tuple[bytes, ...]


class Scheme:
    """Checks deliveries of one platform and words its answers. One object serves all deliveries of a route."""

    topic_header: ClassVar[str] = ""  # names the kind of message, where that is not in the body
    signs_query: ClassVar[bool] = False

    def check(self, delivery: Delivery) -> str | None:
        """The id that the platform gave to this delivery, or None; raises RefusedError when it is not genuine."""
        raise NotImplementedError

    def greeting(self, delivery: Delivery) -> Answer | None:
        """The answer to a message that only tries the address; None: it is an ordinary delivery.

        Asked before ``check`` where the platform does not sign it: so it may give away nothing and change nothing.
        """
        del delivery
        return None

    def accepted(self, delivery: Delivery) -> Answer:
        """Said once the delivery is kept."""
        del delivery
        return Answer(200)

    def refused(self, delivery: Delivery | None, error: RefusedError) -> Answer:
        """Said when it is not; ``delivery`` is None where it did not arrive whole."""
        del delivery
        return json_answer(error.status, {"error": error.word, "detail": error.what})


def same(expected: bytes, given: str) -> bool:
    """Compare in a time that does not tell where they differ."""
    return hmac.compare_digest(expected, given.encode("latin-1", "replace"))


def header(delivery: Delivery, name: str) -> str:
    """A header that the signature needs; raises RefusedError."""
    value = delivery.headers.get(name)
    if not value:
        raise RefusedError(401, "unsigned", f"the header {name} is missing")
    return value


def wrong_signature() -> RefusedError:
    """The signature does not fit the delivery."""
    return RefusedError(401, "bad_signature", "the signature does not fit: check that both sides use the same secret")


def require_recent(signed_ms: int, delivery: Delivery, window_ms: int) -> None:
    """Raises RefusedError for a signed moment outside of the replay window."""
    if abs(delivery.received_ms - signed_ms) > window_ms:
        raise RefusedError(401, "too_old", "the signed time lies outside of the replay window: check both clocks")


def whole_number(text: str | bytes) -> int:
    """A signed time as it stands; raises RefusedError for anything but a few digits."""
    if not (text.isdigit() and len(text) <= 13 and text.isascii()):
        raise RefusedError(401, "bad_time", "the signed time is not a number")
    return int(text)
