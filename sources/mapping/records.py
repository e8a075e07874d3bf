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
from sources.mapping.profile import EventRule, Profile, Test
from sources.mapping.rules import CompiledRule

NO_RULE = MappingError(
    "no_rule",
    "(record)",
    "no rule of the profile takes this record",
    "add a rule for it to the profile, or an [[ignore]] that leaves it out",
)

_WORTH_A_TABLE = 4

_Candidate = tuple[CompiledRule, Check | None]  # a rule, and what is still to be asked before it takes a record


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
        self.rules = [CompiledRule(spec, profile, compiler) for spec in specs]
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

    def leaves_out(self, scope: Scope) -> bool:
        """Whether a record is left out on purpose: an [[ignore]] takes it and no rule does."""
        ignored = any(ignores(scope) for ignores in self._ignore)
        return ignored and not any(rule.applies(scope) for rule in self.rules)

    def outcomes(self, scope: Scope) -> list[Outcome]:
        """What the rules make of a record; nothing when it is left out on purpose."""
        found: list[Outcome] = []
        taken = False
        for rule, applies in self._candidates(scope):
            if applies is None or applies(scope):
                taken = True
                _add_of_rule(rule, scope, found)
        if taken or any(ignores(scope) for ignores in self._ignore):
            return found
        return [Outcome(None, None, NO_RULE)]


def _add_of_rule(rule: CompiledRule, scope: Scope, found: list[Outcome]) -> None:
    """The outcomes of a rule that takes the record."""
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
) -> Callable[[Scope], list[_Candidate]]:
    """Which rules may take a record. Many rules that ask for one field's value are found by it, not asked in turn."""
    path = _common_path(specs)
    asked = [(rule, rule.applies if spec.when else None) for rule, spec in zip(rules, specs, strict=True)]
    if path is None:
        return lambda _scope: asked
    table: dict[str, list[_Candidate]] = {}
    words = [_words(spec, path) for spec in specs]
    for word in {word for group in words if group is not None for word in group}:
        table[word] = [
            (candidate[0], None) if _asks_no_more(spec, path) else candidate
            for candidate, spec, group in zip(asked, specs, words, strict=True)
            if group is None or word in group
        ]
    others = [candidate for candidate, group in zip(asked, words, strict=True) if group is None]
    return _by_word(compiler.getter(path), table, others)


def _asks_no_more(spec: EventRule, path: str) -> bool:
    """Whether a rule that was found by the value of a field asks for nothing else."""
    return spec.when == ({path: Test(is_=_words(spec, path))},)


def _by_word(
    get: Getter, table: dict[str, list[_Candidate]], others: list[_Candidate]
) -> Callable[[Scope], list[_Candidate]]:
    def candidates(scope: Scope) -> list[_Candidate]:
        value: Any = get(scope)
        return table.get(value if type(value) is str else "" if value is None else id_text(value), others)

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
