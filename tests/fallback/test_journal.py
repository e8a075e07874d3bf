"""The journal: what it said yes to is there after a crash, and nothing that it did not."""

import os
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sources.fallback.journal import Journal, Place, read_journal
from sources.reader import SourceError
from tests.fallback.support import taken


def numbers(journal: Journal) -> list[str]:
    return [order.order_id for entry in journal.waiting for order in entry.orders]


def written(directory: Path, *batches: tuple[str, ...]) -> list[Place]:
    """Places behind the batches, in a journal that is closed again."""
    journal = Journal(directory)
    entries = journal.append([tuple(taken(number) for number in batch) for batch in batches])
    journal.close()
    return [entry.end for entry in entries]


def reopened(directory: Path) -> list[str]:
    journal = Journal(directory)
    journal.close()
    return numbers(journal)


def test_what_was_kept_is_there_again(tmp_path: Path) -> None:
    written(tmp_path, ("A",), ("B", "C"))
    assert reopened(tmp_path) == ["A", "B", "C"]
    written(tmp_path, ("D",))
    assert reopened(tmp_path) == ["A", "B", "C", "D"]


def test_what_the_broker_has_does_not_wait_any_more(tmp_path: Path) -> None:
    first, second = written(tmp_path, ("A",), ("B",))
    for place, left in ((first, ["B"]), (second, [])):
        journal = Journal(tmp_path)
        journal.delivered(place)
        journal.close()
        assert reopened(tmp_path) == left


@given(st.integers(0, 10_000))
def test_a_write_that_a_crash_cut_off_is_there_whole_or_not_at_all(tmp_path_factory: Any, cut: int) -> None:
    directory = tmp_path_factory.mktemp("journal")
    first, second = written(directory, ("A",), ("B", "C"))
    path = directory / "00000001.journal"
    size = min(cut, second.offset)
    os.truncate(path, size)
    whole = ["A"] * (size >= first.offset) + ["B", "C"] * (size >= second.offset)
    assert reopened(directory) == whole
    written(directory, ("D",))
    assert reopened(directory) == [*whole, "D"]


def test_damage_in_the_middle_is_no_crash_and_is_refused(tmp_path: Path) -> None:
    first, _, _ = written(tmp_path, ("A",), ("B",), ("C",))
    path = tmp_path / "00000001.journal"
    data = bytearray(path.read_bytes())
    data[first.offset + 30] ^= 1
    path.write_bytes(data)
    with pytest.raises(SourceError, match=f"is damaged at byte {first.offset}"):
        Journal(tmp_path)


def test_another_process_on_the_same_journal_is_refused(tmp_path: Path) -> None:
    journal = Journal(tmp_path)
    with pytest.raises(SourceError, match="another process has this journal"):
        Journal(tmp_path)
    journal.close()


def test_segments_that_are_delivered_are_gone(tmp_path: Path) -> None:
    journal = Journal(tmp_path, segment_bytes=1)
    (first,), (second,) = (journal.append([(taken(number),)]) for number in "AB")
    assert (first.end.segment, second.end.segment) == (1, 2)
    journal.delivered(first.end)
    journal.delivered(second.end)
    journal.close()
    assert [path.name for path in sorted(tmp_path.glob("*.journal"))] == ["00000002.journal"]
    assert reopened(tmp_path) == []


def test_after_a_failed_write_nothing_of_it_is_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    journal = Journal(tmp_path)
    journal.append([(taken("A"),)])

    def full(_: int) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patched:
        patched.setattr(os, "fdatasync", full)
        with pytest.raises(OSError, match="No space left"):
            journal.append([(taken("B"),)])
    journal.append([(taken("C"),)])
    journal.close()
    assert reopened(tmp_path) == ["A", "C"]


def test_nobody_else_on_the_machine_may_read_it(tmp_path: Path) -> None:
    directory = tmp_path / "journal"
    written(directory, ("A",))
    assert directory.stat().st_mode & 0o077 == 0
    assert all(path.stat().st_mode & 0o077 == 0 for path in directory.glob("*.journal"))


def test_a_journal_can_be_read_while_it_is_written(tmp_path: Path) -> None:
    journal = Journal(tmp_path)
    journal.append([(taken("A"),), (taken("B"),)])
    assert [order.order_id for order in read_journal(tmp_path)] == ["A", "B"]
    journal.close()
