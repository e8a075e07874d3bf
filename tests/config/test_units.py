"""Units of the configuration: what is written is read as meant, and a mistake is answered with the remedy."""

import tomllib
from datetime import UTC, date, datetime, time, timedelta, timezone
from decimal import Decimal

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from config.units import Duration, Instant, Thousandths, decode_unit

SHANGHAI = timezone(timedelta(hours=8))


@pytest.mark.parametrize(
    ("text", "milliseconds"),
    [
        ("0s", 0),
        ("1ms", 1),
        ("90s", 90_000),
        ("1m", 60_000),
        ("1h30m", 5_400_000),
        ("3d", 259_200_000),
        ("1d2h3m4s5ms", 93_784_005),
        ("1m500ms", 60_500),
        ("120m", 7_200_000),
    ],
)
def test_a_duration_is_read_in_milliseconds(text: str, milliseconds: int) -> None:
    assert Duration.parse(text) == milliseconds


@given(st.integers(0, 10**15).map(Duration))
def test_a_duration_that_is_shown_can_be_read_again(duration: Duration) -> None:
    assert Duration.parse(str(duration)) == duration


@pytest.mark.parametrize(
    ("milliseconds", "text"), [(0, "0s"), (90_000, "1m30s"), (7_200_000, "2h"), (86_400_001, "1d1ms")]
)
def test_a_duration_is_shown_in_its_largest_units(milliseconds: int, text: str) -> None:
    assert str(Duration(milliseconds)) == text


@pytest.mark.parametrize("number", [30, 0])
def test_a_duration_without_a_unit_is_refused_with_the_remedy(number: int) -> None:
    with pytest.raises(ValueError, match=f'a duration needs a unit: write "{number}s", "{number}m" or "{number}h"'):
        Duration.parse(number)


@pytest.mark.parametrize(
    "value",
    [
        *("", "30", "h", "1w", "1.5h", "-5m", "1h 30m", " 1h", "1h\n", "1H", "1h30", "one hour", "１h", "٣h"),
        *("9999999999999ms", 1.5, -5, True, None, ["1h"]),
    ],
)
def test_what_is_no_duration_is_refused_with_an_example(value: object) -> None:
    with pytest.raises(ValueError, match=r'is not a duration: .* e\.g\. "1h30m"'):
        Duration.parse(value)


@pytest.mark.parametrize(
    ("value", "thousandths"),
    [
        (1, 1000),
        (0, 0),
        (0.8, 800),
        ("0.8", 800),
        (2.5, 2500),
        (-0.125, -125),
        ("1.000", 1000),
        (0.001, 1),
        (4.0, 4000),
    ],
)
def test_a_weight_is_read_in_thousandths(value: object, thousandths: int) -> None:
    assert Thousandths.parse(value) == thousandths


@given(st.integers(-(10**12), 10**12).map(Thousandths))
def test_a_weight_that_is_shown_can_be_read_again(weight: Thousandths) -> None:
    assert Thousandths.parse(str(weight)) == weight


@given(st.integers(-(10**9), 10**9))
def test_a_weight_is_exact_when_it_comes_as_a_float(thousandths: int) -> None:
    assert Thousandths.parse(thousandths / 1000) == thousandths


@given(st.lists(st.integers(0, 5000), max_size=12))
def test_weights_add_up_exactly_in_any_order(weights: list[int]) -> None:
    parsed = [Thousandths.parse(str(Decimal(weight) / 1000)) for weight in weights]
    assert sum(parsed) == sum(reversed(parsed)) == sum(weights)


@pytest.mark.parametrize(
    ("thousandths", "text"),
    [(0, "0"), (800, "0.8"), (10_000, "10"), (1_001, "1.001"), (-5, "-0.005"), (-2_500, "-2.5")],
)
def test_a_weight_is_shown_without_idle_zeros(thousandths: int, text: str) -> None:
    assert str(Thousandths(thousandths)) == text


@pytest.mark.parametrize("value", [0.0001, "0.1234", 0.1 + 0.2, "1e-4"])
def test_a_weight_with_a_fourth_decimal_is_refused(value: object) -> None:
    with pytest.raises(ValueError, match="has more than three decimals"):
        Thousandths.parse(value)


@pytest.mark.parametrize("value", ["", "heavy", "0,8", "0.8x", True, None, [1], "sNaN"])
def test_what_is_no_number_is_refused_as_a_weight(value: object) -> None:
    with pytest.raises(ValueError, match="is not a number"):
        Thousandths.parse(value)


@pytest.mark.parametrize("value", [float("nan"), float("inf"), "-Infinity", "NaN"])
def test_a_weight_without_a_value_is_refused(value: object) -> None:
    with pytest.raises(ValueError, match=r"nan|inf|Infinity|NaN"):
        Thousandths.parse(value)


