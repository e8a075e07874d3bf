import errno
import os
import pickle
import threading
import time
from collections.abc import Callable
from pathlib import Path

import msgspec
import pytest

from events.records import AlertRecord
from sinks.files import FileSink, prepare_directory
from sinks.sink import Sink, SinkError
from tests.sinks.samples import ALERT, EVERY_KIND, HOLD, SNAPSHOT, alert

FILES = [
    "alerts.ndjson",
    "dead_letters.ndjson",
    "diffs.ndjson",
    "holds.ndjson",
    "late.ndjson",
    "versions.ndjson",
]


def ids(directory: Path, name: str) -> list[str]:
    return [msgspec.json.decode(line)["id"] for line in (directory / name).read_bytes().splitlines()]


def until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 20
    while not condition():
        assert time.monotonic() < deadline, "did not come to pass within 20 s"
        time.sleep(0.01)


def names(directory: Path) -> list[str]:
    return sorted(path.name for path in directory.iterdir())


def test_each_kind_of_record_has_a_file_and_each_record_a_line(tmp_path: Path) -> None:
    sink: Sink = FileSink(tmp_path / "new" / "out")
    sink.write(EVERY_KIND)
    sink.write([alert(id="a2", reason="line\nbreak")])
    sink.close()
    lines = {path.name: path.read_bytes().splitlines() for path in (tmp_path / "new" / "out").iterdir()}
    assert {name: len(of_file) for name, of_file in lines.items()} == dict.fromkeys(FILES, 1) | {"alerts.ndjson": 2}
    alerts = [msgspec.json.decode(line, type=AlertRecord) for line in lines["alerts.ndjson"]]
    assert alerts == [ALERT, alert(id="a2", reason="line\nbreak")]


def test_a_run_without_records_leaves_empty_files(tmp_path: Path) -> None:
    FileSink(tmp_path).close()
    assert {path.name: path.stat().st_size for path in tmp_path.iterdir()} == dict.fromkeys(FILES, 0)


def test_order_snapshots_are_left_out(tmp_path: Path) -> None:
    sink = FileSink(tmp_path)
    sink.write([SNAPSHOT])
    sink.close()
    assert all(path.stat().st_size == 0 for path in tmp_path.iterdir())


def test_flushed_lines_can_be_read_while_the_sink_is_open(tmp_path: Path) -> None:
    sink = FileSink(tmp_path)
    sink.write([HOLD])
    sink.flush()
    assert (tmp_path / "holds.ndjson").read_bytes().endswith(b"}\n")
    sink.close()


def test_outputs_of_an_earlier_run_are_not_mixed_with_new_ones(tmp_path: Path) -> None:
    (tmp_path / "alerts-3.ndjson").touch()
    with pytest.raises(SinkError, match=r"already holds outputs \(alerts-3.ndjson\); choose another directory"):
        FileSink(tmp_path)


def test_asked_to_overwrite_outputs_of_an_earlier_run_are_gone_and_other_files_stay(tmp_path: Path) -> None:
    for name in ("alerts-3.ndjson", "alerts.ndjson", "truth.ndjson"):
        (tmp_path / name).write_text("old\n")
    FileSink(tmp_path, overwrite=True).close()
    assert names(tmp_path) == sorted([*FILES, "truth.ndjson"])
    assert (tmp_path / "alerts.ndjson").read_text() == ""


def test_processes_share_a_directory_in_parts(tmp_path: Path) -> None:
    prepare_directory(tmp_path)
    for part in (0, 1):
        sink = FileSink(tmp_path, part=part)
        sink.write([alert(id=f"a{part}")])
        sink.close()
    assert "alerts-0.ndjson" in names(tmp_path)
    assert "dead_letters-1.ndjson" in names(tmp_path)
    assert b'"id":"a1"' in (tmp_path / "alerts-1.ndjson").read_bytes()


class Disk:
    """Stands between a sink and its files: takes only so many bytes until there is space again."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, space: int) -> None:
        self.space = space
        self._write = os.write
        monkeypatch.setattr("sinks.output_file.os.write", self.write)

    def write(self, descriptor: int, data: bytes) -> int:
        if self.space == 0:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        written = self._write(descriptor, bytes(data[: self.space]))
        self.space -= written
        return written


@pytest.mark.parametrize("space", [0, 1, 700, 1_500])
def test_a_full_disk_holds_the_flow_back_and_no_line_is_torn_or_doubled(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, space: int
) -> None:
    sink = FileSink(tmp_path)
    disk = Disk(monkeypatch, space)
    sink.write([alert(id=f"a{number}") for number in range(10)])
    flushing = threading.Thread(target=sink.flush, daemon=True)
    flushing.start()
    until(lambda: sink.waiting is not None)
    assert (waiting := sink.waiting) is not None
    assert waiting.reason == f"{tmp_path}/alerts.ndjson: No space left on device; free some space"
    assert flushing.is_alive()
    disk.space = 1 << 30
    flushing.join(10)
    assert sink.waiting is None
    sink.close()
    assert ids(tmp_path, "alerts.ndjson") == [f"a{number}" for number in range(10)]


def test_a_run_that_was_asked_to_stop_does_not_wait_for_space_for_ever(tmp_path: Path) -> None:
    (tmp_path / "alerts-0.ndjson").symlink_to("/dev/full")
    stopping = threading.Event()
    sink = FileSink(tmp_path, part=0, give_up=stopping.is_set)
    sink.write([ALERT])
    threading.Timer(0.3, stopping.set).start()
    with pytest.raises(SinkError, match=r"asked to stop after waiting for .* No space left on device"):
        sink.flush()
    with pytest.raises(SinkError, match="No space left on device"):
        sink.close()


def test_a_disk_that_fails_ends_the_flow(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(descriptor: int) -> None:
        raise OSError(errno.EIO, os.strerror(errno.EIO))

    sink = FileSink(tmp_path)
    monkeypatch.setattr("sinks.output_file.os.fdatasync", fail)
    sink.write([ALERT])
    with pytest.raises(SinkError, match=r"Input/output error; check that the disk is sound"):
        sink.positions()


def test_a_directory_that_cannot_be_made_is_an_error_with_a_remedy(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(SinkError, match=r"Not a directory|File exists"):
        FileSink(tmp_path / "file")


def test_an_error_keeps_its_parts_on_the_way_to_another_process() -> None:
    error = pickle.loads(pickle.dumps(SinkError("Kafka at b:9092", "too large", "raise the limit", "alerts", "O-1")))
    assert str(error) == "Kafka at b:9092, topic alerts, key O-1: too large; raise the limit"
    assert (error.topic, error.key, error.remedy) == ("alerts", "O-1", "raise the limit")
