"""After a restart the flow writes again what it wrote after its snapshot; the files hold it once."""

from pathlib import Path

import msgspec
import pytest

from events.records import Record
from sinks.files import FileSink, mend
from tests.sinks.samples import DEAD_LETTER, EVERY_KIND, NOON, alert
from tests.sinks.test_files import FILES, ids, names

DAY = 86_400_000


def alerts(*numbers: int) -> list[Record]:
    return [alert(id=f"a{number}") for number in numbers]


def killed(sink: FileSink, *records: Record) -> dict[str, int]:
    """Its last snapshot's positions; then it writes the records, which reach the system, and is gone."""
    positions = sink.positions()
    sink.write(records)
    sink.flush()
    return positions


def restarted(directory: Path, positions: dict[str, int], part: int | None = None) -> FileSink:
    sink = FileSink(directory, resume=True, part=part)
    sink.resume(positions)
    return sink


def test_positions_are_the_lengths_of_the_files(tmp_path: Path) -> None:
    sink = FileSink(tmp_path)
    assert sink.positions() == dict.fromkeys(FILES, 0)
    sink.write(alerts(1))
    positions = sink.positions()
    assert positions == {name: (tmp_path / name).stat().st_size for name in FILES}
    assert positions["alerts.ndjson"] > 0
    sink.close()


def test_what_was_written_after_the_snapshot_stands_there_once(tmp_path: Path) -> None:
    former = FileSink(tmp_path)
    former.write(alerts(1, 2))
    positions = killed(former, *alerts(3, 4))
    sink = restarted(tmp_path, positions)
    sink.write(alerts(3, 4, 5))
    sink.close()
    assert ids(tmp_path, "alerts.ndjson") == ["a1", "a2", "a3", "a4", "a5"]


def test_every_kind_of_record_is_recognized(tmp_path: Path) -> None:
    positions = killed(FileSink(tmp_path), *EVERY_KIND)
    before = {name: (tmp_path / name).read_bytes() for name in FILES}
    sink = restarted(tmp_path, positions)
    sink.write(EVERY_KIND)
    sink.close()
    assert {name: (tmp_path / name).read_bytes() for name in FILES} == before


def test_a_torn_last_line_is_cut_off_and_written_again(tmp_path: Path) -> None:
    positions = killed(FileSink(tmp_path), *alerts(1, 2))
    path = tmp_path / "alerts.ndjson"
    path.write_bytes(path.read_bytes()[:-200])
    sink = restarted(tmp_path, positions)
    sink.write(alerts(1, 2))
    sink.close()
    assert ids(tmp_path, "alerts.ndjson") == ["a1", "a2"]


@pytest.mark.parametrize("torn", [b"half a li", b"\0" * 200_000], ids=["a part of a line", "a gap left by the machine"])
def test_torn_lines_of_all_parts_are_cut_off_and_other_files_stay(tmp_path: Path, torn: bytes) -> None:
    for name in ("alerts-0.ndjson", "holds-7.ndjson", "late.ndjson", "truth.ndjson"):
        (tmp_path / name).write_bytes(b"one\ntwo\n" + torn)
    (tmp_path / "diffs.ndjson").write_bytes(torn)
    assert mend(tmp_path) == dict.fromkeys(
        ("alerts-0.ndjson", "diffs.ndjson", "holds-7.ndjson", "late.ndjson"), len(torn)
    )
    assert (tmp_path / "holds-7.ndjson").read_bytes() == b"one\ntwo\n"
    assert (tmp_path / "diffs.ndjson").read_bytes() == b""
    assert (tmp_path / "truth.ndjson").read_bytes().endswith(torn)
    assert mend(tmp_path) == {}


def test_one_process_goes_on_with_the_outputs_of_several(tmp_path: Path) -> None:
    first, second = (FileSink(tmp_path, resume=True, part=part) for part in (0, 1))
    of_first, of_second = killed(first, *alerts(1)), killed(second, *alerts(2))
    positions = {name: min(of_first.get(name, at), at) for name, at in of_second.items()}
    sink = restarted(tmp_path, positions)
    sink.write(alerts(1, 2, 3))
    assert sink.positions().items() >= {"alerts-0.ndjson": (tmp_path / "alerts-0.ndjson").stat().st_size}.items()
    # And after one more crash nothing of the former parts is read again.
    later = restarted(tmp_path, killed(sink, *alerts(4)))
    assert later.positions()["alerts-1.ndjson"] == (tmp_path / "alerts-1.ndjson").stat().st_size
    later.write(alerts(4, 5))
    later.close()
    assert [ids(tmp_path, name) for name in ("alerts-0.ndjson", "alerts-1.ndjson", "alerts.ndjson")] == [
        ["a1"],
        ["a2"],
        ["a3", "a4", "a5"],
    ]


def test_several_processes_go_on_with_the_outputs_of_one(tmp_path: Path) -> None:
    positions = killed(FileSink(tmp_path), *alerts(1, 2, 3))
    first, second = (restarted(tmp_path, positions, part) for part in (0, 1))
    first.write(alerts(1, 3))
    second.write(alerts(2, 4))
    assert first.positions()["alerts.ndjson"] == positions["alerts.ndjson"], "a2 may still come, for all it knows"
    first.passed(NOON + DAY)
    assert first.positions()["alerts.ndjson"] > 0
    first.close()
    second.close()
    assert ids(tmp_path, "alerts-1.ndjson") == ["a4"]
    assert ids(tmp_path, "alerts-0.ndjson") == []


def test_until_everything_has_come_again_a_snapshot_keeps_the_old_position(tmp_path: Path) -> None:
    former = FileSink(tmp_path)
    former.write(alerts(0))
    positions = killed(former, *alerts(1, 2))
    sink = restarted(tmp_path, positions)
    sink.write(alerts(1))
    assert sink.positions()["alerts.ndjson"] == positions["alerts.ndjson"]
    again = restarted(tmp_path, sink.positions())
    again.write(alerts(2))
    again.close()
    assert ids(tmp_path, "alerts.ndjson") == ["a0", "a1", "a2"]
    sink.write(alerts(2))
    assert sink.positions()["alerts.ndjson"] == (tmp_path / "alerts.ndjson").stat().st_size


def test_a_dead_letter_without_an_arrival_is_remembered_until_it_comes(tmp_path: Path) -> None:
    letters = (DEAD_LETTER, msgspec.structs.replace(DEAD_LETTER, id="f@3", arrival=None))
    sink = restarted(tmp_path, killed(FileSink(tmp_path), *letters))
    sink.passed(NOON + 1000 * DAY)
    sink.write(letters)
    sink.close()
    assert ids(tmp_path, "dead_letters.ndjson") == [DEAD_LETTER.id, "f@3"]


def test_a_position_within_a_line_begins_with_that_line(tmp_path: Path) -> None:
    killed(FileSink(tmp_path), *alerts(1, 2))
    sink = restarted(tmp_path, {"alerts.ndjson": 3})
    sink.write(alerts(1, 2))
    sink.close()
    assert ids(tmp_path, "alerts.ndjson") == ["a1", "a2"]


def test_a_file_shorter_than_its_position_is_another_one_and_read_wholly(tmp_path: Path) -> None:
    killed(FileSink(tmp_path), *alerts(1))
    sink = restarted(tmp_path, {"alerts.ndjson": 1 << 40})
    sink.write(alerts(1))
    sink.close()
    assert ids(tmp_path, "alerts.ndjson") == ["a1"]


def test_going_on_in_a_new_directory_begins_there(tmp_path: Path) -> None:
    FileSink(tmp_path / "new", resume=True).close()
    assert names(tmp_path / "new") == FILES