def test_a_weight_with_very_many_decimals_is_refused() -> None:
    with pytest.raises(ValueError, match="has more than three decimals"):
        Thousandths.parse("1." + "0" * 28 + "1")


@pytest.mark.parametrize("value", ["1e999999", "-1e999999", 10**9 + 1, 1e10])
def test_a_weight_beyond_all_measure_is_refused(value: object) -> None:
    with pytest.raises(ValueError, match="is too large"):
        Thousandths.parse(value)


def test_the_last_moment_of_the_calendar_is_shown_exactly() -> None:
    assert str(Instant.parse("9999-12-31T23:59:59.999Z")) == "9999-12-31T23:59:59.999Z"


@pytest.mark.parametrize(
    ("text", "epoch_ms"),
    [
        ("1970-01-01T00:00:00Z", 0),
        ("2026-01-31T08:00:00+08:00", 1_769_817_600_000),
        ("2026-01-31T00:00:00Z", 1_769_817_600_000),
        ("2026-01-31 00:00:00.001Z", 1_769_817_600_001),
        ("1969-12-31T23:59:59.999Z", -1),
    ],
)
def test_a_moment_is_read_in_epoch_milliseconds(text: str, epoch_ms: int) -> None:
    assert Instant.parse(text) == epoch_ms


def test_a_moment_of_a_configuration_file_is_read() -> None:
    value = tomllib.loads("at = 2026-01-31T08:00:00+08:00")["at"]
    assert Instant.parse(value) == Instant.parse("2026-01-31T00:00:00Z")


def test_midnight_in_shanghai_is_the_afternoon_before_in_utc() -> None:
    assert str(Instant.parse(datetime(2026, 2, 1, tzinfo=SHANGHAI))) == "2026-01-31T16:00:00.000Z"


@given(st.datetimes(datetime(1970, 1, 1), datetime(2200, 1, 1), timezones=st.just(UTC)))  # noqa: DTZ001
def test_a_moment_that_is_shown_can_be_read_again(moment: datetime) -> None:
    instant = Instant.parse(moment)
    assert Instant.parse(str(instant)) == instant
    assert abs(instant - moment.timestamp() * 1000) <= 0.5


@pytest.mark.parametrize(
    ("value", "remedy"),
    [
        ("2026-01-31T08:00:00", r"has no zone: write e.g. 2026-01-31T08:00:00\+08:00 or \.\.\.Z"),
        ("2026-01-31", r"has no zone: write e.g. 2026-01-31T00:00:00\+08:00"),
        (date(2026, 1, 31), r"has no zone: write e.g. 2026-01-31T00:00:00\+08:00"),
        (datetime(2026, 1, 31, 8), r"has no zone: write e.g. 2026-01-31T08:00:00\+08:00"),  # noqa: DTZ001
    ],
)
def test_a_moment_without_a_zone_is_refused_with_the_remedy(value: object, remedy: str) -> None:
    with pytest.raises(ValueError, match=remedy):
        Instant.parse(value)


@pytest.mark.parametrize(
    "value",
    ["", "yesterday", "2026-02-30T00:00:00Z", "31.01.2026", "08:00:00Z", 1_769_817_600_000, True, None, time(8)],
)
def test_what_is_no_moment_is_refused_with_an_example(value: object) -> None:
    with pytest.raises(ValueError, match=r"is not a date-time: write e.g. 2026-01-31T08:00:00\+08:00"):
        Instant.parse(value)


class Limits(msgspec.Struct):
    limit: Duration
    weight: Thousandths
    since: Instant


def test_settings_are_decoded_in_their_units() -> None:
    raw = {"limit": "2h", "weight": 0.8, "since": "2026-01-31T00:00:00Z"}
    limits = msgspec.convert(raw, Limits, dec_hook=decode_unit)
    assert limits == Limits(Duration(7_200_000), Thousandths(800), Instant(1_769_817_600_000))
    assert [type(value) for value in msgspec.structs.astuple(limits)] == [Duration, Thousandths, Instant]


def test_a_wrong_unit_is_named_with_its_path() -> None:
    raw = {"limit": 2, "weight": 0.8, "since": "2026-01-31T00:00:00Z"}
    with pytest.raises(msgspec.ValidationError, match=r'write "2s", "2m" or "2h", not 2 - at `\$.limit`'):
        msgspec.convert(raw, Limits, dec_hook=decode_unit)


def test_only_the_three_units_are_decoded_here() -> None:
    with pytest.raises(NotImplementedError, match="no decoder for <class 'complex'>"):
        decode_unit(complex, "1j")


@given(st.integers(-62_135_596_800_000, 253_402_300_799_999))
def test_an_instant_is_written_to_the_millisecond_and_read_as_what_it_was(ms: int) -> None:
    text = str(Instant(ms))
    assert text == f"{text[:-5]}.{ms % 1000:03d}Z"
    assert Instant.parse(text) == ms
