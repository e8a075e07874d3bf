"""A key group laid down in parts goes on from any epoch that was committed, as if nothing had happened."""

import time
from collections.abc import Mapping
from pathlib import Path
from random import Random
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, precondition, rule
from msgspec import Struct

from config.loader import load_settings
from dataflows.ahead import Ahead
from dataflows.keeping import (
    BASE,
    FIRST_LEVEL,
    PLACES,
    SECOND_LEVEL,
    GroupKeeper,
    Pieces,
    least,
    number_of,
    read_head,
)
from dataflows.memory import MemoryDriver
from dataflows.seals import sealed, unsealed
from dataflows.store_errors import StoreError
from dataflows.worker import Worker
from events.model import AnyEvent
from events.records import Record
from operators.heart.component import Environment
from operators.heart.lateness import ClockSnapshot
from operators.heart.snapshots import GroupHead, SnapshotError, decode_snapshot
from operators.topology import topology
from tests.operators.timeline import event
from tests.oracle.generate import events
from tests.support.flow import batch, driver, outputs

SETTINGS = load_settings()
EVENTS = events(SETTINGS)
DAY = [
    *(f"10:{minute:02d} created O{minute} customer=C{minute % 4} address=home" for minute in range(20)),
    *(f"10:{minute:02d} paid O{minute - 20}" for minute in range(20, 40)),
    *(f"10:{minute:02d} queued O{minute - 40}" for minute in range(40, 60)),
]


class Stored(Struct, frozen=True):
    """What a recovery store holds at one committed epoch; ``read`` counts the events up to there."""

    head: bytes
    parts: Mapping[int, bytes]
    clocks: Mapping[str, ClockSnapshot]
    read: int


class OneGroup:
    """All stages with a single key group, its keeper, and what its store came to hold, epoch by epoch."""

    def __init__(self, number: int, *, live_cells: int = 2_048, compiled: bool = True) -> None:
        self.number = number
        self._live_cells = live_cells
        self._compiled = compiled
        self.flow = self._fresh_flow()
        self.keeper = GroupKeeper(number)
        self.keeper.stages = {stage: groups[0] for stage, groups in self.flow.groups.items()}
        self.epochs: list[Stored] = []
        self.read = 0
        self._places: tuple[int, ...] = ()

    def _fresh_flow(self) -> MemoryDriver:
        return driver(SETTINGS, ["log"], groups=1, live_cells=self._live_cells, compiled=self._compiled)

    def feed(self, told: AnyEvent) -> list[Record]:
        """The next event."""
        self.read += 1
        records = self.flow.feed(batch("log", [(told, None)], self.read - 1))
        self._announce()
        return records

    def _announce(self) -> None:
        """The first time in an epoch that something came, the places are told where the state will be kept."""
        places = self.keeper.announce()
        assert bool(places) != bool(self._places)
        self._places = self._places or places

    def commit(self) -> int:
        """An epoch ends; the place that its changes took."""
        self._announce()
        places, self._places = self._places, ()
        head = self.keeper.head({"alerts/0": self.read})
        before = self.epochs[-1].parts if self.epochs else {}
        parts = {**before, **{place: self.keeper.take(place) for place in places}}
        self.epochs.append(Stored(head, parts, self.flow.intake.router.snapshot(), self.read))
        return places[0]

    def end(self) -> None:
        """The flow ends: the engine asks once more for all places that there are."""
        self.keeper.end()
        head = self.keeper.head({"alerts/0": self.read})
        parts = {place: self.keeper.take(place) for place in self.epochs[-1].parts}
        self._places = ()
        self.epochs.append(Stored(head, parts, self.flow.intake.router.snapshot(), self.read))

    def go_on(self, back: int, chance: Random) -> None:
        """As a new process, from the epoch that was committed ``back`` epochs ago, whatever came after it. Its walk may
        be compiled when that of the process before was not, or the other way round.
        """
        self._compiled = chance.random() < 0.5
        self.epochs = self.epochs[: len(self.epochs) - back]
        stored = self.epochs[-1]
        self.flow, self.read, self._places = self._fresh_flow(), stored.read, ()
        worker = handed_over(stored, chance, self._live_cells, compiled=self._compiled)
        assert worker.ready
        assert worker.outputs() == {"alerts/0": stored.read}
        for stage, groups in self.flow.groups.items():
            groups[0] = worker.group(stage, self.number)
        self.keeper = worker.keepers[self.number]
        self.flow.intake.resume(stored.clocks)


