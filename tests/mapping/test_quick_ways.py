"""The short ways that most values take come to what the long ways come to."""

import json
import sys
from decimal import Decimal
from typing import Any

import phonenumbers
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sources.mapping.forms import reader
from sources.mapping.mapper import Mapper
from sources.mapping.paths import Scope, getter, text_getter, walk
from sources.mapping.phones import clean_phone
from sources.mapping.profile import ValueSpec
from sources.mapping.values import AROUND_TEXTS, MoneyForm, as_integer, as_money, as_text, clean
from tests.mapping.support import created, profile_of

_AROUND = st.text(alphabet=st.sampled_from("  \t\n\r　\u2028\x1f='\"“”."), max_size=3)
_INSIDE = st.text(alphabet=st.sampled_from("a浙1+E9.'\"=“”  "), max_size=6)
_TEXTS = st.builds("{}{}{}".format, _AROUND, _INSIDE, _AROUND)
_VALUES: st.SearchStrategy[Any] = st.one_of(
    _TEXTS,
    st.sampled_from(["null", "", "0", "1.5E+18", "58.90", "-1", '{"name": "x"}']),
    st.integers(-(10**20), 10**20),
    st.booleans(),
    st.none(),
    st.just(Decimal("58.90")),
    st.just([1]),
    st.just({"name": "x"}),
)
_MISSING = st.sampled_from([frozenset(("",)), frozenset(("", "null")), frozenset(("", "null", "0", "-1"))])


def said(work: Any, *values: Any) -> Any:
    try:
        return work(*values)
    except ValueError as error:
        return str(error)


def test_every_sign_that_is_taken_off_a_text_is_among_those_that_are_looked_for() -> None:
    spaces = {chr(code) for code in range(sys.maxunicode + 1) if chr(code).isspace()}

    assert spaces <= set(AROUND_TEXTS)
    assert {"=", '"', "'", "“"} <= set(AROUND_TEXTS)


@given(_TEXTS)
def test_a_text_that_is_left_as_it_is_has_no_space_around_it_and_no_quotes(text: str) -> None:
    cleaned = clean(text)

    if cleaned == text:
        assert text == text.strip()
        assert not (len(text) > 1 and (text[0], text[-1]) in {('"', '"'), ("'", "'"), ("“", "”")})


@given(_VALUES, _MISSING, st.sampled_from(["name", "outer.name", "$each.name", '"name"', "$record.name"]))
def test_a_plain_path_is_read_as_if_it_were_walked(value: Any, missing: frozenset[str], path: str) -> None:
    scope = Scope({"name": value, "outer": {"name": value}}, 1)
    scope.each = {"name": value}
    found = walk({"name": value}, ["name"])
    found = clean(found) if isinstance(found, str) else found
    single = isinstance(found, str | int | Decimal)
    expected = None if found is None or (single and str(found) in missing) else found

    assert getter(path, missing, flat=False)(scope) == expected
    as_read = said(text_getter(path, missing, flat=False), scope)
    assert as_read == (None if expected is None else said(as_text, expected))


@given(st.one_of(st.from_regex(r"-?[0-9]{0,5}(\.[0-9]{0,4})?", fullmatch=True), st.integers(-(10**6), 10**17), _TEXTS))
@pytest.mark.parametrize("unit", ["major", "minor"])
@pytest.mark.parametrize("digits", [0, 2, 3])
def test_a_plain_amount_is_that_of_the_long_way(unit: Any, digits: int, value: Any) -> None:
    scope = Scope({}, 1)
    scope.digits = digits
    profile = created('amount = "amount"')

    quick = said(reader(ValueSpec(field="amount", unit=unit), "money", profile), value, scope)

    assert quick == said(as_money, value, MoneyForm(unit), digits)


@given(st.one_of(st.integers(-(10**20), 10**20), st.from_regex(r"[0-9٣]{1,20}", fullmatch=True), _TEXTS))
def test_a_plain_number_is_that_of_the_long_way(value: Any) -> None:
    quick = said(reader(ValueSpec(field="n"), "integer", created("")), value, Scope({}, 1))

    assert quick == said(as_integer, value)


