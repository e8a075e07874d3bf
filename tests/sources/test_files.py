import gzip
import io
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path

import orjson
import polars as pl
import pytest
import zstandard

from sources import lines
from sources.files import FileInput, FileReader
from sources.reader import Input, Reader, SourceError
from tests.sources.support import drain, drain_until_error, event_line

ORDERS = [event_line(number) for number in range(5_000)]
CONTENT = b"\n".join(ORDERS) + b"\n"

Packing = tuple[str, Callable[[bytes], bytes]]
PACKINGS: list[Packing] = [("", bytes), (".gz", gzip.compress), (".zst", zstandard.ZstdCompressor().compress)]
COMPRESSIONS = PACKINGS[1:]
by_packing = pytest.mark.parametrize(("suffix", "pack"), PACKINGS, ids=["plain", "gzip", "zstd"])
by_compression = pytest.mark.parametrize(("suffix", "pack"), COMPRESSIONS, ids=["gzip", "zstd"])


def reader_for(*paths: Path, batch: int = 20_000) -> FileReader:
    """A reader of everything, from the beginning."""
    return FileInput(paths, batch=batch).open()


def resumed_reader(path: Path, positions: Mapping[str, int]) -> FileReader:
    return FileInput([path]).open(dict(positions))


def reader_of(path: Path, content: bytes, **options: int) -> FileReader:
    path.write_bytes(content)
    return reader_for(path, batch=options.get("batch", 20_000))


@by_packing
@pytest.mark.parametrize("batch", [1_000, 20_000])
def test_every_line_is_delivered_once_and_in_order(
    tmp_path: Path, suffix: str, pack: Callable[[bytes], bytes], batch: int
) -> None:
    reader = reader_of(tmp_path / f"order-0.ndjson{suffix}", pack(CONTENT), batch=batch)
    delivered = drain(reader)
    assert delivered.lines == ORDERS
    assert delivered.largest_batch <= batch


@by_packing
def test_a_position_is_where_the_line_begins_in_the_content(
    tmp_path: Path, suffix: str, pack: Callable[[bytes], bytes]
) -> None:
    delivered = drain(reader_of(tmp_path / f"order-0.ndjson{suffix}", pack(CONTENT), batch=777))
    for line, position in zip(delivered.lines, delivered.positions, strict=True):
        assert CONTENT[position : position + len(line)] == line


@by_packing
def test_reading_goes_on_at_the_position_where_it_stopped(
    tmp_path: Path, suffix: str, pack: Callable[[bytes], bytes]
) -> None:
    path = tmp_path / f"order-0.ndjson{suffix}"
    reader = reader_of(path, pack(CONTENT), batch=1_234)
    before = [line for batch in reader.read(None) for line in batch.lines]
    resumed = resumed_reader(path, reader.positions())
    assert before + drain(resumed).lines == ORDERS


@by_packing
def test_a_file_that_is_shorter_than_the_start_position_was_replaced(
    tmp_path: Path, suffix: str, pack: Callable[[bytes], bytes]
) -> None:
    path = tmp_path / f"order-0.ndjson{suffix}"
    path.write_bytes(pack(CONTENT))
    with pytest.raises(SourceError, match=r"order-0.*ends before position 99999999.*replaced"):
        drain(resumed_reader(path, {path.name: 99_999_999}))


@by_packing
def test_a_file_that_grew_goes_on_where_it_stood(tmp_path: Path, suffix: str, pack: Callable[[bytes], bytes]) -> None:
    path = tmp_path / f"order-0.ndjson{suffix}"
    reader = reader_of(path, pack(CONTENT))
    drain(reader)
    path.write_bytes(pack(CONTENT + b"paid\nshipped\n"))
    assert drain(resumed_reader(path, reader.positions())).lines == [b"paid", b"shipped"]


