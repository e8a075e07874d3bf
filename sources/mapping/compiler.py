"""What a profile says about the records of one input, turned into functions: each path is settled once."""

from collections.abc import Callable, Iterable, Iterator
from typing import Any

import msgspec

from events.model import Item
from sources.mapping import template
from sources.mapping.canonical import Kind, Target, targets_of
from sources.mapping.errors import bad_value
from sources.mapping.forms import Read, constant, quick, reader
from sources.mapping.joins import Joins, id_text
from sources.mapping.paths import Getter, Scope, getter, text_getter
from sources.mapping.profile import Choice, Condition, EventRule, Field, Parts, Profile, Test, ValueSpec
from sources.mapping.values import as_text, short_id

Fill = Callable[[Scope], Any]  # a scope to a canonical value, or None
Fills = list[tuple[str, Fill, bool]]  # name, value, whether the event needs it
Check = Callable[[Scope], bool]

_ITEM_TARGETS = targets_of(Item)


class Compiler:
    """Turns what a profile says about the records of one input into functions."""

    def __init__(self, profile: Profile, joins: Joins, input_name: str) -> None:
        self.profile = profile
        self.joins = joins
        self.input_name = input_name

    def getter(self, path: str, value: ValueSpec | None = None) -> Getter:
        return getter(path, self.missing(value), flat=self.profile.inputs[self.input_name].flat)

    def missing(self, value: ValueSpec | None) -> frozenset[str]:
        return frozenset(("", *self.profile.missing, *(value.missing if value else ())))

    def condition(self, condition: Condition) -> Check:
        groups = [[self._test(path, test) for path, test in group.items()] for group in condition]
        if not groups:
            return lambda _scope: True
        if len(groups) == 1:
            return _all_hold(groups[0])
        return lambda scope: any(all(test(scope) for test in tests) for tests in groups)

    def _test(self, path: str, test: Test) -> Check:
        get, present = self.getter(path), test.present
        wanted = None if test.is_ is None else frozenset(test.is_)
        other = None if test.differs is None else self.getter(test.differs)
        unwanted = frozenset(test.not_ or ())
        if wanted is None and not unwanted and other is None:
            return lambda scope: (get(scope) is not None) is (present is not False)

        if present is None and other is None and wanted is not None:
            return _is_one_of(get, wanted - unwanted)

        def holds(scope: Scope) -> bool:
            value = get(scope)
            if present is not None and (value is not None) is not present:
                return False
            text = "" if value is None else id_text(value)
            if other is not None and text == id_text(other(scope)):
                return False
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

    def fields(self, fields: dict[str, Field], targets: dict[str, Target], path: str = "") -> Fills:
        return [
            (name, self.field(field, targets[name], f"{path}{name}"), targets[name].required)
            for name, field in fields.items()
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
        elements: Callable[[Scope], Iterable[Scope]]
        elements = self._looked_up(spec) if spec.lookup is not None else self._listed(spec)

        def items(scope: Scope) -> list[dict[str, Any]] | None:
            found = []
            for element in elements(scope):
                element.digits, element.currency, element.told = scope.digits, scope.currency, scope.told
                found.append(_filled(fills, element, path))
            return found or None

        return items

    def _listed(self, spec: ValueSpec) -> Callable[[Scope], Iterator[Scope]]:
        get = self.getter(spec.field or "", spec)

        def listed(scope: Scope) -> Iterator[Scope]:
            value = get(scope)
            if value is None:
                return
            inner = Scope(scope.record, scope.line, scope.key)
            inner.arrival = scope.arrival
            for inner.index, inner.each in enumerate(value if isinstance(value, list) else [value], start=1):
                yield inner

        return listed

    def _looked_up(self, spec: ValueSpec) -> Callable[[Scope], list[Scope]]:
        by, name = self.getter(spec.by or ""), spec.lookup or ""

        def looked_up(scope: Scope) -> list[Scope]:
            key = by(scope)
            return [] if key is None else self.joins.look_up(name, key)

        return looked_up

    def _value(self, spec: ValueSpec, kind: Kind) -> Fill:
        read = reader(spec, kind, self.profile)
        as_it_is = kind == "text" and spec.map is None
        if spec.value is not None:
            return constant(spec.value, read)
        if spec.template is not None:
            fill = template.compiled(spec.template, lambda inner: self.getter(inner, spec))
            return fill if as_it_is else _checked(fill, read)
        if spec.field is not None and spec.lookup is None:
            if as_it_is:
                return text_getter(spec.field, self.missing(spec), flat=self.profile.inputs[self.input_name].flat)
            get = self.getter(spec.field, spec)
            plain = quick(spec, kind, self.profile, get)
            return plain or _checked(get, read)
        return self._gathered(spec, kind, read)

    def _gathered(self, spec: ValueSpec, kind: Kind, read: Read) -> Fill:
        """A value made of several, or of other records."""
        if spec.lookup is not None:
            return self._joined(spec, read)
        if spec.digest:
            return self._digest(spec, read)
        if spec.set is not None:
            return self._all(spec.set) if kind == "texts" else self._only(spec.set, read)
        return self._several(spec, read)

    def _digest(self, spec: ValueSpec, read: Read) -> Fill:
        """A short id made of fields; none when all of them are missing."""
        getters = [self.getter(path, spec) for path in spec.digest]

        def digest(scope: Scope) -> Any:
            texts = ["" if (value := get(scope)) is None else as_text(value) for get in getters]
            return read(short_id(texts), scope) if any(texts) else None

        return digest

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
            found = [value for get in getters if (value := get(scope)) is not None]
            values = [read(part, scope) for value in found for part in (value if isinstance(value, list) else [value])]
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
                latest=tuple(map(_in_each, value.latest)),
                digest=tuple(map(_in_each, value.digest)),
                template=value.template and template.renamed(value.template, _in_each),
            )
            for value in field.values
        )
    )


def _is_one_of(get: Getter, wanted: frozenset[str]) -> Check:
    def holds(scope: Scope) -> bool:
        value = get(scope)
        if type(value) is not str:
            value = "" if value is None else id_text(value)
        return value in wanted

    return holds


def _all_hold(tests: list[Check]) -> Check:
    if len(tests) == 1:
        return tests[0]
    if len(tests) == 2:
        first, second = tests
        return lambda scope: first(scope) and second(scope)
    return lambda scope: all(test(scope) for test in tests)


def _in_each(path: str) -> str:
    return path if path.startswith("$") else f"$each.{path}"


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
    name = ""
    try:
        for name, fill, _ in fills:
            value = fill(scope)
            if value is not None:
                values[name] = value
    except (ValueError, ArithmeticError) as error:
        raise bad_value(error, "", f"{path}.{name}") from None
    return values
