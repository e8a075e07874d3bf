"""One composite rule, ready to judge: conditions, weights, the sum, and what excuses an order."""

from collections.abc import Mapping
from typing import Any

from msgspec import Struct

from config.composite import CompositeRule, Condition
from config.expressions.engine import Answer, Evaluator, Expression, compile_expression
from config.expressions.variables import variable
from config.settings import Settings
from events.normal_form import mask
from operators.composite.lists import functions_of
from operators.composite.needs import expressions_of


class Judgement(Struct, frozen=True):
    """What a rule says of an order. ``total``: the weights (thousandths) of the conditions that are met.

    ``answers``: one per condition, in their order. ``excuse``: what ``unless`` said, where the sum made one ask.
    """

    total: int
    answers: tuple[Answer, ...]
    excuse: Answer | None = None

    @property
    def excused(self) -> bool:
        """Whether the order is left in peace whatever the sum."""
        return self.excuse is not None and self.excuse.met

    @property
    def failures(self) -> tuple[str, ...]:
        """Why expressions said nothing, one word for each."""
        excuse = () if self.excuse is None else (self.excuse,)
        return tuple(answer.failure for answer in (*self.answers, *excuse) if answer.failure is not None)


class Judge:
    """One rule with its compiled expressions."""

    def __init__(self, name: str, rule: CompositeRule, settings: Settings, evaluator: Evaluator) -> None:
        self.name = name
        self.rule = rule
        self._conditions: list[tuple[Condition, Expression]] = [
            (condition, compile_expression(condition.expression, settings.lists)) for condition in rule.conditions
        ]
        self._unless = None if rule.unless is None else compile_expression(rule.unless, settings.lists)
        self._evaluator = evaluator
        reads = {name for part in expressions_of(rule, settings) for name in part.variables}
        self._reads = [variable(name) for name in sorted(reads)]

    def judge(self, values: Mapping[str, Any]) -> Judgement:
        """Judge an order by its variables; None: it has none."""
        answers = tuple(self._evaluator.answer(expression, values) for _, expression in self._conditions)
        total = sum(part.weight for (part, _), answer in zip(self._conditions, answers, strict=True) if answer.met)
        excuse = None
        if self._unless is not None and total >= self.rule.threshold:
            excuse = self._evaluator.answer(self._unless, values)
        return Judgement(int(total), answers, excuse)

    def parts(self, judgement: Judgement) -> dict[str, int]:
        """Condition -> weight (thousandths), of those that are met."""
        pairs = zip(self._conditions, judgement.answers, strict=True)
        return {condition.name: int(condition.weight) for (condition, _), answer in pairs if answer.met}

    def evidence(self, judgement: Judgement, values: Mapping[str, Any]) -> dict[str, Any]:
        """What an alert says of a judgement: each condition, the sum, and the variables, masked where one must."""
        return {
            "action": self.rule.action,
            "name": {"zh": self.rule.zh, "en": self.rule.en},
            "total_thousandths": judgement.total,
            "threshold_thousandths": int(self.rule.threshold),
            "conditions": [
                _told(condition, answer)
                for (condition, _), answer in zip(self._conditions, judgement.answers, strict=True)
            ],
            "variables": {
                known.name: _shown(values[known.name], masked=known.private)
                for known in self._reads
                if values.get(known.name) is not None
            },
        }


def judges_of(settings: Settings, hash_key: bytes) -> tuple[Judge, ...]:
    """The rules that are enabled, in the order of the settings; they share one evaluator."""
    rules = {name: rule for name, rule in settings.composite.items() if rule.enabled}
    expressions = [part for rule in rules.values() for part in expressions_of(rule, settings)]
    evaluator = Evaluator(expressions, functions_of(expressions, settings.lists, hash_key))
    return tuple(Judge(name, rule, settings, evaluator) for name, rule in rules.items())


def _told(condition: Condition, answer: Answer) -> dict[str, Any]:
    told: dict[str, Any] = {
        "name": condition.name,
        "zh": condition.zh or condition.name,
        "en": condition.en or condition.name,
        "expression": condition.expression,
        "weight_thousandths": int(condition.weight),
        "met": answer.met,
    }
    if answer.failure is not None:
        told["failure"] = answer.failure
    if answer.missing:
        told["missing"] = list(answer.missing)
    return told


def _shown(value: Any, *, masked: bool) -> Any:
    return mask(value) if masked and isinstance(value, str) and value else value