@pytest.mark.parametrize("newline", [b"\n", b"\r\n"])
def test_a_last_line_may_get_its_newline_when_the_file_grows(tmp_path: Path, newline: bytes) -> None:
    path = tmp_path / "order-0.ndjson"
    reader = reader_of(path, b"paid")
    assert drain(reader).lines == [b"paid"]
    path.write_bytes(b"paid" + newline + b"shipped")
    assert drain(resumed_reader(path, reader.positions())).lines == [b"shipped"]


def test_a_file_without_anything_new_is_finished_at_once(tmp_path: Path) -> None:
    path = tmp_path / "order-0.ndjson"
    reader = reader_of(path, CONTENT)
    drain(reader)
    [batch] = resumed_reader(path, reader.positions()).read(None)
    assert (batch.lines, batch.finished) == ([], True)


@by_packing
def test_a_file_whose_lines_moved_is_refused_and_stays_refused(
    tmp_path: Path, suffix: str, pack: Callable[[bytes], bytes]
) -> None:
    path = tmp_path / f"order-0.ndjson{suffix}"
    reader = reader_of(path, pack(CONTENT), batch=100)
    reader.read(None)
    path.write_bytes(pack(b"{}\n" + CONTENT))
    resumed = resumed_reader(path, reader.positions())
    for _ in range(2):
        with pytest.raises(SourceError, match=r"order-0.*no line begins at position.*replaced or changed: restore"):
            resumed.read(None)


def test_a_last_line_that_was_read_before_it_was_whole_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "order-0.ndjson"
    reader = reader_of(path, b'{"type":"order.st')
    drain(reader)
    path.write_bytes(b'{"type":"order.stage"}\n')
    with pytest.raises(SourceError, match=r"no line begins at position 17"):
        drain(resumed_reader(path, reader.positions()))


def test_an_input_is_opened_for_some_of_its_files_and_knows_all_of_them(tmp_path: Path) -> None:
    for name in ("b.ndjson", "a.ndjson", "c.ndjson"):
        (tmp_path / name).write_bytes(CONTENT)
    source: Input = FileInput([tmp_path], topic="orders")
    assert source.partitions == ("a.ndjson", "b.ndjson", "c.ndjson")
    reader = source.open({"c.ndjson": len(ORDERS[0]) + 1, "a.ndjson": None})
    assert reader.partitions == ("a.ndjson", "c.ndjson")
    delivered = drain(reader)
    assert delivered.of("a.ndjson").lines == ORDERS
    assert delivered.of("c.ndjson").lines == ORDERS[1:]
    assert {batch.topic for batch in delivered.batches} == {"orders"}
    assert (reader.unreachable(), reader.waiting) == ({}, None)
    source.close()


def test_a_position_in_a_file_that_is_not_given_is_refused(tmp_path: Path) -> None:
    (tmp_path / "a.ndjson").write_bytes(CONTENT)
    with pytest.raises(SourceError, match=r"gone\.ndjson: .*not part of the input; give the input that the recovery"):
        FileInput([tmp_path]).open({"gone.ndjson": 5})


@pytest.mark.parametrize("chunk", [1, 7, 64, 1 << 20])
def test_the_result_does_not_depend_on_how_the_file_is_cut_into_chunks(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, chunk: int
) -> None:
    monkeypatch.setattr(lines, "CHUNK", chunk)
    content = b"\xef\xbb\xbf" + ORDERS[0] + b"\r\n\r\n \n" + ORDERS[1] + b"\n\n" + ORDERS[2]
    delivered = drain(reader_of(tmp_path / "order-0.ndjson", content))
    assert delivered.lines[1:] == ORDERS[1:3]
    assert delivered.lines[0].rstrip() == ORDERS[0]
    assert delivered.positions == [0, content.index(ORDERS[1]), content.index(ORDERS[2])]


def test_lines_may_end_as_windows_writes_them(tmp_path: Path) -> None:
    delivered = drain(reader_of(tmp_path / "order-0.ndjson", b"\r\n".join(ORDERS) + b"\r\n"))
    assert delivered.lines == ORDERS
    assert delivered.positions[1] == len(ORDERS[0]) + 2


