"""Expressions of composite rules: what is accepted, what is refused and why, what they cost, and that they mean it."""

import time
from collections.abc import Callable, Mapping
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from config.composite import ListSettings
from config.expressions.checking import FUNCTIONS
from config.expressions.engine import Answer, Evaluator, Expression, compile_expression
from config.expressions.limits import LIST_LENGTH, MAX_COST, MAX_WORDS, TEXT_LENGTH
from config.expressions.syntax import ExpressionError
from config.expressions.variables import VARIABLES

LISTS = {
    "bad_phones": ListSettings("phones", ("13900001111",)),
    "vips": ListSettings("texts", ("C1", "C2")),
    "forwarding": ListSettings("words", ("转运", "集运")),
}
SLOWEST_MS = 1
"""What docs/composite-rules.md promises of the worst expression that is accepted."""


def compiled(text: str, lists: Mapping[str, ListSettings] = LISTS) -> Expression:
    return compile_expression(text, lists)


def answer(text: str, **values: Any) -> Answer:
    """What an expression says; ``order_amount=5`` stands for ``order.amount``."""
    expression = compiled(text)
    functions: dict[str, Callable[[str], bool]] = {"in_vips": {"C1", "C2"}.__contains__}
    functions |= {"in_bad_phones": {"h:1"}.__contains__, "mentions_forwarding": lambda text: "转运" in text}
    named = {name.replace("_", ".", 1): value for name, value in values.items()}
    return Evaluator([expression], functions).answer(expression, named)


@pytest.mark.parametrize(
    ("text", "values"),
    [
        ("order.amount > 3 * customer.mean_amount", {"order_amount": 10, "customer_mean_amount": 3}),
        ("double(order.amount) * 1.5 >= 15", {"order_amount": 10}),
        ("order.phone in lists.bad_phones", {"order_phone": "h:1"}),
        ("(order.phone) in lists.bad_phones && true", {"order_phone": "h:1"}),
        ("!(customer.id in lists.vips)", {"customer_id": "C3"}),
        ("mentions(order.detail, lists.forwarding)", {"order_detail": "某某转运仓"}),
        ("!mentions( (order.detail) ,\nlists.forwarding )", {"order_detail": "家"}),
        ("has(customer.id) ? customer.id == 'C1' : false", {"customer_id": "C1"}),
        ("!has(customer.id)", {}),
        ("has(customer.mean_amount) && customer.mean_amount > 1 || order.hour < 6", {"order_hour": 5}),
        ("order.skus.exists(x, x.startsWith('A')) && size(order.skus) == 2", {"order_skus": ["B", "A1"]}),
        ("order.skus.all(x, x in ['A', 'B'])", {"order_skus": ["B", "A"]}),
        ("[1, 2, 3].exists_one(n, n * 2 == order.lines)", {"order_lines": 4}),
        ("order.city == '上海市'", {"order_city": "上海市"}),
        ('order.city == "it\'s"', {"order_city": "it's"}),
        ("order.amount % 100 == 99 && -order.amount < 0", {"order_amount": 199}),
        ("windows.phone_10m + windows.card_1h30m >= 3", {"windows_phone_10m": 1, "windows_card_1h30m": 2}),
        ("signals.stock_drop > 0 && values.stock_drop > 6", {"signals_stock_drop": 1, "values_stock_drop": 7}),
    ],
)  # fmt: skip
def test_what_is_accepted_says_what_it_says(text: str, values: dict[str, Any]) -> None:
    assert answer(text, **values) == Answer(True)


