"""What a profile does with a sample: fields of the sample that nothing maps, canonical fields that nothing fills."""

from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from msgspec import Struct

from sources.mapping.assign import Assigned, assign, rows_of_input
from sources.mapping.canonical import targets_of_rule
from sources.mapping.joins import Joins
from sources.mapping.paths import Scope, opened, parse
from sources.mapping.profile import Condition, EventRule, Field, Parts, Profile, ValueSpec
from sources.mapping.readers import read
from sources.mapping.records import RecordRules
from sources.mapping.template import placeholders

Steps = tuple[str, ...]  # "*" for each element of a list

_EACH = "*"
_OPENING = ("{", "[", "%")  # a text may hold JSON, plain or percent-encoded


class Coverage(Struct, frozen=True):
    """``unmapped``: by input, the paths that no rule reads, with the number of records that have a value there.

    ``unfilled``: by event type, the canonical fields that no rule for it names.
    """

    unmapped: dict[str, dict[str, int]]
    unfilled: dict[str, list[str]]


def coverage(profile: Profile, samples: Sequence[Path]) -> Coverage:
    """Compare a profile with samples; raises ConversionError when they are of no kind that the profile knows.

    Records that an [[ignore]] leaves out on purpose are not looked at.
    """
    assigned = assign(profile, samples)
    joins = Joins(profile)
    unmapped: dict[str, dict[str, int]] = {}
    for name, files in assigned.files.items():
        rules, counts = RecordRules(profile, joins, name), Counter[str]()
        for file in files:
            together = _together(profile, assigned, name, file)
            if together[0] != name:
                continue  # looked at with the first input that the table serves
            used = set[Steps]().union(*(_used(profile, other) for other in together))
            mine = rows_of_input(profile, assigned, name, file)
            for row in filter(mine, read(file, profile.inputs[name])):
                if row.record is not None and not rules.leaves_out(Scope(row.record, row.line, row.key)):
                    counts.update({_written(steps) for steps in _leaves(row.record, (), used) if steps not in used})
        if counts:
            unmapped[name] = dict(sorted(counts.items()))
    return Coverage(unmapped, unfilled(profile))


def _together(profile: Profile, assigned: Assigned, name: str, file: Path) -> list[str]:
    """The inputs that read the same rows: several may read one table, each JSON collection belongs to one."""
    if not profile.inputs[name].flat:
        return [name]
    return [other for other, files in assigned.files.items() if file in files and profile.inputs[other].flat]


def unfilled(profile: Profile) -> dict[str, list[str]]:
    """By event type, the canonical fields that no rule for it names."""
    named: dict[str, set[str]] = {}
    for rule in profile.events:
        named.setdefault(rule.type, {"source", "currency"}).update(rule.fields)
    missing = {kind: [name for name in targets_of_rule(kind) if name not in names] for kind, names in named.items()}
    return {kind: names for kind, names in sorted(missing.items()) if names}


def stages(profile: Profile) -> list[str]:
    """The stages that a profile itself names; those that come from the records are not known here."""
    values = [value for rule in profile.events if "stage" in rule.fields for value in _values(rule.fields["stage"])]
    named = [str(value.value) for value in values if value.value is not None]
    named += [str(word) for value in values for word in (value.map or {}).values()]
    return list(dict.fromkeys(named))


def _leaves(value: Any, at: Steps, used: set[Steps]) -> Iterator[Steps]:
    """Where a record has values; a text with JSON in it is looked into when the profile does so too."""
    if isinstance(value, str) and value[:1] in _OPENING and any(path[: len(at)] == at != path for path in used):
        value = opened(value) or value
    if isinstance(value, dict):
        for name, inner in value.items():
            yield from _leaves(inner, (*at, str(name)), used)
    elif isinstance(value, list):
        for inner in value:
            yield from _leaves(inner, (*at, _EACH), used)
    elif value is not None and value != "":
        yield at


def _written(steps: Steps) -> str:
    text = ""
    for step in steps:
        if step == _EACH:
            text += "[*]"
        else:
            text += ("." if text else "") + (f'"{step}"' if set(step) & set('.[]"') else step)
    return text or "(the element itself)"


def _used(profile: Profile, input_name: str) -> set[Steps]:
    """Every path that the profile reads in the records of an input."""
    spec = profile.inputs[input_name]
    paths = {*spec.fields, *([] if spec.key is None else [spec.key])}
    paths |= {found.field for found in profile.sets.values() if found.from_ == input_name and found.field is not None}
    for rule in profile.events:
        paths |= set(_of_rule(profile, rule, input_name))
    for ignore in profile.ignore:
        if ignore.input == input_name:
            paths |= set(_of_condition(ignore.when))
    return {_steps(path, flat=spec.flat) for path in paths if not path.startswith("$")}


def _steps(path: str, *, flat: bool) -> Steps:
    return (path,) if flat else tuple(step if isinstance(step, str) else _EACH for step in parse(path))


def _of_rule(profile: Profile, rule: EventRule, input_name: str) -> Iterator[str]:
    own = rule.input == input_name
    each = "" if rule.for_each is None else rule.for_each.field or ""
    if own:
        yield from _of_condition(rule.when)
        if each:
            yield each
    for field in rule.fields.values():
        for value, path in _of_field(field, each):
            home = value.lookup or rule.input
            if home == input_name:
                yield path
        if own:
            yield from (value.by for value in _values(field) if value.by is not None)


def _values(field: Field) -> Iterator[ValueSpec]:
    if isinstance(field, Parts):
        for part in field.fields.values():
            yield from _values(part)
    else:
        yield from field.values


def _of_field(field: Field, each: str) -> Iterator[tuple[ValueSpec, str]]:
    """The paths of a field, each with the value that it is for; those of elements are written from the record on."""
    if isinstance(field, Parts):
        for part in field.fields.values():
            yield from _of_field(part, each)
        return
    for value in field.values:
        for path in _of_value(value):
            yield value, _from_record(path, each)
        if field.items is not None:
            inner = "" if value.lookup else _from_record(value.field or "", each)
            for part in field.items.fields.values():
                for own, path in _of_field(part, inner):
                    outside = bool(value.lookup) or path.startswith((inner, "$"))
                    yield (value if value.lookup else own), path if outside else f"{inner}[*].{path}"


def _of_value(value: ValueSpec) -> Iterator[str]:
    if value.field is not None:
        yield value.field
    yield from (*value.sum, *value.latest, *value.digest)
    if value.template is not None:
        yield from placeholders(value.template)


def _of_condition(condition: Condition) -> Iterator[str]:
    for group in condition:
        for path, test in group.items():
            yield path
            if test.differs is not None:
                yield test.differs


def _from_record(path: str, each: str) -> str:
    if path.startswith("$each") and each:
        return f"{each}[*]{path.removeprefix('$each')}"
    return path.removeprefix("$record.")
