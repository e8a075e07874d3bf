"""The rule documents that were published, and what became of each."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Literal

import msgspec
from msgspec import Struct

from config.problems import Problem
from config.rulebook import problems_of
from config.settings import Settings
from console.options import is_kafka
from events.batch import RawBatch
from events.model import UNREADABLE, RulePublished, type_name
from operators.rules.documents import Announced, key_of
from operators.rules.in_effect import RulesInEffect
from operators.rules.rulebook import Rulebook

Status = Literal["in_effect", "waiting", "overtaken", "replaced", "superseded", "refused"]

_RULES: msgspec.json.Decoder[RulePublished] = msgspec.json.Decoder(RulePublished)


class _Typed(Struct):
    type: str = ""


_TYPES: msgspec.json.Decoder[_Typed] = msgspec.json.Decoder(_Typed)


class Standing(Struct, frozen=True):
    """A document and what it is now; ``problems`` of one that was refused. ``place``: where it stands."""

    document: RulePublished
    status: Status
    place: str
    problems: tuple[Problem, ...] = ()


class RulesLog(Struct, frozen=True):
    """All documents in the order in which they count, and the settings at the moment that was asked for.

    ``unreadable``: records that are no rule document at all, by place.
    """

    files: Settings
    now: Settings
    standings: tuple[Standing, ...]
    unreadable: tuple[tuple[str, str], ...]

    def of(self, kind: str, rule: str) -> list[Standing]:
        """The documents of one rule."""
        return [each for each in self.standings if (each.document.kind, each.document.rule) == (kind, rule)]

    def newest(self, kind: str, rule: str) -> int:
        """The largest version that was published, refused ones included, as their keys are taken; 0: none."""
        return max((each.document.version for each in self.of(kind, rule)), default=0)


def read_rules(where: Path, settings: Settings, at: int) -> RulesLog:
    """The documents in a file of events, or on the rules topic, as they stand at ``at`` (epoch ms).

    A file that is not there holds none. Raises SourceError when they cannot be read.
    """
    unreadable: list[tuple[str, str]] = []
    found = list(_documents(where, settings, unreadable))
    return _judged(found, settings, at, tuple(unreadable))


def _documents(where: Path, settings: Settings, unreadable: list[tuple[str, str]]) -> Iterator[Announced]:
    for batch in _batches(where, settings):
        for index, line in enumerate(batch.lines):
            position = batch.positions[index]
            try:
                if _TYPES.decode(line).type != type_name(RulePublished):
                    continue
                document = _RULES.decode(line)
            except UNREADABLE as error:
                unreadable.append((f"{batch.partition}@{position}", str(error)))
                continue
            yield Announced(document.time, document, batch.topic, batch.partition, position, line, tells=True)


def _batches(where: Path, settings: Settings) -> Iterator[RawBatch]:
    # Here, so that `--help` does not wait for the libraries that these modules need.
    from sources.files import FileInput
    from sources.kafka import KafkaInput

    if is_kafka(where):
        topics = [settings.kafka.topics.rules]
        source: KafkaInput | FileInput = KafkaInput(settings.kafka, topics, start="earliest", bounded=True)
    elif where.exists():
        source = FileInput([where])
    else:
        return
    reader = source.open()
    try:
        while not reader.finished:
            yield from reader.read(None)
    finally:
        reader.close()


def _judged(
    found: Sequence[Announced], settings: Settings, at: int, unreadable: tuple[tuple[str, str], ...]
) -> RulesLog:
    refused = {id(each): tuple(problems_of(settings, each.document)) for each in found}
    rules = RulesInEffect(Rulebook(settings))
    rules.take(each for each in found if not refused[id(each)])
    superseded: set[str] = set()
    while rules.next <= at:
        change = rules.reach(rules.next)
        superseded |= {_place(each.announced) for each in change.verdicts if each.what == "superseded"}
    standings = [
        Standing(
            each.document,
            "superseded" if _place(each) in superseded else _status(each, rules, refused[id(each)]),
            _place(each),
            refused[id(each)],
        )
        for each in sorted(found, key=lambda each: (each.document.rule, each.document.version, each.time))
    ]
    return RulesLog(settings, rules.settings(), tuple(standings), unreadable)


def _status(announced: Announced, rules: RulesInEffect, problems: tuple[Problem, ...]) -> Status:
    document = announced.document
    if problems:
        return "refused"
    state = rules.head.rules.get(key_of(document))
    effective = None if state is None else state.effective
    if effective == document:
        return "in_effect"
    pending = (*rules.head.waiting, *rules.head.announced)
    if any(each.document == document for each in pending):
        newer = [each for each in pending if key_of(each.document) == key_of(document)]
        overtaken = any(
            each.document.version > document.version and each.takes_effect <= announced.takes_effect for each in newer
        )
        return "overtaken" if overtaken or (effective and effective.version > document.version) else "waiting"
    return "replaced"


def _place(announced: Announced) -> str:
    return f"{announced.partition}@{announced.position}"
