"""Rule documents on their way to the key groups."""

from msgspec import Struct

from events.batch import Headers
from events.model import RulePublished


class Announced(Struct, frozen=True, gc=False):
    """A rule document that was found right, and where it stood.

    ``time`` is the event time at which it is heard: its own, or its bound when it came late. ``tells``: this key group,
    and no other, says what becomes of it.
    """

    time: int
    document: RulePublished
    topic: str
    partition: str
    position: int
    line: bytes
    arrival: int | None = None
    headers: Headers = ()
    tells: bool = False

    @property
    def takes_effect(self) -> int:
        """From when on it counts, unless a newer version is in effect then."""
        return max(self.time, self.document.effective_at)


def key_of(document: RulePublished) -> str:
    """What tells rules apart, also those of several kinds with one name."""
    return f"{document.kind}/{document.rule}"
