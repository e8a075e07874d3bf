"""What a former run wrote behind its last snapshot: the flow writes it again, and here it is recognized.

An id that came again is forgotten at once, since a flow writes each id once. Of several processes each reads back what
all of them wrote, and is given again only what its own key groups write. So the rest is forgotten when time has passed
it: a record is written when the watermark reaches its time, the same in every run.

As long as something is remembered, a new snapshot keeps the old position: what still has to come again stands behind
that one, and behind no later one.
"""

import msgspec
from msgspec import Struct

from events.records import AlertRecord, DeadLetterRecord, DiffRecord, HoldRecord, LateRecord, VersionRecord

Stored = AlertRecord | DeadLetterRecord | DiffRecord | HoldRecord | LateRecord | VersionRecord

# A deadline is judged a moment after its time; a dead letter is written when it is read, and the watermark surely is
# past that when it is past its arrival and what an event may be ahead of its arrival.
_SLACK_MS = 60_000
_DEAD_LETTER_SLACK_MS = 3_600_000


class Trace(Struct, frozen=True, gc=False):
    """What is read of a record that stands in a log already; ``order_id`` and ``version`` where it has them."""

    id: str
    time: int | None = None
    applied_at: int | None = None
    arrival: int | None = None
    order_id: str = ""
    version: int = 0

    @property
    def settled_at(self) -> int | None:
        """The watermark (epoch ms) from which it cannot come again; None: unknown."""
        if self.time is not None:
            return max(self.time, self.applied_at or self.time) + _SLACK_MS
        return None if self.arrival is None else self.arrival + _DEAD_LETTER_SLACK_MS


_DECODER = msgspec.json.Decoder(Trace)


def trace_of(line: bytes) -> Trace | None:
    """The trace of a record's JSON; None for what is none of ours."""
    try:
        return _DECODER.decode(line)
    except (msgspec.DecodeError, UnicodeDecodeError):
        return None


class Earlier:
    """The records of one output that stand there already. Its length is how many may still come again."""

    def __init__(self) -> None:
        self._ids: set[str] = set()
        self._settled_at: int | None = 0

    def __len__(self) -> int:
        return len(self._ids)

    def add(self, trace: Trace) -> None:
        """Remember a record that was found."""
        self._remember(trace)
        if self._settled_at is not None:
            self._settled_at = None if trace.settled_at is None else max(self._settled_at, trace.settled_at)

    def met(self, record: Stored) -> bool:
        """Whether the record stands there already; it is then forgotten."""
        if record.id not in self._ids:
            return False
        self._ids.remove(record.id)
        return True

    def passed(self, watermark_ms: int) -> None:
        """Forget everything, once nothing of it can come again."""
        if self._settled_at is not None and watermark_ms > self._settled_at:
            self._forget()

    def _remember(self, trace: Trace) -> None:
        self._ids.add(trace.id)

    def _forget(self) -> None:
        self._ids.clear()


class EarlierVersions(Earlier):
    """The same for a log that is compacted: of several versions of one order only the newest may be left.

    The ones before it were written too; written once more, they would stand behind it and count as the newest.
    """

    def __init__(self) -> None:
        super().__init__()
        self._newest: dict[str, int] = {}

    def __len__(self) -> int:
        return len(self._newest)

    def met(self, record: Stored) -> bool:
        """Whether this version or a newer one stands there already; the newest is then forgotten."""
        assert isinstance(record, HoldRecord), "only holds are compacted"
        newest = self._newest.get(record.order_id, 0)
        if record.version == newest:
            del self._newest[record.order_id]
        return record.version <= newest

    def _remember(self, trace: Trace) -> None:
        self._newest[trace.order_id] = max(trace.version, self._newest.get(trace.order_id, 0))

    def _forget(self) -> None:
        self._newest.clear()
