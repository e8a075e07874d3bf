"""A profile's rules, compiled: a record in, the fields of one event out. What each path means is settled once."""

from collections.abc import Callable, Iterator
from typing import Any

import msgspec

from events.model import Event, Item
from sources.mapping import template
from sources.mapping.canonical import EVENTS, Kind, Target, targets_of
from sources.mapping.errors import MappingError
from sources.mapping.joins import Joins, id_text
from sources.mapping.paths import Getter, Scope, getter
from sources.mapping.profile import Choice, Condition, EventRule, Field, Parts, Profile, Test, ValueSpec
from sources.mapping.values import (
    MoneyForm,
    TimeForm,
    as_integer,
    as_money,
    as_text,
    as_time,
    digits_of,
)

Read = Callable[[Any, Scope], Any]  # a raw value to a canonical one
Fill = Callable[[Scope], Any]  # a scope to a canonical value, or None
Fills = list[tuple[str, Fill, bool]]  # name, value, whether the event needs it
Check = Callable[[Scope], bool]

_ITEM_TARGETS = targets_of(Item)


class CompiledRule:
    """One rule of a profile, ready to run."""

    def __init__(self, rule: EventRule, profile: Profile, joins: Joins) -> None:
        compiler = Compiler(profile, joins, rule.input)
        self.name = rule.name
        self.type = rule.type
        self.optional = rule.optional
        self.applies = compiler.condition(rule.when)
        self._event = EVENTS[rule.type]
        self._elements = compiler.elements(rule)
        targets = targets_of(self._event)
        currency = rule.fields.get("currency")
        self._currency = currency and compiler.field(currency, targets["currency"], "currency")
        self._default_currency = profile.money.currency
        self._names_currency = "currency" in targets
        self._source = profile.source
        self._fields = compiler.fields(rule.fields, targets, leave_out="currency")
        self._origins = {name: _origin(field) for name, field in rule.fields.items()}
        self._never_filled = {name for name, _, _ in self._fields}
        self._used = False

    def scopes(self, scope: Scope) -> Iterator[Scope]:
        """The scope once per event that this record gives; raises MappingError when it gives none."""
        if self._elements is None:
            yield scope
            return
        elements = self._elements(scope)
        if not elements:
            what, remedy = "the list is empty, or leads to nothing known", "check for_each, or add a condition (when)"
            raise MappingError("unresolved", "for_each", what, remedy)
        for scope.index, scope.each in enumerate(elements, start=1):
            yield scope

    def event(self, scope: Scope) -> Event:
        """The event; raises MappingError that names the field."""
        values: dict[str, Any] = {"source": self._source}
        name = "currency"
        try:
            currency = (self._currency and self._currency(scope)) or self._default_currency
            scope.digits = digits_of(currency)
            if self._names_currency:
                values["currency"] = currency
            for name, fill, required in self._fields:
                value = fill(scope)
                if value is not None:
                    values[name] = value
                elif required:
                    what = "has no value in this record"
                    raise MappingError("missing_value", name, what, "check the field, or add a condition (when)")
        except (ValueError, ArithmeticError) as error:
            raise _bad_value(error, self._origins.get(name, ""), name) from None
        self._used = True
        if self._never_filled:
            self._never_filled.difference_update(values)
        try:
            return msgspec.convert(values, self._event)
        except msgspec.ValidationError as error:
            what, _, path = str(error).partition(" - at ")
            field = path.strip("`").removeprefix("$.") or "(event)"
            raise MappingError("invalid_value", field, what, "check which field the profile names here") from None

    def never_filled(self) -> list[str]:
        """The fields that no event so far had a value for: a misspelt path, or a column that this export lacks."""
        return sorted(self._never_filled) if self._used else []


