"""``silence``: a stage, a source or a scheduled job that stops producing, against its own usual rate or its limit."""

from collections.abc import Iterator, Mapping
from typing import Any, ClassVar, Final

from config.settings import JobSilence, Settings, SourceSilence
from events.explanation import Look
from events.records import Severity, Step
from operators.detectors.silence_counts import LINE, stages_before, watched_stages
from operators.detectors.silence_state import (
    Episode,
    Kind,
    Line,
    SilentJob,
    SilentSource,
    SilentStage,
    Watched,
    gone,
    waiting_before,
)
from operators.detectors.usual_rate import HOUR, UsualRate
from operators.heart.component import Alerts, Context, Environment, Handler, StatefulComponent
from operators.heart.messages import JobRun, LineCount, StageCount

SEVERITY: Final[Mapping[tuple[str, str], Severity]] = {
    ("stage", "silent"): "critical",
    ("stage", "no_orders"): "warning",
    ("source", "silent"): "warning",
    ("job", "missed_period"): "critical",
}
_REASONS: Final = {"silent": "stands_still", "no_orders": "no_orders", "missed_period": "missed_period"}


class Silence(StatefulComponent[Line]):
    """Judges the whole line at the end of each step in which anything came, and when a limit runs out."""

    name: ClassVar[str] = "silence"
    stage: ClassVar[str] = "entities"
    state_type: ClassVar[type[Any]] = Line
    rules: ClassVar[frozenset[str]] = frozenset({"silence"})

    def __init__(self, context: Context) -> None:
        super().__init__(context)
        self.configure(context.environment.settings)

    def configure(self, settings: Settings) -> None:
        """Limits for what is silent from now on, and for what is looked at again."""
        own = self._settings = settings.detectors.silence
        self._alerts = Alerts(self.context, self.name, own.version)
        self._usual = UsualRate(settings)
        self._forget_after = int(own.forget_after)
        self._watched = {name: settings.stages[name].silence for name in watched_stages(settings)}
        self._first = settings.flow.initial
        self._ahead = {name: bool(stages_before(settings, name)) for name in self._watched}

    @classmethod
    def enabled(cls, environment: Environment) -> bool:
        """As its settings say."""
        return environment.settings.detectors.silence.enabled

    def handlers(self) -> Mapping[type, Handler]:
        """Counts of all key groups, and runs of jobs."""
        return {LineCount: self.on_count, JobRun: self.on_run}

    def on_count(self, note: LineCount, at: int) -> None:
        """What one key group counted in a step; it is judged once all of them have spoken."""
        line = self._line(note.key, at)
        line.tick = at
        for name, count in note.sources.items():
            line.counted_sources[name] = line.counted_sources.get(name, 0) + count
        for name, stage in note.stages.items():
            line.counted_stages.setdefault(name, StageCount()).add(stage)
        self.context.arm(note.key, at + 1)

    def on_run(self, note: JobRun, at: int) -> None:
        """A job has run; how long it may now rest is said by the settings, else by the heartbeat itself."""
        line = self._line(note.key, at)
        own = self._settings.jobs.get(note.job)
        period = note.period if own is None else int(own.period)
        if period is None:
            return
        job = line.jobs.get(note.job)
        if job is None:
            if len(line.jobs) >= self._settings.most:
                return
            job = line.jobs[note.job] = SilentJob(at, period, 0)
        self._end("job", note.job, job, at, "moves_again")
        job.since, job.period, job.event_id = at, period, note.event_id
        job.deadline = at + period + self._grace(own)
        self.context.arm(note.key, job.deadline + 1)

    def on_timer(self, key: str, due: int) -> None:
        """Everything up to ``due - 1`` has happened: judge it."""
        line = self.states.get(key)
        if line is None:
            return
        now = due - 1
        counted = 0 < line.tick <= now
        without_orders = line.stages[self._first].episode is not None
        if counted:
            self._take_over(line, now)
        for name, stage in line.stages.items():
            if stage.look_at and stage.look_at <= now:
                self._look_at_stage(name, stage, now)
        if counted:
            if line.stages[self._first].episode is None:
                self._look_at_sources(line, now, anew=without_orders)
            self._tell_growth(line, now)
            self._forget(line, now)
        for name, job in line.jobs.items():
            if job.episode is None and job.deadline <= now:
                self._miss(line, name, job)
        following = min(self._following(line), default=None)
        if following is not None:
            self.context.arm(key, following + 1)

    def explain(self, key: str, at: int) -> Iterator[Look]:
        """How long what is watched has been silent, against the moment at which it is next looked at."""
        line = self.states.get(key) or Line()
        clocks = [
            *((f"stage/{name}", each.since, each.look_at) for name, each in line.stages.items()),
            *((f"source/{name}", each.since, each.look_at) for name, each in line.sources.items()),
            *((f"job/{name}", each.since, each.deadline) for name, each in line.jobs.items()),
        ]
        for subject, since, due in clocks:
            if since and due:
                yield Look(
                    rule=self.name,
                    subject=subject,
                    value=max(0, at - since),
                    threshold=due - since,
                    unit="ms",
                    since=since,
                    due=due,
                )

    def _line(self, key: str, at: int) -> Line:
        line = self.states.get(key)
        if line is None:
            line = self.states[key] = Line(stages={name: SilentStage() for name in self._watched})
            for name, job in self._settings.jobs.items():
                line.jobs[name] = SilentJob(at, int(job.period), at + job.period + self._grace(job))
                self.context.arm(key, line.jobs[name].deadline + 1)
        return line

    def _grace(self, job: JobSilence | None) -> int:
        return int(self._settings.grace if job is None or job.grace is None else job.grace)

    def _following(self, line: Line) -> Iterator[int]:
        yield from (stage.look_at for stage in line.stages.values() if stage.look_at)
        yield from (job.deadline for job in line.jobs.values() if job.episode is None)

    def _take_over(self, line: Line, now: int) -> None:
        """Count in what came in the step that ends ``now``: what moves again, and what begins to be silent."""
        sources, stages = line.counted_sources, line.counted_stages
        line.tick, line.counted_sources, line.counted_stages = 0, {}, {}
        total = sum(sources.values())
        for name, stage in line.stages.items():
            count = stages.get(name) or StageCount()
            stage.orders += count.waiting
            stage.amount += count.amount
            if name == self._first:
                self._count_first(name, stage, count, total, now)
            elif self._ahead[name]:
                self._count_stage(name, stage, count, now)
            if count.entered:
                self._usual.add(stage.rhythm, now, count.entered)
        self._count_sources(line, sources, total, now)

    def _count_first(self, name: str, stage: SilentStage, count: StageCount, total: int, now: int) -> None:
        """New orders: nothing stands before the first stage, its clock runs from its last one on."""
        if count.entered:
            self._end("stage", name, stage, now, "moves_again")
            self._start(name, stage, now, 0)
        else:
            stage.other += total

    def _count_stage(self, name: str, stage: SilentStage, count: StageCount, now: int) -> None:
        """The clock of a stage starts when orders come to stand before it, and ends when one enters or none waits."""
        if count.entered or stage.orders <= 0:
            reason = "moves_again" if count.entered else "nothing_waits"
            self._end("stage", name, stage, now, reason)
            stage.since = stage.look_at = stage.other = 0
        elif not stage.since and count.moved:
            self._start(name, stage, now, count.moved)
        elif stage.since:
            stage.other += count.moved

    def _start(self, name: str, stage: SilentStage, now: int, other: int) -> None:
        stage.since, stage.other = now, other
        stage.look_at = self._usual.earliest(now, self._watched[name])

    def _look_at_stage(self, name: str, stage: SilentStage, now: int) -> None:
        """``look_at`` is the earliest moment at which silence may be told; whether it is depends on the usual rate."""
        deadline = self._usual.deadline(stage.rhythm, stage.since, self._watched[name])
        stage.look_at = 0 if deadline is None or deadline <= now else deadline
        if deadline is None or deadline > now:
            return
        level = "no_orders" if name == self._first else "silent"
        stage.episode = Episode.opened(level, stage.since, now, (stage.orders, stage.amount))
        self._send("stage", name, stage, "opened", now, _REASONS[level])

    def _count_sources(self, line: Line, counts: Mapping[str, int], total: int, now: int) -> None:
        for name, count in sorted(counts.items()):
            source = self._watch(line, name)
            if source is not None:
                self._end("source", name, source, now, "moves_again")
                self._usual.add(source.rhythm, now, count)
                self._start_source(name, source, now)
        for source in line.sources.values():
            if source.since < now:
                source.other += total

    def _start_source(self, name: str, source: SilentSource, now: int) -> None:
        source.since, source.other = now, 0
        source.look_at = self._usual.earliest(now, self._of_source(name).limit)

    def _look_at_sources(self, line: Line, now: int, *, anew: bool) -> None:
        """Sources that sent nothing. ``anew``: while there were no orders, nothing was to be expected of them either.

        This is a step in which others sent something: when all are silent, no orders come at all, and that is one
        alert.
        """
        for name, source in line.sources.items():
            if source.episode is None and source.since < now:
                if anew:
                    self._start_source(name, source, now)
                elif source.look_at and source.look_at <= now:
                    self._look_at_source(line, name, source, now)

    def _watch(self, line: Line, name: str) -> SilentSource | None:
        source = line.sources.get(name)
        if source is None:
            wanted = self._settings.all_sources or name in self._settings.sources
            if wanted and len(line.sources) < self._settings.most:
                source = line.sources[name] = SilentSource()
        return source

    def _look_at_source(self, line: Line, name: str, source: SilentSource, now: int) -> None:
        own = self._of_source(name)
        deadline = self._usual.deadline(source.rhythm, source.since, own.limit)
        if deadline is None or deadline > now:
            source.look_at = deadline or 0
            return
        source.look_at = 0
        source.episode = Episode.opened("silent", source.since, now, waiting_before(line, own.stage))
        self._send("source", name, source, "opened", now, "stands_still")

    def _of_source(self, name: str) -> SourceSilence:
        return self._settings.sources.get(name) or SourceSilence()

    def _stage_of_job(self, name: str) -> str | None:
        own = self._settings.jobs.get(name)
        return None if own is None else own.stage

    def _miss(self, line: Line, name: str, job: SilentJob) -> None:
        waiting = waiting_before(line, self._stage_of_job(name))
        job.episode = Episode.opened("missed_period", job.since, job.deadline, waiting)
        self._send("job", name, job, "opened", job.deadline, "missed_period")

    def _tell_growth(self, line: Line, now: int) -> None:
        """An open alert is updated each time that twice as many orders wait as it told last."""
        for kind, name, watched, stage in self._open_ones(line):
            episode = watched.episode
            if episode is None:
                continue
            orders, amount = waiting_before(line, stage)
            if orders > episode.orders:
                episode.orders, episode.amount = orders, amount
            if orders > episode.told and orders >= 2 * episode.told:
                episode.told = orders
                self._send(kind, name, watched, "updated", now, "more_wait")

    def _open_ones(self, line: Line) -> Iterator[tuple[Kind, str, Watched, str | None]]:
        """Everything that is silent, each with the stage before which orders wait for it."""
        for name, stage in line.stages.items():
            if stage.episode is not None:
                yield "stage", name, stage, name
        for name, source in line.sources.items():
            if source.episode is not None:
                yield "source", name, source, self._of_source(name).stage
        for name, job in line.jobs.items():
            if job.episode is not None:
                yield "job", name, job, self._stage_of_job(name)

    def _forget(self, line: Line, now: int) -> None:
        """What has been gone for long, and is named by nobody, is gone for good."""
        before = now - self._forget_after
        for name in gone(line.sources, self._settings.sources, before):
            self._end("source", name, line.sources.pop(name), now, "forgotten")
        for name in gone(line.jobs, self._settings.jobs, before):
            self._end("job", name, line.jobs.pop(name), now, "forgotten")

    def _end(self, kind: Kind, name: str, watched: Watched, at: int, reason: str) -> None:
        """Resolve its alert if there is one."""
        if watched.episode is not None:
            self._send(kind, name, watched, "resolved", at, reason)
            watched.episode = None

    def _send(self, kind: Kind, name: str, watched: Watched, step: Step, at: int, reason: str) -> None:
        episode = watched.episode
        if episode is None:
            return
        self._alerts.step(
            step,
            at,
            origin=LINE,
            entity=(kind, name),
            opened_at=episode.opened_at,
            severity=SEVERITY[kind, episode.level],
            level=episode.level,
            reason=reason,
            evidence={
                "subject": name,
                "since": episode.since,
                "deadline": episode.opened_at,
                "limit_ms": episode.opened_at - episode.since,
                "count": episode.orders,
                "amount": episode.amount,
                **self._measured(watched, at),
            },
        )

    def _measured(self, watched: Watched, at: int) -> dict[str, Any]:
        """What else there is to say of a stage or a source, or of a job."""
        if isinstance(watched, SilentJob):
            return {"period_ms": watched.period, "event_id": watched.event_id}
        usual = self._usual.in_hour(watched.rhythm, at // HOUR)
        expected = None if usual is None else self._usual.expected(watched.rhythm, watched.since, at)
        return {"usual_per_hour": usual, "expected": expected, "other": watched.other}