def handed_over(stored: Stored, chance: Random, live_cells: int = 2_048, *, compiled: bool = True) -> Worker:
    """A worker to which the engine has handed what a store holds, in any order."""
    worker = Worker(topology(Environment(SETTINGS, 1, live_cells=live_cells, compiled=compiled)))
    parts: list[tuple[int | None, bytes]] = [*stored.parts.items(), (None, stored.head)]
    chance.shuffle(parts)
    for place, part in parts:
        if place is None:
            worker.add_head(part)
        else:
            worker.add_part(place, part)
    return worker


def pieces_of(stored: Stored) -> Pieces:
    """What a store holds."""
    pieces = Pieces()
    pieces.head = read_head(stored.head)
    for place, part in stored.parts.items():
        pieces.add(place, part)
    return pieces


def whole(flow: MemoryDriver) -> dict[str, tuple[GroupHead, dict[str, Any]]]:
    """The state of all stages: heads, and cells by key. Of a key that knows no ids it does not matter until when."""
    found = {}
    for stage, groups in flow.groups.items():
        snapshot = decode_snapshot(groups[0].snapshot())
        cells = {key: (cell[:8], msgspec.msgpack.decode(cell[8:])) for key, cell in snapshot.cells.items()}
        for _, (ids, *_) in cells.values():
            ids[0] = ids[0] if ids[1] or ids[2] else None
        found[stage] = snapshot.head, cells
    return found


class KilledAndRestored(RuleBasedStateMachine):
    """Events, epochs and deaths in any order, beside a run in which nobody dies."""

    @initialize(
        told=EVENTS, number=st.integers(0, 30), live_cells=st.sampled_from((1, 2, 2_048)), compiled=st.booleans()
    )
    def begins(self, told: list[AnyEvent], number: int, live_cells: int, *, compiled: bool) -> None:
        """What will happen is known beforehand, and what comes of it undisturbed."""
        self.told = told
        self.group = OneGroup(number, live_cells=live_cells, compiled=compiled)
        undisturbed = OneGroup(0, compiled=not compiled)
        self.expected = [outputs(undisturbed.feed(each)) for each in told]
        self.at_the_end = whole(undisturbed.flow)

    @precondition(lambda self: self.group.read < len(self.told))
    @rule(count=st.integers(1, 5))
    def events_come(self, count: int) -> None:
        """Each with the same outputs as in the undisturbed run, also when it comes again."""
        for _ in range(min(count, len(self.told) - self.group.read)):
            at = self.group.read
            assert outputs(self.group.feed(self.told[at])) == self.expected[at]

    @rule(count=st.sampled_from((1, 1, 1, 5, 9, 30)))
    def epochs_end(self, count: int) -> None:
        """Some with nothing new in them."""
        for _ in range(count):
            self.group.commit()

    @precondition(lambda self: self.group.epochs)
    @rule(portions=st.integers(1, 6))
    def a_base_is_prepared(self, portions: int) -> None:
        """By a few portions, or to its end; also when none is due."""
        for _ in range(portions):
            self.group.keeper.prepare_base()

    @rule()
    def an_epoch_is_about_to_end(self) -> None:
        """Most of it is laid down; events may come still."""
        self.group.keeper.lay_ahead()

    @precondition(lambda self: self.group.epochs)
    @rule(back=st.integers(0, 3), chance=st.randoms(use_true_random=False))
    def dies(self, back: int, chance: Random) -> None:
        """The store goes on from the last epoch that all its files have, which need not be the newest."""
        self.group.go_on(min(back, len(self.group.epochs) - 1), chance)

    @precondition(lambda self: self.group.epochs)
    @rule(chance=st.randoms(use_true_random=False))
    def is_stopped_in_order(self, chance: Random) -> None:
        """And begins again."""
        self.group.end()
        self.group.go_on(0, chance)

    def teardown(self) -> None:
        """All that is left comes, and the state is as if nothing had happened."""
        if hasattr(self, "group"):
            while self.group.read < len(self.told):
                self.events_come(1)
            assert whole(self.group.flow) == self.at_the_end


