"""What types cannot say about a profile: names that must exist, words that must go together."""

import codecs
from collections.abc import Iterable, Iterator
from datetime import time
from difflib import get_close_matches
from typing import get_args
from zoneinfo import ZoneInfo

import phonenumbers

from config.problems import Problem
from events.currency import Currency
from events.model import Item
from sources.mapping import paths
from sources.mapping.addresses import CHINA
from sources.mapping.canonical import Kind, Target, targets_of, targets_of_rule
from sources.mapping.profile import (
    SOURCES_OF_A_VALUE,
    Choice,
    Condition,
    EventRule,
    Field,
    InputSpec,
    Parts,
    Profile,
    RelationSpec,
    SetSpec,
    TimeRules,
    ValueSpec,
)
from sources.mapping.regions import gazetteer
from sources.mapping.template import placeholders

_ITEM_TARGETS = targets_of(Item)
_ONE_LIST = {"csv": "a CSV file is one list of rows", "form": "a form is one record"}
_CURRENCIES = frozenset(get_args(Currency))


def references(profile: Profile) -> list[Problem]:
    """Every name that points nowhere and every value that cannot work."""
    return [
        *_defaults(profile),
        *_clean(profile),
        *_inputs(profile),
        *_sets(profile),
        *_relations(profile),
        *_rules(profile),
    ]


def _defaults(profile: Profile) -> Iterator[Problem]:
    yield from _time_words(profile.time, "time")
    if profile.money.currency not in _CURRENCIES:
        yield Problem("money.currency", f"{profile.money.currency!r} is no currency: write an ISO 4217 code, e.g. CNY")


def _clean(profile: Profile) -> Iterator[Problem]:
    rules = profile.clean
    if rules.phone is not None and rules.phone not in phonenumbers.SUPPORTED_REGIONS:
        yield Problem("clean.phone", f"{rules.phone!r} is no region: write an ISO 3166 code of two letters, e.g. 'CN'")
    if rules.address is None:
        return
    for region in rules.warehouses:
        what = _not_a_region(region)
        if what:
            yield Problem(f"clean.warehouses.{region}", what)


def _not_a_region(region: str) -> str:
    """Why a key of the warehouse map can never fit an address; empty when it can."""
    if region == "*" or region in CHINA or (len(region) == 2 and region.isascii()):
        return ""
    places = gazetteer()
    province, _, below = region.partition("/")
    if province not in places.provinces.full:
        return _hint(province, places.provinces.full, "province")
    city, _, district = below.partition("/")
    if city and city not in places.cities[province].full:
        return _hint(city, places.cities[province].full, f"city of {province}")
    if district and district not in places.districts[province, city].full:
        return _hint(district, places.districts[province, city].full, f"district of {city}")
    return ""


def _hint(name: str, known: Iterable[str], what: str) -> str:
    close = get_close_matches(name, list(known), n=1, cutoff=0.5)
    hint = f"did you mean {close[0]!r}?" if close else "write e.g. '浙江省', '浙江省/宁波市', a country code or '*'"
    return f"{name!r} is no {what}; {hint}"


def _time_words(rules: TimeRules | ValueSpec, path: str) -> Iterator[Problem]:
    if rules.zone is not None and not _is_zone(rules.zone):
        yield Problem(f"{path}.zone", f"{rules.zone!r} is not a time zone: write e.g. 'Asia/Shanghai'")
    if rules.date_only_at is not None and not _is_time_of_day(rules.date_only_at):
        yield Problem(f"{path}.date_only_at", f"{rules.date_only_at!r} is not a time of day: write e.g. '23:59:59'")
    formats = (rules.format,) if isinstance(rules.format, str) else rules.format or ()
    for form in formats:
        if form not in ("iso", "epoch_s", "epoch_ms") and "%" not in form:
            what = f"{form!r} is not known: write iso, epoch_s, epoch_ms or a pattern like '%d/%m/%Y %H:%M'"
            yield Problem(f"{path}.format", what)


def _is_zone(name: str) -> bool:
    try:
        ZoneInfo(name)
    except (OSError, ValueError):  # a missing zone is a KeyError in name, an OSError where the name is a folder
        return False
    except KeyError:
        return False
    return True


def _is_time_of_day(text: str) -> bool:
    try:
        return time.fromisoformat(text).tzinfo is None
    except ValueError:
        return False


