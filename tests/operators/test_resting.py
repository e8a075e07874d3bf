"""Cells at rest: a table of bytes that behaves like a dict and takes a tenth of its room."""

from collections.abc import Callable

import pytest
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule, run_state_machine_as_test

from operators.heart import resting
from operators.heart.resting import Resting, mark_of

KEYS = st.text(max_size=6)
CELLS = st.tuples(st.integers(0, 3), st.binary(max_size=40)).map(lambda cell: cell[0].to_bytes(8, "big") + cell[1])


def taken(cells: Resting, key: str) -> bytes | bytearray | None:
    """The cell of a key, packed or not."""
    loose = cells.pop_loose(key)
    return cells.pop(key) if loose is None else loose


class RestingAndADict(RuleBasedStateMachine):
    """Whatever is laid down and taken up."""

    def __init__(self) -> None:
        super().__init__()
        self.resting = Resting()
        self.plain: dict[str, bytes] = {}
        self.filed: list[tuple[int, int]] = []

    @rule(key=KEYS, cell=CELLS)
    def lies_down(self, key: str, cell: bytes) -> None:
        """A key that is there already is taken up first, as it always is."""
        if key in self.plain:
            assert bytes(taken(self.resting, key) or b"") == self.plain.pop(key)
        assert self.resting.put(key, cell) == resting.mark_of(key.encode())
        self.plain[key] = cell

    @rule(key=KEYS)
    def is_taken_up(self, key: str) -> None:
        """Or was not there."""
        cell = taken(self.resting, key)
        assert (None if cell is None else bytes(cell)) == self.plain.pop(key, None)

    @rule(which=st.integers(0, 30))
    def one_that_is_there_is_taken_up(self, which: int) -> None:
        """Else it would seldom be one."""
        if self.plain:
            key = sorted(self.plain)[which % len(self.plain)]
            assert bytes(taken(self.resting, key) or b"") == self.plain.pop(key)

    @rule(key=KEYS, wake=st.integers(0, 3))
    def is_asked_for_by_mark_and_moment(self, key: str, wake: int) -> None:
        """As timers do."""
        expected = {
            other
            for other, cell in self.plain.items()
            if other not in self.loose()
            and resting.mark_of(other.encode()) == resting.mark_of(key.encode())
            and int.from_bytes(cell[:8], "big") == wake
        }
        assert set(self.resting.due(resting.mark_of(key.encode()), wake)) == expected
        assert {key for _, key in self.resting.loose_due(wake, wake + 1)} == {
            key for key in self.loose() if int.from_bytes(self.plain[key][:8], "big") == wake
        }

    @rule()
    def begins_anew_with_what_a_snapshot_holds(self) -> None:
        """Nothing is packed yet."""
        self.resting = Resting()
        self.resting.adopt(self.plain)
        self.filed = []

    @rule(most=st.integers(0, 5))
    def settles(self, most: int) -> None:
        """Whoever is to be woken is filed, with the mark that it is found by."""
        before = len(self.loose())
        self.resting.settle(most, lambda wake, mark: self.filed.append((wake, mark)))
        assert len(self.loose()) == max(0, before - most)
        for wake, mark in self.filed:
            assert wake > 0
            assert mark >= 0x8000_0000

    def loose(self) -> set[str]:
        """The keys that are not packed."""
        return {*self.resting._loose}

    @invariant()
    def holds_what_the_dict_holds(self) -> None:
        """Nothing more, nothing twice."""
        found = list(self.resting.items())
        assert len(found) == len(self.resting) == len(self.plain)
        assert dict(found) == self.plain


def few_marks(key: bytes) -> int:
    """Keys that meet all the time."""
    return 0x8000_0000 | mark_of(key) % 3


@pytest.mark.parametrize("marks", [mark_of, few_marks], ids=["as they are", "keys that share their marks"])
def test_cells_at_rest_behave_as_in_a_dict(marks: Callable[[bytes], int], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(resting, "mark_of", marks)
    monkeypatch.setattr(resting, "_LOOSE", 4)  # so small that gaps are closed within a few steps
    run_state_machine_as_test(RestingAndADict)


def test_a_million_bytes_of_cells_take_little_more_than_that() -> None:
    cells = Resting()
    for number in range(10_000):
        cells.put(f"order-{number:06d}", bytes(88))
    assert cells.size <= 10_000 * (12 + 88 + 40)


def test_what_is_taken_up_and_laid_down_again_and_again_takes_no_more_room() -> None:
    cells = Resting()
    for number in range(1_000):
        cells.put(str(number), bytes(8 + number % 50))
    before = cells.size
    for turn in range(50):
        for number in range(1_000):
            cells.pop(str(number))
            cells.put(str(number), bytes(8 + (number + turn) % 50))
    assert cells.size <= 2 * before
    assert len(cells) == 1_000


def test_a_cell_of_any_length_has_its_place() -> None:
    cells, lengths = Resting(), [8, 65_530, 8, 65_536, 200_000, 8, 1_000_000, 9, 65_500]
    for number, length in enumerate(lengths):
        cells.put(str(number), bytes(length))
    for number, length in enumerate(lengths):
        assert bytes(cells.pop(str(number)) or b"") == bytes(length)
        cells.put(str(number), bytes(length + 1))
    assert {key: len(cell) for key, cell in cells.items()} == {
        str(number): length + 1 for number, length in enumerate(lengths)
    }


def test_a_table_that_was_emptied_is_small_again() -> None:
    cells = Resting()
    for number in range(50_000):
        cells.put(str(number), bytes(30))
    for number in range(49_990):
        assert cells.pop(str(number)) is not None
    assert cells.size < 200_000 + 8 * len(cells._table)
    assert sorted(key for key, _ in cells.items()) == [str(number) for number in range(49_990, 50_000)]
