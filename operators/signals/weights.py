"""Weights of signals by season."""

from datetime import datetime
from zoneinfo import ZoneInfo

from config.settings import ResonanceSettings, Season

_QUARTER_HOUR = 900_000


class SeasonalWeights:
    """The weight of each signal on a day, in thousandths.

    With ``season = "auto"`` the local date decides (the first season of the file that has it); a name sets one by hand.
    Dates are looked up once per quarter of an hour of event time: no zone changes its date within one.
    """

    def __init__(self, settings: ResonanceSettings, zone: str) -> None:
        self._zone = ZoneInfo(zone)
        self._by_hand = None if settings.season == "auto" else settings.season
        standing = {name: int(weight) for name, weight in settings.weights.items()}
        self._tables = {"none": standing} | {
            name: standing | {signal: int(weight) for signal, weight in season.weights.items()}
            for name, season in settings.seasons.items()
        }
        self._spans = {name: _spans(season) for name, season in settings.seasons.items()}
        self._quarter = -1
        self._season = "none"
        self._current = standing

    def at(self, time: int) -> dict[str, int]:
        """Signal -> weight at a moment (epoch ms)."""
        quarter = time // _QUARTER_HOUR
        if quarter != self._quarter:
            self._quarter = quarter
            self._season = self._by_hand or self._season_of(time)
            self._current = self._tables[self._season]
        return self._current

    def season(self, time: int) -> str:
        """The name of the season at a moment; "none" outside of all."""
        self.at(time)
        return self._season

    def _season_of(self, time: int) -> str:
        day = datetime.fromtimestamp(time / 1000, tz=self._zone).strftime("%m-%d")
        for name, spans in self._spans.items():
            for first, last in spans:
                if (first <= day <= last) if first <= last else (day >= first or day <= last):
                    return name
        return "none"


def _spans(season: Season) -> list[tuple[str, str]]:
    return [(first, last) for first, _, last in (span.partition("/") for span in season.dates)]
