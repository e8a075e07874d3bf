"""Cells: whether a key is live or at rest shows in nothing but the memory it takes."""

import sys
from collections.abc import Mapping
from copy import deepcopy
from heapq import heappop
from typing import Any

import pytest
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule
from msgspec import Struct

from config.loader import load_settings
from operators.heart.cells import Cells
from operators.heart.component import Context, Environment, Handler, StatefulComponent
from operators.heart.duplicates import Duplicates
from operators.heart.timers import Timers

ENVIRONMENT = Environment(load_settings(), 4)
HORIZON = 1_000
DAY = 86_400_000
KEYS = st.sampled_from("abcde")
AHEAD = st.one_of(st.integers(1, 50), st.integers(1, 500_000))
SLOTS = 3  # two components, and the ids


class Notes(Struct):
    """What the components of these tests remember of a key."""

    said: list[str]


class First(StatefulComponent[Notes]):
    """Remembers notes."""

    name = "first"
    stage = "orders"
    state_type = Notes

    def handlers(self) -> Mapping[type, Handler]:
        return {}


class Second(First):
    """Remembers others."""

    name = "second"


def resting(cells: Cells) -> set[str]:
    """The keys that are at rest."""
    return {key for key, _ in cells._resting.items()}


class Undisturbed(Struct):
    """The plain model of a key: nothing is ever laid to rest."""

    said: list[list[str] | None]
    dues: list[int]


def parts() -> list[StatefulComponent[Notes]]:
    return [kind(Context(ENVIRONMENT, "orders")) for kind in (First, Second)]


def cells_of(live_limit: int) -> tuple[Cells, Timers, list[StatefulComponent[Notes]]]:
    components, timers = parts(), Timers()
    return Cells(components, timers, live_limit, SLOTS), timers, components


