"""All rules of a profile at work: a record in, its events and refusals out."""

from collections import Counter
from collections.abc import Callable
from typing import Any

from msgspec import Struct

from events.model import Event
from sources.mapping.compiler import Check, Compiler
from sources.mapping.contract_fields import asked_for, word_of
from sources.mapping.errors import MappingError
from sources.mapping.joins import Joins, id_text
from sources.mapping.paths import Getter, Scope
from sources.mapping.profile import EventRule, Profile
from sources.mapping.rules import CompiledRule

NO_RULE = MappingError(
    "no_rule",
    "(record)",
    "no rule of the profile takes this record",
    "add a rule for it to the profile, or an [[ignore]] that leaves it out",
)

_WORTH_A_TABLE = 4


class Outcome(Struct, frozen=True, gc=False):
    """What one rule made of a record: an event, or why there is none."""

    rule: CompiledRule | None
    event: Event | None
    error: MappingError | None


class RecordRules:
    """The rules for the records of one input."""

    def __init__(self, profile: Profile, joins: Joins, input_name: str) -> None:
        compiler = Compiler(profile, joins, input_name)
        specs = [rule for rule in profile.events if rule.input == input_name]
        self.rules = [CompiledRule(spec, profile, joins) for spec in specs]
        self._ignore: list[Check] = [
            compiler.condition(ignore.when) for ignore in profile.ignore if ignore.input == input_name
        ]
        self._candidates = _candidates(specs, self.rules, compiler)
        conditions = [rule.when for rule in specs] + [rule.when for rule in profile.ignore if rule.input == input_name]
        self.present = [(path, compiler.getter(path)) for path in asked_for(conditions)]
        self.asked_for = frozenset(path for path, _ in self.present)
        self.word = word_of(conditions)

    def __bool__(self) -> bool:
        return bool(self.rules or self._ignore)

    def outcomes(self, scope: Scope) -> list[Outcome]:
        """What the rules make of a record; nothing when it is left out on purpose."""
        found: list[Outcome] = []
        taken = False
        for rule in self._candidates(scope):
            if rule.applies(scope):
                taken = True
                _add_of_rule(rule, scope, found)
        if taken or any(ignores(scope) for ignores in self._ignore):
            return found
        return [Outcome(None, None, NO_RULE)]


def _add_of_rule(rule: CompiledRule, scope: Scope, found: list[Outcome]) -> None:
    try:
        for element in rule.scopes(scope):
            try:
                found.append(Outcome(rule, rule.event(element), None))
            except MappingError as error:
                if not (rule.optional and error.reason == "missing_value"):
                    found.append(Outcome(rule, None, error))
                elif scope.unfilled is not None:
                    scope.unfilled.append((rule, error.field, True))
    except MappingError as error:
        found.append(Outcome(rule, None, error))


def _candidates(
    specs: list[EventRule], rules: list[CompiledRule], compiler: Compiler
) -> Callable[[Scope], list[CompiledRule]]:
    """Which rules may take a record. Many rules that ask for one field's value are found by it, not asked in turn."""
    path = _common_path(specs)
    if path is None:
        return lambda _scope: rules
    table: dict[str, list[CompiledRule]] = {}
    words = [_words(spec, path) for spec in specs]
    for word in {word for group in words if group is not None for word in group}:
        table[word] = [rule for rule, group in zip(rules, words, strict=True) if group is None or word in group]
    others = [rule for rule, group in zip(rules, words, strict=True) if group is None]
    return _by_word(compiler.getter(path), table, others)


def _by_word(
    get: Getter, table: dict[str, list[CompiledRule]], others: list[CompiledRule]
) -> Callable[[Scope], list[CompiledRule]]:
    def candidates(scope: Scope) -> list[CompiledRule]:
        value: Any = get(scope)
        return table.get("" if value is None else id_text(value), others)

    return candidates


def _common_path(specs: list[EventRule]) -> str | None:
    """The field that most rules ask for by its value, where a table of its values is worth making."""
    counts = Counter(
        path for spec in specs if len(spec.when) == 1 for path, test in spec.when[0].items() if test.is_ is not None
    )
    for path, count in counts.most_common(1):
        if count >= _WORTH_A_TABLE:
            return path
    return None


def _words(spec: EventRule, path: str) -> tuple[str, ...] | None:
    """The values of a field that a rule takes; None when it takes any."""
    if len(spec.when) != 1 or path not in spec.when[0]:
        return None
    return spec.when[0][path].is_
