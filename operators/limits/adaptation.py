"""How a limit adapts to when its clock starts: promised time, season, hour of the day, working calendar."""

from datetime import datetime, time
from typing import Final
from zoneinfo import ZoneInfo

from msgspec import Struct

from config.calendar import WorkingCalendar
from config.settings import LimitHours, LimitSeason, OrderTimeoutSettings, Settings, StageTimeoutSettings
from operators.limits.basis import Part

EVERY_CATEGORY: Final = "*"
_QUARTER_HOUR: Final = 900_000  # no zone changes its date, or an hour begins, within one
_BASE: Final = ("norm", "history", "floor")


class Base(Struct, frozen=True, gc=False):
    """A limit (ms) before it adapts. ``told``: whether how it came about is told even if nothing adapts it."""

    limit: int
    parts: tuple[Part, ...]
    told: bool = False


class Terms(Struct, frozen=True, gc=False):
    """What rules one clock: from when it runs, its deadline and reminder (epoch ms), and how they came about."""

    since: int
    deadline: int
    reminder: int
    parts: tuple[Part, ...] | None


class Adaptation:
    """The terms of one rule's clocks; a pure function of settings, stage, category and moment. docs/limits.md."""

    def __init__(self, settings: Settings, rule: StageTimeoutSettings | OrderTimeoutSettings) -> None:
        zone = ZoneInfo(settings.zone)
        self._lead = None if rule.reminder_lead is None else int(rule.reminder_lead)
        self._promised_for = frozenset(rule.promised_for)
        self._waits = frozenset(name for name, stage in settings.stages.items() if stage.paid and not stage.shipped)
        self._local = _LocalTime(zone)
        self._hours = [(name, _Hours(hours)) for name, hours in rule.hours.items()]
        self._seasons = [(name, _Season(season)) for name, season in rule.seasons.items()]
        names = {"": rule.calendar} | (dict(rule.calendars) if isinstance(rule, StageTimeoutSettings) else {})
        calendars = {name: WorkingCalendar(settings.calendars[name], zone) for name in set(names.values()) if name}
        self._calendars = {stage: (name, calendars[name]) if name else None for stage, name in names.items()}
        self.plain = not (self._hours or self._seasons or calendars)
        """Nothing but a promised time moves a deadline."""

    def waits_for_promise(self, category: str) -> bool:
        """Whether the clocks of a category start at the promised time."""
        return category in self._promised_for or EVERY_CATEGORY in self._promised_for

    def start(self, stage: str | None, category: str, entered: int, promised: int | None) -> int:
        """When a clock starts: when the stage was entered; or, paid and not shipped, at the promised time after it.

        ``stage``: None for the clock from the payment to the warehouse.
        """
        if promised is None or promised <= entered or not self.waits_for_promise(category):
            return entered
        return promised if stage is None or stage in self._waits else entered

    def terms(self, stage: str, base: Base, entered: int, since: int) -> Terms:
        """The terms of a clock that starts at ``since``, in a stage that was entered at ``entered``."""
        limit = base.limit
        if self.plain and since == entered:
            return Terms(since, since + limit, since + self.before(limit), base.parts if base.told else None)
        added = [Part("promised", "", (since, entered))] if since != entered else []
        calendar = None
        if not self.plain:
            limit, more = self._adapted(stage, limit, since)
            added += more
            calendar = self._calendars.get(stage, self._calendars[""])
        before = self.before(limit)
        if calendar is None:
            deadline, reminder = since + limit, since + before
        else:
            name, working = calendar
            deadline = working.after(since, limit)
            reminder = deadline if before == limit else working.after(since, before)
            added.append(Part("calendar", name, (limit,)))
        return Terms(since, deadline, reminder, (*base.parts, *added) if added or base.told else None)

    def before(self, limit: int) -> int:
        """How long after its start the reminder of a limit comes; a lead as long as the limit gives no reminder."""
        lead = self._lead
        return limit if lead is None or lead >= limit else limit - lead

    def lasted(self, stage: str, since: int, until: int) -> int:
        """How long a clock ran, counted as its limit is."""
        calendar = None if self.plain else self._calendars.get(stage, self._calendars[""])
        return max(0, until - since) if calendar is None else calendar[1].between(since, until)

    def _adapted(self, stage: str, limit: int, since: int) -> tuple[int, list[Part]]:
        parts: list[Part] = []
        day, minute = self._local.at(since)
        for name, season in self._seasons:
            if season.has(stage, day):
                limit = limit * season.factor // 1000
                parts.append(Part("season", name, (season.factor,)))
                break
        for name, hours in self._hours:
            if hours.has(stage, minute):
                limit += hours.extra
                parts.append(Part("hours", name, (hours.extra,)))
        return limit, parts


def base_parts(parts: tuple[Part, ...]) -> tuple[Part, ...]:
    """Of the parts of a clock's terms those that its limit had before it adapted."""
    return tuple(part for part in parts if part.what in _BASE)


class _LocalTime:
    """The local date (``MM-DD``) and minute of the day, looked up once per quarter of an hour: calendars are slow."""

    def __init__(self, zone: ZoneInfo) -> None:
        self._zone = zone
        self._quarter = -1
        self._day, self._minute = "", 0

    def at(self, moment: int) -> tuple[str, int]:
        quarter, rest = divmod(moment, _QUARTER_HOUR)
        if quarter != self._quarter:
            local = datetime.fromtimestamp(quarter * _QUARTER_HOUR // 1000, tz=self._zone)
            self._quarter, self._day, self._minute = quarter, local.strftime("%m-%d"), local.hour * 60 + local.minute
        return self._day, self._minute + rest // 60_000


class _Hours:
    def __init__(self, settings: LimitHours) -> None:
        self.extra = int(settings.extra)
        self._stages = frozenset(settings.stages)
        self._spans = [_minutes(span) for span in settings.times]

    def has(self, stage: str, minute: int) -> bool:
        if self._stages and stage not in self._stages:
            return False
        return any(
            first <= minute < last if first < last else minute >= first or minute < last for first, last in self._spans
        )


class _Season:
    def __init__(self, settings: LimitSeason) -> None:
        self.factor = int(settings.factor)
        self._stages = frozenset(settings.stages)
        self._spans = [(first, last) for first, _, last in (span.partition("/") for span in settings.dates)]

    def has(self, stage: str, day: str) -> bool:
        if self._stages and stage not in self._stages:
            return False
        return any(
            first <= day <= last if first <= last else day >= first or day <= last for first, last in self._spans
        )


def _minutes(span: str) -> tuple[int, int]:
    first, _, last = span.partition("/")
    start = time.fromisoformat(first)
    end = time(0) if last == "24:00" else time.fromisoformat(last)
    return start.hour * 60 + start.minute, 1440 if last == "24:00" else end.hour * 60 + end.minute
