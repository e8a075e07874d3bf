import pytest

from config.units import Instant
from sources.kafka_client import Partition
from sources.reader import SourceError
from sources.start import format_positions, parse_start


@pytest.mark.parametrize("word", ["earliest", "latest", "committed"])
def test_a_start_may_be_a_word(word: str) -> None:
    assert parse_start(word) == word


def test_a_start_may_be_a_moment_with_its_zone() -> None:
    assert parse_start("2026-01-31T08:00:00+08:00") == Instant(1_769_817_600_000)


def test_a_start_may_name_offsets() -> None:
    assert parse_start("orders.v1/0:5, orders.v1/12:0") == {Partition("orders.v1", 0): 5, Partition("orders.v1", 12): 0}


def test_positions_written_as_a_start_are_read_back() -> None:
    assert parse_start(format_positions({"b/1": 7, "a/0": 3})) == {Partition("a", 0): 3, Partition("b", 1): 7}


@pytest.mark.parametrize("text", ["", "now", "orders/0", "orders/x:5", "2026-01-31T08:00:00", "earliest,latest"])
def test_any_other_start_is_refused_with_the_ways_to_write_one(text: str) -> None:
    with pytest.raises(SourceError, match=r"kafka\.start.*write earliest, latest, committed"):
        parse_start(text)
