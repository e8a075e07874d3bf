from datetime import datetime
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from sources.mapping.values import MoneyForm, TimeForm, as_money, as_text, as_time, clean, digits_of

MAJOR, MINOR = MoneyForm("major"), MoneyForm("minor")
LOCAL = TimeForm(
    formats=("iso",),
    zone="America/Sao_Paulo",
    date_only_at=None,
    midnight_is_date=False,
    ambiguous="earlier",
    nonexistent="forward",
    earliest=946684800000,
    latest=4102444800000,
)


def moment(text: str) -> int:
    return round(datetime.fromisoformat(text).timestamp() * 1000)


@pytest.mark.parametrize(
    ("written", "fen"),
    [
        ("58.90", 5890),
        ("58.9", 5890),
        ("58", 5800),
        (58, 5800),
        (Decimal("58.90"), 5890),
        ("0.07", 7),
        (".5", 50),
        ("1,299.00", 129900),
        ("¥58.90", 5890),
        ("R$ 58.90", 5890),
        ("BRL 58.90", 5890),
        ("-3.20", -320),
        ("58.9000", 5890),
        ("90071992547409.93", 9007199254740993),  # beyond what a binary fraction can hold
    ],
)
def test_money_in_major_units_becomes_minor_units_exactly(written: Any, fen: int) -> None:
    assert as_money(written, MAJOR, 2) == fen


@given(st.integers(min_value=0, max_value=10**15))
def test_any_amount_survives_being_written_with_two_decimals(fen: int) -> None:
    assert as_money(f"{fen // 100}.{fen % 100:02d}", MAJOR, 2) == fen
    assert as_money(f"{fen // 100},{fen % 100:02d}", replace(MAJOR, decimal=","), 2) == fen


def test_money_with_a_comma_is_read_only_where_the_profile_says_so() -> None:
    assert as_money("1.058,90", replace(MAJOR, decimal=","), 2) == 105890
    with pytest.raises(ValueError, match="decimal"):
        as_money("58,90", MAJOR, 2)


@pytest.mark.parametrize("written", ["", "abc", "5 8", "1,23.00", "1e3", "--1", "٥٨", "¥", True, [], Decimal("1e99")])
def test_what_is_not_an_amount_is_refused(written: Any) -> None:
    with pytest.raises(ValueError, match="is not a number"):
        as_money(written, MAJOR, 2)


def test_more_decimals_than_the_currency_has_are_refused_unless_rounding_is_asked_for() -> None:
    with pytest.raises(ValueError, match="round = "):
        as_money("1.005", MAJOR, 2)
    assert as_money("1.005", replace(MAJOR, rounding="half_up"), 2) == 101
    assert as_money("1.0049", replace(MAJOR, rounding="half_up"), 2) == 100


def test_each_currency_has_its_own_decimals() -> None:
    assert as_money("1500", MAJOR, digits_of("JPY")) == 1500
    assert as_money("1.234", MAJOR, digits_of("KWD")) == 1234
    assert as_money("2990", MINOR, digits_of("CNY")) == 2990


@pytest.mark.parametrize(
    ("written", "text"),
    [
        (' "A-1" ', "A-1"),
        ('="6917529027641081856"', "6917529027641081856"),
        ("'6917529027641081856", "6917529027641081856"),
        ("6917529027641081856\t", "6917529027641081856"),
        ("it's", "it's"),
        ("'quoted'", "quoted"),
        ("", ""),
        ('"', '"'),
    ],
)
def test_what_exports_put_around_a_text_is_taken_off(written: str, text: str) -> None:
    assert clean(written) == text


def test_an_id_keeps_every_digit_whether_it_is_a_number_or_a_text() -> None:
    assert as_text(6917529027641081857) == as_text("6917529027641081857") == "6917529027641081857"


@pytest.mark.parametrize("written", ["6.91753E+18", Decimal("6.91753E+18"), {}, []])
def test_an_id_that_lost_digits_is_refused(written: Any) -> None:
    with pytest.raises(ValueError, match=r"lost digits|not one value"):
        as_text(written)


