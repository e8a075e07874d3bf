"""One rule of a profile, ready to run: a record in, an event out."""

from collections.abc import Iterable, Iterator
from contextlib import suppress
from typing import Any

import msgspec

from events.model import Event
from sources.mapping.canonical import EVENTS, Target, targets_of, targets_of_rule
from sources.mapping.cleaning import cleaner
from sources.mapping.compiler import Compiler
from sources.mapping.contract_fields import labels_of
from sources.mapping.errors import MappingError, bad_value
from sources.mapping.joins import Joins
from sources.mapping.paths import Scope
from sources.mapping.profile import Choice, EventRule, Field, Parts, Profile
from sources.mapping.values import digits_of


class CompiledRule:
    """What makes the events of one rule."""

    def __init__(self, rule: EventRule, profile: Profile, joins: Joins) -> None:
        compiler = Compiler(profile, joins, rule.input)
        self.name = rule.name
        self.type = rule.type
        self.optional = rule.optional
        self.once = rule.once
        self.applies = compiler.condition(rule.when)
        self._event = EVENTS[rule.type]
        self._elements = compiler.elements(rule)
        targets = targets_of_rule(rule.type)
        currency = rule.fields.get("currency")
        self._currency = None if currency is None else compiler.field(currency, targets["currency"], "currency")
        self._default_currency = profile.money.currency
        self._names_currency = "currency" in targets_of(self._event)
        self._default_digits = digits_of(profile.money.currency)
        fields = {name: field for name, field in rule.fields.items() if name != "currency"}
        self._constants = {"source": profile.source, **_constants(compiler, fields, targets)}
        fields = {name: field for name, field in fields.items() if name == "source" or name not in self._constants}
        self._fields = compiler.fields(fields, targets)
        self._origins = {name: _origin(field) for name, field in rule.fields.items()}
        self._never_filled = {name for name, _, _ in self._fields}
        self.labels, self.watched = labels_of({name: rule.fields[name] for name, _, _ in self._fields})
        self.used = False
        self._clean = cleaner(profile.clean, rule.type, frozenset(rule.fields))

    def scopes(self, scope: Scope) -> Iterable[Scope]:
        """The scope once per event that this record gives; raises MappingError when it gives none."""
        return (scope,) if self._elements is None else self._each(scope, self._elements(scope))

    def _each(self, scope: Scope, elements: Any) -> Iterator[Scope]:
        if not elements:
            what, remedy = "the list is empty, or leads to nothing known", "check for_each, or add a condition (when)"
            raise MappingError("unresolved", "for_each", what, remedy)
        for scope.index, scope.each in enumerate(elements, start=1):
            yield scope

    def event(self, scope: Scope) -> Event:
        """The event; raises MappingError that names the field."""
        values = self._constants.copy()
        cleaned = self._fill(values, scope)
        if self._clean is not None:
            cleaned += self._clean(values)
        if cleaned:
            values["cleaned"] = cleaned
        self.used = True
        if not self._never_filled.isdisjoint(values):
            self._never_filled.difference_update(values)
        try:
            return msgspec.convert(values, self._event)
        except msgspec.ValidationError as error:
            what, _, path = str(error).partition(" - at ")
            field = path.strip("`").removeprefix("$.") or "(event)"
            raise MappingError("invalid_value", field, what, "check which field the profile names here") from None

    def _fill(self, values: dict[str, Any], scope: Scope) -> list[str]:
        """Fill the fields in; returns what rules had to decide about them."""
        cleaned: list[str] = []
        told = scope.told
        if told:
            told.clear()
        name, unfilled = "currency", scope.unfilled
        try:
            self._take_currency(values, scope)
            for name, fill, required in self._fields:
                value = fill(scope)
                if value is None:
                    if required:
                        raise self._missing(name)
                    if unfilled is not None:
                        unfilled.append((self, name, False))
                    continue
                values[name] = value
                if told:
                    cleaned += [f"{name}: {word}" for word in dict.fromkeys(told)]
                    told.clear()
        except (ValueError, ArithmeticError) as error:
            raise bad_value(error, self._origins.get(name, ""), name) from None
        return cleaned

    def _take_currency(self, values: dict[str, Any], scope: Scope) -> None:
        """The currency comes first: the decimals of all amounts depend on it."""
        currency = None if self._currency is None else self._currency(scope)
        if currency is None:
            scope.currency, scope.digits = self._default_currency, self._default_digits
        else:
            scope.currency, scope.digits = currency, digits_of(currency)
        if self._names_currency:
            values["currency"] = scope.currency

    def _missing(self, name: str) -> MappingError:
        if "$arrival" in self._origins.get(name, ""):
            what = "the platform tells no time of this, and when it came in is not known here"
            remedy = "map it where it comes in (the live intake), or leave its kind out with [[ignore]]"
        else:
            what, remedy = "has no value in this record", "check the field, or add a condition (when)"
        return MappingError("missing_value", name, what, remedy)

    def never_filled(self) -> list[str]:
        """The fields that no event so far had a value for: a misspelt path, or a column that this export lacks."""
        return sorted(self._never_filled)


def _constants(compiler: Compiler, fields: dict[str, Field], targets: dict[str, Target]) -> dict[str, Any]:
    """The fields that are the same in each event, read once; one that cannot be read is left to the dead letters."""
    found = {}
    for name, field in fields.items():
        if isinstance(field, Choice) and len(field.values) == 1 and field.values[0].value is not None:
            with suppress(ValueError):
                found[name] = compiler.field(field, targets[name], name)(Scope({}, 0))
    return found


def _origin(field: Field) -> str:
    """Where a value comes from, for a person."""
    if isinstance(field, Parts):
        return ""
    return " or ".join(
        (f"{value.lookup}: " if value.lookup else "")
        + (value.field or value.template or value.set or ", ".join(value.sum or value.latest or value.digest))
        for value in field.values
    )