TestKilledAndRestored = KilledAndRestored.TestCase
TestKilledAndRestored.settings = hypothesis_settings(stateful_step_count=25)


@pytest.fixture(scope="module")
def day() -> tuple[list[AnyEvent], list[Any]]:
    """A day of many orders, and the whole state after each event when nobody dies."""
    told = [event(text, number) for number, text in enumerate(DAY)]
    undisturbed = OneGroup(0)
    states = [whole(undisturbed.flow)]
    for each in told:
        undisturbed.feed(each)
        states.append(whole(undisturbed.flow))
    return told, states


@pytest.mark.parametrize("live_cells", [1, 3, 2_048])
@pytest.mark.parametrize("gets_ahead", [False, True])
@pytest.mark.parametrize("seed", range(6))
def test_after_each_death_all_is_as_it_was_at_that_event(
    seed: int, live_cells: int, day: tuple[list[AnyEvent], list[Any]], *, gets_ahead: bool
) -> None:
    told, states = day
    chance = Random(seed)
    group = OneGroup(seed, live_cells=live_cells, compiled=chance.random() < 0.5)
    while group.read < len(told):
        group.feed(told[group.read])
        if gets_ahead and group.epochs and chance.random() < 0.5:
            group.keeper.prepare_base()
        if gets_ahead and chance.random() < 0.3:
            group.keeper.lay_ahead()
        if chance.random() < 0.4:
            group.commit()
            if chance.random() < 0.15:
                group.end()
                group.go_on(0, chance)
        if group.epochs and chance.random() < 0.12:
            group.go_on(min(chance.choice((0, 0, 0, 1, 3)), len(group.epochs) - 1), chance)
        assert whole(group.flow) == states[group.read]


def after_a_morning(epochs: int) -> OneGroup:
    """A group that has some events in each of its epochs."""
    group = OneGroup(3)
    for number in range(epochs):
        group.feed(event(DAY[number % len(DAY)], number))
        group.commit()
    return group


def test_changes_go_to_places_in_turn_and_those_of_the_first_level_together_to_the_second() -> None:
    group = OneGroup(0)
    for number in range(60):
        group.feed(event(DAY[number], number))
    round_of_places = [*FIRST_LEVEL, *SECOND_LEVEL[:1], *FIRST_LEVEL, *SECOND_LEVEL[1:2]]
    assert [group.commit() for _ in range(19)] == [BASE, *round_of_places]


def test_a_new_base_comes_when_all_places_are_used_up() -> None:
    group = OneGroup(0)
    for number in range(3):
        group.feed(event(DAY[number], number))
    places = [group.commit() for _ in range(300)]
    assert {*places} == {*PLACES}
    between = (len(SECOND_LEVEL) + 1) * (len(FIRST_LEVEL) + 1)  # as nobody prepares one before
    assert [at for at, place in enumerate(places) if place == BASE] == [*range(0, 300, between)]


def prepared(group: OneGroup) -> None:
    """A base is made ready."""
    while group.keeper.prepare_base():
        pass


def test_a_base_is_due_when_as_much_was_written_as_there_is() -> None:
    group, due = OneGroup(0), []
    for number in range(59):
        group.feed(event(f"10:{number:02d} chat O{number % 3} customer=C1", number))
        group.commit()
        due.append(group.keeper.base_due)
    assert due.index(True) == len(FIRST_LEVEL) + 1  # all that there is went to the second level in one go
    prepared(group)
    assert not group.keeper.base_due


def test_a_base_is_due_early_enough_for_64_groups_to_have_their_turn() -> None:
    group = OneGroup(0)
    for number in range(3):
        group.feed(event(DAY[number], number))
    places = [group.commit()]
    while not group.keeper.base_due:
        places.append(group.commit())
    until_used_up = 0
    while group.commit() != BASE:
        until_used_up += 1
    assert until_used_up > 64
    assert places.count(BASE) == 1


@pytest.mark.parametrize("ahead", [False, True])
def test_the_second_level_holds_all_changes_of_the_first(*, ahead: bool) -> None:
    group = after_a_morning(1)
    for number in range(1, 40):
        group.feed(event(DAY[number], number))
        if ahead:
            group.keeper.lay_ahead()
            group.feed(event(f"10:{number:02d} chat O0 customer=C0", 100 + number))
        if group.commit() in SECOND_LEVEL:
            before = whole(group.flow)
            group.go_on(0, Random(number))
            assert whole(group.flow) == before
            return
    pytest.fail("no place of the second level was taken")


