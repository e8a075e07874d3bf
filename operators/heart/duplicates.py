"""Which events of a key were seen before, by (source, id), for at least a horizon of event time."""

from typing import Final

from msgspec import Struct
from xxhash import xxh3_64_digest, xxh3_64_intdigest

_DIGEST_BYTES: Final = 8
_FEW_BYTES: Final = 64 * _DIGEST_BYTES

Digests = bytes | set[bytes]


class Ids(Struct, gc=False, array_like=True):
    """The ids of one key in two generations of one horizon each, as 64-bit digests of (source, id).

    A few stand one behind the other, which takes the least room; many are a set. ``until``: where the current
    generation ends, in event time.
    """

    until: int = 0
    current: Digests = b""
    previous: Digests = b""

    def __bool__(self) -> bool:
        return bool(self.current or self.previous)


class Duplicates:
    """Remembers ids in generations aligned to event time.

    An id is remembered for one horizon at least and two at most; which of the two depends on event times alone, so live
    and replay forget alike. Ids are kept with their key: two events of different orders may share an id.
    """

    def __init__(self, horizon: int) -> None:
        self._horizon = horizon
        self._seeds = Seeds()

    def seen(self, ids: Ids, source: str, event_id: str, at: int) -> bool:
        """Whether the event was seen before; if not, it is remembered. ``at`` must not go back."""
        if at >= ids.until:
            self.forget(ids, at)
        digest = xxh3_64_digest(event_id.encode(), self._seeds[source])
        current = ids.current
        if isinstance(current, set):
            if digest in current or _among(digest, ids.previous):
                return True
            current.add(digest)
            return False
        # ``find`` and not ``in``, which first tries whether the digest is a number.
        if current.find(digest) >= 0 and _among(digest, current):
            return True
        if ids.previous and _among(digest, ids.previous):
            return True
        ids.current = current + digest if len(current) < _FEW_BYTES else {digest, *_split(current)}
        return False

    def forget_at(self, ids: Ids) -> int:
        """When none of the ids that are known now needs to be remembered any more."""
        return ids.until + self._horizon if ids.current else ids.until

    def forget(self, ids: Ids, at: int) -> None:
        """Drop what needs not be remembered at ``at``."""
        if at >= ids.until:
            ids.previous = ids.current if at < ids.until + self._horizon else b""
            ids.current = b""
            ids.until = (at // self._horizon + 1) * self._horizon


class Seeds(dict[str, int]):
    """Source -> the seed that its ids are hashed with."""

    def __missing__(self, source: str) -> int:
        seed = self[source] = xxh3_64_intdigest(source.encode())
        return seed


def _among(digest: bytes, known: Digests) -> bool:
    if isinstance(known, set):
        return digest in known
    found = known.find(digest)
    while found >= 0:
        if found % _DIGEST_BYTES == 0:
            return True
        found = known.find(digest, found + 1)  # that was across two digests
    return False


def _split(digests: bytes) -> list[bytes]:
    return [digests[start : start + _DIGEST_BYTES] for start in range(0, len(digests), _DIGEST_BYTES)]
