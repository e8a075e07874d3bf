"""How much usually comes in an hour of the week, and until when silence is nothing unusual. Integers only."""

from datetime import datetime
from typing import Final
from zoneinfo import ZoneInfo

from msgspec import Struct, field

from config.settings import Settings

HOUR: Final = 3_600_000
HOURS_OF_WEEK: Final = 168
WEEK: Final = HOURS_OF_WEEK * HOUR
_MOST_NAMES: Final = 4 * HOURS_OF_WEEK  # hours whose names are kept: calendars are slow

Hour = tuple[int, int]
"""How much came in an hour, and its longest silence (ms)."""


class Rhythm(Struct, gc=False, array_like=True):
    """How much came, hour by hour.

    ``hour`` is the one being counted, in hours since the epoch, -1 before the first; ``whole``: it is counted from its
    beginning. ``longest``: its longest silence so far; ``last``: the end of the last step in which anything came.
    ``past``: hour of the week -> that hour in the last weeks, oldest first.
    """

    hour: int = -1
    count: int = 0
    longest: int = 0
    last: int = 0
    whole: bool = False
    past: dict[int, list[Hour]] = field(default_factory=dict)


class UsualRate:
    """Keeps rhythms, and reads the usual from them. An hour is one of UTC, named by local weekday and hour."""

    def __init__(self, settings: Settings) -> None:
        own = settings.detectors.silence
        self._zone = ZoneInfo(settings.zone)
        self._step = int(own.step)
        self._shortest = self._whole_steps(int(own.shortest))
        self._needed = own.expected * HOUR
        self._weeks, self._history = own.weeks, own.history
        self._names: dict[int, int] = {}

    def add(self, rhythm: Rhythm, tick: int, count: int) -> None:
        """Count what came in the step that ends at ``tick``; hours in which nothing came are filled in."""
        hour = (tick - self._step) // HOUR
        if hour != rhythm.hour:
            self._turn(rhythm, hour)
        silence = tick - rhythm.last
        rhythm.longest = max(rhythm.longest, silence if silence <= HOUR else tick - hour * HOUR)
        rhythm.last = tick
        rhythm.count += count

    def in_hour(self, rhythm: Rhythm, hour: int) -> int | None:
        """How much usually comes in an hour (since the epoch) of that hour of the week; None: not known yet."""
        past = rhythm.past.get(self._hour_of_week(hour), ())
        return sorted(count for count, _ in past)[(len(past) - 1) // 2] if len(past) >= self._history else None

    def expected(self, rhythm: Rhythm, since: int, until: int) -> int:
        """How much would usually have come between two moments, rounded down."""
        product = 0
        while since < until:
            end = min((since // HOUR + 1) * HOUR, until)
            product += (self.in_hour(rhythm, since // HOUR) or 0) * (end - since)
            since = end
        return product // HOUR

    def earliest(self, since: int, limit: int | None) -> int:
        """No silence from ``since`` on is told before that."""
        return since + (self._shortest if limit is None else min(self._shortest, self._whole_steps(limit)))

    def deadline(self, rhythm: Rhythm, since: int, limit: int | None) -> int | None:
        """The end of the first step at which silence from ``since`` on is to be told; None: not within a week.

        That is when ``limit`` has passed; or when as much as ``expected`` would usually have come, and the silence is
        longer than the usual ones by ``shortest``. An hour in which nothing is usual begins it anew.
        """
        if limit is None and not self._knows_anything(rhythm):
            return None
        tick = start = since
        missed = longest = 0
        while tick < since + WEEK:
            hour = tick // HOUR
            end = (hour + 1) * HOUR
            usual = self.in_hour(rhythm, hour)
            told = []
            if usual == 0:
                start, missed, longest = end, 0, 0
            elif limit is not None:
                told.append(start + self._whole_steps(limit))
            if usual:
                longest = max(longest, self._longest_in(rhythm, hour))
                lacking = self._whole_steps(max(0, -((missed - self._needed) // usual)))
                told.append(max(tick + lacking, start + self._shortest + longest, tick + self._step))
                missed += usual * (end - tick)
            if told and min(told) <= end:
                return min(told) if min(told) <= since + WEEK else None
            tick = end
        return None

    def _knows_anything(self, rhythm: Rhythm) -> bool:
        return max(map(len, rhythm.past.values()), default=0) >= self._history

    def _longest_in(self, rhythm: Rhythm, hour: int) -> int:
        past = rhythm.past[self._hour_of_week(hour)]
        return sorted(silence for _, silence in past)[len(past) // 2]

    def _whole_steps(self, duration: int) -> int:
        return -(-duration // self._step) * self._step

    def _turn(self, rhythm: Rhythm, hour: int) -> None:
        """Another hour begins; the first one was not counted from its beginning and says nothing."""
        if rhythm.whole:
            ended = (rhythm.hour + 1) * HOUR
            self._keep(rhythm, rhythm.hour, (rhythm.count, max(rhythm.longest, ended - rhythm.last)))
        if rhythm.hour >= 0:
            for empty in range(max(rhythm.hour + 1, hour - self._weeks * HOURS_OF_WEEK), hour):
                self._keep(rhythm, empty, (0, HOUR))
        rhythm.whole = rhythm.hour >= 0
        rhythm.hour, rhythm.count, rhythm.longest = hour, 0, 0

    def _keep(self, rhythm: Rhythm, hour: int, what: Hour) -> None:
        past = rhythm.past.setdefault(self._hour_of_week(hour), [])
        past.append(what)
        if len(past) > self._weeks:
            del past[0]

    def _hour_of_week(self, hour: int) -> int:
        name = self._names.get(hour)
        if name is None:
            if len(self._names) > _MOST_NAMES:
                self._names.clear()
            local = datetime.fromtimestamp(hour * HOUR // 1000, tz=self._zone)
            name = self._names[hour] = local.weekday() * 24 + local.hour
        return name
