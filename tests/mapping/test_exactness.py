"""Money and time by property: what goes in comes out, to the last unit; no binary fraction, no day crossed unsaid."""

import ast
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

import sources.mapping
from sources.mapping.paths import decode_json
from sources.mapping.values import MoneyForm, TimeForm, as_money, as_text, as_time, digits_of, short_id

MAJOR, MINOR = MoneyForm("major"), MoneyForm("minor")
ZONES = [
    "Asia/Shanghai",
    "America/New_York",
    "America/Sao_Paulo",
    "Europe/Berlin",
    "Australia/Lord_Howe",
    "Asia/Kolkata",
]
# Of these, clocks jumped at midnight, or a whole day was skipped.
HARD_ZONES = [
    *ZONES,
    "Asia/Beirut",
    "Africa/Cairo",
    "Pacific/Apia",
    "Asia/Shanghai",
    "America/Havana",
    "Asia/Pyongyang",
]
ISO = TimeForm(("iso",), "Asia/Shanghai", None, False, "earlier", "forward", -(10**15), 10**15)

_AMOUNTS = st.integers(0, 10**15)
_MOMENTS = st.integers(946_684_800_000, 2_500_000_000_000)
_DAYS = st.dates(date(2000, 1, 3), date(2037, 12, 28))


def written(amount: int, digits: int, mark: str = ".") -> str:
    text = str(amount).rjust(digits + 1, "0")
    return text if digits == 0 else f"{text[:-digits]}{mark}{text[-digits:]}"


@given(_AMOUNTS, st.sampled_from(["CNY", "JPY", "KWD", "USD"]))
def test_an_amount_comes_back_as_it_was_written(amount: int, currency: str) -> None:
    digits = digits_of(currency)
    text = written(amount, digits)
    assert as_money(text, MAJOR, digits, currency) == amount
    assert as_money(Decimal(text), MAJOR, digits, currency) == amount
    assert as_money(f"{currency} {text}", MAJOR, digits, currency) == amount
    assert as_money(written(amount, digits, ","), MoneyForm("major", ","), digits, currency) == amount
    assert as_money(amount, MINOR, digits) == as_money(str(amount), MINOR, digits) == amount


@given(_AMOUNTS)
def test_grouped_thousands_mean_the_same_amount(amount: int) -> None:
    whole, _, cents = written(amount, 2).partition(".")
    assert as_money(f"{int(whole):,}.{cents}", MAJOR, 2, "CNY") == amount
    assert as_money(f"¥{int(whole):,}.{cents}", MAJOR, 2, "CNY") == amount
    assert as_money(f"{whole}.{cents}元", MAJOR, 2, "CNY") == amount


@given(_AMOUNTS)
def test_a_fraction_in_json_never_passes_through_a_binary_one(amount: int) -> None:
    assert as_money(decode_json(f"[{written(amount, 2)}]")[0], MAJOR, 2) == amount


@given(st.integers(-(10**40), 10**40))
def test_an_id_of_any_length_keeps_every_digit(number: int) -> None:
    assert as_text(decode_json(f"[{number}]")[0]) == str(number)


@given(_AMOUNTS, st.integers(0, 999))
def test_rounding_is_asked_for_and_said(amount: int, more: int) -> None:
    told: list[str] = []
    text = f"{written(amount, 2)}{more:03}"
    assert as_money(text, replace(MAJOR, rounding="half_up"), 2, "CNY", told) == amount + (more >= 500)
    assert told == (["rounded"] if more else [])
    if more:
        with pytest.raises(ValueError, match="decimals"):
            as_money(text, MAJOR, 2)


@pytest.mark.parametrize(
    ("text", "currency"), [("$5.00", "CNY"), ("¥5", "USD"), ("EUR 5", "USD"), ("5元", "USD"), ("R$ 5", "USD")]
)
def test_an_amount_in_another_currency_is_refused(text: str, currency: str) -> None:
    with pytest.raises(ValueError, match=f"is not in {currency}"):
        as_money(text, MAJOR, 2, currency)