@given(
    st.from_regex(r"1[0-9]{10}", fullmatch=True), st.sampled_from(["", " ", "-"]), st.sampled_from(["CN", "US", "GB"])
)
def test_a_mobile_number_with_its_country_code_is_what_the_library_says(number: str, mark: str, region: str) -> None:
    text = f"+86{mark}{number}"
    known = phonenumbers.parse(text, region)

    assert clean_phone(text, region) == (number if phonenumbers.is_valid_number(known) else text)


def test_digits_of_another_script_do_not_pass_as_a_mobile_number_as_it_stands() -> None:
    assert clean_phone("138００１３８０００", "CN") == "13800138000"


SHARED = """
name = "shop"
source = "shop"
[time]
zone = "Europe/Berlin"
[money]
unit = "major"
[inputs.orders]
format = "json"
[[events]]
name = "created"
from = "orders"
type = "order.created"
id = { template = "{id}/created" }
order_id = "id"
time = "at"
address = { city = "to.city", detail = "to.street" }
[[events]]
name = "changed"
from = "orders"
type = "order.changed"
id = { template = "{id}/changed" }
order_id = "id"
time = "at"
fields = { address = { city = "to.city", detail = "to.street" } }
"""


def mapped(order: dict[str, Any]) -> Any:
    return Mapper(profile_of(SHARED)).map(json.dumps(order).encode())


def test_what_two_rules_ask_of_a_record_is_the_same_in_both_events() -> None:
    both = mapped({"id": 1, "at": "2026-03-02 10:00:00", "to": {"city": "Bonn", "street": "Markt 1"}}).events

    assert {event.time for event in both} == {1772442000000}
    assert both[0].address == both[1].fields.address


def test_a_decision_about_a_shared_time_is_told_in_each_event() -> None:
    twice = mapped({"id": 1, "at": "2026-10-25 02:30:00", "to": {"city": "Bonn"}})

    assert [event.cleaned for event in twice.events] == [("time: ambiguous_hour",)] * 2


def test_a_shared_part_that_cannot_be_read_is_named_by_each_rule_as_its_own() -> None:
    order = {"id": 1, "at": "2026-03-02 10:00:00", "to": {"city": "1.5E+18"}}

    assert [refusal.field for refusal in mapped(order).refusals] == ["address.city", "fields.address.city"]


def test_a_rule_that_is_found_by_a_word_still_asks_for_what_else_it_wants() -> None:
    rules = "".join(
        f"""
[[events]]
name = "{word}"
from = "orders"
type = "order.stage"
when = {{ state = "{word}"{more} }}
id = {{ template = "{{id}}/{word}" }}
order_id = "id"
time = "at"
stage = {{ value = "{word}" }}
"""
        for word, more in [("paid", ""), ("sent", ", parcel = { present = true }"), ("held", ""), ("done", "")]
    )
    mapper = Mapper(profile_of(SHARED.partition("[[events]]")[0] + rules))
    order = {"id": 1, "at": "2026-03-02 10:00:00"}

    def stages(**more: str) -> list[str]:
        return [event.id for event in mapper.map(json.dumps({**order, **more}).encode()).events]

    assert stages(state="paid") == ["1/paid"]
    assert stages(state="sent") == []
    assert stages(state="sent", parcel="P1") == ["1/sent"]


def test_nothing_is_kept_from_one_record_to_the_next() -> None:
    mapper = Mapper(profile_of(SHARED))
    orders = [{"id": n, "at": f"2026-03-0{n} 10:00:00", "to": {"city": f"Town {n}"}} for n in (1, 2)]

    events: list[Any] = mapper.map(json.dumps(orders).encode()).events

    assert [event.address.city for event in events[::2]] == ["Town 1", "Town 2"]
    assert len({event.time for event in events}) == 2
