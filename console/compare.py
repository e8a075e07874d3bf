"""Whether two runs gave the same: the same lines, and each entity's lines in the same order."""

from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

import polars as pl
from msgspec import Struct

from console.causes import Causes, Difference, Explained
from console.digests import SHAPES, Digest, Line, Span, digest, hashed_lines
from console.results import KINDS
from console.sides import DirectorySide, Side

EXAMPLES = 3
# So many differing lines of a kind and run are looked at for their causes; where there are more, the first ones tell.
_LOOKED_AT = 100_000
Sides = tuple[Side, Side]


class Reordered(Struct, frozen=True):
    """An entity whose lines stand in another order."""

    entity: str
    first: list[str]
    second: list[str]


class KindReport(Struct, frozen=True):
    """What differs in one kind of record. ``by_label``: rule (or target, ...) -> lines only in one and the other."""

    kind: str
    lines: tuple[int, int]
    only: tuple[int, int]
    by_label: dict[str, tuple[int, int]]
    examples: tuple[list[str], list[str]]
    reordered: int
    reordered_examples: list[Reordered]

    @property
    def equal(self) -> bool:
        """Whether nothing differs."""
        return self.only == (0, 0) and not self.reordered


class Comparison(Struct, frozen=True):
    """What differs in all kinds, and the likely causes, the most frequent one first. ``names`` of both runs."""

    names: tuple[str, str]
    kinds: list[KindReport]
    causes: list[Explained]

    @property
    def equal(self) -> bool:
        """Whether nothing differs."""
        return all(kind.equal for kind in self.kinds)


class _Compared(Struct, frozen=True):
    report: KindReport
    differences: list[Difference]
    rules: tuple[dict[str, set[int]], dict[str, set[int]]]


def compare(sides: Sides, span: Span | None = None, say_time: Callable[[int], str] = str) -> Comparison:
    """All kinds that either run has, within a span. Raises FailedError for a line that is no record.

    ``say_time`` words an epoch ms, for the details of causes.
    """
    first, second = sides
    there = {*first.kinds(), *second.kinds()}
    compared = [_compare_kind(sides, kind, span or Span()) for kind in KINDS if kind in there]
    causes = Causes((first.note, second.note), say_time)
    for each in compared:
        causes.learn(each.differences, each.rules)
    differences = [difference for each in compared for difference in each.differences]
    return Comparison((first.name, second.name), [each.report for each in compared], causes.explain(differences))


def compare_runs(first: Path, second: Path) -> list[KindReport]:
    """One report for each kind that either of two directories has. Raises FailedError for a line that is no record."""
    return compare((DirectorySide(first), DirectorySide(second))).kinds


def _compare_kind(sides: Sides, kind: str, span: Span) -> _Compared:
    one, other = digests = digest(sides[0], kind, span), digest(sides[1], kind, span)
    surplus = _surplus(one.lines, other.lines)
    strange = [
        _without_compacted(surplus.filter(pl.col("more") * sign > 0), digests[missing], sides[missing], kind)
        for sign, missing in ((1, 1), (-1, 0))
    ]
    wanted = [_lines(frame) for frame in strange]
    twice = set(surplus.filter(pl.col("both"))["line"].to_list())
    entities = _reordered_entities(one.lines, other.lines, surplus)
    found, labels = zip(
        *(_find(side, kind, span, lines) for side, lines in zip(sides, wanted, strict=True)), strict=True
    )
    report = KindReport(
        kind=kind,
        lines=(one.lines.height, other.lines.height),
        only=(wanted[0].total(), wanted[1].total()),
        by_label={name: (labels[0][name], labels[1][name]) for name in sorted(labels[0].keys() | labels[1].keys())},
        examples=(_texts(found[0]), _texts(found[1])),
        reordered=len(entities),
        reordered_examples=_show_order(sides, kind, span, entities[:EXAMPLES]),
    )
    differences = [
        Difference(kind, number, each.key, each.text, twice=each.line in twice)
        for number, lines in enumerate(found)
        for each in lines
    ]
    return _Compared(report, differences, (one.rules, other.rules))


