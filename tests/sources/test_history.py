"""History read from a moment on: what is left out before it, and what must not be."""

import gzip
from pathlib import Path

import polars as pl
import pytest

from config.loader import load_settings
from events.batch import RawBatch
from sources.history import Inputs, open_history

SETTINGS = load_settings()
NOON = 1_769_846_400_000
MINUTE = 60_000


def line(number: int, minute: int, kind: str = "order.created") -> bytes:
    return b'{"type":"%s","id":"%d","source":"s","time":%d,"order_id":"O%d"}' % (
        kind.encode(), number, NOON + minute * MINUTE, number,
    )  # fmt: skip


def written(directory: Path, *lines: bytes, name: str = "order-0.ndjson") -> Path:
    directory.mkdir(exist_ok=True)
    (directory / name).write_bytes(b"\n".join(lines) + b"\n")
    return directory


def read(inputs: Inputs, start: int | None = None) -> list[RawBatch]:
    """Everything that is delivered."""
    batches = []
    with open_history(SETTINGS, inputs, start=start) as reader:
        while not reader.finished:
            batches += reader.read(None)
    return batches


def minutes_of(batches: list[RawBatch], lines: tuple[bytes, ...]) -> list[int]:
    """Which of the lines were delivered, by index."""
    return [lines.index(each) for batch in batches for each in batch.lines]


def test_without_a_start_everything_is_read(tmp_path: Path) -> None:
    lines = tuple(line(number, number) for number in range(5))

    assert minutes_of(read([written(tmp_path / "a", *lines)]), lines) == [0, 1, 2, 3, 4]


def test_what_stands_before_the_first_event_from_the_start_on_is_left_out(tmp_path: Path) -> None:
    lines = (line(1, 0), line(2, 3), line(3, 5), line(4, 6))

    batches = read([written(tmp_path / "a", *lines)], NOON + 5 * MINUTE)

    assert minutes_of(batches, lines) == [2, 3]
    assert batches[0].positions[0] == len(lines[0]) + len(lines[1]) + 2, "positions are those of the whole file"


def test_an_old_event_behind_that_one_is_kept_since_it_is_a_late_one(tmp_path: Path) -> None:
    lines = (line(1, 0), line(2, 5), line(3, 1), line(4, 6))

    assert minutes_of(read([written(tmp_path / "a", *lines)], NOON + 5 * MINUTE), lines) == [1, 2, 3]


def test_each_file_begins_where_its_own_time_has_come(tmp_path: Path) -> None:
    first, second = (line(1, 0), line(2, 9)), (line(3, 8), line(4, 9))
    written(tmp_path / "a", *first)
    written(tmp_path / "a", *second, name="order-1.ndjson")

    kept = [each for batch in read([tmp_path / "a"], NOON + 5 * MINUTE) for each in batch.lines]

    assert sorted(kept) == sorted([first[1], *second])


def test_an_event_from_a_far_future_is_not_taken_for_the_start(tmp_path: Path) -> None:
    far = b'{"type":"order.created","id":"9","source":"s","time":2500000000000,"order_id":"X"}'
    lines = (line(1, 0), far, line(2, 1), line(3, 5))

    assert minutes_of(read([written(tmp_path / "a", *lines)], NOON + 5 * MINUTE), lines) == [3]


@pytest.mark.parametrize("bad", [b"no json at all, but long enough", b'{"type":"order.created","id":"1","time":"x"}'])
def test_what_cannot_be_read_says_nothing_about_the_start(tmp_path: Path, bad: bytes) -> None:
    lines = (bad, line(1, 0), bad, line(2, 5), bad)

    kept = [each for batch in read([written(tmp_path / "a", *lines)], NOON + 5 * MINUTE) for each in batch.lines]

    assert kept == [lines[3], bad], "behind the start it is delivered, to be a dead letter"


def test_rule_documents_from_before_the_start_are_kept(tmp_path: Path) -> None:
    lines = (line(1, 0), line(2, 1, kind="rule.published"), line(3, 2), line(4, 6))

    assert minutes_of(read([written(tmp_path / "a", *lines)], NOON + 5 * MINUTE), lines) == [1, 3]


def test_a_log_that_ends_before_the_start_is_finished_all_the_same(tmp_path: Path) -> None:
    batches = read([written(tmp_path / "a", line(1, 0))], NOON + 5 * MINUTE)

    assert [(batch.lines, batch.finished) for batch in batches] == [([], True)]


def test_arrivals_stay_with_their_records(tmp_path: Path) -> None:
    lines = [line(1, 0), line(2, 5), line(3, 6)]
    arrivals = [NOON + minute * MINUTE + 7 for minute in (0, 5, 6)]
    pl.DataFrame({"value": lines, "timestamp": arrivals}).write_parquet(tmp_path / "orders.parquet")

    batches = read([tmp_path / "orders.parquet"], NOON + 5 * MINUTE)

    assert [each for batch in batches for each in batch.lines] == lines[1:]
    assert [each for batch in batches for each in batch.arrivals or ()] == arrivals[1:]


def test_how_much_there_is_to_read_is_known_of_plain_files_alone(tmp_path: Path) -> None:
    plain = written(tmp_path / "plain", line(1, 0), line(2, 1))
    (tmp_path / "packed.ndjson.gz").write_bytes(gzip.compress(line(1, 0) + b"\n"))

    with open_history(SETTINGS, [plain]) as reader:
        while not reader.finished:
            reader.read(None)
        assert reader.done == reader.size == (plain / "order-0.ndjson").stat().st_size
    with open_history(SETTINGS, [tmp_path / "packed.ndjson.gz"]) as reader:
        assert reader.size is None
