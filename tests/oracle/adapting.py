"""How limits adapt, once more and slowly: docs/limits.md."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from zoneinfo import ZoneInfo

import chinese_calendar

from config.settings import CalendarSettings, OrderTimeoutSettings, Settings, StageTimeoutSettings
from tests.oracle.histories import Histories, Life, Stay

Rule = StageTimeoutSettings | OrderTimeoutSettings
Ending = tuple[int, str]


def stage_limit(settings: Settings, stage: str, category: str) -> int | None:
    """The stage's limit in ms for an order of this category; None: there is none."""
    rule = settings.detectors.stage_timeout
    norm = rule.by_category.get(category, {}).get(stage, settings.stages[stage].norm)
    return None if norm is None or settings.stages[stage].terminal else norm * rule.factor // 1000


def ends(settings: Settings, rule: Rule, stage: str, limit: int, started: int) -> tuple[int, int]:
    """The deadline of a clock, and when its reminder is due (the deadline, where there is none)."""
    zone = ZoneInfo(settings.zone)
    local = datetime.fromtimestamp(started / 1000, tz=zone)
    for season in rule.seasons.values():
        if _holds(stage, season.stages) and any(_in(span, f"{local:%m-%d}", closed=True) for span in season.dates):
            limit = limit * season.factor // 1000
            break
    for hours in rule.hours.values():
        if _holds(stage, hours.stages) and any(_in(span, f"{local:%H:%M}", closed=False) for span in hours.times):
            limit += hours.extra
    lead = rule.reminder_lead
    before = limit if lead is None or lead >= limit else limit - lead
    calendar = _calendar(settings, rule, stage)
    if calendar is None:
        return started + limit, started + before
    return _worked_until(calendar, zone, started, limit), _worked_until(calendar, zone, started, before)


def start(settings: Settings, rule: Rule, stage: str, category: str, entered: int, promised: int | None) -> int:
    """When a clock starts."""
    waits = settings.stages[stage].paid and not settings.stages[stage].shipped
    if promised is None or not waits or not {category, "*"} & set(rule.promised_for):
        return entered
    return max(entered, promised)


@dataclass(frozen=True, slots=True)
class Run:
    """A clock that ran without being started anew."""

    started: int
    known_from: int
    ending: Ending | None


def runs_of(life: Life, stay: Stay, settings: Settings) -> Iterator[Run]:
    """The clocks of a stay: the first, and one more for each promise that moved its start."""
    rule = settings.detectors.stage_timeout
    first = life.details_at(stay.began)
    started = start(settings, rule, stay.stage, stay.category, stay.entered, first.promised_at if first else None)
    known_from = stay.since
    for details in life.details:
        if not details.promise_told or details.position <= stay.began:
            continue
        if stay.ended is not None and details.position >= stay.ended:
            break
        again = start(settings, rule, stay.stage, details.category, stay.entered, details.promised_at)
        if again != started:
            yield Run(started, known_from, (details.time, "rescheduled"))
            started, known_from = again, details.time
    yield Run(started, known_from, None if stay.left is None or stay.reason is None else (stay.left, stay.reason))


