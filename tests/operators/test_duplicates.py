"""Duplicates: (source, id) is remembered for one horizon at least and two at most."""

import pytest

from operators.heart.duplicates import Duplicates
from tests.operators.timeline import play, told

HORIZON = 1_000


def test_the_same_id_of_the_same_source_is_seen() -> None:
    known = Duplicates(HORIZON)
    assert [known.seen("oms", "1", 5), known.seen("oms", "1", 5), known.seen("oms", "1", 6)] == [False, True, True]


def test_the_same_id_of_another_source_is_not() -> None:
    known = Duplicates(HORIZON)
    assert [known.seen("oms", "1", 5), known.seen("wms", "1", 5), known.seen("oms", "2", 5)] == [False] * 3


@pytest.mark.parametrize("first", [0, 1, 500, 999, 1_000, 1_001])
def test_an_id_is_remembered_for_a_whole_horizon_wherever_it_begins(first: int) -> None:
    known = Duplicates(HORIZON)
    known.seen("oms", "1", first)
    assert known.seen("oms", "1", first + HORIZON)


@pytest.mark.parametrize("first", [0, 1, 500, 999, 1_000, 1_001])
def test_an_id_is_forgotten_after_two_horizons(first: int) -> None:
    known = Duplicates(HORIZON)
    known.seen("oms", "1", first)
    assert not known.seen("oms", "1", first + 2 * HORIZON)


def test_a_long_silence_forgets_everything() -> None:
    known = Duplicates(HORIZON)
    known.seen("oms", "1", 0)
    known.seen("oms", "2", 10 * HORIZON)
    assert not known.seen("oms", "1", 10 * HORIZON)


def test_a_snapshot_remembers_both_generations() -> None:
    known = Duplicates(HORIZON)
    known.seen("oms", "1", 999)
    known.seen("oms", "2", 1_000)
    restored = Duplicates(HORIZON)
    restored.restore(known.snapshot())
    assert restored.seen("oms", "1", 1_001)
    assert restored.seen("oms", "2", 1_001)


def test_a_copy_days_later_has_no_second_effect() -> None:
    lines = ["10:00 created id=1 source=oms", "10:01 cancelled", "+1d 10:00 created id=1 source=oms"]
    assert told("illegal_transition", lines) == []
    assert play(lines) == play(lines[:2])