class Compiler:
    """Turns what a profile says about the records of one input into functions."""

    def __init__(self, profile: Profile, joins: Joins, input_name: str) -> None:
        self.profile = profile
        self.joins = joins
        self.input_name = input_name

    def getter(self, path: str, value: ValueSpec | None = None) -> Getter:
        missing = frozenset(("", *self.profile.missing, *(value.missing if value else ())))
        return getter(path, missing, flat=self.profile.inputs[self.input_name].flat)

    def condition(self, condition: Condition) -> Check:
        groups = [[self._test(path, test) for path, test in group.items()] for group in condition]
        if not groups:
            return lambda _scope: True
        if len(groups) == 1:
            tests = groups[0]
            return lambda scope: all(test(scope) for test in tests)
        return lambda scope: any(all(test(scope) for test in tests) for tests in groups)

    def _test(self, path: str, test: Test) -> Check:
        get, present = self.getter(path), test.present
        wanted = None if test.is_ is None else frozenset(test.is_)
        unwanted = frozenset(test.not_ or ())
        if wanted is None and not unwanted:
            return lambda scope: (get(scope) is not None) is (present is not False)

        def holds(scope: Scope) -> bool:
            value = get(scope)
            if present is not None and (value is not None) is not present:
                return False
            text = "" if value is None else id_text(value)
            return (wanted is None or text in wanted) and text not in unwanted

        return holds

    def elements(self, rule: EventRule) -> Callable[[Scope], Any] | None:
        each = rule.for_each
        if each is None:
            return None
        if each.set is not None:
            name = each.set
            return lambda scope: self.joins.ids(name, scope)
        get = self.getter(each.field or "")

        def listed(scope: Scope) -> list[Any]:
            value = get(scope)
            return value if isinstance(value, list) else [] if value is None else [value]

        return listed

    def fields(
        self, fields: dict[str, Field], targets: dict[str, Target], path: str = "", leave_out: str = ""
    ) -> Fills:
        return [
            (name, self.field(field, targets[name], f"{path}{name}"), targets[name].required)
            for name, field in fields.items()
            if name != leave_out
        ]

    def field(self, field: Field, target: Target, path: str) -> Fill:
        if isinstance(field, Parts):
            return self._table(field, target, path)
        if target.kind == "items":
            return self._items(field, path)
        fills = [self._value(value, target.kind) for value in field.values]
        if len(fills) == 1:
            return fills[0]
        return _first(fills)

    def _table(self, parts: Parts, target: Target, path: str) -> Fill:
        fills = self.fields(parts.fields, target.table or {}, f"{path}.")

        return lambda scope: _filled(fills, scope, path) or None

    def _items(self, choice: Choice, path: str) -> Fill:
        """A list of order lines: each element of a field, or each record that is looked up."""
        spec = choice.values[0]
        inner = self if spec.lookup is None else Compiler(self.profile, self.joins, spec.lookup)
        parts = choice.items or Parts({})
        fills = inner.fields(_of_elements(parts, spec), _ITEM_TARGETS, f"{path}.")
        elements = self._looked_up(spec) if spec.lookup is not None else self._listed(spec)

        def items(scope: Scope) -> list[dict[str, Any]] | None:
            found = []
            for element in elements(scope):
                element.digits = scope.digits
                found.append(_filled(fills, element, path))
            return found or None

        return items

    def _listed(self, spec: ValueSpec) -> Callable[[Scope], list[Scope]]:
        get = self.getter(spec.field or "", spec)

        def listed(scope: Scope) -> list[Scope]:
            value = get(scope)
            elements = value if isinstance(value, list) else [] if value is None else [value]
            found = []
            for index, element in enumerate(elements, start=1):
                inner = Scope(scope.record, scope.line, scope.key)
                inner.each, inner.index = element, index
                found.append(inner)
            return found

        return listed

    def _looked_up(self, spec: ValueSpec) -> Callable[[Scope], list[Scope]]:
        by, name = self.getter(spec.by or ""), spec.lookup or ""

        def looked_up(scope: Scope) -> list[Scope]:
            key = by(scope)
            return [] if key is None else self.joins.look_up(name, key)

        return looked_up

    def _value(self, spec: ValueSpec, kind: Kind) -> Fill:
        read = self._reader(spec, kind)
        as_it_is = kind == "text" and spec.map is None
        if spec.value is not None:
            return _constant(spec.value, read)
        if spec.lookup is not None:
            return self._joined(spec, read)
        if spec.template is not None:
            fill = template.compiled(spec.template, lambda inner: self.getter(inner, spec))
            return fill if as_it_is else _checked(fill, read)
        if spec.set is not None:
            return self._all(spec.set) if kind == "texts" else self._only(spec.set, read)
        if spec.sum or spec.latest:
            return self._several(spec, read)
        get = self.getter(spec.field or "", spec)
        return _text(get) if as_it_is else _checked(get, read)

    def _only(self, set_name: str, read: Read) -> Fill:
        """The one id of a set; none when there are several, as it would be a guess."""

        def only(scope: Scope) -> Any:
            ids = self.joins.ids(set_name, scope)
            return read(ids[0], scope) if len(ids) == 1 else None

        return only

    def _all(self, set_name: str) -> Fill:
        return lambda scope: self.joins.ids(set_name, scope) or None

    def _several(self, spec: ValueSpec, read: Read) -> Fill:
        getters = [self.getter(path, spec) for path in spec.sum or spec.latest]
        combine: Callable[[list[Any]], Any] = sum if spec.sum else max

        def several(scope: Scope) -> Any:
            values = [read(value, scope) for get in getters if (value := get(scope)) is not None]
            return combine(values) if values else None

        return several

    def _joined(self, spec: ValueSpec, read: Read) -> Fill:
        looked_up = self._looked_up(spec)
        inner = Compiler(self.profile, self.joins, spec.lookup or "")
        getters = [inner.getter(path, spec) for path in spec.sum or (spec.field or "",)]

        def joined(scope: Scope) -> Any:
            records = looked_up(scope)
            if spec.take == "count":
                return len(records) or None
            values = (value for record in records for get in getters if (value := get(record)) is not None)
            if spec.sum:
                amounts = [read(value, scope) for value in values]
                return sum(amounts) if amounts else None
            return _taken(list(values), spec.take, scope, read)

        return joined

    def _reader(self, spec: ValueSpec, kind: Kind) -> Read:
        read = self._plain_reader(spec, kind)
        if spec.map is None:
            return read
        known, unmapped = spec.map, spec.unmapped

        def mapped(value: Any, scope: Scope) -> Any:
            text = _comparable(value)
            if text in known:
                return read(known[text], scope)
            if unmapped == "leave_out":
                return None
            if unmapped == "keep":
                return read(value, scope)
            raise ValueError(f"{text!r} is not in the map: add it, or set unmapped = 'keep' or 'leave_out'")

        return mapped

    def _plain_reader(self, spec: ValueSpec, kind: Kind) -> Read:
        if kind == "money":
            defaults = self.profile.money
            form = MoneyForm(
                spec.unit or defaults.unit or "minor", spec.decimal or defaults.decimal, spec.round or defaults.round
            )
            if spec.value is not None:
                form = MoneyForm("minor")  # a constant is written as it comes out
            return lambda value, scope: as_money(value, form, scope.digits)
        if kind == "time":
            time_form = _time_form(spec, self.profile)
            return lambda value, _scope: as_time(value, time_form)
        if kind == "integer":
            return lambda value, _scope: as_integer(value)
        if kind == "texts":
            return lambda value, _scope: [as_text(item) for item in (value if isinstance(value, list) else [value])]
        return lambda value, _scope: as_text(value)


