"""Working time: days off, make-up workdays, hours, shifts, and the days on which clocks change."""

from datetime import date, datetime
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from config.calendar import WorkingCalendar, dates_of, known_years
from config.settings import CalendarSettings

SHANGHAI = ZoneInfo("Asia/Shanghai")
BERLIN = ZoneInfo("Europe/Berlin")
WHOLE = ("00:00/24:00",)
OFFICE = ("09:00/12:00", "13:00/18:00")
HOUR = 3_600_000


def calendar(zone: ZoneInfo = SHANGHAI, **changes: object) -> WorkingCalendar:
    given = {"holidays": "china", "weekend": ("sat", "sun"), "times": WHOLE} | changes
    return WorkingCalendar(CalendarSettings(**given), zone)  # type: ignore[arg-type]


def at(text: str, zone: ZoneInfo = SHANGHAI) -> int:
    return round(datetime.fromisoformat(text).replace(tzinfo=zone).timestamp()) * 1000


def said(moment: int, zone: ZoneInfo = SHANGHAI) -> str:
    return datetime.fromtimestamp(moment / 1000, tz=zone).strftime("%Y-%m-%d %H:%M")


@pytest.mark.parametrize(
    ("day", "works"),
    [
        ("2026-02-13", True),  # a Friday
        ("2026-02-14", True),  # a Saturday that makes up for the Spring Festival
        ("2026-02-17", False),  # the festival itself, a Tuesday
        ("2026-02-21", False),
        ("2026-02-28", True),  # made up for, too
        ("2026-03-01", False),  # an ordinary Sunday
        ("2031-02-03", True),  # no holidays are known of that year: weekends only
        ("2031-02-01", False),
    ],
)
def test_china_has_holidays_and_make_up_workdays(day: str, works: bool) -> None:
    assert calendar().works_on(date.fromisoformat(day)) is works


def test_a_saturday_is_worked_where_only_sunday_is_the_weekend() -> None:
    six_days = calendar(weekend=("sun",))
    days = {"2026-06-06": True, "2026-06-07": False, "2026-05-09": True, "2026-06-20": False}  # the last: Dragon Boat
    assert {day: six_days.works_on(date.fromisoformat(day)) for day in days} == days


def test_dates_of_ones_own_go_before_holidays_and_work_before_off() -> None:
    own = calendar(off=("2026-03-02/2026-03-03",), work=("2026-03-03", "2026-02-17"))
    assert [own.works_on(date(2026, month, day)) for month, day in ((3, 2), (3, 3), (2, 17), (3, 4))] == [
        False,
        True,
        True,
        True,
    ]


@pytest.mark.parametrize(
    ("since", "hours", "deadline"),
    [
        ("2026-03-06 17:00", 1, "2026-03-06 18:00"),  # to the end of a Friday: at its last moment, not on Monday
        ("2026-03-06 17:00", 2, "2026-03-09 10:00"),
        ("2026-03-06 11:30", 1, "2026-03-06 13:30"),  # over lunch
        ("2026-03-07 15:00", 8, "2026-03-09 18:00"),  # from a Saturday
        ("2026-03-06 20:00", 0, "2026-03-06 20:00"),
        ("2026-02-13 17:00", 1 + 8 + 1, "2026-02-24 10:00"),  # Saturday 14th works; then nine days off
    ],
)
def test_a_limit_counts_working_hours_alone(since: str, hours: int, deadline: str) -> None:
    office = calendar(times=OFFICE)
    assert said(office.after(at(since), hours * HOUR)) == deadline
    assert office.between(at(since), at(deadline)) == hours * HOUR


def test_a_night_shift_belongs_to_the_day_on_which_it_begins() -> None:
    night = calendar(times=("22:00/06:00",))
    assert said(night.after(at("2026-03-06 23:00"), 8 * HOUR)) == "2026-03-09 23:00"  # Friday's ends on Saturday at 6
    assert said(night.after(at("2026-03-07 05:00"), HOUR)) == "2026-03-07 06:00"


def test_a_day_on_which_the_clocks_change_has_an_hour_more_or_less() -> None:
    whole = calendar(BERLIN, holidays="none", weekend=())
    assert said(whole.after(at("2026-03-28 12:00", BERLIN), 24 * HOUR), BERLIN) == "2026-03-29 13:00"
    office = calendar(BERLIN, holidays="none", weekend=(), times=("01:00/04:00",))
    assert office.between(at("2026-03-29 00:00", BERLIN), at("2026-03-30 00:00", BERLIN)) == 2 * HOUR
    assert office.between(at("2026-10-25 00:00", BERLIN), at("2026-10-26 00:00", BERLIN)) == 4 * HOUR


def test_a_calendar_without_work_for_years_counts_the_rest_as_it_is() -> None:
    closed = calendar(off=("2026-01-01/2035-12-31",))
    assert closed.after(at("2026-03-06 12:00"), HOUR) > at("2026-03-06 12:00")


def test_the_years_of_the_holidays_are_known() -> None:
    first, last = known_years()
    assert first <= 2004
    assert last >= 2026


def test_a_range_that_ends_before_it_begins_is_refused() -> None:
    with pytest.raises(ValueError, match="ends before it begins"):
        list(dates_of(("2026-03-02/2026-03-01",)))


_TIMES = st.sampled_from(
    (WHOLE, OFFICE, ("22:00/06:00",), ("08:00/16:00", "16:00/24:00"), ("00:00/24:00", "09:00/18:00"))
)
_MOMENTS = st.integers(at("2026-01-01 00:00"), at("2026-12-31 00:00"))


@given(_TIMES, st.sampled_from((SHANGHAI, BERLIN)), _MOMENTS, st.integers(0, 40 * 24 * HOUR))
def test_what_is_added_is_what_lies_between(times: tuple[str, ...], zone: ZoneInfo, since: int, length: int) -> None:
    working = calendar(zone, times=times)
    deadline = working.after(since, length)
    assert working.between(since, deadline) == length
    assert length == 0 or working.between(since, deadline - 1) == length - 1


@given(_TIMES, st.sampled_from((SHANGHAI, BERLIN)), _MOMENTS, st.integers(0, 20 * 24 * HOUR), st.integers(0, 9 * HOUR))
def test_later_clocks_end_no_earlier(
    times: tuple[str, ...], zone: ZoneInfo, since: int, length: int, later: int
) -> None:
    working = calendar(zone, times=times)
    assert working.after(since, length) <= working.after(since + later, length)