def _surplus(one: pl.DataFrame, other: pl.DataFrame) -> pl.DataFrame:
    """``entity``, ``line``, how many ``more`` times it stands in the first run, whether it stands in ``both``.

    Equal ones are left out. ``at`` as in the run that has it.
    """
    weighted = pl.concat([one.with_columns(more=pl.lit(1)), other.with_columns(more=pl.lit(-1))])
    by_line = weighted.group_by("entity", "line").agg(
        pl.col("at").first(), pl.col("more").sum(), both=pl.col("more").n_unique() > 1
    )
    return by_line.filter(pl.col("more") != 0)


def _without_compacted(strange: pl.DataFrame, missing: Digest, side: Side, kind: str) -> pl.DataFrame:
    """Without those that the other run need not have any more: it has a newer line of that entity, and is compacted."""
    if not side.compacted(kind) or strange.is_empty():
        return strange
    newest = missing.lines.group_by("entity").agg(newest=pl.col("at").max())
    joined = strange.join(newest, on="entity", how="left")
    return joined.filter(pl.col("newest").is_null() | (pl.col("at") >= pl.col("newest"))).drop("newest")


def _lines(strange: pl.DataFrame) -> Counter[int]:
    return Counter({line: abs(more) for line, more in strange.select("line", "more").iter_rows()})


def _reordered_entities(one: pl.DataFrame, other: pl.DataFrame, surplus: pl.DataFrame) -> list[int]:
    """Entities that have the same lines in both runs, in another order."""
    spread = pl.concat([_spread(one), _spread(other)]).unique()
    pair = [
        _in_order(run.join(surplus, on="entity", how="anti", maintain_order="left"), spread) for run in (one, other)
    ]
    moved = pair[0].filter(pair[0]["line"] != pair[1]["line"])["entity"]
    unsorted = [_not_ascending(run, spread) for run in (one, other)]
    return pl.concat([moved, *unsorted]).unique(maintain_order=True).to_list()


def _spread(run: pl.DataFrame) -> pl.DataFrame:
    """Entities whose lines stand in the files of several processes: no file tells the order of them all."""
    if run["file"].n_unique() < 2:
        return run.select("entity").clear()
    return run.group_by("entity").agg(pl.col("file").n_unique()).filter(pl.col("file") > 1).select("entity")


def _in_order(run: pl.DataFrame, spread: pl.DataFrame) -> pl.DataFrame:
    """Entity by entity: lines as they stand, or by their own order where they are spread over files."""
    within_files = run.join(spread, on="entity", how="anti", maintain_order="left").sort("entity", maintain_order=True)
    over_files = run.join(spread, on="entity", how="semi").sort("entity", "at", "line")
    return pl.concat([within_files, over_files])


def _not_ascending(run: pl.DataFrame, spread: pl.DataFrame) -> pl.Series:
    """Of the spread entities those whose lines do not ascend within one file."""
    steps = run.join(spread, on="entity", how="semi", maintain_order="left").with_columns(
        step=pl.col("at").diff().over("entity", "file")
    )
    return steps.filter(pl.col("step") < 0)["entity"]


def _find(side: Side, kind: str, span: Span, wanted: Counter[int]) -> tuple[list[Line], Counter[str]]:
    """The lines with these hashes, once more, at most so many as are looked at; and how many by label."""
    found: list[Line] = []
    labels: Counter[str] = Counter()
    left, label_of = Counter(wanted), SHAPES[kind].label
    if not left:
        return found, labels
    for each in hashed_lines(side, kind, span):
        if left[each.line] > 0:
            left[each.line] -= 1
            labels[label_of(each.key)] += 1
            if len(found) < _LOOKED_AT:
                found.append(each)
    return found, labels


def _texts(lines: Sequence[Line]) -> list[str]:
    return [each.text.decode() for each in lines[:EXAMPLES]]


def _show_order(sides: Sides, kind: str, span: Span, entities: Iterable[int]) -> list[Reordered]:
    wanted = set(entities)
    if not wanted:
        return []
    orders = [_orders(hashed_lines(side, kind, span), wanted, kind) for side in sides]
    return [Reordered(name, texts, orders[1][entity][1]) for entity, (name, texts) in orders[0].items()]


def _orders(lines: Iterable[Line], wanted: set[int], kind: str) -> dict[int, tuple[str, list[str]]]:
    """Entity -> its name and the lines that stand first."""
    found: dict[int, tuple[str, list[str]]] = {}
    for each in lines:
        if each.entity in wanted:
            _, texts = found.setdefault(each.entity, (SHAPES[kind].entity(each.key), []))
            if len(texts) < EXAMPLES:
                texts.append(each.text.decode())
    return found