def _inputs(profile: Profile) -> Iterator[Problem]:
    if not profile.inputs:
        yield Problem("inputs", "is missing: say what the files look like, e.g. [inputs.orders]")
    if not profile.events:
        yield Problem("events", "is missing: say what the records give, e.g. [[events]]")
    for name, spec in profile.inputs.items():
        path = f"inputs.{name}"
        if spec.format in ("csv", "form") and (spec.records or spec.keyed):
            yield Problem(f"{path}.records", f"is for JSON: {_ONE_LIST[spec.format]}")
        if spec.format != "csv" and spec.skip_lines:
            yield Problem(f"{path}.skip_lines", "is for CSV: nothing stands above a JSON document or a form")
        if spec.key is not None:
            yield from _path(spec.key, spec, f"{path}.key")
        if not _is_read(profile, name):
            yield Problem(path, "is read by nothing: add a rule or an [[ignore]] for it, give it a key, or delete it")
        try:
            codecs.lookup(spec.encoding)
        except LookupError:
            yield Problem(f"{path}.encoding", f"{spec.encoding!r} is not known: write e.g. 'utf-8' or 'gb18030'")
        if spec.format in ("json", "jsonl") and spec.encoding != "utf-8-sig":
            yield Problem(f"{path}.encoding", "is for CSV and forms: JSON is always UTF-8")


def _is_read(profile: Profile, name: str) -> bool:
    read = {rule.input for rule in profile.events} | {ignore.input for ignore in profile.ignore}
    return name in read or profile.inputs[name].key is not None


def _sets(profile: Profile) -> Iterator[Problem]:
    for name, spec in profile.sets.items():
        path = f"sets.{name}"
        if spec.from_ not in profile.inputs:
            yield _no_input(f"{path}.from", spec.from_, profile)
            continue
        if (spec.field is None) == (not spec.first_of):
            yield Problem(path, "give either field or first_of")
        if spec.field is not None:
            yield from _path(spec.field, profile.inputs[spec.from_], f"{path}.field")
        if spec.where is not None:
            yield from _lookup(profile, spec.where.lookup, f"{path}.where.lookup")
        for way in spec.first_of:
            yield from _way(profile, spec, name, way)


def _way(profile: Profile, spec: SetSpec, name: str, way: str) -> Iterator[Problem]:
    path = f"sets.{name}.first_of"
    start, *steps = (step.strip() for step in way.split(">"))
    first = profile.sets.get(start)
    if first is None or first.first_of:
        yield Problem(path, f"{start!r} is not a set that names a field")
    elif first.from_ != spec.from_:
        yield Problem(path, f"set {start!r} is of input {first.from_!r}, not of {spec.from_!r}")
    for step in steps:
        if step not in profile.relations:
            yield Problem(path, f"{step!r} is not a relation: declare [relations.{step}]")


def _relations(profile: Profile) -> Iterator[Problem]:
    for name, spec in profile.relations.items():
        if spec.from_ not in profile.inputs:
            yield _no_input(f"relations.{name}.from", spec.from_, profile)
        for word, chosen in (("key", spec.key), ("value", spec.value)):
            yield from _relation_end(profile, spec, f"relations.{name}.{word}", chosen)


def _relation_end(profile: Profile, spec: RelationSpec, path: str, chosen: str) -> Iterator[Problem]:
    found = profile.sets.get(chosen)
    if found is None or found.field is None:
        yield Problem(path, f"{chosen!r} is not a set that names a field: declare [sets.{chosen}]")
    elif found.from_ != spec.from_:
        yield Problem(path, f"set {chosen!r} is of input {found.from_!r}, not of {spec.from_!r}")


def _rules(profile: Profile) -> Iterator[Problem]:
    for at, ignore in enumerate(profile.ignore, start=1):
        if ignore.input not in profile.inputs:
            yield _no_input(f"ignore[{at}].from", ignore.input, profile)
        else:
            yield from _condition(ignore.when, profile.inputs[ignore.input], f"ignore[{at}].when")
    for at, rule in enumerate(profile.events, start=1):
        path = f"events[{at}] ({rule.name})"
        if rule.input not in profile.inputs:
            yield _no_input(f"{path}.from", rule.input, profile)
        else:
            yield from _rule(profile, rule, path)


def _rule(profile: Profile, rule: EventRule, path: str) -> Iterator[Problem]:
    spec = profile.inputs[rule.input]
    yield from _condition(rule.when, spec, f"{path}.when")
    if rule.for_each is not None:
        if (rule.for_each.field is None) == (rule.for_each.set is None):
            yield Problem(f"{path}.for_each", "give either field or set")
        if rule.for_each.field is not None:
            yield from _path(rule.for_each.field, spec, f"{path}.for_each.field")
        if rule.for_each.set is not None:
            yield from _set(profile, rule.for_each.set, rule.input, f"{path}.for_each.set")
    yield from _fields(_Place(profile, rule.input, path), rule.fields, targets_of_rule(rule.type))


