"""A shop's last stays in a stage, and the limit that follows from them."""

from collections.abc import Mapping
from typing import Any, ClassVar

from msgspec import Struct, field

from config.settings import Settings
from operators.heart.component import Context, Environment, Handler, StatefulComponent
from operators.heart.messages import LimitAsked, LimitGiven, LimitPart, StayLasted


class History(Struct, gc=False, array_like=True):
    """How long the last stays lasted (ms), oldest first.

    ``quantile`` was taken of ``count`` of them, and ``fresh`` have ended since.
    """

    lasted: list[int] = field(default_factory=list)
    quantile: int = 0
    count: int = 0
    fresh: int = 0


class StageHistory(StatefulComponent[History]):
    """Exact quantiles over the last stays of one shop in one stage; see docs/limits.md."""

    name: ClassVar[str] = "stage_history"
    stage: ClassVar[str] = "entities"
    state_type: ClassVar[type[Any]] = History
    rules: ClassVar[frozenset[str]] = frozenset({"stage_timeout"})

    def __init__(self, context: Context) -> None:
        super().__init__(context)
        self.configure(context.environment.settings)

    def configure(self, settings: Settings) -> None:
        """For limits that are given from now on."""
        own = settings.detectors.stage_timeout.history
        self._sample, self._minimum, self._refresh = own.sample, own.minimum, own.refresh
        self._quantile, self._factor = int(own.quantile), int(own.factor)
        self._at_least, self._at_most = int(own.at_least), int(own.at_most)

    @classmethod
    def enabled(cls, environment: Environment) -> bool:
        """With limits that follow history."""
        own = environment.settings.detectors.stage_timeout
        return own.enabled and own.history.enabled

    def handlers(self) -> Mapping[type, Handler]:
        """Stays that begin, and stays that have ended."""
        return {LimitAsked: self.on_asked, StayLasted: self.on_lasted}

    def on_asked(self, note: LimitAsked, at: int) -> None:
        """The limit goes on to where the order's clocks run."""
        history = self.states.get(note.key)
        limit, parts, told = note.limit, note.parts, note.told
        if history is not None and history.count >= self._minimum:
            limit, part = self._limit(history, note.limit)
            parts, told = (*parts, part), True
        given = LimitGiven(
            at, f"entities:{note.key}", note.order_id, note.parcel, note.stage, note.entered, note.since,
            limit, parts, told, note.event_id,
        )  # fmt: skip
        self.context.send("signals", given)

    def on_lasted(self, note: StayLasted, at: int) -> None:
        """One more stay; the quantile is taken anew when enough of them have ended since the last time."""
        history = self.states.get(note.key)
        if history is None:
            history = self.states[note.key] = History()
        lasted = history.lasted
        lasted.append(note.lasted)
        if len(lasted) > self._sample:
            del lasted[: len(lasted) - self._sample]
        history.fresh += 1
        if len(lasted) >= self._minimum and (history.fresh >= self._refresh or history.count < self._minimum):
            history.quantile = nearest_rank(lasted, self._quantile)
            history.count, history.fresh = len(lasted), 0

    def _limit(self, history: History, norm: int) -> tuple[int, LimitPart]:
        least, most = norm * self._at_least // 1000, norm * self._at_most // 1000
        limit = min(max(history.quantile * self._factor // 1000, least), most)
        numbers = (history.quantile, history.count, self._quantile, self._factor, least, most)
        return limit, ("history", "", numbers)


def nearest_rank(values: list[int], thousandths: int) -> int:
    """The least value that at least so many thousandths of all values do not exceed."""
    rank = -(-len(values) * thousandths // 1000)
    return sorted(values)[max(rank, 1) - 1]
