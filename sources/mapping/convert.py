"""Conversion of a platform's files: canonical events in the order of their time, and dead letters for the rest.

Held in memory until the end: the event lines (for the sort, and for ids that come twice), the records that others join
to, and the relations. ``docs/profiles.md`` states how much that is.
"""

import base64
import gc
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

import msgspec

from config.settings import IntakeContract
from events.model import Event
from events.records import DeadLetterRecord
from sources.mapping.assign import Assigned, assign, rows_of_input
from sources.mapping.contract_file import NAME, FileCounts
from sources.mapping.errors import MappingError
from sources.mapping.joins import Joins
from sources.mapping.paths import Scope
from sources.mapping.profile import Profile
from sources.mapping.readers import Row, by_lines, original, read
from sources.mapping.records import RecordRules
from sources.mapping.rules import CompiledRule

_PAYLOAD_LIMIT = 64 * 1024
_ENCODER = msgspec.json.Encoder()


class ConvertReport(msgspec.Struct, frozen=True):
    """What a conversion did. ``by_type``: events per type; ``by_reason``: dead letters per reason."""

    records: int
    events: int
    by_type: dict[str, int]
    dead_letters: int
    by_reason: dict[str, int]
    notes: tuple[str, ...]
    events_file: Path
    dead_letters_file: Path


def convert(
    profile: Profile, inputs: Sequence[Path], output: Path, contract: IntakeContract | None = None
) -> ConvertReport:
    """Convert files, and the files of folders, to ``output``.

    An ``output`` that ends in ``.ndjson`` is the events' file, with ``dead_letters.ndjson`` beside it; any other is a
    folder that gets ``events/<profile>-0.ndjson`` and ``dead_letters.ndjson``. Both files appear when complete.
    Events are in order of time, those of one moment in the order of the input. With ``contract`` the fields are counted
    too, into ``contract.ndjson`` beside the dead letters.

    Raises ConversionError when the inputs as a whole do not fit.
    """
    events_file, dead_file = _targets(profile, output)
    assigned = assign(profile, inputs)
    events_file.parent.mkdir(parents=True, exist_ok=True)
    unfinished = [file.with_name(file.name + ".part") for file in (events_file, dead_file)]
    with unfinished[1].open("wb") as dead_stream:
        counts = None if contract is None else FileCounts(profile, contract)
        conversion = _Conversion(profile, assigned, _DeadLetters(profile, dead_stream), counts)
        with _no_collector():
            conversion.run()
    with unfinished[0].open("wb") as stream:
        stream.writelines(conversion.events.in_order())
    unfinished[0].replace(events_file)
    unfinished[1].replace(dead_file)
    if counts is not None:
        counts.write(dead_file.with_name(NAME))
    return conversion.report(events_file, dead_file)


@contextmanager
def _no_collector() -> Iterator[None]:
    """No cyclic collection: a conversion makes no cycles, but holds records that would be walked again and again."""
    was_on = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_on:
            gc.enable()


def _targets(profile: Profile, output: Path) -> tuple[Path, Path]:
    if output.suffix == ".ndjson":
        return output, output.with_name("dead_letters.ndjson")
    return output / "events" / f"{profile.name}-0.ndjson", output / "dead_letters.ndjson"


class _Events:
    """The event lines of a conversion, each ``(source, id)`` once."""

    def __init__(self) -> None:
        self.by_type: Counter[str] = Counter()
        self.repeated = 0
        self._lines: list[bytes] = []
        self._times: list[int] = []
        self._at: dict[str, int] = {}

    def __len__(self) -> int:
        return len(self._lines)

    def add(self, event: Event, rule: CompiledRule) -> None:
        """Keep an event; raises MappingError when another event has its id, unless its rule tells things again."""
        line = _ENCODER.encode(event)
        at = self._at.setdefault(f"{event.source}\0{event.id}", len(self._lines))
        if at == len(self._lines):
            self._lines.append(line)
            self._times.append(event.time)
            self.by_type[rule.type] += 1
        elif rule.once or self._lines[at] == line:
            self.repeated += 1
        else:
            what = f"an earlier event that says something else has the id {event.id!r} too"
            remedy = "add a field to id that tells them apart; a run would take the second for a repetition"
            raise MappingError("conflicting_id", "id", what, remedy)

    def in_order(self) -> Iterator[bytes]:
        """The lines by time; sorting is stable, so those of one moment stay in the order of the input."""
        for at in sorted(range(len(self._lines)), key=self._times.__getitem__):
            yield self._lines[at] + b"\n"


class _DeadLetters:
    """Writes what gives no event, with where it stood, why, and what to do."""

    def __init__(self, profile: Profile, stream: BinaryIO) -> None:
        self.by_reason: Counter[str] = Counter()
        self._profile = profile
        self._stream = stream

    def add(self, input_name: str, path: Path, row: Row, rule: str, error: MappingError) -> None:
        spec = self._profile.inputs[input_name]
        payload = original(row, spec)
        listed = spec.format == "json" and not by_lines(path, spec)
        place = f"record {row.line} of {spec.records or 'the list'}" if listed else f"line {row.line}"
        of_rule = f" of {rule}" if rule else ""
        cut = (
            "" if len(payload) <= _PAYLOAD_LIMIT else f" (payload: the first {_PAYLOAD_LIMIT} of {len(payload)} bytes)"
        )
        record = DeadLetterRecord(
            id=f"{self._profile.name}/{input_name}/{path.as_posix()}/{row.position}/{self.by_reason.total()}",
            topic=f"{self._profile.name}.{input_name}",
            partition=path.as_posix(),
            position=row.position,
            reason=error.reason,
            detail=f"{path.name}, {place}, field {error.field}{of_rule}: {error.what}{cut}",
            remedy=error.remedy,
            arrival=None,
            payload=base64.b64encode(payload[:_PAYLOAD_LIMIT]).decode(),
        )
        self.by_reason[error.reason] += 1
        self._stream.write(_ENCODER.encode(record) + b"\n")


