"""Counts of what a source's records look like: which fields have no value, or none that can be read; names; versions.

Kept are names, numbers and positions, never a value of an order or a person. It costs nothing where nobody counts.
"""

import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Final

from msgspec import Struct

from config.settings import IntakeContract
from events.model import ContractCounted, Deviation, DeviationCount, FieldCount, NameCount, TraitCount
from sources.mapping.errors import MappingError
from sources.mapping.paths import Scope
from sources.mapping.records import Outcome, RecordRules
from sources.mapping.rules import CompiledRule

ENTITY_TYPE: Final = "source"
_DEVIATIONS: Final[Mapping[str, Deviation]] = {
    "bad_row": "unparsable",
    "bad_value": "unparsable",
    "invalid_value": "unparsable",
    "missing_value": "lacking",
    "unresolved": "lacking",
    "unmapped": "unknown_status",
    "no_rule": "unknown_status",
    "decrypt_failed": "decrypt_failed",
    "no_key": "decrypt_failed",
    "unknown_algorithm": "decrypt_failed",
}
_LONGEST: Final = 256
_VALUES: Final = 16  # of one trait in one count
_DIGITS: Final = re.compile(r"\d+")
_ARRIVAL: Final = "time: arrival"


class _First(Struct):
    """How often, and where and when for the first time."""

    position: int
    since: int
    count: int = 0


