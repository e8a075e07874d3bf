"""Alerts about the flow itself, not about orders.

They may depend on wall time and on how the flow runs, so they stand apart from the promise that the same events give
the same alerts: their entity is ``platform``, and comparisons of runs leave them out. Nothing here reads a clock; what
was observed and the time are told.
"""

from collections.abc import Collection, Iterable, Iterator, Mapping

from config.settings import PlatformSettings
from config.texts import load_texts
from events.records import AlertRecord, DeadLetterRecord
from operators.platform.dead_letter_limits import DeadLetterCount
from operators.platform.open_alerts import Finding, OpenAlerts, Rule
from operators.platform.refused_rules import RefusedRules

_OF_PARTITIONS: tuple[Rule, ...] = ("dead_letters", "partition_unreachable", "partition_left_out")
_OF_TIME: tuple[Rule, ...] = ("partition_unreachable", "partition_left_out", "component_waiting")
_ENDS: Mapping[Rule, str] = {
    "partition_unreachable": "answers_again",
    "partition_left_out": "answers_again",
    "component_waiting": "goes_on",
}


class DeadLetterLimitError(Exception):
    """So much of a partition goes to the dead letters that the run ends: what, where, and what to do about it."""

    def __init__(self, what: str, where: str, remedy: str) -> None:
        super().__init__(what, where, remedy)  # all three, so that a copy made by pickling is whole
        self.what = what
        self.where = where
        self.remedy = remedy

    def __str__(self) -> str:
        return f"{self.where}: {self.what}; {self.remedy}"


