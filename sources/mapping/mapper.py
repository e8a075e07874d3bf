"""Messages of a platform to canonical events, one by one: what a live intake needs, without files between.

A message is the body of a webhook, or a record of a raw topic: JSON, or a web form. A profile that has to see many
records before it can map one (sets and relations) is for ``convert`` alone.
"""

from collections.abc import Iterator, Sequence
from operator import attrgetter
from pathlib import Path
from typing import Any

import msgspec

from events.model import Event
from sources.mapping.assign import assign
from sources.mapping.contract import ContractCounts
from sources.mapping.errors import ConversionError, MappingError
from sources.mapping.joins import Joins
from sources.mapping.paths import Scope, decode_json, parse
from sources.mapping.profile import InputSpec, Profile
from sources.mapping.readers import read, rows_of
from sources.mapping.records import RecordRules
from sources.mapping.rules import CompiledRule

_BOM = b"\xef\xbb\xbf"
_UNKNOWN = "this is of no kind that the profile knows"
_TIME = attrgetter("time")
_UNREADABLE = (msgspec.DecodeError, UnicodeDecodeError, RecursionError)


class Refusal(msgspec.Struct, frozen=True):
    """Why a record of a message gave no event, or not this one. ``rule``: which; empty when it concerns them all."""

    reason: str
    field: str
    what: str
    remedy: str
    rule: str = ""

    def __str__(self) -> str:
        of_rule = f" of {self.rule}" if self.rule else ""
        return f"field {self.field}{of_rule}: {self.what}"


class Mapped(msgspec.Struct, frozen=True):
    """What became of one message. Neither events nor refusals: the profile leaves it out on purpose."""

    events: list[Event]
    refusals: list[Refusal]


_Kind = tuple[frozenset[str], RecordRules]


class Mapper:
    """Maps messages by a profile; keeps nothing between them."""

    def __init__(self, profile: Profile, files: Sequence[Path] = ()) -> None:
        """``files``: tables that records look things up in, read once; without them a lookup finds nothing.

        Raises ConversionError when the profile cannot map single messages.
        """
        if profile.relations or profile.sets:
            remedy = "use `orderpulse convert` for its files"
            raise ConversionError(f"profile {profile.name!r} maps no single messages: it needs all records; {remedy}")
        joins = Joins(profile)
        if files:
            _look_up_in(profile, joins, files)
        self._forms: list[tuple[InputSpec, list[_Kind]]] = []
        places: dict[tuple[str, bool], list[_Kind]] = {}
        for name, spec in profile.inputs.items():
            rules = RecordRules(profile, joins, name)
            kind = (frozenset(spec.fields), rules)
            if rules and spec.format == "form":
                self._forms.append((spec, [kind]))
            elif rules and not spec.flat:
                places.setdefault((spec.records, spec.keyed), []).append(kind)
        if not self._forms and not places:
            remedy = "use `orderpulse convert`"
            raise ConversionError(f"profile {profile.name!r} maps no messages, only CSV files; {remedy}")
        self._steps = [([str(step) for step in parse(path)], keyed, kinds) for (path, keyed), kinds in places.items()]

    def map(self, message: bytes, arrival: int | None = None, counts: ContractCounts | None = None) -> Mapped:
        """The events of a message in order of time, and what could not be mapped. Never raises, whatever it holds.

        ``arrival``: when the message came in, epoch ms, for events of which the platform tells no time.
        ``counts`` gets what the message looked like.
        """
        mapped = Mapped([], [])
        defect = self._map(message.removeprefix(_BOM).strip(), arrival, mapped, counts)
        if defect:
            if counts is not None:
                counts.refused("(message)", "bad_row")
            remedy = "check that this is what the platform sends, and the inputs of the profile"
            mapped.refusals.append(Refusal("bad_row", "(message)", defect, remedy))
        if len(mapped.events) > 1:
            mapped.events.sort(key=_TIME)
        return mapped

    def _map(self, text: bytes, arrival: int | None, mapped: Mapped, counts: ContractCounts | None) -> str:
        """Map a message; what is wrong with it as a whole, or an empty text."""
        if self._forms and text[:1] not in (b"{", b"["):
            return self._form(text, arrival, mapped, counts)
        try:
            document = decode_json(text)
        except _UNREADABLE as error:
            return f"this is not JSON: {error}"
        known = False
        for steps, keyed, kinds in self._steps:
            if type(document) is dict and not steps and not keyed:
                known = _of_kind(document, 1, None, kinds, arrival, mapped, counts) or known
                continue
            if steps and not (type(document) is dict and steps[0] in document):
                continue
            for key, record, line in _records(document, steps, keyed=keyed):
                if isinstance(record, dict):
                    known = _of_kind(record, line, key, kinds, arrival, mapped, counts) or known
        return "" if known else _UNKNOWN

    def _form(self, text: bytes, arrival: int | None, mapped: Mapped, counts: ContractCounts | None) -> str:
        defect = ""
        for spec, kinds in self._forms:
            (row,) = rows_of(text, spec)
            if row.record is not None and _of_kind(row.record, 1, None, kinds, arrival, mapped, counts):
                return ""
            defect = row.defect
        return defect or _UNKNOWN


def _records(document: Any, steps: list[str], *, keyed: bool) -> Iterator[tuple[str | None, Any, int]]:
    """The records at a place of a document, each with its name where the place is an object, and its number."""
    for step in steps:
        if not isinstance(document, dict) or step not in document:
            return
        document = document[step]
    if keyed:
        members = document.items() if isinstance(document, dict) else ()
        yield from ((key, record, number) for number, (key, record) in enumerate(members, start=1))
    elif isinstance(document, list):
        yield from ((None, record, number) for number, record in enumerate(document, start=1))
    elif document is not None:
        yield None, document, 1


def _of_kind(
    record: dict[str, Any],
    line: int,
    key: str | None,
    kinds: list[_Kind],
    arrival: int | None,
    mapped: Mapped,
    counts: ContractCounts | None,
) -> bool:
    """Map a record by the first input that has its fields; False when none has."""
    for fields, rules in kinds:
        if fields <= record.keys():
            scope = Scope(record, line, key)
            if arrival is not None:
                scope.arrival = arrival
            outcomes = rules.outcomes(scope) if counts is None else counts.outcomes(scope, rules)
            for outcome in outcomes:
                if outcome.event is not None:
                    mapped.events.append(outcome.event)
                elif outcome.error is not None:
                    mapped.refusals.append(_refusal(outcome.error, outcome.rule))
            return True
    return False


def _refusal(error: MappingError, rule: CompiledRule | None) -> Refusal:
    return Refusal(error.reason, error.field, error.what, error.remedy, "" if rule is None else rule.name)


def _look_up_in(profile: Profile, joins: Joins, files: Sequence[Path]) -> None:
    tables = {name: spec for name, spec in profile.inputs.items() if spec.key is not None}
    only_tables = msgspec.structs.replace(profile, inputs=tables, events=(), ignore=())
    for name, paths in assign(only_tables, files).files.items():
        for path in paths:
            for row in read(path, tables[name]):
                if row.record is not None:
                    joins.add(name, Scope(row.record, row.line, row.key))
