"""Working time: which days and hours count. Pure functions of dates; nothing here looks at a clock."""

from collections.abc import Iterator, Sequence
from datetime import date, datetime, time, timedelta
from typing import Final
from zoneinfo import ZoneInfo

import chinese_calendar

from config.settings import CalendarSettings, Weekday

WEEKDAYS: Final[tuple[Weekday, ...]] = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
LONGEST_SEARCH: Final = 1_000
"""Days over which working time is looked for; what is not used up by then counts as it is."""
_KEPT_DAYS: Final = 4_096

Interval = tuple[int, int]


def known_years() -> tuple[int, int]:
    """The first and the last year of which China's public holidays are known."""
    years = [day.year for day in chinese_calendar.holidays]
    return min(years), max(years)


def dates_of(spans: Sequence[str]) -> Iterator[date]:
    """The days of ``2026-10-01`` and ``2026-10-01/2026-10-08``; raises ValueError for what is no date, or no range."""
    for span in spans:
        first, _, last = span.partition("/")
        day, end = date.fromisoformat(first), date.fromisoformat(last or first)
        if end < day:
            raise ValueError(f"{span!r} ends before it begins")
        while day <= end:
            yield day
            day += timedelta(days=1)


class WorkingCalendar:
    """The working time of one calendar in a zone. Times are epoch ms, lengths are ms.

    A single date of ``work`` goes before one of ``off``, both before public holidays, these before the weekend. A year
    whose holidays are not known has weekends only. ``times`` are local: a day on which the clocks change has an hour
    more or less where they say so. A span past midnight belongs to the day on which it begins.
    """

    def __init__(self, settings: CalendarSettings, zone: ZoneInfo) -> None:
        self._zone = zone
        self._weekend = frozenset(WEEKDAYS.index(day) for day in settings.weekend)
        self._off, self._work = frozenset(dates_of(settings.off)), frozenset(dates_of(settings.work))
        self._holidays = settings.holidays == "china"
        self._times = tuple(_clock_times(span) for span in settings.times)
        self._days: dict[int, tuple[Interval, ...]] = {}

    def works_on(self, day: date) -> bool:
        """Whether a date is a working day."""
        if day in self._work:
            return True
        if day in self._off:
            return False
        if self._holidays:
            if day in chinese_calendar.workdays:
                return True
            if day in chinese_calendar.holidays:
                return False
        return day.weekday() not in self._weekend

    def after(self, since: int, length: int) -> int:
        """The moment at which ``length`` of working time has passed since ``since``."""
        moment = since
        if length <= 0:
            return since
        for start, end in self._intervals(since):
            moment = max(moment, start)
            if end - moment >= length:
                return moment + length
            if end > moment:
                length -= end - moment
                moment = end
        return moment + length

    def between(self, since: int, until: int) -> int:
        """How much working time lies between two moments."""
        total, moment = 0, since
        for start, end in self._intervals(since):
            if start >= until:
                break
            moment = max(moment, start)
            total += max(0, min(end, until) - moment)
            moment = max(moment, end)
        return total

    def _intervals(self, since: int) -> Iterator[Interval]:
        """Working time from the day before ``since`` on: a night shift may have begun then."""
        first = datetime.fromtimestamp(since / 1000, tz=self._zone).toordinal() - 1
        for ordinal in range(first, first + LONGEST_SEARCH):
            yield from self._of_day(ordinal)

    def _of_day(self, ordinal: int) -> tuple[Interval, ...]:
        found = self._days.get(ordinal)
        if found is None:
            if len(self._days) >= _KEPT_DAYS:
                self._days.clear()
            day = date.fromordinal(ordinal)
            spans = self._times if self.works_on(day) else ()
            found = self._days[ordinal] = tuple(sorted(self._moments(day, *span) for span in spans))
        return found

    def _moments(self, day: date, start: time, end: time) -> Interval:
        last = day if start < end else day + timedelta(days=1)
        return self._moment(day, start), self._moment(last, end)

    def _moment(self, day: date, at: time) -> int:
        return round(datetime.combine(day, at, tzinfo=self._zone).timestamp()) * 1000


def _clock_times(span: str) -> tuple[time, time]:
    """Beginning and end; an end that is not later is one of the next day."""
    first, _, last = span.partition("/")
    return time.fromisoformat(first), time(0) if last == "24:00" else time.fromisoformat(last)
