"""Timers: at most one per key, the earliest that was asked for."""

from operators.heart.timers import Due, Timers


def fired(timers: Timers) -> list[Due]:
    found = []
    while timers.heap:
        if (timer := timers.pop()) is not None:
            found.append(timer)
    return found


def test_timers_fire_by_time_then_key_then_component() -> None:
    timers = Timers(2)
    for slot, key, due in ((1, "b", 5), (0, "b", 5), (0, "a", 5), (0, "c", 3)):
        timers.arm(slot, key, due)
    assert fired(timers) == [(3, "c", 0), (5, "a", 0), (5, "b", 0), (5, "b", 1)]


def test_an_earlier_moment_replaces_a_later_one() -> None:
    timers = Timers(1)
    timers.arm(0, "a", 9)
    timers.arm(0, "a", 4)
    assert fired(timers) == [(4, "a", 0)]


def test_a_later_moment_does_not_replace_an_earlier_one() -> None:
    timers = Timers(1)
    timers.arm(0, "a", 4)
    timers.arm(0, "a", 9)
    assert fired(timers) == [(4, "a", 0)]


def test_a_timer_that_fired_can_be_armed_again() -> None:
    timers = Timers(1)
    timers.arm(0, "a", 4)
    assert fired(timers) == [(4, "a", 0)]
    timers.arm(0, "a", 9)
    assert fired(timers) == [(9, "a", 0)]


def test_components_do_not_hear_each_other_s_timers() -> None:
    timers = Timers(2)
    timers.arm(0, "a", 4)
    timers.arm(1, "a", 2)
    assert fired(timers) == [(2, "a", 1), (4, "a", 0)]


def test_a_snapshot_leaves_out_what_was_replaced() -> None:
    timers = Timers(2)
    timers.arm(0, "a", 9)
    timers.arm(0, "a", 4)
    timers.arm(1, "b", 7)
    restored = Timers(2)
    restored.arm(0, "other", 1)
    restored.restore(timers.snapshot())
    assert restored.heap == [(4, "a", 0), (7, "b", 1)]
    assert restored.snapshot() == timers.snapshot()
