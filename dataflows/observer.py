"""Turns what passes through a run into metrics and into the counts of its summary."""

import logging
from collections.abc import Callable, Iterable, Mapping
from time import perf_counter

from dataflows.intake import Delivery
from dataflows.lookout import Lookout
from operators.heart.inputs import Counts, GroupOutput
from operators.heart.lateness import BEFORE_TIME
from sinks.metrics import Metrics
from sources.clock import SteadyClock
from sources.reader import Reader

LOGGER = logging.getLogger(__name__)


class Observer:
    """Counts once per read and once per activation of a stage, never per event."""

    def __init__(self, metrics: Metrics, clock: SteadyClock) -> None:
        self._metrics = metrics
        self._clock = clock
        self._now = clock.now
        self._started = perf_counter()
        self._laid: dict[int, tuple[float, int]] = {}
        self._groups: dict[str, dict[int, Counts]] = {}
        self.events = 0
        self.late = 0
        self.forced = 0
        self.duplicates = 0
        self.watermark = BEFORE_TIME

    def delivery(self, delivery: Delivery) -> None:
        """What the source read."""
        metrics = self._metrics
        for topic, count in delivery.events.items():
            metrics.add("orderpulse_events_total", count, topic=topic)
            self.events += count
        for topic, count in delivery.late.items():
            metrics.add("orderpulse_late_events_total", count, topic=topic)
            self.late += count
        if delivery.forced and not self.forced:
            LOGGER.warning(
                "events came with times and arrivals that wall time had already passed: they are applied later than a "
                "replay would apply them. Live producers must stamp records when they send them; topics that are "
                "filled after the fact must be filled before the run begins, or read with time.arrival = 'ignore'"
            )
        if delivery.forced:
            metrics.add("orderpulse_forced_events_total", delivery.forced)
        self.forced += delivery.forced

    def reached(self, newest: int) -> None:
        """The stages hear of all that was read, the newest event of which is of that time (epoch ms)."""
        if newest > BEFORE_TIME:
            self._metrics.observe("orderpulse_event_time_delay_seconds", (self._now() - newest) / 1000)

    def now(self) -> int:
        """Wall time, epoch ms."""
        return self._now()

    def snapshot(self, number: int, lay_down: Callable[[], bytes]) -> bytes:
        """Lay the state of a group down; returns its head. A group that comes again belongs to the next snapshot."""
        if number in self._laid:
            self._told_of_snapshot()
        began = perf_counter()
        head = lay_down()
        self._laid[number] = (perf_counter() - began, len(head))
        return head

    def laid(self, number: int, size: int) -> None:
        """So many bytes were stored of a group besides its head."""
        if number in self._laid:
            seconds, before = self._laid[number]
            self._laid[number] = (seconds, before + size)

    def bases_due(self, groups: int) -> None:
        """So many key groups are yet to be written whole."""
        self._metrics.set("orderpulse_snapshot_bases_due", groups)

    def _told_of_snapshot(self) -> None:
        metrics = self._metrics
        metrics.observe("orderpulse_snapshot_duration_seconds", sum(seconds for seconds, _ in self._laid.values()))
        metrics.set("orderpulse_snapshot_bytes", sum(size for _, size in self._laid.values()))
        metrics.set("orderpulse_last_snapshot_seconds", self._now() / 1000)
        self._laid.clear()

    def looked(self, lookout: Lookout, reader: Reader) -> None:
        """What the lookout saw, about once a second, and how far behind the source is."""
        metrics = self._metrics
        for partition, records in reader.lag().items():
            topic, _, number = partition.rpartition("/")
            metrics.set("orderpulse_source_lag_records", records, topic=topic, partition=number)
        metrics.set("orderpulse_unreachable_partitions", len(reader.unreachable()))
        metrics.set("orderpulse_left_out_partitions", len(lookout.left_out))
        metrics.set("orderpulse_clock_jump_seconds", self._clock.jump_ms / 1000)
        for partition, share in lookout.watch.dead_letter_shares().items():
            topic, slash, number = partition.rpartition("/")
            if slash and number.isdigit():
                metrics.set("orderpulse_dead_letter_share_ratio", share, topic=topic, partition=number)

    def began_reading(self) -> None:
        """State is there again, and the first records are on their way."""
        self._metrics.set("orderpulse_recovery_seconds", perf_counter() - self._started)

    def rules(self, versions: Mapping[str, int]) -> None:
        """Which version of each rule is in effect."""
        for rule, version in versions.items():
            self._metrics.set("orderpulse_rule_version", version, rule=rule)

    def stage(self, stage: str, outputs: Iterable[tuple[int, GroupOutput]], watermark: int) -> None:
        """What a stage's key groups did, and what they hold now."""
        groups = self._groups.setdefault(stage, {})
        applied = duplicates = 0
        for number, output in outputs:
            groups[number] = output.counts
            applied += output.counts.applied
            duplicates += output.counts.duplicates
            for (rule, reason), count in (output.counts.failed_conditions or {}).items():
                self._metrics.add("orderpulse_condition_failures_total", count, rule=rule, reason=reason)
            if output.rule_versions is not None:
                self.rules(output.rule_versions)
        metrics = self._metrics
        if applied:
            metrics.add("orderpulse_events_applied_total", applied, stage=stage)
        if duplicates:
            metrics.add("orderpulse_duplicates_total", duplicates, stage=stage)
            self.duplicates += duplicates
        metrics.set("orderpulse_buffered_events", sum(counts.buffered for counts in groups.values()), stage=stage)
        entries = [counts.entries for counts in groups.values()]
        metrics.set("orderpulse_state_entries", sum(entries), stage=stage)
        metrics.set("orderpulse_key_group_skew_ratio", max(entries) * len(entries) / (sum(entries) or 1), stage=stage)
        if watermark > BEFORE_TIME:
            metrics.set("orderpulse_watermark_seconds", watermark / 1000, stage=stage)
            self.watermark = watermark
