"""The alerts about the platform that are open: how they begin, how they end, what they say."""

from collections.abc import Mapping
from typing import Any, Literal

import msgspec
from msgspec import Struct, structs

from config.texts import Pair, Texts
from config.units import Duration, Instant
from events.records import AlertRecord, LocalText, Severity

ENTITY_TYPE = "platform"
Rule = Literal[
    "dead_letters", "backlog", "partition_unreachable", "partition_left_out", "component_waiting", "rule_refused"
]
RULES: tuple[Rule, ...] = (
    "dead_letters",
    "backlog",
    "partition_unreachable",
    "partition_left_out",
    "component_waiting",
    "rule_refused",
)
_VERSION = 1
_SNAPSHOT_FORMAT = 1


class PlatformSnapshotError(Exception):
    """A snapshot of platform alerts was made by a later version; the text says what to do."""


class Finding(Struct, frozen=True):
    """Something about a ``subject`` (a partition, a part of the flow) that is an alert from ``since`` (epoch ms) on."""

    rule: Rule
    subject: str
    level: str
    severity: Severity
    since: int
    reason: str
    evidence: dict[str, Any]


class _Snapshot(Struct, frozen=True):
    format: int
    open: list[AlertRecord]


class OpenAlerts:
    """At most one open alert for each rule and subject."""

    def __init__(self, texts: Texts) -> None:
        self._texts = texts
        self._open: dict[tuple[str, str], AlertRecord] = {}

    def __contains__(self, alert: tuple[str, str]) -> bool:
        return alert in self._open

    def subjects(self, rule: Rule) -> list[str]:
        """Of what this rule has an open alert."""
        return sorted(subject for of_rule, subject in self._open if of_rule == rule)

    def open(self, finding: Finding) -> AlertRecord:
        """The record that opens an alert."""
        episode = f"{finding.rule}/{ENTITY_TYPE}/{finding.subject}/{finding.since}"
        record = AlertRecord(
            id=f"{episode}#1",
            rule=finding.rule,
            rule_version=_VERSION,
            step="opened",
            step_number=1,
            episode=episode,
            entity_type=ENTITY_TYPE,
            entity_id=finding.subject,
            severity=finding.severity,
            level=finding.level,
            time=finding.since,
            opened_at=finding.since,
            reason=finding.reason,
            orders=(),
            evidence=finding.evidence,
            text=self._text(finding.rule, finding.level, finding.subject, finding.evidence),
        )
        self._open[finding.rule, finding.subject] = record
        return record

    def resolve(self, rule: str, subject: str, reason: str, now: int) -> AlertRecord:
        """The record that ends an open alert."""
        opened = self._open.pop((rule, subject))
        now = max(now, opened.opened_at)
        evidence = opened.evidence | {"lasted_ms": now - opened.opened_at}
        return structs.replace(
            opened,
            id=f"{opened.episode}#2",
            step="resolved",
            step_number=2,
            time=now,
            reason=reason,
            evidence=evidence,
            text=self._text(rule, "resolved", subject, evidence, reason),
        )

    def snapshot(self) -> bytes:
        """The open alerts, as msgpack."""
        ordered = [self._open[key] for key in sorted(self._open)]
        return msgspec.msgpack.encode(_Snapshot(_SNAPSHOT_FORMAT, ordered))

    def restore(self, data: bytes) -> list[AlertRecord]:
        """Take over the alerts of a snapshot; gives them."""
        version = msgspec.msgpack.decode(data, type=dict[str, Any])["format"]
        if version != _SNAPSHOT_FORMAT:
            raise PlatformSnapshotError(
                f"the snapshot of platform alerts has format {version}, and this version reads {_SNAPSHOT_FORMAT}; "
                "go on with the version that wrote the recovery store, or start with a new one"
            )
        taken = msgspec.msgpack.decode(data, type=_Snapshot).open
        self._open |= {(record.rule, record.entity_id): record for record in taken}
        return taken

    def _text(
        self, rule: str, name: str, subject: str, evidence: Mapping[str, Any], reason: str | None = None
    ) -> LocalText:
        template = self._texts.rules[rule][name]
        said = {key: _in_words(key, value) for key, value in evidence.items()} | {"subject": subject}
        ends = self._texts.reasons.get(reason, Pair(reason, reason)) if reason is not None else Pair("", "")
        return LocalText(
            zh=template.zh.format(**said, reason_zh=ends.zh), en=template.en.format(**said, reason_en=ends.en)
        )


def _in_words(name: str, value: Any) -> str:
    """A piece of evidence as the texts show it; its name says what it is."""
    if name.endswith("_ms"):
        return str(Duration(max(0, value) // 1000 * 1000)) if name != "since_ms" else str(Instant(value))
    if name.endswith("_thousandths"):
        return f"{value / 10:g} %"
    return f"{value:,}" if isinstance(value, int) else str(value)
