"""Readers around a reader: what they deliver is what it delivers."""

from pathlib import Path

import pytest

from console.readers import PacedReader, WatchedReader, part
from events.batch import RawBatch
from sources.files import FileInput
from sources.reader import Reader


@pytest.fixture
def files(tmp_path: Path) -> list[Path]:
    for name in "ab":
        (tmp_path / f"{name}.ndjson").write_bytes(b"".join(b"%s%d\n" % (name.encode(), each) for each in range(250)))
    return [tmp_path]


class Clock:
    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


def drain(reader: Reader, clock: Clock, step: float) -> list[RawBatch]:
    batches = []
    while not reader.finished:
        batches += reader.read("b.ndjson")
        clock.now += step
    return batches


def lines(batches: list[RawBatch], partition: str) -> list[bytes]:
    return [line for batch in batches if batch.partition == partition for line in batch.lines]


def test_a_paced_reader_delivers_every_record_once_in_its_order(files: list[Path]) -> None:
    clock = Clock()
    reader = PacedReader(FileInput(files).open(), records=500, seconds=10, clock=clock)

    batches = drain(reader, clock, 0.1)

    assert lines(batches, "a.ndjson") == [b"a%d" % number for number in range(250)]
    assert lines(batches, "b.ndjson") == [b"b%d" % number for number in range(250)]
    assert [batch.partition for batch in batches if batch.finished] == ["b.ndjson", "a.ndjson"]


def test_a_paced_reader_takes_its_time(files: list[Path]) -> None:
    clock = Clock()
    reader = PacedReader(FileInput(files).open(), records=500, seconds=10, clock=clock)

    assert reader.read("a.ndjson") == []
    clock.now += 1
    batch, *_ = reader.read("a.ndjson")
    assert len(batch.lines) == 50
    assert reader.read("a.ndjson") == []
    assert reader.positions()["a.ndjson"] == len(b"".join(b"a%d\n" % number for number in range(50)))


def test_a_part_of_a_batch_keeps_what_belongs_to_its_records() -> None:
    batch = RawBatch(
        "t/0", "t", [b"x", b"y", b"z"], [7, 8, 9], [70, 80, 90], {1: (("k", b"v"),)}, end_confirmed_at=99, finished=True
    )

    first, rest = part(batch, 0, 1), part(batch, 1, 3)

    assert (first.lines, first.positions, first.arrivals, first.headers) == ([b"x"], [7], [70], None)
    assert (first.end_confirmed_at, first.finished) == (0, False)
    assert (rest.lines, rest.positions, rest.arrivals, rest.headers) == (
        [b"y", b"z"], [8, 9], [80, 90], {0: (("k", b"v"),)},
    )  # fmt: skip
    assert (rest.end_confirmed_at, rest.finished) == (99, True)


def test_a_watched_reader_tells_how_far_it_is(files: list[Path]) -> None:
    seen: list[tuple[int, int]] = []
    reader = WatchedReader(FileInput(files).open(), lambda position, records: seen.append((position, records)))

    delivered = drain(reader, Clock(), 0)

    assert seen[-1] == (sum(path.stat().st_size for path in files[0].iterdir()), 500)
    assert sum(len(batch.lines) for batch in delivered) == 500
