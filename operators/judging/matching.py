"""Which alerts of two runs are the same: about the same subject, and open at the same time."""

from collections.abc import Iterable, Iterator, Sequence
from itertools import groupby
from operator import attrgetter

from msgspec import Struct

from operators.judging.episodes import Episode, in_order


class Span(Struct, frozen=True):
    """The range of event time (epoch ms) that is judged: from ``start`` to before ``end``; None: no bound."""

    start: int | None = None
    end: int | None = None

    def holds(self, moment: int) -> bool:
        """Whether a moment lies within it."""
        return (self.start is None or moment >= self.start) and (self.end is None or moment < self.end)


class Pair(Struct, frozen=True, gc=False):
    """One alert in both runs, or in one of them; at least one of the two is there."""

    first: Episode | None
    second: Episode | None

    @property
    def any(self) -> Episode:
        """The alert, of the first run where that has it."""
        found = self.first if self.first is not None else self.second
        assert found is not None
        return found

    @property
    def moved_by(self) -> int:
        """By how many ms the second run opens it later; 0 where only one has it."""
        if self.first is None or self.second is None:
            return 0
        return self.second.opened_at - self.first.opened_at

    @property
    def moves(self) -> dict[str, int]:
        """By how many ms each level that both reach is reached later."""
        if self.first is None or self.second is None:
            return {}
        first, second = self.first.levels, self.second.levels
        return {level: second[level] - first[level] for level in first if level in second}


def pairs(first: Iterable[Episode], second: Iterable[Episode], span: Span) -> list[Pair]:
    """The alerts of two runs side by side, those that open within ``span`` in at least one of them.

    Two alerts are the same when rule, entity and variant agree and there is a moment at which both are open, ends
    included. Each is paired once: with the earliest that it can be paired with.
    """
    of_first, of_second = _by_subject(first), _by_subject(second)
    found = [
        pair
        for subject in sorted(of_first.keys() | of_second.keys())
        for pair in _paired(of_first.get(subject, ()), of_second.get(subject, ()))
    ]
    return [pair for pair in found if any(each and span.holds(each.opened_at) for each in (pair.first, pair.second))]


def _by_subject(episodes: Iterable[Episode]) -> dict[tuple[str, ...], list[Episode]]:
    return {subject: list(group) for subject, group in groupby(in_order(episodes), attrgetter("subject"))}


def _paired(first: Sequence[Episode], second: Sequence[Episode]) -> Iterator[Pair]:
    """Both lists are ordered by opening, and one subject has no two alerts at the same time in one run."""
    one = other = 0
    while one < len(first) and other < len(second):
        if _ends_before(first[one], second[other]):
            yield Pair(first[one], None)
            one += 1
        elif _ends_before(second[other], first[one]):
            yield Pair(None, second[other])
            other += 1
        else:
            yield Pair(first[one], second[other])
            one, other = one + 1, other + 1
    yield from (Pair(episode, None) for episode in first[one:])
    yield from (Pair(None, episode) for episode in second[other:])


def _ends_before(one: Episode, other: Episode) -> bool:
    return one.ended_at is not None and one.ended_at < other.opened_at
