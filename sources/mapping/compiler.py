"""What a profile says about the records of one input, turned into functions: each path is settled once."""

from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from typing import Any

import msgspec

from events.model import Item
from sources.mapping import template
from sources.mapping.canonical import Kind, Target, targets_of
from sources.mapping.filling import Fill, Filling, Plain, Slot
from sources.mapping.forms import Read, constant, reader
from sources.mapping.joins import Joins, id_text
from sources.mapping.paths import Getter, Scope, getter, place_of, text_getter
from sources.mapping.profile import Choice, Condition, EventRule, Field, Parts, Profile, Test, ValueSpec
from sources.mapping.values import as_text, short_id

Check = Callable[[Scope], bool]

_ITEM_TARGETS = targets_of(Item)
_UNREAD = object()


class Compiler:
    """Turns what a profile says about the records of one input into functions."""

    def __init__(self, profile: Profile, joins: Joins, input_name: str) -> None:
        self._repeated = _repeated(rule for rule in profile.events if rule.input == input_name)
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

    def filling(self, fields: dict[str, Field], targets: dict[str, Target], path: str = "") -> Filling:
        """What fills the fields of a message in; ``path`` is what stands before their names, with its dot."""
        slots = [self._slot(name, field, targets[name], path) for name, field in fields.items()]
        return Filling(slots, self.missing(None), path)

    def _slot(self, name: str, field: Field, target: Target, path: str) -> Slot:
        # The origin is told for whole fields; a part's name says enough about where it comes from.
        origin = "" if path else origin_of(field)
        plain, fill = self._plain(field, target.kind), self.field(field, target, f"{path}{name}")
        others = None
        if plain is not None and isinstance(field, Choice) and len(field.values) > 1:
            others = self.field(msgspec.structs.replace(field, values=field.values[1:]), target, f"{path}{name}")
        return Slot(name, plain, fill, others, target.required, origin)

    def _plain(self, field: Field, kind: Kind) -> Plain | None:
        """Where most records have the value of a field, as one that needs no more than to be read."""
        if isinstance(field, Parts) or kind in ("items", "texts", "table"):
            return None
        first = field.values[0]
        if kind == "time" and _key(first) in self._repeated:
            return None
        falls_back = len(field.values) > 1 and first.unmapped == "leave_out"
        if first.field is None or first.lookup is not None or first.missing or falls_back:
            return None
        place = place_of(first.field, flat=self.profile.inputs[self.input_name].flat)
        if place is None:
            return None
        return Plain(*place, None if _stays_text(first, kind) else reader(first, kind, self.profile))

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
        targets = target.table or {}
        filling = self.filling(parts.fields, targets, f"{path}.")

        def table(scope: Scope) -> dict[str, Any] | None:
            values: dict[str, Any] = {}
            filling.fill(values, scope)
            return values or None

        of_texts = all(targets[name].kind == "text" for name in parts.fields)
        return self._shared(parts, table) if of_texts else table

    def _shared(self, field: Parts | ValueSpec, fill: Fill) -> Fill:
        """What several rules ask of a record is read once: a buyer's address, the moment of a change."""
        key = _key(field)
        return _read_once(key, fill) if key in self._repeated else fill

    def _items(self, choice: Choice, path: str) -> Fill:
        """A list of order lines: each element of a field, or each record that is looked up."""
        spec = choice.values[0]
        inner = self if spec.lookup is None else Compiler(self.profile, self.joins, spec.lookup)
        parts = choice.items or Parts({})
        filling = inner.filling(_of_elements(parts, spec), _ITEM_TARGETS, f"{path}.")
        elements: Callable[[Scope], Iterable[Scope]]
        elements = self._looked_up(spec) if spec.lookup is not None else self._listed(spec)

        def items(scope: Scope) -> list[dict[str, Any]] | None:
            found = []
            for element in elements(scope):
                element.digits, element.currency, element.told = scope.digits, scope.currency, scope.told
                values: dict[str, Any] = {}
                filling.fill(values, element)
                found.append(values)
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
        as_it_is = _stays_text(spec, kind)
        if spec.value is not None:
            return constant(spec.value, read)
        if spec.template is not None:
            fill = template.compiled(spec.template, lambda inner: self.getter(inner, spec))
            return fill if as_it_is else _checked(fill, read)
        if spec.field is not None and spec.lookup is None:
            if as_it_is:
                return text_getter(spec.field, self.missing(spec), flat=self.profile.inputs[self.input_name].flat)
            fill = _checked(self.getter(spec.field, spec), read)
            return self._shared(spec, fill) if kind == "time" else fill
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


def _repeated(rules: Iterable[EventRule]) -> frozenset[bytes]:
    """The fields that are asked for in the same way more than once for one record."""
    counts = Counter(key for rule in rules for field in rule.fields.values() for key in _keys(field))
    return frozenset(key for key, count in counts.items() if count > 1 and b"$" not in key)


def _keys(field: Field) -> Iterator[bytes]:
    if isinstance(field, Choice):
        yield from map(_key, field.values)
        return
    yield _key(field)
    for part in field.fields.values():
        yield from _keys(part)


def _key(field: Parts | ValueSpec) -> bytes:
    return msgspec.json.encode(field)


def _read_once(key: bytes, fill: Fill) -> Fill:
    def once(scope: Scope) -> Any:
        seen = scope.seen
        if seen is None:
            seen = scope.seen = {}
        value = seen.get(key, _UNREAD)
        if value is _UNREAD:
            value = fill(scope)
            if not scope.told:  # what had to be decided is told for each event
                seen[key] = value
        return value

    return once


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


def _stays_text(spec: ValueSpec, kind: Kind) -> bool:
    return kind in ("text", "currency") and spec.map is None


def origin_of(field: Field) -> str:
    """Where a value comes from, for a person."""
    if isinstance(field, Parts):
        return ""
    return " or ".join(
        (f"{value.lookup}: " if value.lookup else "")
        + (value.field or value.template or value.set or ", ".join(value.sum or value.latest or value.digest))
        for value in field.values
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