@pytest.mark.parametrize(
    ("text", "what"),
    [
        ("order.amout > 1", "did you mean 'order.amount'"),
        ("amount > 1", "unknown variable 'amount'; known are order.*, payment.*"),
        ("order.nothing_like_it > 1", "known are order.amount, order.discount"),
        ("windows.phone_10 > 1", "10"),
        ("windows.phone_8d > 1", "7d at most"),
        ("windows.fone_1h > 1", "keys: card, phone"),
        ("order.amount", "gives int, and must be true or false"),
        ("order.amount * 1.5 > 1.0", "int * double: make both the same"),
        ("order.city > 'a'", "'>' is for numbers"),
        ("order.city == 1", "text and int cannot be compared"),
        ("order.amount && true", "joins true and false, not int"),
        ("!order.amount", "'!' is for bool"),
        ("order.amount in ['a']", "int cannot be in list<text>"),
        ("[1, 'a'].exists(x, true)", "of one type"),
        ("[].exists(x, true)", "an empty list"),
        ("order.city.matches('a')", "unknown function 'matches'"),
        ("order.city.startswith('a')", "did you mean 'startsWith'"),
        ("size(order.city) > 1", "size is not for (text)"),
        ("order.phone in lists.vips", "holds texts, and here phones are needed"),
        ("customer.id in lists.bad_phones", "holds phones, and here texts are needed"),
        ("order.phone in lists.bad_fones", "did you mean 'lists.bad_phones'"),
        ("order.phone == '13900001111'", "is a keyed hash: compare it with a list of phones"),
        ("order.card.startsWith('62')", "is a keyed hash: compare it with a list of cards"),
        ("order.address in ['a']", "is a keyed hash: compare it with a list of addresses"),
        ("order.detail in lists.forwarding", "write mentions(order.detail, lists.forwarding)"),
        ("mentions(order.detail, lists.vips)", "looks for a list of words"),
        ("lists.vips == lists.vips", "a list is only for 'in'"),
        ("has(order.amount)", "every order has order.amount"),
        ("has(order)", "unknown variable 'order'"),
        ("order.skus.exists(order, true)", "take another name"),
        ("order.skus.exists(x, x.exists(y, true))", "ranges over a list, not over text"),
        ("order.skus.map(x, x).exists(x, true)", "unknown function 'map'"),
        ("order.amount > 1 // dear", "is not an expression: something is missing"),
        ("order.amount >", "something is missing"),
        ("order.amount > 1)", "something is missing or too much"),
        ("(order.amount > 1", "')' is missing"),
        ("true ? 1 : 'a'", "both sides of ':'"),
        ("order['amount'] > 1", "something is missing or too much"),
        ("{'a': 1}.size() > 0", "is not an expression here"),
        ("r'a' == 'a'", "something is missing"),
        ("'a\\n' == 'a'", "is not an expression here"),
        ("null == null", "reserved word"),
        ("99999999999999999999 > 1", "too large a number"),
        ("1e999 > 1.0", "too large a number"),
        ("(" * 20 + "true" + ")" * 20, "nested deeper than 16 brackets"),
        ("||".join(["true"] * 120), "more than 200 parts"),
        ("true" + " " * 1000, "1004 characters; 1000 are allowed"),
        ("order.skus.exists(x, order.skus.exists(y, x == y))", "steps; 2000 are allowed"),
        ("[1].exists(a, [1].exists(b, [1].exists(c, true)))", "within each other are allowed"),
        ("", "at its end"),
    ],
)
def test_what_is_refused_says_why(text: str, what: str) -> None:
    with pytest.raises(ExpressionError) as refused:
        compiled(text)
    assert what in str(refused.value)


@pytest.mark.parametrize(
    ("text", "values", "expected"),
    [
        ("customer.mean_amount > 1", {}, Answer(False, "missing", ("customer.mean_amount",))),
        ("order.amount / order.lines > 1", {"order_amount": 1, "order_lines": 0}, Answer(False, "division_by_zero")),
        ("order.amount * order.amount > 1", {"order_amount": 10**10, "order_discount": 0}, Answer(False, "overflow")),
        ("int(1.0 / 0.0) > 1", {}, Answer(False, "overflow")),
        ("customer.mean_amount > 1 || order.amount > 1", {"order_amount": 5}, Answer(True)),
        ("customer.mean_amount > 1 && order.amount > 9", {"order_amount": 5}, Answer(False)),
    ],
)  # fmt: skip
def test_what_cannot_be_said_of_an_order_counts_as_no(text: str, values: dict[str, Any], expected: Answer) -> None:
    assert answer(text, **values) == expected


def worst_expressions() -> list[str]:
    """For each thing that costs much, as much of it as is allowed."""
    parts = {
        " && ": "order.amount >= 0",
        " || ": "order.detail.contains('b')",
        "  && ": "mentions(order.detail, lists.most_words)",
        "  || ": "'b' in order.skus",
        "   && ": "order.skus.all(x, x != 'b' && x != 'c')",
        "   || ": "order.skus.exists(x, x.contains('b'))",
        "    || ": "[1, 2, 3, 4, 5, 6, 7, 8].exists(x, [1, 2, 3, 4, 5, 6, 7, 8].exists(y, x + y + order.amount < 0))",
        "    && ": "order.phone in lists.most_phones == false",
        "     && ": "[order.detail, order.detail, order.detail].all(x, x == order.detail)",
    }
    return [_longest(joint, part) for joint, part in parts.items()]