@given(_MOMENTS, st.sampled_from(ZONES))
def test_a_moment_comes_back_from_each_form_that_carries_it(moment: int, zone: str) -> None:
    at = datetime(1970, 1, 1, tzinfo=UTC) + timedelta(milliseconds=moment)
    assert as_time(at.astimezone(ZoneInfo(zone)).isoformat(), ISO) == moment
    assert as_time(at.isoformat().replace("+00:00", "Z"), ISO) == moment
    assert as_time(moment, replace(ISO, formats=("epoch_ms",))) == moment
    assert as_time(str(moment), replace(ISO, formats=("epoch_ms",))) == moment
    assert as_time(moment // 1000, replace(ISO, formats=("epoch_s",))) == moment // 1000 * 1000
    assert as_time(Decimal(moment) / 1000, replace(ISO, formats=("epoch_s",))) == moment


@given(_MOMENTS, st.sampled_from(HARD_ZONES))
def test_local_times_come_back_unless_they_happened_twice_which_is_said(moment: int, zone: str) -> None:
    at = (datetime(1970, 1, 1, tzinfo=UTC) + timedelta(milliseconds=moment)).astimezone(ZoneInfo(zone))
    told: list[str] = []
    read = as_time(at.replace(tzinfo=None).isoformat(sep=" "), replace(ISO, zone=zone), told)
    assert read == moment or told == ["ambiguous_hour"]
    later = as_time(at.replace(tzinfo=None).isoformat(), replace(ISO, zone=zone, ambiguous="later"))
    assert moment in (read, later)


def _local_day(moment: int, zone: str) -> date:
    return (datetime(1970, 1, 1, tzinfo=UTC) + timedelta(milliseconds=moment)).astimezone(ZoneInfo(zone)).date()


@given(_DAYS, st.times(), st.sampled_from(HARD_ZONES), st.sampled_from(["earlier", "later"]))
def test_no_time_crosses_its_day_unsaid(day: date, at: time, zone: str, ambiguous: Any) -> None:
    told: list[str] = []
    form = replace(ISO, zone=zone, ambiguous=ambiguous)
    moment = as_time(datetime.combine(day, at).isoformat(), form, told)
    assert _local_day(moment, zone) == day or told == ["skipped_hour"]


@given(_DAYS, st.sampled_from(["00:00:00", "12:00:00", "23:59:59"]), st.sampled_from(HARD_ZONES))
def test_a_day_alone_stays_in_its_day_and_is_said(day: date, at: str, zone: str) -> None:
    told: list[str] = []
    moment = as_time(day.isoformat(), replace(ISO, zone=zone, date_only_at=at), told)
    assert "date_only" in told
    assert _local_day(moment, zone) == day or "skipped_hour" in told
    with pytest.raises(ValueError, match="is only a date"):
        as_time(day.isoformat(), replace(ISO, zone=zone))


def test_a_day_that_a_zone_left_out_is_moved_on_and_said() -> None:
    told: list[str] = []
    moment = as_time(
        "2011-12-30 10:00:00", replace(ISO, zone="Pacific/Apia"), told
    )  # Samoa changed sides of the date line
    assert (_local_day(moment, "Pacific/Apia"), told) == (date(2011, 12, 31), ["skipped_hour"])


@given(st.lists(st.text(max_size=8), max_size=4), st.lists(st.text(max_size=8), max_size=4))
def test_an_id_made_of_fields_is_the_same_only_for_the_same_fields(one: list[str], other: list[str]) -> None:
    assert (short_id(one) == short_id(other)) is (one == other)


def test_nothing_in_the_mapping_makes_a_binary_fraction() -> None:
    folder = Path(sources.mapping.__file__ or "").parent
    found = [
        f"{file.name}:{node.lineno}"
        for file in sorted(folder.glob("*.py"))
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8")))
        if (isinstance(node, ast.Name) and node.id == "float")
        or (isinstance(node, ast.Constant) and isinstance(node.value, float) and file.name != "checks.py")
        or (isinstance(node, ast.BinOp) and isinstance(node.op, ast.Div) and not _of_paths(node))
    ]
    assert found == []


def _of_paths(node: ast.BinOp) -> bool:
    """A slash between a folder and a name."""
    return isinstance(node.right, ast.Constant | ast.JoinedStr) or (
        isinstance(node.left, ast.BinOp) and _of_paths(node.left)
    )
