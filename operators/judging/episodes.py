"""An alert as a whole: one episode from its first step to its last, made of alert records."""

from collections.abc import Collection, Iterable

from msgspec import Struct

from events.records import AlertRecord


class Episode(Struct, gc=False, array_like=True):
    """One alert of one run. Times are event times (epoch ms).

    ``variant`` parts alerts of one entity that run side by side, as the stages of ``stage_timeout``. ``levels``: when
    each level was first reached. ``orders``: when each order was first named, in order of joining. ``ended_at``: None
    while it is open where history ends.
    """

    rule: str
    entity_type: str
    entity_id: str
    variant: str
    opened_at: int
    levels: dict[str, int]
    orders: dict[str, int]
    ended_at: int | None = None

    @property
    def subject(self) -> tuple[str, str, str, str]:
        """What it is about: alerts of two runs can only be the same when this is."""
        return self.rule, self.entity_type, self.entity_id, self.variant


class EpisodeBook:
    """Collects the episodes of one run from its alert records, but for those of the rules ``passed_over``."""

    def __init__(self, passed_over: Collection[str] = ()) -> None:
        self._passed_over = frozenset(passed_over)
        self._episodes: dict[str, Episode] = {}

    def add(self, record: AlertRecord) -> None:
        """The next step of an alert; acknowledgements say nothing about the rule."""
        if record.step == "acknowledged" or record.rule in self._passed_over:
            return
        episode = self._episodes.get(record.episode)
        if episode is None:
            episode = self._episodes[record.episode] = Episode(
                record.rule, record.entity_type, record.entity_id, _variant(record), record.opened_at, {}, {}
            )
        if record.step == "resolved":
            episode.ended_at = record.time
        else:
            episode.levels.setdefault(record.level, record.time)
        for order in record.orders:
            episode.orders.setdefault(order, record.time)

    def episodes(self) -> list[Episode]:
        """All episodes, by their subject and opening."""
        return in_order(self._episodes.values())


def in_order(episodes: Iterable[Episode]) -> list[Episode]:
    """By subject and opening: the same list, whatever order they were found in."""
    return sorted(episodes, key=lambda episode: (*episode.subject, episode.opened_at))


def _variant(record: AlertRecord) -> str:
    """What the name of the episode has behind rule, entity and opening."""
    named = f"{record.rule}/{record.entity_type}/{record.entity_id}/{record.opened_at}"
    return record.episode.removeprefix(named).removeprefix("/")
