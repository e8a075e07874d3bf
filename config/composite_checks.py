"""What types cannot say about composite rules, their lists and baselines."""

import re
from collections import Counter
from collections.abc import Iterator
from typing import TYPE_CHECKING, get_args

from config.composite import CompositeRule, ListSettings, Moment
from config.expressions.limits import (
    MAX_CONDITIONS,
    MAX_COST_OF_A_MOMENT,
    MAX_LENGTH,
    MAX_RULES,
    MAX_VALUES,
    MAX_WORDS,
)
from config.problems import Problem
from config.texts import load_texts
from events.normal_form import risk_key

if TYPE_CHECKING:
    from config.settings import Settings

_ID = re.compile(r"[a-z][a-z0-9_]{0,63}")
_MASKED = {"phones": "phone", "cards": "card"}


def composite_problems(settings: "Settings") -> Iterator[Problem]:
    """Every problem of the rules, the lists and the baselines, each at its field."""
    own = settings.baselines
    if own.bucket < 60_000:
        yield Problem("baselines.bucket", "must be at least 1m: write e.g. 1d")
    if own.buckets > 400:
        yield Problem("baselines.buckets", "must not be more than 400: take a longer bucket")
    if own.memory < own.bucket * own.buckets:
        yield Problem("baselines.memory", "must not be shorter than the buckets together")
    for name, entries in settings.lists.items():
        yield from _list(name, entries)
    if settings.composite:
        yield from _rules(settings)


def _list(name: str, entries: ListSettings) -> Iterator[Problem]:
    at = f"lists.{name}"
    if not _ID.fullmatch(name):
        yield Problem(at, "the name of a list has small letters, digits and _, and begins with a letter")
    most = MAX_WORDS if entries.kind == "words" else MAX_VALUES
    if len(entries.values) > most:
        yield Problem(f"{at}.values", f"has {len(entries.values)} values; {most} {entries.kind} are allowed")
    for number, value in enumerate(entries.values):
        if not value.strip() or len(value) > 256:
            yield Problem(f"{at}.values[{number}]", "a value must not be empty, and has 256 characters at most")
        elif entries.kind in _MASKED and not risk_key(_MASKED[entries.kind], value, b""):
            yield Problem(f"{at}.values[{number}]", f"{value!r} is masked: many people share it, so it is no key")


def _rules(settings: "Settings") -> Iterator[Problem]:
    if len(settings.composite) > MAX_RULES:
        yield Problem("composite", f"has {len(settings.composite)} rules; {MAX_RULES} are allowed")
    costs: Counter[Moment] = Counter()
    for name, rule in settings.composite.items():
        yield from _rule(name, rule)
        cost = 0
        for path, text in _expressions(name, rule):
            found = _expression(path, text, settings.lists)
            if isinstance(found, Problem):
                yield found
            else:
                cost += found
        if rule.enabled:
            costs.update(dict.fromkeys(rule.when, cost))
    for moment in get_args(Moment):
        if costs[moment] > MAX_COST_OF_A_MOMENT:
            what = f"the expressions judged when {moment} may take {costs[moment]} steps together"
            yield Problem("composite", f"{what}; {MAX_COST_OF_A_MOMENT} are allowed: switch a rule off")


def _rule(name: str, rule: CompositeRule) -> Iterator[Problem]:
    at = f"composite.{name}"
    if not _ID.fullmatch(name):
        yield Problem(at, "the id of a rule has small letters, digits and _, and begins with a letter")
    elif name in load_texts().rules:
        yield Problem(at, "is the name of a built-in rule: take another id")
    if not rule.when:
        yield Problem(f"{at}.when", "names no moment: write created, paid or behaviour")
    if not 1 <= len(rule.conditions) <= MAX_CONDITIONS:
        yield Problem(f"{at}.conditions", f"has {len(rule.conditions)}: write 1 to {MAX_CONDITIONS}")
    names = Counter(condition.name for condition in rule.conditions)
    for number, condition in enumerate(rule.conditions):
        if not _ID.fullmatch(condition.name):
            yield Problem(f"{at}.conditions[{number}].name", "write small letters, digits and _")
        elif names[condition.name] > 1:
            yield Problem(f"{at}.conditions[{number}].name", f"{condition.name!r} stands there twice")
        if condition.weight == 0:
            yield Problem(f"{at}.conditions[{number}].weight", "counts for nothing: give it a weight or drop it")
    most = sum(condition.weight for condition in rule.conditions if condition.weight > 0)
    if rule.threshold <= 0:
        yield Problem(f"{at}.threshold", "must be more than 0")
    elif rule.conditions and most < rule.threshold:
        yield Problem(f"{at}.threshold", f"is never reached: all weights together are {most / 1000:g}")


def _expressions(name: str, rule: CompositeRule) -> Iterator[tuple[str, str]]:
    for number, condition in enumerate(rule.conditions[:MAX_CONDITIONS]):
        yield f"composite.{name}.conditions[{number}].expression", condition.expression
    if rule.unless is not None:
        yield f"composite.{name}.unless", rule.unless


def _expression(path: str, text: str, lists: dict[str, ListSettings]) -> int | Problem:
    """What an expression costs, or what is wrong with it."""
    from config.expressions.engine import compile_expression  # noqa: PLC0415 - only who has rules loads an engine
    from config.expressions.syntax import ExpressionError  # noqa: PLC0415

    if len(text) > MAX_LENGTH * 10:
        return Problem(path, f"has {len(text)} characters; {MAX_LENGTH} are allowed")
    try:
        return compile_expression(text, lists).cost
    except ExpressionError as error:
        return Problem(path, str(error))
