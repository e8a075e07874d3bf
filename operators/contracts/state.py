"""What is remembered of one source."""

from typing import Literal

from msgspec import Struct, field

from events.model import ContractCounted

Level = Literal[
    "vanished",
    "unparsable",
    "unknown_status",
    "decrypt_failed",
    "time_offset",
    "new_field",
    "new_header",
    "scheme_changed",
]


class Example(Struct, gc=False, array_like=True, order=True):
    """One record: when it arrived and where it stands."""

    since: int
    partition: str
    position: int

    def __str__(self) -> str:
        return f"{self.partition}/{self.position}"


class Deviated(Struct, gc=False, array_like=True):
    """How many records deviate in one way, and the first of them."""

    count: int
    first: Example


class Looks(Struct, gc=False, array_like=True):
    """How often a field was looked at, and what was wrong, by the words of ``events.model.Deviation``."""

    seen: int = 0
    wrong: dict[str, Deviated] = field(default_factory=dict)


class Slice(Struct, gc=False, array_like=True):
    """What was counted at one time."""

    time: int
    records: int
    fields: dict[str, Looks]


class Past(Struct, gc=False, array_like=True):
    """The same of a field's past, as numbers alone."""

    seen: int = 0
    wrong: dict[str, int] = field(default_factory=dict)


class OpenShare(Struct, gc=False, array_like=True):
    """An open alert about a share. ``counted``: the deviations that it is about; ``limit``: in thousandths."""

    opened_at: int
    counted: tuple[str, ...]
    limit: int
    first: Example
    affected: int


class OpenNew(Struct, gc=False, array_like=True):
    """An open alert about a name or a value that had not been there."""

    opened_at: int
    first: Example
    before: tuple[str, ...] = ()


class Source(Struct, gc=False, array_like=True):
    """One source.

    ``pending``: the counts of the moment that is not judged yet. ``window``: what is judged, oldest first. ``shares``:
    open alerts by level and field. ``names``, ``values``: what is known, with the time at which it was last seen;
    ``new``: the open alerts about what was not.
    """

    pending_at: int = 0
    pending: list[ContractCounted] = field(default_factory=list)
    records: int = 0
    window: list[Slice] = field(default_factory=list)
    past: dict[str, Past] = field(default_factory=dict)
    shares: dict[str, dict[str, OpenShare]] = field(default_factory=dict)
    names: dict[str, int] = field(default_factory=dict)
    values: dict[str, dict[str, int]] = field(default_factory=dict)
    new: dict[str, OpenNew] = field(default_factory=dict)
