"""Normal forms: what is the same for people has one key, and keys cannot be read back."""

import re
import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from events.model import Address
from events.normal_form import address_key, keyed_hash, mask, normal_phone, risk_key

KEY = b"a key of this test"
HOME = Address(province="上海市", city="上海市", district="浦东新区", detail="世纪大道1号")


@pytest.mark.parametrize(
    "spelling",
    [
        "13800001234",
        "138 0000 1234",
        "138-0000-1234",
        "+86 13800001234",
        "+86-138-0000-1234",
        "0086 13800001234",
        "８６１３８００００１２３４",
        " 13800001234 ",
    ],
)
def test_every_spelling_of_a_phone_number_is_one_key(spelling: str) -> None:
    assert risk_key("phone", spelling, KEY) == risk_key("phone", "13800001234", KEY)


@pytest.mark.parametrize("other", ["13800001235", "+1 212 555 0100", "02138000012"])
def test_another_phone_number_is_another_key(other: str) -> None:
    assert risk_key("phone", other, KEY) != risk_key("phone", "13800001234", KEY)


def test_only_china_s_country_code_is_left_out() -> None:
    assert normal_phone("+86 138-0000-1234") == "13800001234"
    assert normal_phone("+1 (212) 555-0100") == "+12125550100"
    assert normal_phone("86130000") == "86130000"


@pytest.mark.parametrize("spelling", ["6222 0000 1111 2222", "6222-0000-1111-2222", "６２２２００００１１１１２２２２"])
def test_every_spelling_of_a_card_number_is_one_key(spelling: str) -> None:
    assert risk_key("card", spelling, KEY) == risk_key("card", "6222000011112222", KEY)


def test_clear_numbers_are_hashed_with_the_key_and_tokens_stay() -> None:
    assert risk_key("phone", "13800001234", KEY).startswith("h:")
    assert "13800001234" not in risk_key("phone", "13800001234", KEY)
    assert risk_key("phone", "13800001234", b"") != risk_key("phone", "13800001234", KEY)
    assert risk_key("card", "tok_4fA9", KEY) == "tok_4fA9"


def test_a_phone_and_a_card_of_the_same_digits_are_two_keys() -> None:
    assert risk_key("phone", "6222000011112", KEY) != risk_key("card", "6222000011112", KEY)


@pytest.mark.parametrize("masked", ["138****1234", "6222 **** **** 2222", "１３８＊＊＊＊１２３４"])
def test_a_masked_number_is_no_key(masked: str) -> None:
    assert risk_key("phone", masked, KEY) == risk_key("card", masked, KEY) == ""


def test_addresses_of_the_network_are_compared_without_case() -> None:
    assert risk_key("ip", "2001:DB8::1", KEY) == "2001:db8::1"


@pytest.mark.parametrize("detail", ["世纪大道1号", "世纪大道 1 号", "世纪大道１号", "世纪大道,1号。", "世纪大道1号 "])
def test_width_spaces_and_punctuation_make_no_other_address(detail: str) -> None:
    same = Address(province="上海市", city="上海市", district="浦东新区", detail=detail)
    assert address_key(same, KEY) == address_key(HOME, KEY)


@pytest.mark.parametrize(
    "other",
    [
        Address(province="上海市", city="上海市", district="浦东新区", detail="世纪大道2号"),
        Address(province="上海市", city="上海市", district="浦东新区"),
        Address(province="上海市", city="上海市", detail="浦东新区世纪大道1号"),
        Address(province="上海市", city="上海市", district="浦东新区", detail="世纪大道1号", postcode="200120"),
    ],
)
def test_any_other_difference_makes_another_address(other: Address) -> None:
    assert address_key(other, KEY) != address_key(HOME, KEY)


@pytest.mark.parametrize("empty", [Address(), Address(city=""), Address(city=" ", detail="--")])
def test_an_address_of_nothing_is_no_key(empty: Address) -> None:
    assert address_key(empty, KEY) == ""


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("13800001234", "138****1234"),
        ("王小明", "王**"),
        ("王", "王"),
        ("", ""),
        ("12345678", "123****5678"),
        ("1234567", "1******"),
    ],
)
def test_a_masked_value_can_be_recognised_but_not_read(text: str, shown: str) -> None:
    assert mask(text) == shown


@given(st.text(st.sampled_from("0189 +-()٣３²½Ⅷ_"), max_size=20))
def test_digits_are_those_that_a_substitution_leaves(text: str) -> None:
    assert normal_phone(text) == abroad_or_not(re.sub(r"\D", "", text), text)


def abroad_or_not(digits: str, text: str) -> str:
    """The rule once more, plainly."""
    abroad = text.startswith("+") or digits.startswith("00")
    digits = digits.removeprefix("00")
    if len(digits) == 13 and digits.startswith("861"):
        return digits[2:]
    return f"+{digits}" if abroad else digits


@given(st.text(max_size=30))
def test_an_address_is_what_a_substitution_leaves_of_it(detail: str) -> None:
    left = re.sub(r"[\W_]+", "", unicodedata.normalize("NFKC", detail).casefold())
    expected = keyed_hash(f"address:||||{left}|", KEY) if left else ""
    assert address_key(Address(detail=detail), KEY) == expected
