"""One rule of a profile, ready to run: a record in, an event out."""

from collections.abc import Iterable, Iterator
from contextlib import suppress
from typing import Any

import msgspec

from events.model import Event
from sources.mapping.canonical import EVENTS, Target, targets_of, targets_of_rule
from sources.mapping.cleaning import cleaner
from sources.mapping.compiler import Compiler, origin_of
from sources.mapping.contract_fields import labels_of
from sources.mapping.errors import MappingError, bad_value
from sources.mapping.filling import Fill
from sources.mapping.paths import Scope
from sources.mapping.profile import Choice, EventRule, Field, Profile
from sources.mapping.values import digits_of


class CompiledRule:
    """What makes the events of one rule."""

    def __init__(self, rule: EventRule, profile: Profile, compiler: Compiler) -> None:
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
        if currency is None and self._names_currency:
            self._constants["currency"] = self._default_currency
        fields = {name: field for name, field in fields.items() if name == "source" or name not in self._constants}
        self._filling = compiler.filling(fields, targets)
        self._origins = {name: origin_of(field) for name, field in rule.fields.items()}
        self._never_filled = set(self._filling.names)
        self.labels, self.watched = labels_of({name: rule.fields[name] for name in self._filling.names})
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
        cleaned: list[str] = []
        if scope.told:
            scope.told.clear()
        # The currency comes first: the decimals of all amounts depend on it.
        scope.currency, scope.digits = self._default_currency, self._default_digits
        if self._currency is not None:
            self._take_currency(values, scope, self._currency)
        self._filling.fill(values, scope, cleaned, self._lacking)
        if self._clean is not None:
            cleaned += self._clean(values)
        if cleaned:
            values["cleaned"] = cleaned
        self.used = True
        if self._never_filled and not values.keys().isdisjoint(self._never_filled):
            self._never_filled.difference_update(values)
        try:
            return msgspec.convert(values, self._event)
        except msgspec.ValidationError as error:
            what, _, path = str(error).partition(" - at ")
            field = path.strip("`").removeprefix("$.") or "(event)"
            raise MappingError("invalid_value", field, what, "check which field the profile names here") from None

    def _take_currency(self, values: dict[str, Any], scope: Scope, fill: Fill) -> None:
        try:
            currency = fill(scope)
        except (ValueError, ArithmeticError) as error:
            raise bad_value(error, self._origins["currency"], "currency") from None
        if currency is not None:
            scope.currency, scope.digits = currency, digits_of(currency)
        if self._names_currency:
            values["currency"] = scope.currency

    def _lacking(self, name: str, required: bool, scope: Scope) -> None:
        if required:
            raise self._missing(name)
        if scope.unfilled is not None:
            scope.unfilled.append((self, name, False))

    def _missing(self, name: str) -> MappingError:
        origin = self._origins.get(name, "")
        if "$arrival" in origin:
            what = "the platform tells no time of this, and when it came in is not known here"
            remedy = "map it where it comes in (the live intake), or leave its kind out with [[ignore]]"
        else:
            what = f"there is no value at {origin!r} in this record" if origin else "has no value in this record"
            remedy = "check the path, or add a condition (when)"
        return MappingError("missing_value", name, what, remedy)

    def never_filled(self) -> list[str]:
        """The fields that no event so far had a value for, each with its path: misspelt, or not in this export."""
        origins = ((name, self._origins.get(name, "")) for name in sorted(self._never_filled))
        return [f"{name} (at {origin!r})" if origin else name for name, origin in origins]


def _constants(compiler: Compiler, fields: dict[str, Field], targets: dict[str, Target]) -> dict[str, Any]:
    """The fields that are the same in each event, read once; one that cannot be read is left to the dead letters."""
    found = {}
    for name, field in fields.items():
        if isinstance(field, Choice) and len(field.values) == 1 and field.values[0].value is not None:
            with suppress(ValueError):
                found[name] = compiler.field(field, targets[name], name)(Scope({}, 0))
    return found