class _Place:
    """Where in the profile a value stands: what it may refer to."""

    def __init__(self, profile: Profile, input_name: str, path: str) -> None:
        self.profile = profile
        self.input_name = input_name
        self.spec = profile.inputs[input_name]
        self.path = path

    def down(self, name: str) -> "_Place":
        return _Place(self.profile, self.input_name, f"{self.path}.{name}")


def _fields(place: _Place, fields: dict[str, Field], targets: dict[str, Target]) -> Iterator[Problem]:
    for name, field in fields.items():
        inner, target = place.down(name), targets[name]
        if isinstance(field, Parts):
            yield from _fields(inner, field.fields, target.table or {})
        else:
            yield from _choice(inner, field, target.kind)


def _choice(place: _Place, choice: Choice, kind: Kind) -> Iterator[Problem]:
    for value in choice.values:
        yield from _value(place, value, kind)
        if choice.items is not None:
            known = place.profile.inputs
            inner = value.lookup if value.lookup in known else place.input_name
            part = _Place(place.profile, inner or place.input_name, f"{place.path}.each")
            yield from _fields(part, choice.items.fields, _ITEM_TARGETS)


def _value(place: _Place, value: ValueSpec, kind: Kind) -> Iterator[Problem]:
    profile, path = place.profile, place.path
    given = [word for word in SOURCES_OF_A_VALUE if getattr(value, word) not in (None, ())]
    counted = value.lookup is not None and (value.take == "count" or value.each is not None)
    if len(given) + (counted and not given) != 1:
        yield Problem(path, f"give exactly one of {', '.join(SOURCES_OF_A_VALUE)}")
    record = place.spec
    if value.lookup is not None:
        yield from _lookup(profile, value.lookup, f"{path}.lookup")
        record = profile.inputs.get(value.lookup, record)
        if value.by is None:
            yield Problem(f"{path}.by", "is missing: name the field of this record that holds the other's key")
        else:
            yield from _path(value.by, place.spec, f"{path}.by")
    if value.set is not None:
        yield from _set(profile, value.set, place.input_name, f"{path}.set")
    for used in _paths_of(value):
        yield from _path(used, record, path)
    yield from _meaning(place, value, kind)


def _paths_of(value: ValueSpec) -> Iterator[str]:
    if value.field is not None:
        yield value.field
    yield from value.sum
    yield from value.latest
    yield from value.digest
    if value.template is not None:
        yield from placeholders(value.template)


def _meaning(place: _Place, value: ValueSpec, kind: Kind) -> Iterator[Problem]:
    """Words that do not fit what is filled."""
    path = place.path
    if kind == "money" and value.value is None and value.unit is None and place.profile.money.unit is None:
        what = "is missing: write unit = 'major' (58.90) or 'minor' (5890), here or in [money]"
        yield Problem(f"{path}.unit", what)
    if value.sum and kind not in ("money", "integer"):
        yield Problem(f"{path}.sum", "is for money and whole numbers")
    if value.latest and kind != "time":
        yield Problem(f"{path}.latest", "is for times")
    if kind == "currency" and value.value is not None and value.value not in _CURRENCIES:
        yield Problem(path, f"{value.value!r} is no currency: write an ISO 4217 code, e.g. CNY")
    yield from _time_words(value, path)


def _condition(condition: Condition, spec: InputSpec, path: str) -> Iterator[Problem]:
    for group in condition:
        for field, test in group.items():
            yield from _path(field, spec, f"{path}.{field}")
            if test.differs is not None:
                yield from _path(test.differs, spec, f"{path}.{field}.differs")


def _path(path: str, spec: InputSpec, where: str) -> Iterator[Problem]:
    try:
        paths.check(path, flat=spec.flat)
    except ValueError as error:
        yield Problem(where, str(error))


def _set(profile: Profile, name: str, input_name: str, where: str) -> Iterator[Problem]:
    spec = profile.sets.get(name)
    if spec is None:
        yield Problem(where, f"{name!r} is not a set: declare [sets.{name}]")
    elif spec.from_ != input_name:
        yield Problem(where, f"set {name!r} is of input {spec.from_!r}, not of {input_name!r}")


def _lookup(profile: Profile, name: str, where: str) -> Iterator[Problem]:
    spec = profile.inputs.get(name)
    if spec is None:
        yield _no_input(where, name, profile)
    elif spec.key is None:
        yield Problem(where, f"input {name!r} has no key: write key = ... in [inputs.{name}]")


def _no_input(where: str, name: str, profile: Profile) -> Problem:
    return Problem(where, f"{name!r} is not an input; the inputs are {', '.join(profile.inputs) or '(none)'}")
