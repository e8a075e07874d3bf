"""Counts for ``silence``, once per key group and step: what each source sends, and what orders do at watched stages."""

from collections.abc import Mapping
from typing import Any, ClassVar, Final

from msgspec import Struct, field

from config.settings import Settings
from events.model import JobHeartbeat
from operators.heart.component import GROUP_KEY, Context, Environment, Handler, StatefulComponent
from operators.heart.messages import JobRun, LineCount, StageCount
from operators.orders.order_state import EventApplied, OrderOpened, StageMoved

LINE: Final = "line"
"""The key of the whole line in the stage ``entities``."""
_ORIGIN: Final = "orders:line"

Effect = tuple[str, StageCount]


class Counted(Struct, gc=False, array_like=True):
    """What a key group has counted in the step that ends at ``until``."""

    until: int
    sources: dict[str, int] = field(default_factory=dict)
    stages: dict[str, StageCount] = field(default_factory=dict)


class SilenceCounts(StatefulComponent[Counted]):
    """One note per key group and step, instead of one per event, goes to where silence is judged."""

    name: ClassVar[str] = "silence_counts"
    stage: ClassVar[str] = "orders"
    state_type: ClassVar[type[Any]] = Counted
    per_group: ClassVar[bool] = True

    def __init__(self, context: Context) -> None:
        super().__init__(context)
        settings = context.environment.settings
        self._step = int(settings.detectors.silence.step)
        self._before = {name: stages_before(settings, name) for name in watched_stages(settings)}
        self._effects = {
            before: {after: self._effects_of(before, after) for after in settings.stages}
            for before in (None, *settings.stages)
        }

    @classmethod
    def enabled(cls, environment: Environment) -> bool:
        """With ``silence``."""
        return environment.settings.detectors.silence.enabled

    def handlers(self) -> Mapping[type, Handler]:
        """Every event of an order, the moves of whole orders, amounts that come late, and heartbeats."""
        return {
            EventApplied: self.on_applied,
            StageMoved: self.on_moved,
            OrderOpened: self.on_opened,
            JobHeartbeat: self.on_heartbeat,
        }

    def on_applied(self, fact: EventApplied, at: int) -> None:
        """One more event of its source."""
        counted = self.states.get(GROUP_KEY)
        if counted is None:
            counted = self._begin(at)
        sources = counted.sources
        source = fact.event.source
        sources[source] = sources.get(source, 0) + 1

    def on_moved(self, fact: StageMoved, at: int) -> None:
        """An order as a whole stands elsewhere. It has not moved where only a parcel became a unit of its own."""
        if fact.parcel is not None:
            return
        for stage, effect in self._effects[fact.before][fact.after]:
            count = self._count_of(stage, at)
            if not fact.split:
                count.entered += effect.entered
                count.moved += effect.moved
            count.waiting += effect.waiting
            count.amount += effect.waiting * fact.order.amount

    def on_opened(self, fact: OrderOpened, at: int) -> None:
        """The amount of an order becomes known; it may stand in a stage already, without having been created."""
        for stage, before in self._before.items():
            if fact.order.stage in before:
                self._count_of(stage, at).amount += fact.order.amount

    def on_heartbeat(self, event: JobHeartbeat, at: int) -> None:
        """A job has run: handed on to where all jobs are watched."""
        self.context.send("entities", JobRun(at, f"orders:job:{event.job}", LINE, event.job, event.period, event.id))

    def on_timer(self, key: str, due: int) -> None:
        """The step has ended: its counts go to where silence is judged."""
        counted = self.states.pop(key, None)
        if counted is not None:
            self.context.send("entities", LineCount(due, _ORIGIN, LINE, counted.sources, counted.stages))

    def _begin(self, at: int) -> Counted:
        until = (at // self._step + 1) * self._step
        counted = self.states[GROUP_KEY] = Counted(until)
        self.context.arm(GROUP_KEY, until)
        return counted

    def _count_of(self, stage: str, at: int) -> StageCount:
        counted = self.states.get(GROUP_KEY)
        if counted is None:
            counted = self._begin(at)
        count = counted.stages.get(stage)
        if count is None:
            count = counted.stages[stage] = StageCount()
        return count

    def _effects_of(self, left: str | None, entered: str) -> tuple[Effect, ...]:
        """What a move of an order is at each watched stage."""
        effects = []
        for stage, before in self._before.items():
            waiting = (entered in before) - (left in before)
            effect = StageCount(int(entered == stage), int(entered in before), waiting)
            if effect != StageCount():
                effects.append((stage, effect))
        return tuple(effects)


def watched_stages(settings: Settings) -> tuple[str, ...]:
    """The stages that are watched, in the order of the chain: the first of all, and those with a limit of silence."""
    return tuple(
        name for name, stage in settings.stages.items() if name == settings.flow.initial or stage.silence is not None
    )


def stages_before(settings: Settings, stage: str) -> frozenset[str]:
    """The stages that ``stage`` follows: who stands in one of them waits to enter it."""
    return frozenset(name for name, other in settings.stages.items() if stage in other.next)
