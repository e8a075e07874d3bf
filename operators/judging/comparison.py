"""Two runs side by side, rule by rule: alerts in both, gained, lost and moved in time."""

from collections.abc import Iterable, Mapping, Sequence
from itertools import groupby
from typing import Literal

from msgspec import Struct

from operators.judging.episodes import Episode
from operators.judging.matching import Pair, Span, pairs
from operators.judging.outcomes import Outcomes, Quality, Tally, median, quality, tally

Change = Literal["gained", "lost", "moved"]
CHANGES: tuple[Change, ...] = ("gained", "lost", "moved")


class Counts(Struct, frozen=True):
    """Alerts of two runs: ``first`` and ``second`` in each, ``both`` in the two, ``moved`` of these in time.

    Those in only one are ``gained`` (second) and ``lost`` (first), so that ``first == both + lost`` and ``second ==
    both + gained``. ``orders`` are named by what was gained, lost or moved.
    """

    both: int
    moved: int
    gained: int
    lost: int
    orders: int

    @property
    def first(self) -> int:
        """Alerts of the first run."""
        return self.both + self.lost

    @property
    def second(self) -> int:
        """Alerts of the second run."""
        return self.both + self.gained


class Moves(Struct, frozen=True):
    """By how many ms the second run opens alerts later (negative: earlier): of those moved at all."""

    least: int
    median: int
    most: int


class Example(Struct, frozen=True):
    """One alert that changed. ``time``: when it opens in the run that has it, or in the first."""

    change: Change
    entity_type: str
    entity_id: str
    variant: str
    level: str
    time: int
    moved_by: int
    orders: tuple[str, ...]
    outcome: str


class Qualities(Struct, frozen=True):
    """How right the alerts were in each run, and those that changed."""

    first: Quality
    second: Quality
    gained: Tally
    lost: Tally


class LevelReport(Struct, frozen=True):
    """One level of a rule: alerts that reached it."""

    counts: Counts
    quality: Qualities | None


class RuleReport(Struct, frozen=True):
    """One rule. ``quality`` is None where no outcome is defined for it."""

    rule: str
    counts: Counts
    moves: Moves | None
    levels: dict[str, LevelReport]
    quality: Qualities | None
    examples: dict[str, tuple[Example, ...]]


def compare(
    first: Sequence[Episode],
    second: Sequence[Episode],
    span: Span,
    outcomes: Mapping[str, Outcomes],
    examples: int = 5,
) -> list[RuleReport]:
    """A report for each rule that alerts in either run, by name. ``outcomes``: what counts for which rule."""
    of_rule = {rule: list(found) for rule, found in groupby(pairs(first, second, span), lambda pair: pair.any.rule)}
    sides = _by_rule(first), _by_rule(second)
    return [
        _rule(rule, found, (sides[0].get(rule, []), sides[1].get(rule, [])), span, outcomes.get(rule), examples)
        for rule, found in of_rule.items()
    ]


def _rule(
    rule: str,
    found: Sequence[Pair],
    sides: tuple[Sequence[Episode], Sequence[Episode]],
    span: Span,
    outcomes: Outcomes | None,
    examples: int,
) -> RuleReport:
    levels = sorted({level for pair in found for level in _levels(pair)})
    return RuleReport(
        rule=rule,
        counts=_counts(found),
        moves=_moves(found),
        levels={
            level: LevelReport(
                _counts(_at_level(found, level)),
                None if outcomes is None else _qualities(_at_level(found, level), sides, outcomes, span, level),
            )
            for level in levels
        },
        quality=None if outcomes is None else _qualities(found, sides, outcomes, span, None),
        examples={change: tuple(_examples(found, change, outcomes, examples)) for change in CHANGES},
    )


def _by_rule(episodes: Sequence[Episode]) -> dict[str, list[Episode]]:
    found: dict[str, list[Episode]] = {}
    for episode in episodes:
        found.setdefault(episode.rule, []).append(episode)
    return found


def _levels(pair: Pair) -> Iterable[str]:
    for episode in (pair.first, pair.second):
        if episode is not None:
            yield from episode.levels


def _at_level(found: Sequence[Pair], level: str) -> list[Pair]:
    """The alerts as far as they reached a level, as if they had opened then."""
    reached = (Pair(_reaching(pair.first, level), _reaching(pair.second, level)) for pair in found)
    return [pair for pair in reached if pair.first is not None or pair.second is not None]


def _reaching(episode: Episode | None, level: str) -> Episode | None:
    if episode is None or level not in episode.levels:
        return None
    return Episode(
        episode.rule,
        episode.entity_type,
        episode.entity_id,
        episode.variant,
        episode.levels[level],
        episode.levels,
        episode.orders,
        episode.ended_at,
    )


def change_of(pair: Pair) -> Change | None:
    """What became of an alert; None: nothing, it opens in both at the same moment."""
    if pair.first is None:
        return "gained"
    if pair.second is None:
        return "lost"
    return "moved" if pair.moved_by else None


def _counts(found: Sequence[Pair]) -> Counts:
    changes = [change_of(pair) for pair in found]
    changed = {order for pair, change in zip(found, changes, strict=True) if change for order in _orders(pair)}
    gained, lost = changes.count("gained"), changes.count("lost")
    return Counts(len(found) - gained - lost, changes.count("moved"), gained, lost, len(changed))


def _orders(pair: Pair) -> Iterable[str]:
    for episode in (pair.first, pair.second):
        if episode is not None:
            yield from episode.orders


def _moves(found: Sequence[Pair]) -> Moves | None:
    moves = sorted(pair.moved_by for pair in found if pair.moved_by)
    middle = median(moves)
    return None if middle is None else Moves(moves[0], middle, moves[-1])


def _qualities(
    found: Sequence[Pair],
    sides: tuple[Sequence[Episode], Sequence[Episode]],
    outcomes: Outcomes,
    span: Span,
    level: str | None,
) -> Qualities:
    return Qualities(
        quality(sides[0], outcomes, span, level),
        quality(sides[1], outcomes, span, level),
        tally((pair.any for pair in found if change_of(pair) == "gained"), outcomes),
        tally((pair.any for pair in found if change_of(pair) == "lost"), outcomes),
    )


def _examples(found: Sequence[Pair], change: Change, outcomes: Outcomes | None, most: int) -> Iterable[Example]:
    """The first of their kind by time."""
    changed = sorted(
        (pair for pair in found if change_of(pair) == change), key=lambda pair: (pair.any.opened_at, pair.any.subject)
    )
    for pair in changed[:most]:
        episode = pair.any
        yield Example(
            change=change,
            entity_type=episode.entity_type,
            entity_id=episode.entity_id,
            variant=episode.variant,
            level=max(episode.levels, key=lambda level: episode.levels[level]),
            time=episode.opened_at,
            moved_by=pair.moved_by,
            orders=tuple(episode.orders),
            outcome="unknown" if outcomes is None else outcomes.verdict(episode.orders),
        )