@pytest.mark.parametrize(
    ("form", "written", "utc"),
    [
        ("iso", "2018-03-05 10:00:00", "2018-03-05T13:00:00+00:00"),
        ("iso", "2018-03-05T10:00:00.123456", "2018-03-05T13:00:00.123+00:00"),
        ("iso", "2018-03-05T10:00:00Z", "2018-03-05T10:00:00+00:00"),
        ("iso", "2018-03-05t10:00:00+08:00", "2018-03-05T02:00:00+00:00"),
        ("epoch_s", 1520258400, "2018-03-05T14:00:00+00:00"),
        ("epoch_s", "1520258400.250", "2018-03-05T14:00:00.250+00:00"),
        ("epoch_ms", 1520258400001, "2018-03-05T14:00:00.001+00:00"),
        ("%d/%m/%Y %H:%M", "05/03/2018 10:00", "2018-03-05T13:00:00+00:00"),
    ],
)
def test_a_moment_is_read_in_the_form_and_zone_that_the_profile_declares(form: str, written: Any, utc: str) -> None:
    assert as_time(written, replace(LOCAL, formats=(form,))) == moment(utc)


def test_a_date_alone_needs_a_declared_time_of_day() -> None:
    with pytest.raises(ValueError, match="date_only_at"):
        as_time("2018-03-05", LOCAL)
    assert as_time("2018-03-05", replace(LOCAL, date_only_at="23:59:59")) == moment("2018-03-05T23:59:59-03:00")


def test_midnight_may_stand_for_the_date_alone() -> None:
    form = replace(LOCAL, date_only_at="23:59:59", midnight_is_date=True)
    assert as_time("2018-03-05 00:00:00", form) == moment("2018-03-05T23:59:59-03:00")
    assert as_time("2018-03-05 00:00:01", form) == moment("2018-03-05T00:00:01-03:00")


def test_a_time_without_a_zone_is_never_guessed() -> None:
    with pytest.raises(ValueError, match="has no zone"):
        as_time("2018-03-05 10:00:00", replace(LOCAL, zone=None))


@pytest.mark.parametrize(("rule", "utc"), [("earlier", "2018-02-18T01:30Z"), ("later", "2018-02-18T02:30Z")])
def test_a_local_time_that_happened_twice_follows_the_declared_rule(rule: Any, utc: str) -> None:
    assert as_time("2018-02-17 23:30:00", replace(LOCAL, ambiguous=rule)) == moment(utc)


def test_a_local_time_that_was_skipped_moves_on_by_the_gap_and_stays_in_its_day() -> None:
    assert as_time("2017-10-15 00:30:00", LOCAL) == moment("2017-10-15T01:30:00-02:00")
    with pytest.raises(ValueError, match="never happened"):
        as_time("2017-10-15 00:30:00", replace(LOCAL, nonexistent="reject"))
    with pytest.raises(ValueError, match="happened twice"):
        as_time("2018-02-17 23:30:00", replace(LOCAL, ambiguous="reject"))


@given(st.datetimes(min_value=datetime(2000, 1, 3), max_value=datetime(2037, 1, 1)))  # noqa: DTZ001 - local
def test_a_local_time_is_read_as_the_zone_database_says(local: datetime) -> None:
    from zoneinfo import ZoneInfo  # noqa: PLC0415 - the plain way, beside the quick one

    plain = local.replace(tzinfo=ZoneInfo("America/Sao_Paulo"), microsecond=0).timestamp() * 1000
    assert as_time(local.replace(microsecond=0).isoformat(), LOCAL) == plain


@pytest.mark.parametrize(
    ("form", "written"),
    [
        ("epoch_ms", 1520258400),  # seconds, read as milliseconds: 1970
        ("epoch_s", 1520258400000),
        ("epoch_s", "soon"),
        ("epoch_s", True),
        ("epoch_s", Decimal("1e999999")),
        ("iso", 1520258400),
        ("iso", "20180305"),
        ("iso", "2018-02-30 10:00:00"),
        ("iso", "9999-12-31 23:59:59"),
    ],
)
def test_a_moment_in_another_form_or_unit_is_refused(form: str, written: Any) -> None:
    with pytest.raises(ValueError, match=r"set format|check the unit"):
        as_time(written, replace(LOCAL, formats=(form,)))
