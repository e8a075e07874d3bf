"""Whether two runs gave the same: the same lines, and each entity's lines in the same order."""

from collections import Counter
from collections.abc import Iterable
from pathlib import Path

import polars as pl
from msgspec import Struct

from console.digests import SHAPES, Line, digest, hashed_lines
from console.results import KINDS, files_of

EXAMPLES = 3


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


def compare_runs(first: Path, second: Path) -> list[KindReport]:
    """One report for each kind that either run has. Raises FailedError for a line that is no record."""
    kinds = [kind for kind in KINDS if files_of(first, kind) or files_of(second, kind)]
    return [_compare_kind(first, second, kind) for kind in kinds]


def _compare_kind(first: Path, second: Path, kind: str) -> KindReport:
    one, other = digest(first, kind), digest(second, kind)
    surplus = _surplus(one, other)
    strange = [_lines(surplus.filter(pl.col("more") > 0)), _lines(surplus.filter(pl.col("more") < 0), sign=-1)]
    entities = _reordered_entities(one, other, surplus)
    found = [_find(directory, kind, wanted) for directory, wanted in zip((first, second), strange, strict=True)]
    labels = sorted(found[0][0].keys() | found[1][0].keys())
    return KindReport(
        kind=kind,
        lines=(one.height, other.height),
        only=(strange[0].total(), strange[1].total()),
        by_label={label: (found[0][0][label], found[1][0][label]) for label in labels},
        examples=(found[0][1], found[1][1]),
        reordered=len(entities),
        reordered_examples=_show_order(first, second, kind, entities[:EXAMPLES]),
    )


def _surplus(one: pl.DataFrame, other: pl.DataFrame) -> pl.DataFrame:
    """``entity``, ``line`` and how many ``more`` times it stands in the first run; equal ones are left out."""
    weighted = pl.concat([one.with_columns(more=pl.lit(1)), other.with_columns(more=pl.lit(-1))])
    return weighted.group_by("entity", "line").agg(pl.col("more").sum()).filter(pl.col("more") != 0)


def _lines(surplus: pl.DataFrame, sign: int = 1) -> Counter[int]:
    return Counter({line: sign * more for line, more in surplus.select("line", "more").iter_rows()})


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


def _find(directory: Path, kind: str, wanted: Counter[int]) -> tuple[Counter[str], list[str]]:
    """The lines with these hashes: how many by label, and the first of them."""
    labels: Counter[str] = Counter()
    examples: list[str] = []
    left = Counter(wanted)
    if not left:
        return labels, examples
    label_of = SHAPES[kind].label
    for each in hashed_lines(directory, kind):
        if left[each.line] > 0:
            left[each.line] -= 1
            labels[label_of(each.key)] += 1
            if len(examples) < EXAMPLES:
                examples.append(each.text.decode())
    return labels, examples


def _show_order(first: Path, second: Path, kind: str, entities: Iterable[int]) -> list[Reordered]:
    wanted = set(entities)
    if not wanted:
        return []
    orders = [_orders(hashed_lines(directory, kind), wanted, kind) for directory in (first, second)]
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