def _longest(joint: str, part: str) -> str:
    text = part
    while True:
        try:
            compile_expression(text + joint + part, MOST)
        except ExpressionError:
            compile_expression(text, MOST)
            return text
        text += joint + part


MOST = {
    "most_words": ListSettings("words", tuple(f"某某某{number}" for number in range(MAX_WORDS))),
    "most_phones": ListSettings("phones", tuple(f"1390000{number:04d}" for number in range(10_000))),
}


def test_the_worst_expression_that_is_accepted_stays_within_what_is_promised() -> None:
    words = MOST["most_words"].values
    functions: dict[str, Callable[[str], bool]] = {
        "in_most_phones": frozenset(MOST["most_phones"].values).__contains__,
        "mentions_most_words": lambda text: any(word in text for word in words),
    }
    values = {
        "order.amount": 10**15,
        "order.detail": "上" * TEXT_LENGTH,
        "order.phone": "h:1",
        "order.skus": ["上" * 80] * LIST_LENGTH,
    }
    for text in worst_expressions():
        expression = compile_expression(text, MOST)
        assert expression.cost <= MAX_COST, text
        evaluator = Evaluator([expression], functions)
        assert evaluator.answer(expression, values).failure is None
        times = []
        for _ in range(30):
            began = time.perf_counter()
            evaluator.answer(expression, values)
            times.append(time.perf_counter() - began)
        assert min(times) * 1000 < SLOWEST_MS, f"{text[:60]}... took {min(times) * 1000:.1f} ms"


def test_lists_of_other_values_share_what_was_compiled() -> None:
    other = {**LISTS, "vips": ListSettings("texts", ("C8", "C9"))}
    assert compiled("customer.id in lists.vips", other) is compiled("customer.id in lists.vips")


# A typed grammar: each draw is a text, and the same thing as a Python function of the variables.

Meaning = Callable[[Mapping[str, Any]], Any]
Drawn = tuple[str, Meaning]
NUMBERS = ("order.amount", "customer.mean_amount", "order.hour", "windows.ip_5m", "signals.stock_drop")
TEXTS = ("order.city", "customer.id", "order.remark")
SAMPLE_TEXTS = ("", "a", "ab", "上海", "转运")


class _SaysNothingError(Exception):
    pass


def _read(name: str) -> Drawn:
    def meaning(values: Mapping[str, Any]) -> Any:
        if values.get(name) is None:
            raise _SaysNothingError
        return values[name]

    return name, meaning


def _number(value: int) -> Drawn:
    return str(value), lambda values: value


def _text(value: str) -> Drawn:
    return f"'{value}'", lambda values: value


def _joined(left: Drawn, sign: str, right: Drawn) -> Drawn:
    def meaning(values: Mapping[str, Any]) -> Any:
        return _apply(sign, left[1](values), right[1](values))

    return f"({left[0]} {sign} {right[0]})", meaning


def _apply(sign: str, left: Any, right: Any) -> Any:
    match sign:
        case "+" | "-" | "*":
            result = left + right if sign == "+" else left - right if sign == "-" else left * right
            if abs(result) >= 2**63:
                raise _SaysNothingError
            return result
        case "/" | "%":
            if right == 0:
                raise _SaysNothingError
            towards_zero = abs(left) // abs(right) * (1 if (left < 0) == (right < 0) else -1)
            return towards_zero if sign == "/" else left - right * towards_zero
        case "<":
            return left < right
        case "<=":
            return left <= right
        case "==":
            return left == right
        case _:
            return left != right


def _logical(left: Drawn, sign: str, right: Drawn) -> Drawn:
    """CEL's own: what decides, decides, whatever the other side says or cannot say."""
    decides = sign == "||"

    def meaning(values: Mapping[str, Any]) -> Any:
        sides = []
        for side in (left, right):
            try:
                sides.append(side[1](values))
            except _SaysNothingError:
                sides.append(None)
        if decides in sides:
            return decides
        if None in sides:
            raise _SaysNothingError
        return not decides

    return f"({left[0]} {sign} {right[0]})", meaning


def _choice(condition: Drawn, yes: Drawn, no: Drawn) -> Drawn:
    return (
        f"({condition[0]} ? {yes[0]} : {no[0]})",
        lambda values: yes[1](values) if condition[1](values) else no[1](values),
    )


def _not(operand: Drawn) -> Drawn:
    return f"!{operand[0]}", lambda values: not operand[1](values)


def _has(name: str) -> Drawn:
    return f"has({name})", lambda values: values.get(name) is not None


