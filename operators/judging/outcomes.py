"""What became of orders, and how right alerts were by that. Definitions are data; see docs/backtest.md."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Literal

from msgspec import Struct

from config.settings import OutcomeSettings
from operators.judging.episodes import Episode
from operators.judging.matching import Span

Verdict = Literal["right", "wrong", "unknown"]
Mark = tuple[int, str]
Marks = Mapping[str, Sequence[Mark]]
"""Order -> what became of it: moments (epoch ms) at which a condition began to hold, and its name."""


class Outcomes:
    """What became of orders by one definition: of all that it names, the latest thing that happened decides."""

    def __init__(self, name: str, definition: OutcomeSettings, marks: Marks) -> None:
        self.name = name
        self.failed_at: dict[str, int] = {}
        """Failed orders, with the first moment at which they had."""
        self._fine: set[str] = set()
        failed, fine = frozenset(definition.failed), frozenset(definition.fine)
        for order, found in marks.items():
            relevant = [mark for mark in found if mark[1] in failed or mark[1] in fine]
            if not relevant:
                continue
            # Of one moment, the failure counts.
            if max(relevant, key=lambda mark: (mark[0], mark[1] in failed))[1] in failed:
                self.failed_at[order] = min(moment for moment, name in relevant if name in failed)
            else:
                self._fine.add(order)

    @property
    def known(self) -> int:
        """Of how many orders it is known."""
        return len(self.failed_at) + len(self._fine)

    def verdict(self, orders: Iterable[str]) -> Verdict:
        """An alert is right when one of its orders failed, and wrong when none did and one was fine."""
        found: Verdict = "unknown"
        for order in orders:
            if order in self.failed_at:
                return "right"
            if order in self._fine:
                found = "wrong"
        return found


class Tally(Struct, frozen=True):
    """How many alerts were right and wrong, and of how many that is unknown."""

    right: int = 0
    wrong: int = 0
    unknown: int = 0

    @property
    def precision(self) -> float | None:
        """The share of right ones among those of which it is known."""
        known = self.right + self.wrong
        return self.right / known if known else None


class Quality(Struct, frozen=True):
    """How right the alerts of one rule, or of one of its levels, were in one run.

    ``failed``: orders that failed within the span; ``caught``: those of them that an alert had named by then.
    ``lead``: the median time (ms) from that alert to the failure.
    """

    outcome: str
    alerts: Tally
    failed: int
    caught: int
    lead: int | None

    @property
    def recall(self) -> float | None:
        """The share of failed orders that an alert had named before."""
        return self.caught / self.failed if self.failed else None


def tally(episodes: Iterable[Episode], outcomes: Outcomes) -> Tally:
    """The verdicts on alerts, counted."""
    counts: dict[Verdict, int] = {"right": 0, "wrong": 0, "unknown": 0}
    for episode in episodes:
        counts[outcomes.verdict(episode.orders)] += 1
    return Tally(**counts)


def quality(episodes: Sequence[Episode], outcomes: Outcomes, span: Span, level: str | None = None) -> Quality:
    """How right the alerts of one rule were; with ``level``, those that reached it.

    Precision is that of alerts whose opening (or reaching the level) lies within the span; an order that failed within
    the span may have been named before it began.
    """
    reached = [(_moment(episode, level), episode) for episode in episodes if level is None or level in episode.levels]
    named: dict[str, int] = {}
    for moment, episode in reached:
        for order, joined in episode.orders.items():
            since = max(moment, joined)
            named[order] = min(since, named.get(order, since))
    failed = {order: moment for order, moment in outcomes.failed_at.items() if span.holds(moment)}
    leads = sorted(moment - named[order] for order, moment in failed.items() if named.get(order, moment + 1) <= moment)
    return Quality(
        outcome=outcomes.name,
        alerts=tally((episode for moment, episode in reached if span.holds(moment)), outcomes),
        failed=len(failed),
        caught=len(leads),
        lead=median(leads),
    )


def median(ordered: Sequence[int]) -> int | None:
    """The middle of numbers in order, the lower one of two."""
    return ordered[(len(ordered) - 1) // 2] if ordered else None


def _moment(episode: Episode, level: str | None) -> int:
    return episode.opened_at if level is None else episode.levels[level]