class PlatformWatch:
    """Judges what one process observes of its partitions, sinks and sources, against ``[platform]``.

    Tell it what happened (``read``, ``dead_letter``), how things stand (``lag``, ``unreachable``, ``waiting``: each
    replaces what was told before), then ask ``judge``. An alert opens above its limit; it ends below half of it, or
    once the trouble has been gone for half of the time after which it became an alert. ``name`` tells the backlog of
    one process from that of another.
    """

    def __init__(self, settings: PlatformSettings, name: str = "flow") -> None:
        self._settings = settings
        self._name = name
        self._alerts = OpenAlerts(load_texts())
        self._refused_rules = RefusedRules(self._alerts)
        self._counts: dict[str, DeadLetterCount] = {}
        self._lag: Mapping[str, int] = {}
        self._delay = 0
        self._lag_known = False
        self._unreachable: Mapping[str, tuple[int, str]] = {}
        self._waiting: Mapping[str, tuple[int, str]] = {}
        self._gone_since: dict[tuple[Rule, str], int] = {}
        self._elsewhere: list[tuple[str, str]] = []
        self._stop: DeadLetterLimitError | None = None

    def read(self, partition: str, count: int) -> None:
        """So many records of a partition were read, good or bad."""
        if count:
            counted = self._counts.get(partition)
            if counted is None:
                counted = self._counts[partition] = DeadLetterCount(self._settings.dead_letters)
            counted.read(count)

    def dead_letter(self, letter: DeadLetterRecord) -> None:
        """One of the records that were read became a dead letter. The order among them does not matter.

        Letters of partitions that are read elsewhere are left out: of how many they are a share is not known here.
        """
        if (counted := self._counts.get(letter.partition)) is None or letter.reason == "superseded_rule":
            return  # a rule that a newer one has overtaken is nothing broken
        counted.dead_letter(letter)
        if letter.reason == "invalid_rule":
            self._refused_rules.refused(letter)

    def rules_published(self, rules: Iterable[str]) -> None:
        """Documents of these rules came and were right."""
        self._refused_rules.published(rules)

    def lag(self, records: Mapping[str, int], delay_ms: int) -> None:
        """How many records of each partition are not read yet, and how far event time is behind wall time."""
        self._lag, self._delay, self._lag_known = records, delay_ms, True

    def unreachable(self, partitions: Mapping[str, tuple[int, str]]) -> None:
        """All partitions that do not answer now: since when (epoch ms) and why."""
        self._unreachable = partitions

    def waiting(self, parts: Mapping[str, tuple[int, str]]) -> None:
        """All sinks and sources that stand still now: since when (epoch ms) and why."""
        self._waiting = parts

    def judge(self, now_ms: int) -> list[AlertRecord]:
        """The alerts that open and end now.

        Raises DeadLetterLimitError when a limit of the dead letters was exceeded, its alert has been given by an
        earlier call, and the settings ask to stop.
        """
        if self._stop is not None:
            raise self._stop
        return [
            *self._end_what_is_elsewhere(now_ms),
            *self._judge_dead_letters(now_ms),
            *self._judge_backlog(now_ms),
            *self._judge_times(now_ms),
            *self._refused_rules.judge(now_ms),
        ]

    def dead_letter_shares(self) -> dict[str, float]:
        """Partition -> share of dead letters among its last records, 0 to 1."""
        return {name: count.share for name, count in self._counts.items()}

    def snapshot(self) -> bytes:
        """The open alerts; counts begin anew after a restart."""
        return self._alerts.snapshot()

    def restore(self, data: bytes, partitions: Collection[str] | None = None) -> None:
        """Take over the open alerts of a snapshot, so that they end here; several snapshots may follow each other.

        ``partitions``: those that this process reads now. Alerts about others, and about the backlog of a process that
        is no more, end at the next ``judge``: who reads them opens its own. Raises PlatformSnapshotError for a snapshot
        that a later version made.
        """
        restored = self._alerts.restore(data)
        self._refused_rules.restore(restored)
        for alert in restored:
            if self._is_elsewhere(alert, partitions):
                self._elsewhere.append((alert.rule, alert.entity_id))

    def _is_elsewhere(self, alert: AlertRecord, partitions: Collection[str] | None) -> bool:
        if alert.rule == "backlog":
            return alert.entity_id != self._name
        return alert.rule in _OF_PARTITIONS and partitions is not None and alert.entity_id not in partitions

    def _end_what_is_elsewhere(self, now: int) -> Iterator[AlertRecord]:
        for rule, subject in self._elsewhere:
            if (rule, subject) in self._alerts:
                yield self._alerts.resolve(rule, subject, "watched_elsewhere", now)
        self._elsewhere.clear()

    def _judge_dead_letters(self, now: int) -> Iterator[AlertRecord]:
        limits = self._settings.dead_letters
        for partition, count in sorted(self._counts.items()):
            is_open = ("dead_letters", partition) in self._alerts
            if count.row_exceeded or count.share_exceeded:
                if limits.action == "stop":
                    self._stop = self._stop or _limit_error(partition, count)
                if not is_open:
                    yield self._alerts.open(self._too_many(partition, count, now))
            elif is_open and count.calm and count.read_in_all >= min(limits.window, limits.consecutive):
                yield self._alerts.resolve("dead_letters", partition, "below_limit", now)

    def _too_many(self, partition: str, count: DeadLetterCount, now: int) -> Finding:
        limits = self._settings.dead_letters
        in_a_row = count.row_exceeded
        return Finding(
            rule="dead_letters",
            subject=partition,
            level="consecutive" if in_a_row else "share",
            severity="critical",
            since=now,
            reason="in_a_row" if in_a_row else "share_exceeded",
            evidence={
                "dead": count.dead,
                "records": count.judged,
                "limit_thousandths": int(limits.share),
                "share_thousandths": round(count.share * 1000),
                "in_a_row": count.in_a_row,
                "limit_in_a_row": limits.consecutive,
                "first_position": count.first_position,
            },
        )

    def _judge_backlog(self, now: int) -> Iterator[AlertRecord]:
        if not self._lag_known:
            return
        limits = self._settings.backlog
        records = sum(self._lag.values())
        level = "records" if records > limits.records else "delay" if self._delay > limits.delay else None
        is_open = ("backlog", self._name) in self._alerts
        if level is not None and not is_open:
            furthest = max(self._lag, key=lambda name: self._lag[name], default="")
            evidence = {
                "records": records,
                "limit_records": limits.records,
                "delay_ms": self._delay,
                "limit_ms": int(limits.delay),
                "furthest": furthest,
                "furthest_records": self._lag.get(furthest, 0),
            }
            reason = f"{level}_exceeded"
            yield self._alerts.open(Finding("backlog", self._name, level, "warning", now, reason, evidence))
        elif is_open and 2 * records < limits.records and 2 * self._delay < limits.delay:
            yield self._alerts.resolve("backlog", self._name, "below_limit", now)

    def _judge_times(self, now: int) -> Iterator[AlertRecord]:
        found = {(each.rule, each.subject): each for each in self._standing()}
        for key, finding in found.items():
            self._gone_since.pop(key, None)
            if finding.since <= now and key not in self._alerts:
                yield self._alerts.open(finding)
        for rule in _OF_TIME:
            for subject in self._alerts.subjects(rule):
                if (rule, subject) not in found:
                    yield from self._end_when_gone(rule, subject, now)

    def _end_when_gone(self, rule: Rule, subject: str, now: int) -> Iterator[AlertRecord]:
        gone_since = self._gone_since.setdefault((rule, subject), now)
        if now - gone_since >= self._settings.unreachable.alert_after // 2:
            del self._gone_since[rule, subject]
            yield self._alerts.resolve(rule, subject, _ENDS[rule], now)

    def _standing(self) -> Iterator[Finding]:
        """What does not go on; ``since`` of a finding is when it becomes an alert, perhaps later than now."""
        alert_after, leave_out_after = (
            self._settings.unreachable.alert_after,
            self._settings.unreachable.leave_out_after,
        )
        for name, (since, cause) in sorted(self._unreachable.items()):
            evidence = {"since_ms": since, "limit_ms": int(alert_after), "cause": cause}
            yield Finding(
                "partition_unreachable", name, "unreachable", "critical", since + alert_after, "unreachable", evidence
            )
            if leave_out_after:
                evidence = {"since_ms": since, "limit_ms": int(leave_out_after), "cause": cause}
                yield Finding(
                    "partition_left_out", name, "left_out", "critical", since + leave_out_after, "left_out", evidence
                )
        for name, (since, cause) in sorted(self._waiting.items()):
            evidence = {"since_ms": since, "limit_ms": int(alert_after), "cause": cause}
            yield Finding("component_waiting", name, "waiting", "critical", since + alert_after, "waiting", evidence)


def _limit_error(partition: str, count: DeadLetterCount) -> DeadLetterLimitError:
    if count.row_exceeded:
        what = f"{count.in_a_row:,} records in a row went to the dead letters"
    else:
        what = f"{count.dead:,} of the last {count.judged:,} records went to the dead letters"
    return DeadLetterLimitError(
        what,
        f"{partition}, from position {count.first_position}",
        "find the common reason with `orderpulse dlq list` and mend the source; to let the flow go on nevertheless, "
        'set platform.dead_letters.action = "alert", or raise its limits',
    )