def _of_elements(parts: Parts, spec: ValueSpec) -> dict[str, Field]:
    """Inside ``each`` of a list in the record itself, a plain path means a field of the element."""
    if spec.lookup is not None:
        return parts.fields
    return {name: _inside(field) for name, field in parts.fields.items()}


def _inside(field: Field) -> Field:
    if isinstance(field, Parts):
        return field
    return Choice(
        tuple(
            msgspec.structs.replace(
                value,
                field=value.field and _in_each(value.field),
                sum=tuple(map(_in_each, value.sum)),
            )
            for value in field.values
        )
    )


def _in_each(path: str) -> str:
    return path if path.startswith("$") else f"$each.{path}"


def _comparable(value: Any) -> str:
    return value if type(value) is str else as_text(value)


def _taken(values: list[Any], take: str, scope: Scope, read: Read) -> Any:
    if not values:
        return None
    if take == "only" and any(value != values[0] for value in values):
        return None
    return read(values[-1 if take == "last" else 0], scope)


def _checked(get: Fill, read: Read) -> Fill:
    def fill(scope: Scope) -> Any:
        value = get(scope)
        return None if value is None else read(value, scope)

    return fill


def _text(get: Fill) -> Fill:
    def fill(scope: Scope) -> Any:
        value = get(scope)
        return None if value is None else as_text(value)

    return fill


def _constant(value: str | int | bool, read: Read) -> Fill:
    try:
        fixed = read(value, Scope({}, 0))
    except ValueError:
        return lambda scope: read(value, scope)  # the dead letters say what is wrong with it
    return lambda _scope: fixed


def _first(fills: list[Fill]) -> Fill:
    def first(scope: Scope) -> Any:
        for fill in fills:
            value = fill(scope)
            if value is not None:
                return value
        return None

    return first


def _filled(fills: Fills, scope: Scope, path: str) -> dict[str, Any]:
    """The parts that have a value; raises MappingError that names the part."""
    values = {}
    for name, fill, _ in fills:
        try:
            value = fill(scope)
        except (ValueError, ArithmeticError) as error:
            raise _bad_value(error, "", f"{path}.{name}") from None
        if value is not None:
            values[name] = value
    return values


def _bad_value(error: Exception, origin: str, name: str) -> MappingError:
    what, _, remedy = str(error).rpartition(": ")
    return MappingError("bad_value", f"{origin} -> {name}" if origin else name, what or remedy, remedy)


def _origin(field: Field) -> str:
    """Where a value comes from, for a person."""
    if isinstance(field, Parts):
        return ""
    return " or ".join(
        (f"{value.lookup}: " if value.lookup else "")
        + (value.field or value.template or value.set or ", ".join(value.sum or value.latest))
        for value in field.values
    )


def _time_form(spec: ValueSpec, profile: Profile) -> TimeForm:
    rules = profile.time
    formats = spec.format or rules.format
    return TimeForm(
        formats=(formats,) if isinstance(formats, str) else formats,
        zone=spec.zone or rules.zone,
        date_only_at=spec.date_only_at or rules.date_only_at,
        midnight_is_date=rules.midnight_is_date if spec.midnight_is_date is None else spec.midnight_is_date,
        ambiguous=spec.ambiguous or rules.ambiguous,
        nonexistent=spec.nonexistent or rules.nonexistent,
        earliest=int(rules.earliest),
        latest=int(rules.latest),
    )
