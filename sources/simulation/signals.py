"""What the resonance settings make of a signal on a day, a number and a chat."""

import unicodedata
from datetime import datetime
from zoneinfo import ZoneInfo

from config.settings import Season, Settings
from sources.simulation import vocabulary as words
from sources.simulation.plan import DAY

QUARTER_HOUR = DAY // 96


class SignalBook:
    """Weights of the twelve signals, values that count, and texts that say nothing."""

    def __init__(self, settings: Settings) -> None:
        self.rules = settings.detectors.resonance
        self._zone = ZoneInfo(settings.zone)
        self._season_at: dict[int, dict[str, int]] = {}
        self.quiet_before = self._without_weight(words.QUIET_BEFORE)
        self.quiet_after = self._without_weight(words.QUIET_AFTER)
        self.quiet_chats = tuple(text for text in words.QUIET_CHATS if not self.named_in(text))

    def _without_weight(self, names: tuple[str, ...]) -> tuple[str, ...]:
        weighted = set(self.rules.weights).union(*(season.weights for season in self.rules.seasons.values()))
        return tuple(name for name in names if name not in weighted)

    def weight(self, signal: str, time: int) -> int:
        """The signal's weight on that day, in thousandths; 0: it is nothing."""
        return self._weights(time).get(signal, 0)

    def heaviest(self, signal: str) -> int:
        """The signal's largest weight on any day, in thousandths."""
        seasons = self.rules.seasons.values()
        standing = self.rules.weights.get(signal, 0)
        return max([int(standing), *(int(season.weights.get(signal, 0)) for season in seasons)])

    def _weights(self, time: int) -> dict[str, int]:
        quarter = time // QUARTER_HOUR
        if quarter not in self._season_at:
            self._season_at[quarter] = self._weights_on(quarter * QUARTER_HOUR)
        return self._season_at[quarter]

    def _weights_on(self, time: int) -> dict[str, int]:
        weights = dict(self.rules.weights)
        if self.rules.season == "auto":
            day = datetime.fromtimestamp(time / 1000, tz=self._zone).strftime("%m-%d")
            season = next((one for one in self.rules.seasons.values() if _contains(one, day)), None)
        else:
            season = self.rules.seasons.get(self.rules.season)
        if season is not None:
            weights.update(season.weights)
        return {name: int(weight) for name, weight in weights.items()}

    def named_in(self, text: str) -> list[str]:
        """The signals that the words of a chat are."""
        folded = _folded(text)
        lists = (("urgency_words", self.rules.urgency_words), ("rating_threat", self.rules.rating_threat_words))
        return [name for name, known in lists if any(_folded(word) in folded for word in known)]

    def value_that_counts(self, signal: str) -> int | None:
        """A measured number that makes the signal count; None where it needs none."""
        return self.rules.min_values.get(signal, self.rules.max_values.get(signal))

    def value_that_does_not(self, signal: str) -> int | None:
        """A measured number just short of counting; None where every number counts."""
        low, high = self.rules.min_values.get(signal), self.rules.max_values.get(signal)
        if low is not None and (high is None or high < low - 1):
            return low - 1
        return high + 1 if low is None and high is not None else None


def _folded(text: str) -> str:
    return unicodedata.normalize("NFKC", text).casefold()


def _contains(season: Season, day: str) -> bool:
    for span in season.dates:
        first, last = span.split("/")
        if first <= day <= last if first <= last else day >= first or day <= last:
            return True
    return False