def test_a_prepared_base_is_written_beside_the_changes_and_all_before_it_is_let_go() -> None:
    group = after_a_morning(20)
    assert group.commit() in FIRST_LEVEL
    prepared(group)
    group.feed(event("11:00 paid O1", 100))
    place = group.commit()
    head = read_head(group.epochs[-1].head)
    assert place in FIRST_LEVEL
    assert [part.place for part in head.parts] == [BASE, place]
    assert not group.keeper.prepares_base


def test_changes_made_while_a_base_is_prepared_stay_beside_it() -> None:
    group = after_a_morning(3)
    group.keeper.prepare_base()
    group.feed(event("11:00 paid O1", 100))
    places = [group.commit()]
    prepared(group)
    group.feed(event("11:01 paid O2", 101))
    places.append(group.commit())
    assert [part.place for part in read_head(group.epochs[-1].head).parts] == [BASE, *places]
    before = whole(group.flow)
    group.go_on(0, Random(0))
    assert whole(group.flow) == before


def test_a_base_is_prepared_stage_by_stage() -> None:
    group = after_a_morning(3)
    sizes = []
    while group.keeper.prepare_base():
        assert group.keeper._base is not None
        sizes.append(len(group.keeper._base.left))
    assert sizes == [*reversed(range(len(group.keeper.stages)))]