class ContractCounts:
    """Counts the messages of one source until they are taken. ``begin`` names each message before it is mapped."""

    def __init__(self, settings: IntakeContract) -> None:
        self._settings = settings
        self._ahead, self._behind = int(settings.ahead), int(settings.behind)
        self._plain_traits = frozenset(settings.traits)
        self._inner_traits = [tuple(name.split(".", 1)) for name in settings.traits if "." in name]
        self._position = self._since = 0
        self._told_behind = True
        self._clear()

    def begin(self, position: int, since: int, *, pushed: bool = True) -> None:
        """The next message: where it stands and when it arrived. One that was not ``pushed`` may well be old."""
        self.records += 1
        self._position, self._since, self._told_behind = position, since, pushed

    def outcomes(self, scope: Scope, rules: RecordRules) -> list[Outcome]:
        """What the rules make of a record, counted."""
        unfilled = scope.unfilled = []
        found = rules.outcomes(scope)
        self._shape("", scope.record)
        self.traits(scope.record)
        for path, get in rules.present:
            self._looked[path] += 1
            if get(scope) is None:
                self._wrong(path, "missing")
        for rule, name, left_out in unfilled:
            self._of_rule[rule] += left_out
            self._unfilled(rule, name, rules)
        for outcome in found:
            self._outcome(outcome, rules, scope.arrival)
        return found

    def refused(self, field: str, reason: str) -> None:
        """The message as a whole gave nothing."""
        self._wrong(field, _DEVIATIONS.get(reason, "unparsable"))

    def names(self, kind: str, names: Iterable[str]) -> None:
        """Names of headers, or of fields around the records."""
        self._first(self._shapes, (kind, "", tuple(names)))

    def traits(self, values: Mapping[str, Any]) -> None:
        """Values that tell of a scheme or a version."""
        for name in self._plain_traits & values.keys():
            self._trait(name, values[name])
        for outer, inner in self._inner_traits:
            holder = values.get(outer)
            if type(holder) is dict:
                self._trait(f"{outer}.{inner}", holder.get(inner))

    def take(self, source: str, partition: str, start: int, end: int) -> ContractCounted:
        """The counts of ``[start, end)`` as an event; the next ones begin at zero."""
        counted = ContractCounted(
            id=f"{partition}/{start}",
            source=source,
            time=end,
            entity_type=ENTITY_TYPE,
            entity_id=source,
            partition=partition,
            start=start,
            records=self.records,
            fields=tuple(self._fields()),
            names=tuple(self._names()),
            traits=tuple(self._trait_counts()),
        )
        self._clear()
        return counted

    def _clear(self) -> None:
        self.records = 0
        self._looked: Counter[str] = Counter()
        self._of_rule: Counter[CompiledRule] = Counter()
        self._deviating: dict[tuple[str, Deviation], _First] = {}
        self._shapes: dict[tuple[str, str, tuple[str, ...]], _First] = {}
        self._traits: dict[tuple[str, str], _First] = {}

    def _outcome(self, outcome: Outcome, rules: RecordRules, arrival: int | None) -> None:
        rule, error, event = outcome.rule, outcome.error, outcome.event
        if rule is not None:
            self._of_rule[rule] += 1
        if error is not None:
            self._error(error, rule, rules)
        elif rule is not None and event is not None and (label := rule.labels.get("time")) is not None:
            if _ARRIVAL in event.cleaned:
                self._wrong(label, "missing")
            elif arrival is not None:
                offset = event.time - arrival
                if offset > self._ahead or (self._told_behind and -offset > self._behind):
                    self._wrong(label, "time_offset")

    def _error(self, error: MappingError, rule: CompiledRule | None, rules: RecordRules) -> None:
        deviation = _DEVIATIONS.get(error.reason)
        if deviation is None:
            return
        if rule is None:
            self._wrong(rules.word or error.field, deviation)
        else:
            origin, _, name = error.field.rpartition(" -> ")
            self._wrong(rule.labels.get(name) or origin or name, deviation)

    def _unfilled(self, rule: CompiledRule, name: str, rules: RecordRules) -> None:
        label = rule.watched.get(name)
        # What a rule asks to be there is counted for every record, not only where the rule takes it.
        if label is not None and label not in rules.asked_for:
            self._wrong(label, "missing")

    def _trait(self, name: str, value: Any) -> None:
        if type(value) is str and value:
            self._first(self._traits, (name, value[:_LONGEST]))

    def _wrong(self, field: str, what: Deviation) -> None:
        self._first(self._deviating, (field[:_LONGEST], what))

    def _first(self, table: dict[Any, _First], key: Any) -> None:
        known = table.get(key)
        if known is None:
            known = table[key] = _First(self._position, self._since)
        known.count += 1

    def _shape(self, before: str, record: Mapping[str, Any]) -> None:
        """The names in a record, and in the objects right inside it."""
        self._first(self._shapes, ("field", before, tuple(record)))
        if before:
            return
        for name, value in record.items():
            inner = value[0] if type(value) is list and value else value
            if type(inner) is dict:
                self._shape(f"{name}.", inner)

    def _fields(self) -> Iterator[FieldCount]:
        looked = Counter(self._looked)
        asked = set(looked)
        for rule, count in self._of_rule.items():
            for label in rule.watched.values():
                if label not in asked:
                    looked[label] += count
        wrong: dict[str, list[DeviationCount]] = {}
        for (field, what), first in sorted(self._deviating.items()):
            wrong.setdefault(field, []).append(DeviationCount(what, first.count, first.position, first.since))
        for field in sorted({*looked, *wrong}):
            deviations = wrong.get(field, [])
            # Of a part of a field, and of a message as a whole, every record was looked at.
            seen = looked[field] or self.records
            seen = max(seen, *(deviation.count for deviation in deviations)) if deviations else seen
            yield FieldCount(field, seen, tuple(deviations))

    def _names(self) -> Iterator[NameCount]:
        counts: dict[tuple[str, str], _First] = {}
        for (kind, before, names), shape in self._shapes.items():
            for name in dict.fromkeys(_DIGITS.sub("#", before + name)[:_LONGEST] for name in names if name):
                known = counts.setdefault((kind, name), _First(shape.position, shape.since))
                known.count += shape.count
                known.position = min(known.position, shape.position)
        for (kind, name), first in sorted(counts.items())[: self._settings.names]:
            yield NameCount("header" if kind == "header" else "field", name, first.count, first.position)

    def _trait_counts(self) -> Iterator[TraitCount]:
        of_name: Counter[str] = Counter()
        for (name, value), first in sorted(self._traits.items()):
            of_name[name] += 1
            if of_name[name] <= _VALUES:
                yield TraitCount(name, value, first.count, first.position)