class Shops:
    """Every stay that ended as usual, and the limits that follow from them."""

    def __init__(self, histories: Histories, settings: Settings) -> None:
        self._rule = settings.detectors.stage_timeout
        self._settings = settings
        self._ended: list[tuple[int, str, int, tuple[str, str, str]]] = []
        for life in histories if self._rule.history.enabled else ():
            for stay in life.stays:
                if stay.left is not None and stay.ended is not None and stay.reason in ("moved_on", "paid_late"):
                    self._ended.append((stay.left, life.order_id, *self._lasted(life, stay, stay.left, stay.ended)))
        self._ended.sort()

    def limit(self, life: Life, stay: Stay, norm: int) -> int:
        """The limit of a stay, before it adapts to when it began; ``norm``: the one that the norm gives."""
        own = self._rule.history
        if not own.enabled or (own.stages and stay.stage not in own.stages):
            return norm
        key = self._key(life, stay.stage, stay.category, stay.began)
        lasted = [item[2] for item in self._ended if item[0] < stay.since and item[3] == key]
        taken: int | None = None
        fresh = 0
        for count in range(1, len(lasted) + 1):
            fresh += 1
            if count >= own.minimum and (taken is None or fresh >= own.refresh):
                last = sorted(lasted[max(0, count - own.sample) : count])
                taken = next(v for n, v in enumerate(last, start=1) if n * 1000 >= own.quantile * len(last))
                fresh = 0
        if taken is None:
            return norm
        least, most = norm * own.at_least // 1000, norm * own.at_most // 1000
        return sorted((least, taken * own.factor // 1000, most))[1]

    def _key(self, life: Life, stage: str, category: str, position: int) -> tuple[str, str, str]:
        details = life.details_at(position)
        own = category if stage in self._rule.by_category.get(category, {}) else ""
        return stage, own, details.shop if details else ""

    def _lasted(self, life: Life, stay: Stay, left: int, ended: int) -> tuple[int, tuple[str, str, str]]:
        details = life.details_at(ended)
        category = details.category if details else "general"
        promised = details.promised_at if details else None
        started = start(self._settings, self._rule, stay.stage, category, stay.entered, promised)
        calendar = _calendar(self._settings, self._rule, stay.stage)
        if calendar is None:
            lasted = max(0, left - started)
        else:
            lasted = _worked(calendar, ZoneInfo(self._settings.zone), started, left)
        return lasted, self._key(life, stay.stage, category, ended)


def _holds(stage: str, stages: tuple[str, ...]) -> bool:
    return not stages or stage in stages


def _in(span: str, what: str, *, closed: bool) -> bool:
    """Whether a text of digits lies in a span of such texts, which may pass the end of year or day."""
    first, last = span.split("/")
    before = what <= last if closed else what < last
    return (first <= what and before) if first <= last else (first <= what or before)


def _calendar(settings: Settings, rule: Rule, stage: str) -> CalendarSettings | None:
    name = rule.calendar
    if isinstance(rule, StageTimeoutSettings):
        name = rule.calendars.get(stage, name)
    return settings.calendars[name] if name else None


def _works(calendar: CalendarSettings, day: date) -> bool:
    if str(day) in calendar.work:
        return True
    if str(day) in calendar.off:
        return False
    if calendar.holidays == "china" and day.year in {known.year for known in chinese_calendar.holidays}:
        off, name = chinese_calendar.get_holiday_detail(day)
        if name:  # a holiday, or a day on which one is made up for; every weekend is off, but has no name
            return not off
    return f"{day:%a}".lower() not in calendar.weekend


def _hours_of(calendar: CalendarSettings, zone: ZoneInfo, day: date) -> Iterator[tuple[int, int]]:
    for span in calendar.times:
        first, last = (_moment(zone, day, text) for text in span.split("/"))
        if last <= first:
            last = _moment(zone, day + timedelta(days=1), span.split("/")[1])
        yield first, last


def _moment(zone: ZoneInfo, day: date, text: str) -> int:
    hours, minutes = map(int, text.split(":"))
    day, hours = (day + timedelta(days=1), 0) if hours == 24 else (day, hours)
    return round(datetime(day.year, day.month, day.day, hours, minutes, tzinfo=zone).timestamp() * 1000)


def _worked(calendar: CalendarSettings, zone: ZoneInfo, since: int, until: int) -> int:
    day = datetime.fromtimestamp(since / 1000, tz=zone).date() - timedelta(days=1)
    last = datetime.fromtimestamp(until / 1000, tz=zone).date()
    total = 0
    while day <= last:
        if _works(calendar, day):
            total += sum(max(0, min(until, b) - max(since, a)) for a, b in _hours_of(calendar, zone, day))
        day += timedelta(days=1)
    return total


def _worked_until(calendar: CalendarSettings, zone: ZoneInfo, since: int, length: int) -> int:
    """The first moment by which that much was worked, found by halving."""
    low, high = since, since + 60 * 86_400_000
    while low < high:
        middle = (low + high) // 2
        low, high = (low, middle) if _worked(calendar, zone, since, middle) >= length else (middle + 1, high)
    return low
