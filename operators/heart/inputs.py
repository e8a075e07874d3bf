"""What a key group is fed: raw records and notes, with the watermark of the origin that sends them."""

from collections.abc import Sequence

from msgspec import Struct, field

from events.batch import Headers
from events.model import AnyEvent
from events.records import Record
from operators.heart.messages import AnyNote
from operators.rules.documents import Announced


class Chunk(Struct, gc=False):
    """Records of one partition for one key group: either raw ``lines``, to be decoded there, or ``events``.

    ``late`` maps the index of a late record to the event time at which it is applied. ``arrivals`` is empty where
    arrivals do not count; ``headers`` holds those of the few records that have any, by index.
    """

    partition: str
    topic: str
    lines: list[bytes] = field(default_factory=list)
    positions: list[int] = field(default_factory=list)
    events: list[AnyEvent] = field(default_factory=list)
    late: dict[int, int] | None = None
    arrivals: list[int] = field(default_factory=list)
    headers: dict[int, Headers] | None = None


class GroupInput(Struct, frozen=True, gc=False):
    """One delivery to a key group, or the same to several.

    Everything that ``origin`` sends later has an event time above ``watermark``.
    ``ended``: the origin will send nothing more, and this is the last event time of its input.
    """

    origin: str
    watermark: int
    chunks: Sequence[Chunk] = ()
    notes: Sequence[AnyNote] = ()
    ended: int | None = None
    rules: Sequence[Announced] = ()


class Counts(Struct):
    """What a key group did in one advance, and what it holds now.

    ``failed_conditions``: (composite rule, why) -> conditions that could not be judged; None: there are none.
    """

    applied: int = 0
    duplicates: int = 0
    buffered: int = 0
    entries: int = 0
    failed_conditions: dict[tuple[str, str], int] | None = None


class GroupOutput(Struct, gc=False):
    """What a key group gives back: its new watermark, notes per stage and key group, records for the sinks.

    ``rule_versions``: rule -> version, where documents have changed them.
    """

    watermark: int
    notes: dict[str, dict[int, list[AnyNote]]] = field(default_factory=dict)
    records: list[Record] = field(default_factory=list)
    counts: Counts = field(default_factory=Counts)
    rule_versions: dict[str, int] | None = None

    @property
    def says_nothing(self) -> bool:
        """Whether nothing came of it but the watermark and what is held now."""
        counts = self.counts
        return not (
            self.notes
            or self.records
            or counts.applied
            or counts.duplicates
            or counts.failed_conditions
            or self.rule_versions
        )