def test_the_last_line_needs_no_newline(tmp_path: Path) -> None:
    reader = reader_of(tmp_path / "order-0.ndjson", CONTENT.rstrip(b"\n"))
    assert drain(reader).lines == ORDERS
    assert reader.positions() == {"order-0.ndjson": len(CONTENT) - 1}


def test_a_byte_order_mark_is_not_part_of_the_first_event(tmp_path: Path) -> None:
    assert drain(reader_of(tmp_path / "order-0.ndjson", b"\xef\xbb\xbf" + CONTENT)).lines == ORDERS


def test_blank_lines_are_left_out_but_count_in_the_positions(tmp_path: Path) -> None:
    delivered = drain(reader_of(tmp_path / "order-0.ndjson", b"\n\n" + ORDERS[0] + b"\n   \n" + ORDERS[1] + b"\n"))
    assert delivered.lines == ORDERS[:2]
    assert delivered.positions == [2, 2 + len(ORDERS[0]) + 5]


def test_a_line_of_many_megabytes_stays_in_one_piece(tmp_path: Path) -> None:
    long_line = b'{"note":"' + b"x" * (11 << 20) + b'"}'
    delivered = drain(reader_of(tmp_path / "order-0.ndjson", ORDERS[0] + b"\n" + long_line + b"\n" + ORDERS[1]))
    assert delivered.lines == [ORDERS[0], long_line, ORDERS[1]]


def test_a_line_without_end_is_refused_before_memory_runs_out(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lines, "LONGEST_LINE", 1 << 20)
    reader = reader_of(tmp_path / "order-0.ndjson", ORDERS[0] + b"\n" + b"[" * (3 << 20))
    delivered, error = drain_until_error(reader)
    assert delivered.lines == ORDERS[:1]
    assert f"the line at byte {len(ORDERS[0]) + 1} is longer than 1 MiB" in str(error)


def test_an_empty_file_is_a_finished_partition(tmp_path: Path) -> None:
    reader = reader_of(tmp_path / "order-0.ndjson", b"")
    [batch] = reader.read(None)
    assert (batch.lines, batch.finished, reader.finished) == ([], True, True)


def test_the_last_batch_of_a_file_says_so(tmp_path: Path) -> None:
    reader = reader_of(tmp_path / "order-0.ndjson", CONTENT, batch=1_000)
    finished = []
    while not reader.finished:
        finished += [batch.finished for batch in reader.read(None)]
    assert finished[-1]
    assert not any(finished[:-1])


