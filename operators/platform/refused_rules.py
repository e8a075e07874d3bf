"""Rule documents that were refused: nobody waits for an answer at the topic, so an alert gives it."""

from base64 import b64decode
from collections.abc import Iterable, Iterator
from typing import Any, Final

import msgspec
from msgspec import Struct

from events.model import UNREADABLE
from events.records import AlertRecord, DeadLetterRecord
from operators.platform.open_alerts import Finding, OpenAlerts

RULE: Final = "rule_refused"
_TOLD_FOR_MS: Final = 24 * 3_600_000
_UNNAMED: Final = "?"
_LONGEST: Final = 64


class _Named(Struct):
    """As much of a document as can be read of a broken one."""

    rule: Any = None
    version: Any = None


class RefusedRules:
    """One alert for each version of a rule that was refused; it ends with a good one of that rule, or after a day."""

    def __init__(self, alerts: OpenAlerts) -> None:
        self._alerts = alerts
        self._since: dict[str, int] = {}
        self._refused: dict[str, DeadLetterRecord] = {}
        self._published: set[str] = set()

    def refused(self, letter: DeadLetterRecord) -> None:
        """A document became a dead letter."""
        self._refused[_subject(letter)] = letter

    def published(self, rules: Iterable[str]) -> None:
        """Good documents of these rules came."""
        self._published.update(rules)

    def restore(self, alerts: Iterable[AlertRecord]) -> None:
        """Alerts that were open at a snapshot."""
        self._since |= {alert.entity_id: alert.opened_at for alert in alerts if alert.rule == RULE}

    def judge(self, now: int) -> Iterator[AlertRecord]:
        """The alerts that open and end now."""
        for subject, since in sorted(self._since.items()):
            if subject.rpartition("/")[0] in self._published:
                yield self._end(subject, "published_again", now)
            elif now - since >= _TOLD_FOR_MS:
                yield self._end(subject, "told_long_enough", now)
        self._published.clear()
        for subject, letter in sorted(self._refused.items()):
            if subject not in self._since:
                self._since[subject] = now
                yield self._alerts.open(_finding(subject, letter, now))
        self._refused.clear()

    def _end(self, subject: str, reason: str, now: int) -> AlertRecord:
        del self._since[subject]
        return self._alerts.resolve(RULE, subject, reason, now)


def _finding(subject: str, letter: DeadLetterRecord, now: int) -> Finding:
    rule, _, version = subject.rpartition("/")
    evidence = {
        "rule": rule,
        "version": version,
        "detail": letter.detail,
        "partition": letter.partition,
        "position": letter.position,
    }
    return Finding(RULE, subject, "refused", "critical", now, "rule_refused", evidence)


def _subject(letter: DeadLetterRecord) -> str:
    """``<rule>/<version>``, as far as they can be read."""
    try:
        named = msgspec.json.decode(b64decode(letter.payload), type=_Named)
    except UNREADABLE:
        named = _Named()
    return f"{_word(named.rule)}/{_word(named.version)}"


def _word(value: Any) -> str:
    return str(value)[:_LONGEST] if isinstance(value, str | int) and value != "" else _UNNAMED