class _Conversion:
    """One run: first what records refer to, then the records."""

    def __init__(
        self, profile: Profile, assigned: Assigned, dead: _DeadLetters, counts: FileCounts | None = None
    ) -> None:
        self.events = _Events()
        self._profile = profile
        self._assigned = assigned
        self._dead = dead
        self._counts = counts
        self._joins = Joins(profile)
        self._rules = {name: RecordRules(profile, self._joins, name) for name in profile.inputs}
        self._records = 0
        self._ignored = 0

    def run(self) -> None:
        self._collect()
        self._learn()
        for name, rules in self._rules.items():
            for path, row in self._rows(name) if rules else ():
                self._records += 1
                self._map(name, rules, path, row)

    def report(self, events_file: Path, dead_file: Path) -> ConvertReport:
        return ConvertReport(
            records=self._records,
            events=len(self.events),
            by_type=dict(sorted(self.events.by_type.items())),
            dead_letters=self._dead.by_reason.total(),
            by_reason=dict(sorted(self._dead.by_reason.items())),
            notes=tuple(self._notes()),
            events_file=events_file,
            dead_letters_file=dead_file,
        )

    def _rows(self, input_name: str) -> Iterator[tuple[Path, Row]]:
        spec = self._profile.inputs[input_name]
        for path in self._assigned.files[input_name]:
            mine = rows_of_input(self._profile, self._assigned, input_name, path)
            for row in read(path, spec):
                if mine(row):
                    yield path, row

    def _collect(self) -> None:
        """Index the records that others look up."""
        for name in self._joins.records:
            for path, row in self._rows(name):
                read_again = self._gives_events(name, path)  # its bad rows are then reported with the rest
                self._records += not read_again
                kept = row.record is not None and self._joins.add(name, Scope(row.record, row.line, row.key))
                if not kept and not read_again:
                    what = row.defect or "this record has no key, so nothing can refer to it"
                    field = "(row)" if row.defect else self._profile.inputs[name].key or ""
                    error = MappingError("bad_row", field, what, "correct the record in the source file")
                    self._dead.add(name, path, row, "", error)

    def _gives_events(self, name: str, path: Path) -> bool:
        """Whether rules read these records too: those of this input, or of another that the same table serves."""
        giving = [other for other, rules in self._rules.items() if rules]
        if name in giving or not self._profile.inputs[name].flat:
            return name in giving
        return any(path in self._assigned.files[other] for other in giving)

    def _learn(self) -> None:
        for name in dict.fromkeys(relation.from_ for relation in self._profile.relations.values()):
            for _, row in self._rows(name):
                if row.record is not None:
                    self._joins.learn(name, Scope(row.record, row.line, row.key))

    def _map(self, name: str, rules: RecordRules, path: Path, row: Row) -> None:
        counts = None if self._counts is None else self._counts.of(name, path, row.position)
        if row.record is None:
            if counts is not None:
                counts.refused("(row)", "bad_row")
            remedy = "correct the record in the source file, or the input's format in the profile"
            self._dead.add(name, path, row, "", MappingError("bad_row", "(row)", row.defect, remedy))
            return

        scope = Scope(row.record, row.line, row.key)
        outcomes = rules.outcomes(scope) if counts is None else counts.outcomes(scope, rules)
        self._ignored += not outcomes
        for outcome in outcomes:
            error = outcome.error
            if outcome.event is not None and outcome.rule is not None:
                error = self._keep(outcome.event, outcome.rule)
            if error is not None:
                self._dead.add(name, path, row, outcome.rule.name if outcome.rule else "", error)

    def _keep(self, event: Event, rule: CompiledRule) -> MappingError | None:
        try:
            self.events.add(event, rule)
        except MappingError as error:
            return error
        return None

    def _notes(self) -> Iterator[str]:
        yield from self._assigned.notes
        if self._ignored:
            yield f"records left out by [[ignore]]: {self._ignored}"
        if self.events.repeated:
            yield f"events told again, each written once: {self.events.repeated}"
        for name in self._joins.records:
            unused = 0 if self._rules[name] else self._joins.unused(name)
            if unused:
                yield f"records of {name!r} that belong to no record that was converted: {unused}"
        for name, fields in self._never_filled().items():
            for field in sorted(fields):
                yield f"rule {name!r}: no record had a value for {field}"

    def _never_filled(self) -> dict[str, set[str]]:
        """By the name of a rule, for it may read several inputs; each field with where its value should be."""
        never: dict[str, set[str]] = {}
        for rules in self._rules.values():
            for rule in rules.rules:
                if rule.used:
                    fields = set(rule.never_filled())
                    never[rule.name] = never.get(rule.name, fields) & fields
        return never