class Clock:
    """Seconds, as somebody says."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


def test_groups_have_their_turn_one_in_each_epoch_and_the_one_with_the_fewest_places_left_first() -> None:
    groups = [after_a_morning(epochs) for epochs in (40, 60, 50)]
    ahead, dues, turns = Ahead(2.0, Clock()), [], []
    for _ in range(4):
        for _ in range(20):
            ahead.go_on([group.keeper for group in groups])
        dues.append(ahead.bases_due)
        turns.append([group.keeper.prepares_base for group in groups])
        for group in groups:
            group.commit()
        ahead.epoch_ended()
    assert turns == [[False, True, False], [False, False, True], [True, False, False], [False] * 3]
    assert dues == [3, 2, 1, 0]


def test_of_more_groups_more_have_their_turn() -> None:
    head = read_head(after_a_morning(40).epochs[-1].head)
    keepers = [GroupKeeper(0) for _ in range(130)]
    ahead = Ahead(2.0, Clock())
    for keeper in keepers:
        keeper.resume(head, {})
    for _ in range(20):
        ahead.go_on(keepers)
    assert sum(keeper.prepares_base for keeper in keepers) == 3


def test_towards_the_end_of_an_epoch_its_changes_are_laid_down_group_after_group() -> None:
    clock = Clock()
    groups = [after_a_morning(3) for _ in range(8)]
    for group in groups:
        group.feed(event("11:00 paid O1", 100))
    ahead, laid = Ahead(2.0, clock), []
    for now in (0.0, 0.9, 1.0, 1.2, 1.5, 1.95, 1.99):
        clock.now = now
        ahead.go_on([group.keeper for group in groups])
        laid.append(sum(group.keeper._ahead is not None for group in groups))
    assert laid == [0, 0, 0, 2, 5, 8, 8]
    before = [whole(group.flow) for group in groups]
    for group in groups:
        group.commit()
        group.go_on(0, Random(0))
    assert [whole(group.flow) for group in groups] == before


def test_a_run_that_nobody_waits_for_lays_nothing_down_ahead() -> None:
    clock, group = Clock(), after_a_morning(3)
    group.feed(event("11:00 paid O1", 100))
    ahead = Ahead(2.0, clock, lays=False)
    clock.now = 1.9
    ahead.go_on([group.keeper])
    assert group.keeper._ahead is None


def test_what_was_laid_down_ahead_is_not_laid_down_again_when_the_epoch_ends() -> None:
    group = after_a_morning(3)
    for number in range(3, 50):
        group.feed(event(DAY[number], number))
    assert group.keeper.announce() == ()
    group.keeper.lay_ahead()
    assert group.keeper._ahead is not None
    ahead = len(group.keeper._ahead.cells), len(group.keeper._ahead.waiting_sealed)
    place = group.commit()
    stored = group.epochs[-1]
    assert len(stored.parts[place]) < ahead[0] + 100
    assert len(stored.head) < ahead[1] + 400
    before = whole(group.flow)
    group.go_on(0, Random(0))
    assert whole(group.flow) == before


def test_a_base_that_becomes_ready_after_the_places_were_announced_is_written_in_the_next_epoch() -> None:
    group = after_a_morning(3)
    group.feed(event("10:20 chat O0 customer=C0", 200))
    prepared(group)
    group.commit()
    assert group.keeper.prepares_base
    group.commit()
    assert not group.keeper.prepares_base


def test_groups_take_turns_with_what_they_write_together() -> None:
    groups = [OneGroup(number) for number in range(64)]
    for group in groups:
        for number in range(3):
            group.feed(event(DAY[number], number))
        group.commit()  # each begins with a base
    together = [sum(group.commit() in SECOND_LEVEL for group in groups) for _ in range(len(FIRST_LEVEL) + 1)]
    assert together == [0, *[len(groups) // len(FIRST_LEVEL)] * len(FIRST_LEVEL)]


def test_an_epoch_writes_only_what_changed_in_it() -> None:
    group = after_a_morning(3)
    for number in range(3, 60):
        group.feed(event(DAY[number], number))
    group.commit()
    group.feed(event("11:00 paid O1", 100))
    parts = group.epochs[-1].parts
    place = group.commit()
    assert place != BASE
    assert len(group.epochs[-1].parts[place]) < max(map(len, parts.values())) / 3


@pytest.mark.parametrize("epochs", [1, 2, 9, 10, 30])
def test_as_long_as_a_part_is_missing_a_group_does_not_begin(epochs: int) -> None:
    stored = after_a_morning(epochs).epochs[-1]
    needed = {part.place for part in read_head(stored.head).parts}
    for missing in (*stored.parts, None):
        left = {place: part for place, part in stored.parts.items() if place != missing}
        worker = Worker(topology(Environment(SETTINGS, 1)))
        for place, part in left.items():
            worker.add_part(place, part)
        if missing is not None:
            worker.add_head(stored.head)
        begins = missing is not None and missing not in needed
        assert worker.ready == begins


@pytest.mark.parametrize("lost", [0, 1, 2])
def test_a_head_that_is_gone_is_missed_by_those_that_were_laid_down_beside_it(lost: int) -> None:
    def process() -> Worker:
        return Worker(topology(Environment(SETTINGS, 3)), store=Path("store"))

    before = process()
    before.heads_came()
    assert before.begin() == (0, 1, 2)
    heads = [before.lay_down(before.keepers[number], {}) for number in before.numbers]
    after = process()
    for number, head in enumerate(heads):
        if number != lost:
            after.add_head(head)
    with pytest.raises(StoreError, match=f"parts of the state are missing \\(the head of key group {lost}\\)"):
        after.heads_came()


def test_until_all_heads_have_come_a_process_does_not_know_that_it_has_all() -> None:
    worker = Worker(topology(Environment(SETTINGS, 3)), store=Path("store"))
    assert not worker.ready
    worker.heads_came()
    assert worker.ready


def test_missing_parts_are_waited_for_from_the_first_wait_and_from_each_part_on(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    stored = after_a_morning(2).epochs[-1]
    clock = [0.0]
    monkeypatch.setattr(time, "monotonic", lambda: clock[0])
    worker = Worker(topology(Environment(SETTINGS, 1)), store=Path("store"))
    clock[0] += 3_600  # the broker, or another host, was waited for
    worker.await_parts()
    clock[0] += 29
    worker.await_parts()
    worker.add_head(stored.head)
    clock[0] += 29
    worker.await_parts()
    clock[0] += 31
    with pytest.raises(StoreError, match="parts of the state are missing \\(key group 3\\)"):
        worker.await_parts()


def test_parts_of_other_epochs_are_refused_with_both_numbers() -> None:
    stored = after_a_morning(5).epochs[-1]
    first, second = (part.place for part in read_head(stored.head).parts[1:3])
    mixed = Stored(stored.head, {**stored.parts, first: stored.parts[second]}, {}, 0)
    with pytest.raises(
        SnapshotError, match=r"key group 3: place \d+ .*is of epoch 3 of group 3, expected is epoch 2: restore a whole"
    ):
        pieces_of(mixed).cells()


def test_parts_of_another_group_are_refused() -> None:
    own, other = after_a_morning(1).epochs[-1], OneGroup(4)
    other.commit()
    with pytest.raises(SnapshotError, match=r"key group 3: .* of group 4"):
        pieces_of(Stored(own.head, other.epochs[-1].parts, {}, 0)).cells()


def test_the_parts_of_an_older_epoch_do_not_fit_a_store_that_has_gone_on() -> None:
    group = after_a_morning(40)
    older, newer = group.epochs[3], group.epochs[-1]
    with pytest.raises(SnapshotError, match="restore a whole copy of the store"):
        pieces_of(Stored(older.head, newer.parts, {}, 0)).cells()


def test_a_damaged_portion_of_a_base_is_refused() -> None:
    group = after_a_morning(3)
    prepared(group)
    group.commit()
    stored = group.epochs[-1]
    base = stored.parts[BASE]
    for damaged in (base[:-1], base[:-20], base + b"x", base[:-5] + bytes([base[-5] ^ 1]) + base[-4:]):
        with pytest.raises(SnapshotError, match="cannot be read"):
            pieces_of(Stored(stored.head, {**stored.parts, BASE: damaged}, {}, 0)).cells()


def test_after_an_orderly_end_everything_stands_in_the_base() -> None:
    group = after_a_morning(12)
    group.end()
    stored = group.epochs[-1]
    assert [part.place for part in read_head(stored.head).parts] == [BASE]
    assert all(len(part) < 10 for place, part in stored.parts.items() if place != BASE)


STORED = after_a_morning(3).epochs[-1]


@given(st.sampled_from(sorted(STORED.parts)), st.data())
def test_a_damaged_part_is_refused_and_never_taken_for_another(place: int, data: st.DataObject) -> None:
    part = STORED.parts[place]
    cut = data.draw(st.integers(2, len(part) - 1))
    flipped = part[:cut] + bytes([part[cut] ^ data.draw(st.integers(1, 255))]) + part[cut + 1 :]
    damaged = data.draw(st.sampled_from((part[:cut], flipped)))
    pieces = pieces_of(Stored(STORED.head, {**STORED.parts, place: damaged}, {}, 0))
    with pytest.raises(SnapshotError, match="cannot be read"):
        pieces.cells()


@pytest.mark.parametrize("more", [1, 2])
def test_a_head_as_an_earlier_version_wrote_it_is_read(more: int) -> None:
    """The fields that came with format 2, what is gone of the portions, and 3, the siblings."""
    stored = after_a_morning(3).epochs[-1]
    values = msgspec.msgpack.decode(unsealed(stored.head[2:]))
    assert values[-2:] == [{}, []]
    del values[-more:]
    older = stored.head[:2] + sealed(msgspec.msgpack.encode(values))
    assert read_head(older) == read_head(stored.head)


@pytest.mark.parametrize("cut", [0, 1, 10, -1])
def test_a_damaged_head_is_refused(cut: int) -> None:
    with pytest.raises(SnapshotError, match="cannot be read"):
        read_head(STORED.head[:cut])


def test_a_head_of_another_version_is_refused_with_both_versions() -> None:
    group = OneGroup(1)
    for groups in group.flow.groups.values():
        head = groups[0].head()
        groups[0].head = lambda head=head: GroupHead(head.watermark, head.buffer, head.slots, 99)  # type: ignore[method-assign, misc]
    group.commit()
    with pytest.raises(SnapshotError, match=r"version 99, this run reads version \d+: use a new store"):
        read_head(group.epochs[-1].head)


@pytest.mark.parametrize("number", [0, 1, 63, 4095])
def test_a_part_tells_whose_it_is_without_being_unpacked(number: int) -> None:
    group = OneGroup(number)
    place = group.commit()
    assert number_of(group.epochs[-1].parts[place]) == number
    assert read_head(group.epochs[-1].head).number == number


def test_of_each_log_the_least_position_counts() -> None:
    assert least([{"a": 3, "b": 1}, {"a": 2}, {"c": 0, "b": 5}]) == {"a": 2, "b": 1, "c": 0}
    assert least([]) == {}
