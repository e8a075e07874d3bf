import pickle
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


def test_a_full_disk_stops_the_flow(tmp_path: Path) -> None:
    (tmp_path / "alerts-0.ndjson").symlink_to("/dev/full")
    sink = FileSink(tmp_path, part=0)
    sink.write([ALERT])
    with pytest.raises(SinkError, match="No space left on device"):
        sink.flush()
    with pytest.raises(SinkError, match="check that there is space left"):
        sink.close()


def test_a_directory_that_cannot_be_made_is_an_error_with_a_remedy(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(SinkError, match=r"Not a directory|File exists"):
        FileSink(tmp_path / "file")


def test_an_error_keeps_its_parts_on_the_way_to_another_process() -> None:
    error = pickle.loads(pickle.dumps(SinkError("Kafka at b:9092", "too large", "raise the limit", "alerts", "O-1")))
    assert str(error) == "Kafka at b:9092, topic alerts, key O-1: too large; raise the limit"
    assert (error.topic, error.key, error.remedy) == ("alerts", "O-1", "raise the limit")
