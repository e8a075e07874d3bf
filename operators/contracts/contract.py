"""``contract``: a source sends something else than its profile expects, or than it used to."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, ClassVar, Final

from config.settings import Settings
from events.explanation import Look
from events.model import ContractCounted
from events.records import Severity, SourceHealth, Step
from operators.contracts import novelties, shares
from operators.contracts.novelties import Novelty
from operators.contracts.state import Deviated, Example, Level, Looks, OpenShare, Past, Slice, Source
from operators.heart.component import Alerts, Context, Environment, Handler, StatefulComponent

_SEVERITIES: Final[Mapping[Level, Severity]] = {
    "vanished": "critical",
    "unparsable": "critical",
    "unknown_status": "warning",
    "decrypt_failed": "critical",
    "time_offset": "warning",
    "new_field": "info",
    "new_header": "info",
    "scheme_changed": "warning",
}


class Contract(StatefulComponent[Source]):
    """Judges the counts of what sources send; see docs/rules.md.

    The counts of one moment may come from several partitions, so they are judged once that moment has passed.
    """

    name: ClassVar[str] = "contract"
    stage: ClassVar[str] = "entities"
    state_type: ClassVar[type[Any]] = Source
    rules: ClassVar[frozenset[str]] = frozenset({"contract"})

    def __init__(self, context: Context) -> None:
        super().__init__(context)
        self.configure(context.environment.settings)

    def configure(self, settings: Settings) -> None:
        """Limits for the next counts; an alert that is open keeps the limit that it was opened with."""
        self._settings = settings.detectors.contract
        self._alerts = Alerts(self.context, self.name, self._settings.version)

    @classmethod
    def enabled(cls, environment: Environment) -> bool:
        """As its settings say."""
        return environment.settings.detectors.contract.enabled

    def handlers(self) -> Mapping[type, Handler]:
        """Counts."""
        return {ContractCounted: self.on_counted}

    def on_counted(self, event: ContractCounted, at: int) -> None:
        """Counts of one partition."""
        key = f"{event.entity_type}:{event.entity_id}"
        source = self.states.get(key)
        if source is None:
            source = self.states[key] = Source()
        source.pending_at = at
        source.pending.append(event)
        self.context.arm(key, at + 1)

    def on_timer(self, key: str, due: int) -> None:
        """All counts of a moment are there."""
        source = self.states.get(key)
        if source is None or not source.pending:
            return
        if due <= source.pending_at:
            self.context.arm(key, source.pending_at + 1)
            return
        self._judge(key.partition(":")[2], source, source.pending_at)

    def explain(self, key: str, at: int) -> Iterator[Look]:
        """Of each field, which share of its records deviates in each way."""
        source = self.states.get(key) or Source()
        for name, looks in sorted(shares.joined(source.window).items()):
            for what, deviated in sorted(looks.wrong.items()):
                level = "vanished" if what in ("missing", "lacking") else what
                share, limit = 1000 * deviated.count // max(1, looks.seen), int(getattr(self._settings.limits, level))
                yield Look(
                    rule=self.name, subject=f"{name}/{what}", value=share, threshold=limit, unit="thousandths",
                    condition=True,
                )  # fmt: skip

    def _judge(self, name: str, source: Source, at: int) -> None:
        counts = sorted(source.pending, key=lambda event: (event.partition, event.start, event.id))
        source.pending = []
        new = novelties.judge(source, counts, at, self._settings)
        source.records += sum(each.records for each in counts)
        self._leave(source, at)
        source.window.append(_slice(counts, at))
        looks = shares.joined(source.window)
        self._end(name, source, looks, at)
        self._open(name, source, looks, at)
        for novelty in new:
            self._tell_new(name, novelty, at)
        if self.context.environment.read_model:
            self.context.emit(self._health(name, source, looks, at))

    def _leave(self, source: Source, at: int) -> None:
        """What leaves the window becomes past, unless there is an alert about its field: that would be no measure."""
        while source.window and source.window[0].time <= at - self._settings.window:
            for field, looks in source.window.pop(0).fields.items():
                if field not in source.shares:
                    shares.absorb(source.past.setdefault(field, Past()), looks, self._settings.memory)

    def _open(self, name: str, source: Source, looks: Mapping[str, Looks], at: int) -> None:
        for field in sorted(looks):
            for level in shares.LEVELS:
                alert = source.shares.get(field, {}).get(level)
                if alert is not None:
                    newest = source.window[-1].fields.get(field, Looks())
                    alert.affected += shares.count_of(newest, alert.counted)
                    continue
                found = shares.excess(level, looks[field], source.past.get(field, Past()), self._settings)
                if found is not None:
                    affected = shares.count_of(looks[field], found.counted)
                    first = shares.first_of(looks[field], found.counted).first
                    alert = OpenShare(at, found.counted, found.limit, first, affected)
                    source.shares.setdefault(field, {})[level] = alert
                    evidence = self._evidence(source, field, alert, looks[field])
                    self._send("opened", at, f"{name}/{field}", level, alert.opened_at, "share_exceeded", evidence)

    def _end(self, name: str, source: Source, looks: Mapping[str, Looks], at: int) -> None:
        for field in sorted(source.shares):
            of_field = source.shares[field]
            for level in [level for level in shares.LEVELS if level in of_field]:
                alert = of_field[level]
                if field in looks and shares.is_over(alert, looks[field], self._settings):
                    evidence = self._evidence(source, field, alert, looks[field])
                    self._send("resolved", at, f"{name}/{field}", level, alert.opened_at, "below_limit", evidence)
                    del of_field[level]
            if not of_field:
                del source.shares[field]

    def _evidence(self, source: Source, field: str, alert: OpenShare, looks: Looks) -> dict[str, Any]:
        before = shares.past_share(source.past.get(field, Past()), alert.counted, self._settings)
        count = shares.count_of(looks, alert.counted)
        return {
            "field": field,
            "since": alert.first.since,
            "example": str(alert.first),
            "seen": looks.seen,
            "count": count,
            "affected": alert.affected,
            "share_thousandths": count * 1000 // looks.seen,
            "past_thousandths": before,
            "limit_thousandths": alert.limit,
            "window_ms": int(self._settings.window),
        }

    def _tell_new(self, name: str, novelty: Novelty, at: int) -> None:
        opens = novelty.reason == "appeared"
        evidence: dict[str, Any] = {
            "field": novelty.name,
            "since": novelty.alert.first.since,
            "example": str(novelty.alert.first),
        }
        if novelty.level == "scheme_changed":
            evidence |= {"value": novelty.value, "before": list(novelty.alert.before)}
        self._send(
            "opened" if opens else "resolved",
            at,
            f"{name}/{novelty.name}",
            novelty.level,
            novelty.alert.opened_at,
            novelty.reason,
            evidence,
            novelty.value,
        )

    def _send(
        self,
        step: Step,
        at: int,
        entity_id: str,
        level: Level,
        opened_at: int,
        reason: str,
        evidence: Mapping[str, Any],
        value: str = "",
    ) -> None:
        self._alerts.step(
            step,
            at,
            origin=entity_id,
            entity=("source_field", entity_id),
            opened_at=opened_at,
            severity=_SEVERITIES[level],
            level=level,
            reason=reason,
            evidence=evidence,
            variant=f"{level}/{value}" if value else level,
        )

    def _health(self, name: str, source: Source, looks: Mapping[str, Looks], at: int) -> SourceHealth:
        fields = {
            field: {
                "seen": seen.seen,
                **{what: deviated.count for what, deviated in sorted(seen.wrong.items())},
                "past": {"seen": past.seen, **dict(sorted(past.wrong.items()))},
            }
            for field, seen in sorted(looks.items())
            for past in (source.past.get(field, Past()),)
        }
        records = sum(part.records for part in source.window)
        return SourceHealth(name, at, records, fields, tuple(_open_alerts(source)))


def _open_alerts(source: Source) -> Iterator[dict[str, Any]]:
    for field, of_field in sorted(source.shares.items()):
        for level, alert in sorted(of_field.items()):
            yield {"field": field, "level": level, "since": alert.first.since, "example": str(alert.first)}
    for new_level, name, new in sorted(novelties.open_novelties(source), key=lambda found: found[:2]):
        yield {"field": name, "level": new_level, "since": new.first.since, "example": str(new.first)}


def _slice(counts: Sequence[ContractCounted], at: int) -> Slice:
    """The counts of all partitions in one."""
    fields: dict[str, Looks] = {}
    for each in counts:
        for counted in each.fields:
            wrong: dict[str, Deviated] = {
                deviation.what: Deviated(deviation.count, Example(deviation.since, each.partition, deviation.position))
                for deviation in counted.deviations
            }
            shares.add(fields.setdefault(counted.field, Looks()), Looks(counted.seen, wrong))
    return Slice(at, sum(each.records for each in counts), fields)