@by_compression
def test_what_stands_before_a_cut_is_delivered_before_the_error(
    tmp_path: Path, suffix: str, pack: Callable[[bytes], bytes]
) -> None:
    path = tmp_path / f"order-0.ndjson{suffix}"
    packed = pack(CONTENT)
    delivered, error = drain_until_error(reader_of(path, packed[: len(packed) // 2]))
    assert 0 < len(delivered.lines) < len(ORDERS)
    assert delivered.lines == ORDERS[: len(delivered.lines)]
    assert str(path) in str(error)
    assert "cut off" in str(error)


def test_what_stands_before_damage_is_delivered_before_the_error(tmp_path: Path) -> None:
    halves = [b"\n".join(ORDERS[:2_500]) + b"\n", b"\n".join(ORDERS[2_500:])]
    first, second = (gzip.compress(half) for half in halves)
    damaged = first + second[:10] + b"\xff" * 200 + second[210:]
    delivered, error = drain_until_error(reader_of(tmp_path / "order-0.ndjson.gz", damaged))
    assert delivered.lines[:2_000] == ORDERS[:2_000]
    assert "damaged" in str(error)
    assert "copy or export it again" in error.remedy


@by_compression
def test_a_file_that_only_claims_to_be_compressed_is_refused(
    tmp_path: Path, suffix: str, pack: Callable[[bytes], bytes]
) -> None:
    delivered, error = drain_until_error(reader_of(tmp_path / f"order-0.ndjson{suffix}", CONTENT))
    assert delivered.lines == []
    assert "damaged" in str(error)


@by_compression
def test_files_that_were_compressed_one_by_one_and_joined_are_read_to_the_end(
    tmp_path: Path, suffix: str, pack: Callable[[bytes], bytes]
) -> None:
    joined = b"".join(pack(line + b"\n") for line in ORDERS[:50])
    assert drain(reader_of(tmp_path / f"order-0.ndjson{suffix}", joined)).lines == ORDERS[:50]


def test_a_directory_is_searched_to_any_depth_and_its_files_come_by_name(tmp_path: Path) -> None:
    (tmp_path / "2026" / "01").mkdir(parents=True)
    for name in ("b.ndjson", "a.jsonl.gz", "2026/01/c.ndjson.zst", "notes.txt"):
        (tmp_path / name).write_bytes(b"")
    assert reader_for(tmp_path).partitions == ("2026/01/c.ndjson.zst", "a.jsonl.gz", "b.ndjson")


def test_of_a_simulation_only_the_events_are_read(tmp_path: Path) -> None:
    (tmp_path / "events").mkdir()
    for name in ("events/order-0.ndjson", "truth.ndjson"):
        (tmp_path / name).write_bytes(ORDERS[0])
    assert FileInput([tmp_path]).partitions == ("events/order-0.ndjson",)
    (tmp_path / "events" / "order-0.ndjson").unlink()
    assert FileInput([tmp_path]).partitions == ("truth.ndjson",)


def test_files_of_the_same_name_are_told_apart(tmp_path: Path) -> None:
    for shop in ("east", "west"):
        (tmp_path / shop).mkdir()
        (tmp_path / shop / "order-0.ndjson").write_bytes(ORDERS[0])
    reader = reader_for(tmp_path / "east", tmp_path / "west")
    assert reader.partitions == tuple(str(tmp_path / shop / "order-0.ndjson") for shop in ("east", "west"))
    assert drain(reader).lines == [ORDERS[0]] * 2


def test_a_file_that_is_named_twice_is_read_once(tmp_path: Path) -> None:
    path = tmp_path / "order-0.ndjson"
    path.write_bytes(CONTENT)
    assert drain(reader_for(path, path)).lines == ORDERS


def test_the_preferred_file_is_read_first(tmp_path: Path) -> None:
    for name in ("a.ndjson", "b.ndjson", "c.ndjson"):
        (tmp_path / name).write_bytes(CONTENT)
    reader = reader_for(tmp_path, batch=4_000)
    asked: Sequence[str | None] = ("c.ndjson", "b.ndjson", "c.ndjson", "c.ndjson", None)
    assert [batch.partition for name in asked for batch in reader.read(name)] == [
        "c.ndjson",
        "b.ndjson",
        "c.ndjson",
        "a.ndjson",  # c has nothing left
        "b.ndjson",
    ]


def test_a_path_that_does_not_exist_is_named(tmp_path: Path) -> None:
    with pytest.raises(SourceError, match=r"nowhere: does not exist; check the path"):
        reader_for(tmp_path / "nowhere")


def test_a_directory_without_event_files_says_what_was_expected(tmp_path: Path) -> None:
    (tmp_path / "orders.csv").write_bytes(b"")
    with pytest.raises(SourceError, match=r"no event files.*\*\.ndjson.*\*\.parquet"):
        reader_for(tmp_path)


def test_a_file_that_vanishes_after_the_start_is_named(tmp_path: Path) -> None:
    reader = reader_of(tmp_path / "order-0.ndjson", CONTENT)
    (tmp_path / "order-0.ndjson").unlink()
    with pytest.raises(SourceError, match=r"order-0\.ndjson: cannot be read: No such file"):
        reader.read(None)


def write_parquet(path: Path, table: pl.DataFrame) -> FileReader:
    table.write_parquet(path, row_group_size=1_000)
    return reader_for(path, batch=300)


def test_recorded_payloads_come_back_byte_for_byte_with_their_arrivals(tmp_path: Path) -> None:
    arrivals = list(range(1_000_000, 1_000_000 + len(ORDERS)))
    table = pl.DataFrame({"value": ORDERS, "timestamp": arrivals, "offset": arrivals})
    delivered = drain(write_parquet(tmp_path / "raw.parquet", table))
    assert delivered.lines == ORDERS
    assert delivered.arrivals == arrivals
    assert delivered.positions == list(range(len(ORDERS)))


def test_recorded_payloads_may_be_texts_and_their_arrivals_moments(tmp_path: Path) -> None:
    moment = datetime(2026, 1, 31, 8, tzinfo=UTC)
    table = pl.DataFrame({"payload": ["a", None, "ü"], "timestamp": [moment] * 3})
    delivered = drain(write_parquet(tmp_path / "raw.parquet", table))
    assert delivered.lines == [b"a", "ü".encode()]
    assert delivered.arrivals == [1_769_846_400_000] * 2
    assert delivered.positions == [0, 2]


def test_arrivals_without_a_zone_are_refused(tmp_path: Path) -> None:
    table = pl.DataFrame({"value": ["a"], "timestamp": [datetime(2026, 1, 31)]})  # noqa: DTZ001  # the point of the test
    with pytest.raises(SourceError, match="time zone"):
        drain(write_parquet(tmp_path / "raw.parquet", table))


def test_a_row_becomes_an_object_of_what_stands_in_it(tmp_path: Path) -> None:
    table = pl.DataFrame(
        {
            "type": ["order.created", "order.stage"],
            "id": ["1", "2"],
            "time": [datetime(2026, 1, 31, 8, tzinfo=UTC), datetime(2026, 1, 31, 9, tzinfo=UTC)],
            "amount": [9_007_199_254_740_993, None],
            "price": [Decimal("12.00"), None],
            "items": [[{"sku": "A", "name": None}], None],
            "address": [{"city": "上海", "detail": None}, {"city": None, "detail": None}],
        }
    )
    delivered = drain(write_parquet(tmp_path / "events.parquet", table))
    assert [orjson.loads(line) for line in delivered.lines] == [
        {
            "type": "order.created",
            "id": "1",
            "time": 1_769_846_400_000,
            "amount": 9_007_199_254_740_993,
            "price": 12,
            "items": [{"sku": "A"}],
            "address": {"city": "上海"},
        },
        {"type": "order.stage", "id": "2", "time": 1_769_850_000_000},
    ]
    assert delivered.arrivals == []


def test_a_parquet_file_is_resumed_at_its_row(tmp_path: Path) -> None:
    reader = write_parquet(tmp_path / "raw.parquet", pl.DataFrame({"value": ORDERS}))
    before = [line for batch in reader.read(None) for line in batch.lines]
    resumed = resumed_reader(tmp_path / "raw.parquet", reader.positions())
    assert before + drain(resumed).lines == ORDERS


def test_a_parquet_file_with_fewer_rows_than_were_read_was_replaced(tmp_path: Path) -> None:
    path = tmp_path / "raw.parquet"
    reader = write_parquet(path, pl.DataFrame({"value": ORDERS}))
    drain(reader)
    pl.DataFrame({"value": ORDERS[:-1]}).write_parquet(path)
    with pytest.raises(SourceError, match=r"ends before position 5000.*replaced"):
        drain(resumed_reader(path, reader.positions()))


def test_a_damaged_parquet_file_is_named(tmp_path: Path) -> None:
    buffer = io.BytesIO()
    pl.DataFrame({"value": ORDERS}).write_parquet(buffer)
    with pytest.raises(SourceError, match=r"raw\.parquet: cannot be read as Parquet"):
        drain(reader_of(tmp_path / "raw.parquet", buffer.getvalue()[:-100]))


def test_a_file_reader_is_a_reader(tmp_path: Path) -> None:
    reader: Reader = reader_of(tmp_path / "order-0.ndjson", CONTENT)
    reader.read(None)
    reader.close()
    assert not reader.finished or reader.positions()
    assert reader.lag() == {}
