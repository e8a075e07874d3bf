"""What types cannot say about limits that adapt, and about the calendars that they count by."""

import re
from collections.abc import Iterator, Mapping
from datetime import UTC, date, datetime, timedelta
from itertools import combinations

from config.calendar import WEEKDAYS, dates_of, known_years
from config.problems import Problem
from config.settings import LimitHours, LimitSeason, Settings

DAY_OF_YEAR = re.compile(r"(0[1-9]|1[0-2])-(0[1-9]|[12]\d|3[01])")
_YEAR = [date(2024, 1, 1) + timedelta(days=day) for day in range(366)]


def limit_problems(settings: Settings) -> Iterator[Problem]:
    """Names that point nowhere, and values out of order: the configuration is refused."""
    yield from _calendars(settings)
    stage, order = settings.detectors.stage_timeout, settings.detectors.order_timeout
    names = {"stage_timeout.calendar": stage.calendar, "order_timeout.calendar": order.calendar}
    names |= {f"stage_timeout.calendars.{name}": calendar for name, calendar in stage.calendars.items()}
    for path, calendar in names.items():
        if calendar and calendar not in settings.calendars:
            what = f"{calendar!r} is not a calendar; there are {', '.join(settings.calendars)}"
            yield Problem(f"detectors.{path}", what)
    yield from _stages("detectors.stage_timeout.calendars", tuple(stage.calendars), settings)
    yield from _stages("detectors.stage_timeout.history.stages", stage.history.stages, settings)
    for rule, hours, seasons in (
        ("stage_timeout", stage.hours, stage.seasons),
        ("order_timeout", order.hours, order.seasons),
    ):
        yield from _hours(f"detectors.{rule}.hours", hours)
        yield from _seasons(f"detectors.{rule}.seasons", seasons)
        for kind, tables in (("hours", hours), ("seasons", seasons)):
            for name, table in tables.items():
                path = f"detectors.{rule}.{kind}.{name}.stages"
                if rule == "stage_timeout":
                    yield from _stages(path, table.stages, settings)
                elif table.stages:
                    yield Problem(path, "the handling limit runs over several stages: leave stages out")
    yield from _history(settings)


def limit_doubts(settings: Settings, today: date | None = None) -> Iterator[Problem]:
    """What is allowed but works against itself. ``today`` (that of the host) is for calendars alone."""
    yield from unknown_holidays(settings, today)
    stage, order = settings.detectors.stage_timeout, settings.detectors.order_timeout
    for rule, seasons in (("stage_timeout", stage.seasons), ("order_timeout", order.seasons)):
        yield from _overlaps(f"detectors.{rule}.seasons", seasons)
    counted = {stage.calendar, *stage.calendars.values()}
    if stage.enabled and order.enabled and order.calendar not in counted:
        one, other = order.calendar or "every moment", stage.calendar or "every moment"
        what = f"counts {one}, detectors.stage_timeout.calendar counts {other}: over a weekend the two contradict"
        yield Problem("detectors.order_timeout.calendar", what)
    if stage.enabled and order.enabled and set(order.promised_for) != set(stage.promised_for):
        what = "names other categories than detectors.stage_timeout.promised_for: one rule waits, the other does not"
        yield Problem("detectors.order_timeout.promised_for", what)
    history = stage.history
    if history.enabled and (history.at_least > 1000 or history.at_most < 1000):
        what = "leave out the limit that the norm gives: with too few stays it counts all the same"
        yield Problem("detectors.stage_timeout.history.at_least", f"and at_most {what}")


def unknown_holidays(settings: Settings, today: date | None = None) -> Iterator[Problem]:
    """Calendars in use that lack public holidays. Those of a year are announced in November of the year before."""
    today = today or datetime.now(UTC).date()
    stage, order = settings.detectors.stage_timeout, settings.detectors.order_timeout
    first, last = known_years()
    for name in sorted({stage.calendar, order.calendar, *stage.calendars.values()} - {""}):
        calendar = settings.calendars[name]
        needed = today.year + (today.month == 12)
        dated = any(day.year == needed for day in dates_of((*calendar.off, *calendar.work)))
        if calendar.holidays == "china" and needed > last and not dated:
            what = f"China's public holidays are known for {first} to {last}: in {needed} only weekends are off; "
            yield Problem(f"calendars.{name}.holidays", what + "update chinesecalendar, or give off and work dates")


def _calendars(settings: Settings) -> Iterator[Problem]:
    for name, calendar in settings.calendars.items():
        for kind, spans in (("off", calendar.off), ("work", calendar.work)):
            try:
                for _ in dates_of(spans):
                    pass
            except ValueError as error:
                yield Problem(f"calendars.{name}.{kind}", f"{error}: write YYYY-MM-DD or YYYY-MM-DD/YYYY-MM-DD")
        if set(calendar.weekend) == set(WEEKDAYS):
            yield Problem(f"calendars.{name}.weekend", "leaves no day for work")
        for span in calendar.times:
            first, _, last = span.partition("/")
            if first == last:
                yield Problem(f"calendars.{name}.times", f"{span!r} is no length of time: a whole day is 00:00/24:00")


def _stages(path: str, names: tuple[str, ...], settings: Settings) -> Iterator[Problem]:
    for name in names:
        if name not in settings.stages:
            yield Problem(path, f"{name!r} is not a stage")


def _hours(path: str, hours: Mapping[str, LimitHours]) -> Iterator[Problem]:
    for name, each in hours.items():
        if each.extra <= 0:
            yield Problem(f"{path}.{name}.extra", "must be longer than nothing")


def _seasons(path: str, seasons: Mapping[str, LimitSeason]) -> Iterator[Problem]:
    for name, season in seasons.items():
        if season.factor <= 0:
            yield Problem(f"{path}.{name}.factor", "must be above 0")
        for span in season.dates:
            if not all(DAY_OF_YEAR.fullmatch(day) for day in span.split("/")):
                yield Problem(f"{path}.{name}.dates", f"{span!r}: write MM-DD/MM-DD")


def _history(settings: Settings) -> Iterator[Problem]:
    own, path = settings.detectors.stage_timeout.history, "detectors.stage_timeout.history"
    if not 0 < own.quantile <= 1000:
        yield Problem(f"{path}.quantile", f"{own.quantile} is not above 0 and at most 1")
    if own.minimum > own.sample:
        yield Problem(f"{path}.minimum", f"must not be more than sample ({own.sample})")
    if own.factor <= 0:
        yield Problem(f"{path}.factor", "must be above 0")
    if not 0 < own.at_least <= own.at_most:
        yield Problem(f"{path}.at_least", f"must be above 0, and not above at_most ({own.at_most})")


def _overlaps(path: str, seasons: Mapping[str, LimitSeason]) -> Iterator[Problem]:
    days = {name: _days_of(season) for name, season in seasons.items()}
    for one, other in combinations(seasons, 2):
        stages = set(seasons[one].stages), set(seasons[other].stages)
        shared = not all(stages) or bool(stages[0] & stages[1])
        if shared and days[one] & days[other]:
            yield Problem(f"{path}.{other}.dates", f"has days of {one}, which stands before it and counts there")


def _days_of(season: LimitSeason) -> set[str]:
    named = {day.strftime("%m-%d") for day in _YEAR}
    found = set()
    for span in season.dates:
        first, _, last = span.partition("/")
        found |= {day for day in named if ((first <= day <= last) if first <= last else (day >= first or day <= last))}
    return found
