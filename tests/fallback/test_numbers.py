"""Numbers: unique without asking anybody, sorted by time, and a slip in one is found."""

import re
import string

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sources.fallback.numbers import Numbers, number_of_request, read_number

NOW = 1_795_341_012_345  # 2026-11-22T09:50:12.345Z
NUMBERS = [Numbers(lambda: NOW, tag=0x9AB12).next()[0], number_of_request("A-1")]
MOMENTS = st.integers(0, 4_000_000_000_000)


def test_a_number_tells_its_day_and_can_be_read_out() -> None:
    number, moment = Numbers(lambda: NOW).next()
    assert moment == NOW
    assert re.fullmatch(r"FB-20261122-[0-9A-HJKMNP-TV-Z]{6}-[0-9A-HJKMNP-TV-Z]{4}-[0-9A-HJKMNP-TV-Z]", number)
    assert read_number(number) == number


@given(st.lists(MOMENTS, min_size=2, max_size=50))
def test_numbers_of_one_desk_are_unique_and_sorted_whatever_its_clock_does(clock: list[int]) -> None:
    moments = iter(clock)
    numbers = Numbers(lambda: next(moments))
    given_out = [numbers.next()[0] for _ in clock]
    assert len(set(given_out)) == len(given_out)
    assert given_out == sorted(given_out)


def test_two_desks_at_the_same_moment_give_different_numbers() -> None:
    assert Numbers(lambda: NOW, tag=1).next()[0] != Numbers(lambda: NOW, tag=2).next()[0]
    assert len({Numbers(lambda: NOW).next()[0] for _ in range(50)}) == 50


def test_a_request_has_the_same_number_everywhere() -> None:
    assert number_of_request("A-1") == number_of_request("A-1") == "FB-R4XS6T-C8HTT7-B"
    assert len({number_of_request(str(request)) for request in range(20_000)}) == 20_000


@pytest.mark.parametrize("number", NUMBERS)
def test_it_is_understood_however_it_was_written_down(number: str) -> None:
    assert read_number(number.lower()) == number
    assert read_number(number.replace("-", " ")) == number
    assert read_number(number.replace("-", "")) == number
    assert read_number(number[:2] + number[2:].replace("0", "o").replace("1", "l")) == number


@pytest.mark.parametrize("number", NUMBERS)
def test_one_wrong_character_is_found(number: str) -> None:
    for place in range(3, len(number)):
        if number[place] == "-":
            continue
        for other in string.digits + string.ascii_uppercase:
            wrong = number[:place] + other + number[place + 1 :]
            assert read_number(wrong) in (None, number)


@pytest.mark.parametrize("number", NUMBERS)
def test_neighbours_that_swapped_are_found(number: str) -> None:
    plain = number.replace("-", "")
    for place in range(2, len(plain) - 1):
        one, other = plain[place], plain[place + 1]
        if one != other and {one, other} != {"0", "Z"}:
            assert read_number(plain[:place] + other + one + plain[place + 2 :]) is None


@pytest.mark.parametrize("text", ["", "FB", "FB-1", "XX" + NUMBERS[0][2:], NUMBERS[0] + "0", "订单"])
def test_other_texts_are_no_numbers(text: str) -> None:
    assert read_number(text) is None
