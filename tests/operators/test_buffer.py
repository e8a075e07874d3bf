"""What waits for the watermark is let out in time, by time, and that of one time as it came; in Python and compiled."""

from collections.abc import Callable, Sequence

import msgspec
import pytest
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule, run_state_machine_as_test

from operators.heart.buffer import Buffer, PlainBuffer
from operators.heart.built import BUILT
from operators.heart.lateness import AFTER_TIME
from operators.heart.messages import KeyUsed, Late
from tests.operators.timeline import event

BUFFERS: list[type[Buffer]] = [PlainBuffer]
if BUILT:
    from operators.heart import _compiled

    BUFFERS.append(_compiled.Buffer)
TIMES = st.lists(st.integers(0, 60), max_size=12)


def note(time: int, number: int) -> KeyUsed:
    return KeyUsed(time, "A", "card:K", str(number), 1, "1")


class BufferAndAList(RuleBasedStateMachine):
    """Whatever comes and goes."""

    make: Callable[[], Buffer]

    def __init__(self) -> None:
        super().__init__()
        self.buffer = self.make()
        self.plain: list[KeyUsed] = []
        self.number = 0

    def take(self, times: Sequence[int]) -> None:
        entries = [note(time, self.number + index) for index, time in enumerate(times)]
        self.number += len(times)
        self.buffer.extend(entries)
        self.plain += entries

    @rule(times=TIMES)
    def comes_in_disorder(self, times: list[int]) -> None:
        """As events of one partition may."""
        self.take(times)

    @rule(times=TIMES, at=st.integers(0, 500))
    def comes_in_order(self, times: list[int], at: int) -> None:
        """As most do; some go on where the last ones ended."""
        self.take([at + time for time in sorted(times)])

    @rule(watermark=st.integers(-1, 600))
    def time_goes_on(self, watermark: int) -> None:
        """Or does not: nothing but the watermark says what is let out."""
        ready, ties = self.buffer.release(watermark)
        covered = [entry for entry in self.plain if entry.time <= watermark]
        assert ready == sorted(covered, key=lambda entry: entry.time)
        self.plain = [entry for entry in self.plain if entry.time > watermark]
        alike = {index for first, end in ties for index in range(first, end)}
        times = [entry.time for entry in ready]
        assert alike == {index for index, time in enumerate(times) if times.count(time) > 1}
        assert all(len({times[index] for index in range(*tie)}) == 1 for tie in ties)

    @rule()
    def goes_on_from_a_snapshot(self) -> None:
        """What waits, in any order in which those of one time stay as they are."""
        entries = self.buffer.entries()
        self.buffer = self.make()
        self.buffer.extend(entries)

    @invariant()
    def holds_what_waits(self) -> None:
        """Nothing else."""
        assert len(self.buffer) == len(self.plain)
        entries = self.buffer.entries()
        assert sorted(map(msgspec.json.encode, entries)) == sorted(map(msgspec.json.encode, self.plain))


@pytest.mark.parametrize("make", BUFFERS)
def test_what_is_let_out_depends_on_times_and_order_of_coming_alone(make: Callable[[], Buffer]) -> None:
    machine = type("Machine", (BufferAndAList,), {"make": staticmethod(make)})
    run_state_machine_as_test(machine)


@pytest.mark.parametrize("make", BUFFERS)
def test_a_late_event_waits_for_its_bound(make: Callable[[], Buffer]) -> None:
    created, paid = event("10:00 created"), event("9:00 paid")
    late = Late(created.time + 5, paid)
    buffer = make()
    buffer.extend([late, created])
    assert buffer.release(created.time) == ([created], [])
    assert buffer.release(created.time + 5) == ([late], [])
    assert buffer.release(AFTER_TIME) == ([], [])


@pytest.mark.parametrize("make", BUFFERS)
def test_ten_thousand_entries_of_one_time_stay_in_their_order(make: Callable[[], Buffer]) -> None:
    entries = [note(7, number) for number in range(10_000)]
    buffer = make()
    for start in range(0, 10_000, 999):
        buffer.extend(entries[start : start + 999])
    assert buffer.release(7) == (entries, [(0, 10_000)])


@pytest.mark.skipif(not BUILT, reason="it was not built")
def test_what_has_no_time_is_refused_and_leaves_the_buffer_as_it_was() -> None:
    buffer = _compiled.Buffer()
    with pytest.raises(TypeError, match="has no time"):
        buffer.extend([note(1, 1), object()])
    with pytest.raises(TypeError):
        buffer.release("soon")  # type: ignore[arg-type]
    assert buffer.entries() == []
