"""Composite rules, lists and baselines in a configuration: what is refused, each problem at its field."""

import re
from pathlib import Path
from typing import Any

import pytest

from config.expressions import limits
from config.expressions.variables import PATTERNS, VARIABLES
from config.loader import load_settings
from config.problems import ConfigurationError
from tests.docs.pages import ROOT

PAGE = (ROOT / "docs/composite-rules.md").read_text(encoding="utf-8")
_ROW = re.compile(r"^\| `([^`]+)` \| (\S+) \| (maybe|–) \| (private|–) \| (.+) \| (.+) \|$", re.MULTILINE)


def refused(*, lists: Any = None, baselines: Any = None, **rule: Any) -> list[tuple[str, str]]:
    """The problems of settings with one composite rule, as (field, what)."""
    mine = {"zh": "规则", "en": "rule", "threshold": 1, "conditions": [condition()], **rule}
    overrides = {"composite": {rule.pop("id", "mine"): mine}, "lists": lists or {}, "baselines": baselines or {}}
    mine.pop("id", None)
    with pytest.raises(ConfigurationError) as error:
        load_settings(overrides=overrides)
    return [(problem.field, problem.what) for problem in error.value.problems]


def condition(**more: Any) -> dict[str, Any]:
    return {"name": "dear", "expression": "order.amount > 1", "weight": 1, **more}


@pytest.mark.parametrize(
    ("rule", "field", "what"),
    [
        ({"conditions": [condition(expression="order.amout > 1")]}, "conditions[0].expression", "did you mean"),
        ({"conditions": [condition(), condition(name="b", expression="1")]}, "conditions[1].expression", "gives int"),
        ({"unless": "customer.idd == 'x'"}, "unless", "did you mean 'customer.id'"),
        ({"conditions": [condition(weigth=2)]}, "conditions[0].weigth", "did you mean 'weight'"),
        ({"conditions": [condition(weight="x")]}, "conditions[0].weight", "is not a number"),
        ({"conditions": [{"name": "a", "weight": 1}]}, "conditions[0].expression", "is missing"),
        ({"conditions": []}, "conditions", "write 1 to 20"),
        ({"conditions": [condition(), condition()]}, "conditions[0].name", "stands there twice"),
        ({"conditions": [condition(weight=0), condition(name="b")]}, "conditions[0].weight", "counts for nothing"),
        ({"conditions": [condition(name="Dear")]}, "conditions[0].name", "small letters"),
        ({"threshold": 2}, "threshold", "is never reached: all weights together are 1"),
        ({"threshold": 0}, "threshold", "must be more than 0"),
        ({"when": []}, "when", "names no moment"),
        ({"when": ["shipped"]}, "when", "Invalid enum value 'shipped'"),
        ({"action": "block"}, "action", "Invalid enum value 'block'"),
        ({"enabled": False, "conditions": [condition(expression="1 +")]}, "conditions[0].expression", "its end"),
    ],
)
def test_a_rule_that_cannot_work_is_refused_at_its_field(rule: dict[str, Any], field: str, what: str) -> None:
    problems = dict(refused(**rule))
    assert what in problems[f"composite.mine.{field}"]


@pytest.mark.parametrize(("name", "what"), [("card_burst", "built-in rule"), ("Mine", "small letters")])
def test_ids_of_rules_are_their_own(name: str, what: str) -> None:
    ((field, said),) = refused(id=name)
    assert (field, what in said) == (f"composite.{name}", True)


@pytest.mark.parametrize(
    ("own", "field", "what"),
    [
        ({"kind": "phones", "values": ["138****1234"]}, "values[0]", "is masked"),
        ({"kind": "texts", "values": ["a", " "]}, "values[1]", "must not be empty"),
        ({"kind": "words", "values": ["a"] * 201}, "values", "200 words are allowed"),
        ({"kind": "numbers", "values": []}, "kind", "Invalid enum value"),
    ],
)
def test_a_list_that_cannot_work_is_refused_at_its_field(own: dict[str, Any], field: str, what: str) -> None:
    problems = dict(refused(lists={"some": own}))
    assert what in problems[f"lists.some.{field}"]


def test_baselines_must_reach_as_far_as_they_are_remembered() -> None:
    assert dict(refused(baselines={"bucket": "1d", "buckets": 30, "memory": "29d"}))["baselines.memory"]


def test_all_rules_together_are_bounded() -> None:
    dear = [condition(name=f"c{number}", expression="'a' in order.skus") for number in range(20)]
    rules = {f"r{number}": {"zh": "", "en": "", "threshold": 1, "conditions": dear} for number in range(3)}
    with pytest.raises(ConfigurationError, match=r"judged when created may take .* steps together; 20000 are allowed"):
        load_settings(overrides={"composite": rules})
    for name in ("r1", "r2"):
        rules[name]["enabled"] = False
    load_settings(overrides={"composite": rules})


def test_the_example_rules_are_in_order() -> None:
    settings = load_settings(Path(__file__).parents[2] / "config/examples/composite_rules.toml")
    assert [*settings.composite] == ["young_account", "unusual_amount", "forwarding_address", "listed_phone"]


def test_the_page_has_every_variable_with_its_type_and_meaning() -> None:
    shown = [tuple(row) for row in _ROW.findall(PAGE)]
    assert shown == [
        (
            one.name,
            one.type,
            "maybe" if one.optional else "–",
            "private" if one.private else "–",
            one.en,
            one.zh,
        )
        for one in (*VARIABLES.values(), *PATTERNS)
    ]


def test_the_page_has_the_bounds_that_hold() -> None:
    said = (
        f"{limits.MAX_LENGTH:,} characters, {limits.MAX_NODES} parts, {limits.MAX_DEPTH} brackets deep, "
        f"{limits.MAX_NESTING} quantifiers within each other, {limits.MAX_COST:,} steps"
    )
    assert said in PAGE
    assert f"| {limits.MAX_RULES}; {limits.MAX_COST_OF_A_MOMENT:,} steps" in PAGE
    assert f"{limits.MAX_VALUES:,} values; words {limits.MAX_WORDS}" in PAGE
    assert f"{limits.TEXT_LENGTH} characters and {limits.LIST_LENGTH} entries" in PAGE