class CellsAndAPlainDict(RuleBasedStateMachine):
    """Whatever happens to keys, the cells answer as a plain dict does, and a store of changes can be gone on from."""

    live_limit = 1

    def __init__(self) -> None:
        super().__init__()
        self.cells, self.timers, self.components = cells_of(self.live_limit)
        self.plain: dict[str, Undisturbed] = {}
        self.now = 0
        self.base: dict[str, bytes] = {}
        self.changes: list[dict[str, bytes | None]] = []
        self.stored: tuple[dict[str, Undisturbed], int] = ({}, 0)

    def _plain(self, key: str) -> Undisturbed:
        return self.plain.setdefault(key, Undisturbed([None, None], [0] * SLOTS))

    @rule(key=KEYS, slot=st.integers(0, 1), word=st.sampled_from(["paid", "已付款", ""]))
    def hears(self, key: str, slot: int, word: str) -> None:
        """A component hears of a key and remembers it."""
        self.cells.touch(key)
        states = self.components[slot].states
        if key in states:
            states[key].said.append(word)
        else:
            states[key] = Notes([word])
        plain = self._plain(key)
        plain.said[slot] = [*(plain.said[slot] or ()), word]

    @rule(key=KEYS, slot=st.integers(0, 1))
    def forgets(self, key: str, slot: int) -> None:
        """A component has no more to remember of a key."""
        self.cells.touch(key)
        self.components[slot].states.pop(key, None)
        self._plain(key).said[slot] = None

    @rule(key=KEYS, slot=st.integers(0, SLOTS - 1), ahead=AHEAD)
    def arms(self, key: str, slot: int, ahead: int) -> None:
        """Somebody wants to be woken for a key."""
        self.cells.touch(key)
        self.cells.arm(slot, key, self.now + ahead)
        dues = self._plain(key).dues
        dues[slot] = min(dues[slot] or sys.maxsize, self.now + ahead)

    @rule(ahead=AHEAD)
    def time_goes_on(self, ahead: int) -> None:
        """Everybody is woken in time, by time and key."""
        self.now += ahead
        expected = []
        for key, plain in self.plain.items():
            for slot, due in enumerate(plain.dues):
                if 0 < due <= self.now:
                    expected.append((due, key, slot))
                    plain.dues[slot] = 0
        assert list(self._woken()) == sorted(expected)

    def _woken(self) -> Any:
        """As a key group does it."""
        self.cells.reach(self.now)
        while self.timers.heap and self.timers.heap[0][0] <= self.now:
            due, key = heappop(self.timers.heap)
            cell = self.cells.woken_by(key, due)
            if cell is None or cell.dues is None:
                continue
            assert key in self.cells.live
            for slot, asked in enumerate(cell.dues):
                if 0 < asked <= due:
                    cell.dues[slot] = 0
                    yield asked, key, slot
            cell.wake = min(filter(None, cell.dues), default=0)
            if cell.wake:
                self.timers.schedule(cell.wake, key)

    @rule()
    def is_tidied(self) -> None:
        """A key group does it after each advance."""
        self.cells.tidy()
        assert len(self.cells.live) <= max(self.live_limit, len(self.plain) // 2 + 1)

    @rule()
    def is_stored(self) -> None:
        """An epoch ends."""
        self.changes.append(self.cells.changes())
        assert self.cells.changes() == {}
        self.stored = deepcopy(self.plain), self.now

    @rule()
    def is_stored_as_a_new_base(self) -> None:
        """An epoch ends, and all is stored."""
        self.cells.changes()
        self.base, self.changes = self.cells.all(), []
        self.stored = deepcopy(self.plain), self.now

    @precondition(lambda self: self.changes or self.base)
    @rule(same=st.booleans())
    def goes_on_from_what_was_stored(self, *, same: bool) -> None:
        """A process dies: another one, or the same object, goes on from the last epoch."""
        if not same:
            self.cells, self.timers, self.components = cells_of(self.live_limit)
        self.cells.restore((self.base, *self.changes), recording=True)
        self.plain, self.now = deepcopy(self.stored[0]), self.stored[1]

    @invariant()
    def all_states_are_as_in_the_dict(self) -> None:
        """Live ones and resting ones."""
        found = {key: [part and part.said for part in states] for key, states in self.cells.states()}
        empty = [None, None]
        assert {key: said for key, said in found.items() if said != empty} == {
            key: plain.said for key, plain in self.plain.items() if plain.said != empty
        }

    @invariant()
    def a_key_is_live_or_rests_but_never_both(self) -> None:
        """So nothing is there in two versions."""
        assert not self.cells.live.keys() & resting(self.cells)
        assert len(self.cells) == len(self.cells.live) + len(self.cells._resting)
        for component in self.components:
            assert component.states.keys() <= self.cells.live.keys()

    @invariant()
    def a_key_of_which_nothing_is_known_is_not_kept(self) -> None:
        """It takes no room in the store, and none here once it was laid to rest."""
        for key in (*self.cells.all(), *resting(self.cells)):
            assert any(self.plain[key].dues) or any(said is not None for said in self.plain[key].said)


class WithTwoLive(CellsAndAPlainDict):
    """Of two live cells the older one is laid to rest."""

    live_limit = 2


class WithAllLive(CellsAndAPlainDict):
    """Cells are laid to rest by snapshots alone."""

    live_limit = 1_000_000


TestWithOneLive = CellsAndAPlainDict.TestCase
TestWithTwoLive = WithTwoLive.TestCase
TestWithAllLive = WithAllLive.TestCase


def test_the_first_changes_are_all_cells_then_only_those_that_were_touched() -> None:
    cells, _, (first, _) = cells_of(100)
    for key in "abc":
        cells.touch(key)
        first.states[key] = Notes([key])
    assert cells.changes().keys() == {"a", "b", "c"}
    cells.touch("b")
    assert cells.changes().keys() == {"b"}
    assert cells.changes() == {}


@pytest.mark.parametrize("live_limit", [1, 100])
def test_a_key_that_is_gone_is_named_among_the_changes_and_takes_no_room(live_limit: int) -> None:
    cells, _, (first, _) = cells_of(live_limit)
    for key in "ab":
        cells.touch(key)
        first.states[key] = Notes(["paid"])
    cells.changes()
    for key in "ab":
        cells.touch(key)
        del first.states[key]
        cells.tidy()
    assert cells.changes() == {"a": None, "b": None}
    assert len(cells) == 0


def test_nothing_is_noted_down_of_changes_that_nobody_asks_for() -> None:
    cells, _, (first, _) = cells_of(1)
    for number in range(100):
        cells.touch(str(number))
        first.states[str(number)] = Notes([])
        cells.tidy()
    del first.states["99"]
    assert not cells._touched
    assert not cells._changed


def test_of_the_live_cells_the_older_half_is_laid_to_rest() -> None:
    cells, _, (first, _) = cells_of(3)
    for key in "abcd":
        cells.touch(key)
        first.states[key] = Notes([])
    cells.tidy()
    assert list(cells.live) == ["c", "d"]
    assert list(first.states) == ["c", "d"]
    assert resting(cells) == {"a", "b"}


def test_a_cell_that_a_stale_timer_has_woken_is_told_in_the_first_snapshot() -> None:
    cells, _, _ = cells_of(0)
    for key in "ab":
        cells.touch(key)
    cells.arm(0, "a", 500)
    cells.arm(1, "a", 200)
    cells.tidy()
    assert resting(cells) == {"a"}
    assert cells.woken_by("a", 500) is None
    assert cells.changes()["a"] is not None


def test_a_timer_of_a_resting_key_that_asked_for_an_earlier_one_since_does_not_wake_it() -> None:
    cells, timers, _ = cells_of(0)
    for key in "ab":
        cells.touch(key)
    cells.arm(0, "a", 500)
    cells.arm(1, "a", 200)
    cells.tidy()
    assert "a" in resting(cells)
    assert cells.woken_by("a", 500) is None
    cell = cells.woken_by("a", 200)
    assert cell is not None
    assert cell.dues == [500, 200, 0]
    cells.reach(1_000)
    assert timers.heap == [(200, "a")]


def test_the_ids_of_a_key_rest_with_it() -> None:
    cells, _, _ = cells_of(1)
    known = Duplicates(HORIZON)
    for key in "ab":
        assert not known.seen(cells.touch(key).ids, "oms", "1", 5)
        cells.tidy()
    assert "a" in resting(cells)
    assert known.seen(cells.touch("a").ids, "oms", "1", 5)
    assert not known.seen(cells.touch("c").ids, "oms", "1", 5)


def test_a_deadline_that_came_near_while_its_key_was_live_still_wakes_it_at_rest() -> None:
    cells, timers, _ = cells_of(0)
    for key in "ab":
        cells.touch(key)
    cells.arm(0, "a", 2 * DAY)
    cells.reach(2 * DAY - 1)
    cells.tidy()
    assert "a" in resting(cells)
    assert timers.heap == [(2 * DAY, "a")]
    assert cells.woken_by("a", 2 * DAY) is not None


def test_a_deadline_is_filed_once_however_often_its_key_is_woken_and_rests() -> None:
    cells, timers, _ = cells_of(0)
    for key in "ab":
        cells.touch(key)
        cells.arm(0, key, 2 * DAY)
    for _ in range(10):
        for key in "ab":
            cells.touch(key)
        cells.tidy()
    cells.reach(2 * DAY)
    assert sorted(timers.heap) == [(2 * DAY, "a"), (2 * DAY, "b")]


def test_a_deadline_of_a_snapshot_wakes_its_key_whenever_it_was_touched_in_between() -> None:
    cells, _, _ = cells_of(0)
    for key in "ab":
        cells.touch(key)
        cells.arm(0, key, 2 * DAY)
    stored = cells.all()
    again, timers, _ = cells_of(0)
    again.restore((stored,), recording=False)
    for key in "ab":
        again.touch(key)
    again.tidy()
    assert resting(again) == {"a"}
    again.reach(2 * DAY)
    assert sorted(timers.heap) == [(2 * DAY, "a"), (2 * DAY, "b")]
