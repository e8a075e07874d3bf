"""``silence`` of docs/rules.md: tick after tick, over all that was counted."""

from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from datetime import datetime
from itertools import count, pairwise
from zoneinfo import ZoneInfo

from config.settings import Settings
from events.model import JobHeartbeat, OrderEvent, ReviewConfirmed, ReviewReleased
from tests.oracle.histories import Histories
from tests.oracle.model import AppliedEvent, ExpectedStep, Step

HOUR = 3_600_000
WEEK = 168 * HOUR


class Counts:
    """How much of one thing came, by the tick that ends its step."""

    def __init__(self, settings: Settings) -> None:
        self._own = settings.detectors.silence
        self._zone = ZoneInfo(settings.zone)
        self.at: Counter[int] = Counter()

    def usual(self, hour: int, last: int) -> tuple[int, int] | None:
        """The medians for that hour of the week (how much, longest silence), of whole hours before that of ``last``."""
        if not self.at:
            return None
        past = [
            (sum(self.at[tick] for tick in self._ticks_of(other)), self._longest_silence(other))
            for other in range(self._hour(min(self.at)) + 1, self._hour(last))
            if self._name(other) == self._name(hour)
        ][-self._own.weeks :]
        if len(past) < self._own.history:
            return None
        amounts, silences = sorted(n for n, _ in past), sorted(silence for _, silence in past)
        return amounts[(len(past) - 1) // 2], silences[len(past) // 2]

    def _hour(self, tick: int) -> int:
        return (tick - self._own.step) // HOUR

    def _ticks_of(self, hour: int) -> list[int]:
        return sorted(tick for tick in self.at if self._hour(tick) == hour)

    def _longest_silence(self, hour: int) -> int:
        ticks = self._ticks_of(hour)
        if not ticks:
            return HOUR
        before = max(tick for tick in self.at if tick < ticks[0])
        first = ticks[0] - (before if ticks[0] - before <= HOUR else hour * HOUR)
        return max(first, *(later - sooner for sooner, later in pairwise([*ticks, (hour + 1) * HOUR])))

    def _name(self, hour: int) -> tuple[int, int]:
        local = datetime.fromtimestamp(hour * 3600, self._zone)
        return local.weekday(), local.hour

    def told_at(self, since: int, limit: int | None) -> int | None:
        """The first tick at which silence from ``since`` on is told."""
        own = self._own
        last = max((tick for tick in self.at if tick <= since), default=0)
        usual: dict[int, tuple[int, int] | None] = {}
        start, missed, longest = since, 0, 0
        for tick in range(since + own.step, since + WEEK + 1, own.step):
            hour = self._hour(tick)
            if hour not in usual:
                usual[hour] = self.usual(hour, last)
            rate, silence = usual[hour] or (None, 0)
            if rate == 0:
                start, missed, longest = tick, 0, 0
                continue
            if limit is not None and tick - start >= limit:
                return tick
            if rate:
                missed += rate * own.step
                longest = max(longest, silence)
                if tick - start >= own.shortest + longest and missed >= own.expected * HOUR:
                    return tick
        return None


class Watch:
    """The clock of one thing, and its alert."""

    def __init__(self, kind: str, name: str, level: str) -> None:
        self._entity = kind, name
        self._level = level
        self.since: int | None = None
        self.told_at: int | None = None
        self.opened: int | None = None
        self.ended: int | None = None
        self.told = 0

    def start(self, since: int | None, told_at: int | None = None) -> None:
        """The clock runs from ``since`` on; None: it does not run."""
        self.since, self.told_at = since, told_at

    def open(self, at: int, waiting: int) -> Iterator[ExpectedStep]:
        """It is silent for too long."""
        self.opened, self.told = at, waiting
        yield self._step("opened", at)

    def grow(self, at: int, waiting: int) -> Iterator[ExpectedStep]:
        """Twice as many wait as were told."""
        if self.opened is not None and self.opened < at and waiting > self.told and waiting >= 2 * self.told:
            self.told = waiting
            yield self._step("updated", at)

    def end(self, at: int, reason: str) -> Iterator[ExpectedStep]:
        """It moves, or nothing waits."""
        if self.opened is not None:
            self.opened, self.ended = None, at
            yield self._step("resolved", at, reason)

    def _step(self, step: Step, at: int, reason: str | None = None) -> ExpectedStep:
        return ExpectedStep("silence", step, *self._entity, at, self._level, reason)


def silence(
    events: Sequence[AppliedEvent], histories: Histories, settings: Settings, end: int
) -> Iterator[ExpectedStep]:
    """Every step, for logs that are shorter than ``forget_after`` and have fewer sources than ``most``."""
    line = _Line(events, histories, settings)
    if line.first is None:
        return
    yield from line.jobs(end)
    for tick in count(line.first, settings.detectors.silence.step):
        if tick > end:
            return
        yield from line.stages(tick)
        yield from line.sources(tick)


class _Line:
    def __init__(self, events: Sequence[AppliedEvent], histories: Histories, settings: Settings) -> None:
        self._settings, self._own = settings, settings.detectors.silence
        self._chain = settings.stages
        self._initial = settings.flow.initial
        self._limits = {
            name: stage.silence for name, stage in self._chain.items() if stage.silence or name == self._initial
        }
        self._sources: dict[str, Counts] = defaultdict(lambda: Counts(settings))
        self._entered = {name: Counts(settings) for name in self._limits}
        self._moved = {name: Counts(settings) for name in self._limits}
        self._changes = {name: Counts(settings) for name in self._limits}
        self._runs: dict[str, list[AppliedEvent]] = defaultdict(list)
        for applied in events:
            self._count(applied)
        for life in histories:
            for change in life.changes:
                if change.kind in ("applied", "parcels") and change.before != change.after and change.after:
                    self._move(change.before, change.after, change.time, really=change.kind == "applied")
        ticks = [tick for counts in self._sources.values() for tick in counts.at]
        runs = [applied.time for applied in events if isinstance(applied.event, JobHeartbeat)]
        self.first: int | None = min(ticks, default=None) or (self._tick_of(runs[0]) if runs else None)
        self._began = min([*ticks, *runs], default=0)
        self._any = {tick for counts in self._sources.values() for tick in counts.at}
        self._waiting: Counter[str] = Counter()
        self._stage_watches = {
            name: Watch("stage", name, "no_orders" if name == self._initial else "silent") for name in self._limits
        }
        self._source_watches = {name: Watch("source", name, "silent") for name in sorted(self._sources)}

    def _count(self, applied: AppliedEvent) -> None:
        event = applied.event
        if isinstance(event, JobHeartbeat):
            self._runs[event.job].append(applied)
        elif (
            isinstance(event, OrderEvent)
            and not isinstance(event, ReviewReleased | ReviewConfirmed)
            and (self._own.all_sources or event.source in self._own.sources)
        ):
            self._sources[event.source].at[self._tick_of(applied.time)] += 1

    def _tick_of(self, time: int) -> int:
        """The end of the step in which something happened."""
        return (time // self._own.step + 1) * self._own.step

    def _before(self, stage: str) -> set[str]:
        return {name for name, other in self._chain.items() if stage in other.next}

    def _move(self, left: str | None, entered: str, time: int, *, really: bool) -> None:
        tick = self._tick_of(time)
        for name in self._limits:
            before = self._before(name)
            if really and entered == name:
                self._entered[name].at[tick] += 1
            if really and entered in before:
                self._moved[name].at[tick] += 1
            self._changes[name].at[tick] += (entered in before) - (left in before)

    def stages(self, tick: int) -> Iterator[ExpectedStep]:
        """The stages, at the end of a step."""
        for name, watch in self._stage_watches.items():
            self._waiting[name] += self._changes[name].at[tick]
            entered, moved = self._entered[name].at[tick], self._moved[name].at[tick]
            if name == self._initial:
                if entered:
                    yield from watch.end(tick, "moves_again")
                    watch.start(tick, self._entered[name].told_at(tick, self._limits[name]))
            elif entered or self._waiting[name] == 0:
                yield from watch.end(tick, "moves_again" if entered else "nothing_waits")
                watch.start(None)
            elif watch.since is None and moved and self._before(name):
                watch.start(tick, self._entered[name].told_at(tick, self._limits[name]))
            if watch.since is not None and watch.told_at == tick:
                yield from watch.open(tick, self._waiting[name])
            yield from watch.grow(tick, self._waiting[name])

    def sources(self, tick: int) -> Iterator[ExpectedStep]:
        """The sources, at the end of a step."""
        nothing = self._stage_watches[self._initial]
        no_orders = nothing.opened is not None
        for name, watch in self._source_watches.items():
            own = self._own.sources.get(name)
            waiting = self._before_which(own.stage if own else None)
            if self._sources[name].at[tick]:
                yield from watch.end(tick, "moves_again")
                watch.start(tick, self._sources[name].told_at(tick, own.limit if own else None))
            elif watch.since is not None and watch.opened is None and nothing.ended == tick:
                watch.start(tick, self._sources[name].told_at(tick, own.limit if own else None))
            elif no_orders or watch.told_at is None or watch.opened is not None or tick not in self._any:
                pass
            elif watch.told_at <= tick:
                yield from watch.open(tick, waiting)
            yield from watch.grow(tick, waiting)

    def _before_which(self, stage: str | None) -> int:
        return sum(self._waiting.values()) if stage is None else self._waiting[stage]

    def jobs(self, end: int) -> Iterator[ExpectedStep]:
        """The jobs; only when they open and end, since what waits for them is looked at in timelines."""
        for name in sorted({*self._runs, *self._own.jobs}):
            own = self._own.jobs.get(name)
            grace = self._own.grace if own is None or own.grace is None else own.grace
            watch = Watch("job", name, "missed_period")
            deadline = None if own is None else self._began + own.period + grace
            for applied in self._runs[name]:
                assert isinstance(applied.event, JobHeartbeat)
                period = applied.event.period if own is None else own.period
                if period is None:
                    continue
                if deadline is not None and applied.time > deadline:
                    yield from watch.open(deadline, 0)
                yield from watch.end(applied.time, "moves_again")
                deadline = applied.time + period + grace
            if deadline is not None and deadline <= end:
                yield from watch.open(deadline, 0)
