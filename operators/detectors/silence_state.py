"""What ``silence`` remembers: of all stages, sources and jobs that are watched, and of the alerts that are open."""

from collections.abc import Collection, Mapping
from typing import Literal

from msgspec import Struct, field

from operators.detectors.usual_rate import Rhythm
from operators.heart.messages import StageCount

Kind = Literal["stage", "source", "job"]
Waiting = tuple[int, int]
"""(orders, fen)."""


class Episode(Struct, gc=False, array_like=True):
    """An open alert: since when there is silence, the most orders and their amount (fen) that waited, and how many
    orders were told last.
    """

    level: str
    since: int
    opened_at: int
    orders: int = 0
    amount: int = 0
    told: int = 0

    @classmethod
    def opened(cls, level: str, since: int, at: int, waiting: Waiting) -> "Episode":
        """An alert that opens now, and tells how many orders wait."""
        orders, amount = waiting
        return cls(level, since, at, orders, amount, orders)


class SilentStage(Struct, gc=False, array_like=True):
    """A watched stage. ``since``: its clock runs from there, 0: it does not; ``look_at``: when to judge, 0: never.

    ``other``: how much happened elsewhere since then: moves before it, for the first stage all events.
    """

    rhythm: Rhythm = field(default_factory=Rhythm)
    since: int = 0
    look_at: int = 0
    other: int = 0
    orders: int = 0
    amount: int = 0
    episode: Episode | None = None


class SilentSource(Struct, gc=False, array_like=True):
    """A source. ``since``: the end of the last step in which it sent anything; ``other``: as for stages."""

    rhythm: Rhythm = field(default_factory=Rhythm)
    since: int = 0
    look_at: int = 0
    other: int = 0
    episode: Episode | None = None


class SilentJob(Struct, gc=False, array_like=True):
    """A job. ``since``: when it ran last, or was first waited for; ``event_id``: the heartbeat, if there was any."""

    since: int
    period: int
    deadline: int
    event_id: str = ""
    episode: Episode | None = None


class Line(Struct, gc=False, array_like=True):
    """Everything that is watched, and the counts of the step that ends at ``tick`` (0: there are none)."""

    tick: int = 0
    counted_sources: dict[str, int] = field(default_factory=dict)
    counted_stages: dict[str, StageCount] = field(default_factory=dict)
    stages: dict[str, SilentStage] = field(default_factory=dict)
    sources: dict[str, SilentSource] = field(default_factory=dict)
    jobs: dict[str, SilentJob] = field(default_factory=dict)


Watched = SilentStage | SilentSource | SilentJob


def waiting_before(line: Line, stage: str | None) -> Waiting:
    """How many orders wait before a stage, or before all that are watched."""
    stages = tuple(line.stages.values()) if stage is None else (line.stages[stage],)
    return sum(item.orders for item in stages), sum(item.amount for item in stages)


def gone(
    watched: Mapping[str, SilentSource] | Mapping[str, SilentJob], named: Collection[str], before: int
) -> list[str]:
    """The names of those that were last heard of up to ``before``, and are not in ``named``."""
    return [name for name, item in watched.items() if item.since <= before and name not in named]