def _any_equal(items: list[int], number: Drawn) -> Drawn:
    return (
        f"{items}.exists(n, n == {number[0]})",
        lambda values: number[1](values) in items,
    )


def _contains(text: Drawn, part: str) -> Drawn:
    return f"{text[0]}.contains('{part}')", lambda values: part in text[1](values)


def _in_list(text: Drawn) -> Drawn:
    return f"({text[0]} in lists.vips)", lambda values: text[1](values) in ("C1", "C2")


def _mentions(text: Drawn) -> Drawn:
    return f"mentions({text[0]}, lists.forwarding)", lambda values: "转运" in text[1](values)


_numbers: st.SearchStrategy[Drawn] = st.recursive(
    st.one_of(st.sampled_from(NUMBERS).map(_read), st.sampled_from((0, 1, 2, 7, 2**62)).map(_number)),
    lambda inner: st.builds(_joined, inner, st.sampled_from("+-*/%"), inner),
    max_leaves=4,
)
_texts: st.SearchStrategy[Drawn] = st.one_of(
    st.sampled_from(TEXTS).map(_read), st.sampled_from((*SAMPLE_TEXTS, "C1")).map(_text)
)
_atoms: st.SearchStrategy[Drawn] = st.one_of(
    st.builds(_joined, _numbers, st.sampled_from(("<", "<=", "==", "!=")), _numbers),
    st.builds(_joined, _texts, st.sampled_from(("==", "!=")), _texts),
    st.builds(_contains, _texts, st.sampled_from(SAMPLE_TEXTS)),
    st.builds(_in_list, _texts),
    st.builds(_mentions, _texts),
    st.sampled_from(("customer.id", "customer.mean_amount", "order.city")).map(_has),
    st.builds(_any_equal, st.lists(st.integers(0, 9), min_size=1, max_size=3), _numbers),
)
EXPRESSIONS: st.SearchStrategy[Drawn] = st.recursive(
    _atoms,
    lambda inner: st.one_of(
        st.builds(_logical, inner, st.sampled_from(("&&", "||")), inner),
        st.builds(_choice, inner, inner, inner),
        inner.map(_not),
    ),
    max_leaves=5,
)
VALUES: st.SearchStrategy[dict[str, Any]] = st.fixed_dictionaries(
    {name: st.one_of(st.none(), st.sampled_from((0, 1, 2, 7, 10**15))) for name in NUMBERS}
    | {name: st.one_of(st.none(), st.sampled_from((*SAMPLE_TEXTS, "C1"))) for name in TEXTS}
)
FUNCTIONS_OF_LISTS: dict[str, Callable[[str], bool]] = {
    "in_vips": {"C1", "C2"}.__contains__,
    "mentions_forwarding": lambda text: "转运" in text,
}


def accepted(text: str) -> Expression | None:
    """The expression; None where it is only too large."""
    try:
        return compiled(text)
    except ExpressionError as error:
        if any(limit in str(error) for limit in ("are allowed", "nested deeper", "more than")):
            return None
        raise


@given(EXPRESSIONS, VALUES)
def test_any_expression_means_to_the_engine_what_it_means(drawn: Drawn, values: dict[str, Any]) -> None:
    text, meaning = drawn
    expression = accepted(text)
    if expression is None:
        return
    found = Evaluator([expression], FUNCTIONS_OF_LISTS).answer(expression, values)
    try:
        expected = meaning(values)
    except _SaysNothingError:
        assert found.failure in ("missing", "division_by_zero", "overflow"), text
    else:
        assert found == Answer(expected), text


SIGNS = "&& || ! - ( ) [ ] , . ? : == in < + * % 1 2.5 'a' '上' x true lists.vips windows.ip_1h .exists(x, .size() "
STRANGE = ("\\", "{", "\x00", "//", "null", "1u", "0x1", "'''", "r'a'", '"b"', "\ud800", "\n")
WORDS = st.sampled_from([*VARIABLES, *(f"{name}(" for name in FUNCTIONS), *SIGNS.split(), *STRANGE])


@given(
    st.one_of(st.text(max_size=60), st.lists(WORDS, max_size=25).map(" ".join), st.lists(WORDS).map("".join)), VALUES
)
def test_no_text_does_more_than_be_refused(text: str, values: dict[str, Any]) -> None:
    try:
        expression = compiled(text)
    except ExpressionError:
        return
    found = Evaluator([expression], FUNCTIONS_OF_LISTS).answer(expression, values)
    assert found.failure in (None, "missing", "division_by_zero", "overflow")
