"""The walk in Python and the compiled one do the same, whatever comes."""

from collections.abc import Callable, Sequence
from random import Random
from typing import Any, Final

import msgspec
import pytest
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from operators.heart.messages import Late
from operators.heart.walker import Heard
from operators.heart.walkers import compiled_walker
from tests.operators.twins import (
    DAY,
    DROP,
    FAIL,
    KEYS,
    SPAN,
    Act,
    Cells,
    Noted,
    OfCard,
    OfField,
    OfWords,
    Twin,
    Unheard,
    acted,
    both,
    events_of,
    late,
    needs_both,
    plainly,
    walked,
)

AHEAD = st.one_of(st.integers(0, 50), st.integers(1, 3_000), st.integers(1, 2 * SPAN), st.integers(1, 3 * DAY))
SUBJECTS = st.sampled_from(["a", "b", "c", "é", "订单", "😀"])
ACTS = st.lists(
    st.one_of(
        st.builds(Act, st.integers(0, 1), st.sampled_from(["say", "drop"]), st.integers(0, 3)),
        st.builds(Act, st.integers(0, 1), st.just("arm"), st.one_of(AHEAD, st.integers(-2_000, 0))),
        st.builds(Act, st.integers(0, 1), st.just("plan"), st.one_of(AHEAD, st.just(DROP), st.just(FAIL))),
        st.builds(Act, st.integers(0, 1), st.sampled_from(["say", "say", "say", "fail"])),
    ),
    max_size=4,
).map(tuple)


@st.composite
def entries(draw: st.DrawFn) -> Callable[[int], Any]:
    """What happens some time after now."""
    after, subject, acts = draw(AHEAD), draw(SUBJECTS), draw(ACTS)
    if draw(st.integers(0, 3)) == 0:
        note = draw(st.sampled_from([Noted, Unheard]))
        return lambda now: note(now + after, "x", subject, acts)
    kind: Any = draw(st.sampled_from([OfField, OfField, OfCard, OfWords]))
    number, source = draw(st.sampled_from("1234é")), draw(st.sampled_from(["oms", "仓库"]))
    if draw(st.integers(0, 3)) == 0:
        return lambda now: late(now + after, kind(number, source, now - 5, subject, acts))
    return lambda now: kind(number, source, now + after, subject, acts)


class TwoWalkers(RuleBasedStateMachine):
    """They are fed the same, stored, and gone on from, each also from what the other has stored."""

    @initialize(
        live_limit=st.sampled_from((0, 1, 2, 1_000)),
        horizon=st.sampled_from((7, 1_000, SPAN, 2 * DAY)),
        group=st.booleans(),
        now=st.sampled_from((10_000, SPAN - 1, 1_700_000_000_000)),
    )
    def begin(self, live_limit: int, horizon: int, now: int, *, group: bool) -> None:
        """With any settings."""
        self.options = {"live_limit": live_limit, "horizon": horizon, "group": group}
        self.plain, self.compiled = both(**self.options)
        self.now = now
        self.stored: list[tuple[int, list[Cells], list[Cells]]] = []

    def _walk(self, ready: Sequence[Any], ahead: int) -> None:
        ready = sorted(ready, key=lambda entry: entry.time)
        self.now = max(self.now + ahead, ready[-1].time if ready else 0)
        assert self.compiled.walked(ready, self.now) == self.plain.walked(ready, self.now)

    @rule(coming=st.lists(entries(), max_size=8), ahead=AHEAD)
    def walk(self, coming: list[Callable[[int], Any]], ahead: int) -> None:
        """The same is called in the same order, and as much is counted."""
        self._walk([make(self.now) for make in coming], ahead)

    @rule(subject=SUBJECTS, first=st.integers(0, 60), count=st.integers(60, 80))
    def one_key_has_many_events(self, subject: str, first: int, count: int) -> None:
        """Some of them twice."""
        self._walk(events_of(subject, count, self.now + 1, first=first), 0)

    @rule(days=st.integers(1, 30))
    def nothing_happens_for_long(self, days: int) -> None:
        """But timers."""
        self._walk([], days * DAY)

    @rule()
    def are_tidied(self) -> None:
        """As after each advance."""
        self.plain.walker.tidy()
        self.compiled.walker.tidy()

    @rule()
    def are_stored(self) -> None:
        """An epoch ends."""
        plain, compiled = self.plain.walker.changes(), self.compiled.walker.changes()
        assert plainly(compiled) == plainly(plain)
        before = self.stored[-1] if self.stored else (0, [], [])
        self.stored.append((self.now, [*before[1], plain], [*before[2], compiled]))

    @rule()
    def are_stored_as_a_new_base(self) -> None:
        """An epoch ends."""
        self.are_stored()
        self.stored[-1] = (self.now, [self.plain.walker.all()], [self.compiled.walker.all()])

    @rule(back=st.integers(0, 2), fresh=st.booleans(), other=st.booleans(), recording=st.booleans())
    def go_on_from_what_was_stored(self, back: int, *, fresh: bool, other: bool, recording: bool) -> None:
        """Each from its own cells, or from those of the other one."""
        if not self.stored:
            return
        del self.stored[max(1, len(self.stored) - back) :]
        self.now, plain, compiled = self.stored[-1]
        if fresh:
            self.plain, self.compiled = both(**self.options)
        self.plain.walker.restore(compiled if other else plain, recording=recording)
        self.compiled.walker.restore(plain if other else compiled, recording=recording)
        if not recording:
            self.stored.clear()

    @invariant()
    def know_the_same(self) -> None:
        """How much is known, what is live, and in which order, and what would be stored."""
        if hasattr(self, "plain"):
            assert len(self.compiled.walker) == len(self.plain.walker)
            assert self.compiled.states() == self.plain.states()
            assert plainly(self.compiled.walker.all()) == plainly(self.plain.walker.all())


TestTwoWalkers = needs_both(TwoWalkers.TestCase)


def by_chance(chance: Random) -> Callable[[int], Any]:
    """What happens some time after now."""
    after = chance.choice((0, 1, chance.randrange(3_000), chance.randrange(2 * SPAN)))
    ahead = chance.choice((-500, 1, chance.randrange(3_000), chance.randrange(3 * DAY)))
    subject, slot = chance.choice("abcdefé"), chance.randrange(2)
    acts = tuple(
        chance.choice((Act(slot, "say", 1), Act(slot, "arm", ahead), Act(slot, "plan", abs(ahead)), Act(slot, "drop")))
        for _ in range(chance.randrange(3))
    )
    kind: Any = chance.choice((Noted, Unheard, OfField, OfField, OfCard, OfWords))
    number = str(chance.randrange(9))
    if issubclass(kind, Noted):
        return lambda now: kind(now + after, "x", subject, acts)
    if chance.random() < 0.2:
        return lambda now: late(now + after, kind(number, "oms", now, subject, acts))
    return lambda now: kind(number, "oms", now + after, subject, acts)


@needs_both
@pytest.mark.parametrize("live_limit", [0, 1, 2, 3, 5, 1_000])
@pytest.mark.parametrize("seed", range(3))
def test_a_long_life_is_the_same_for_both(seed: int, live_limit: int) -> None:
    chance, twins = Random(seed), TwoWalkers()
    horizon = chance.choice((1_000, SPAN, 2 * DAY))
    twins.begin(live_limit=live_limit, horizon=horizon, now=SPAN - 5_000, group=chance.random() < 0.3)
    for _ in range(300):
        coming = [by_chance(chance) for _ in range(chance.choice((0, 1, 3, 8)))]
        twins.walk(coming=coming, ahead=chance.choice((0, 1, 1_000, chance.randrange(SPAN), chance.randrange(2 * DAY))))
        twins.are_tidied()
        twins.know_the_same()
        if chance.random() < 0.2:
            twins.are_stored()
        if chance.random() < 0.05:
            fresh, other, recording = (chance.random() < 0.5 for _ in range(3))
            twins.go_on_from_what_was_stored(chance.randrange(3), fresh=fresh, other=other, recording=recording)


@needs_both
def test_of_components_that_are_due_at_once_the_first_is_woken_first() -> None:
    arms = [Act(slot, "arm", 50) for slot in (1, 0)]
    _, log = walked(both(), [acted("b", 10, *arms), acted("a", 10, *arms)], 60)
    assert [(entry[2], entry[1]) for entry in log if entry[0] == "woken"] == [("a", 0), ("a", 1), ("b", 0), ("b", 1)]


@needs_both
def test_a_timer_comes_before_whatever_happens_when_it_is_due() -> None:
    twins = both(horizon=DAY)
    walked(twins, [acted("a", 10, Act(0, "arm", 50))], 11)
    ready = [Noted(59, "x", "b"), Noted(60, "x", "b"), acted("c", 60), late(60, acted("d", 5))]
    _, log = walked(twins, ready, 100)
    assert [told[0] for told in log] == ["heard", "heard", "woken", *["heard"] * 4, "late", "heard", "heard"]


@needs_both
@pytest.mark.parametrize("live_limit", [0, 1_000])
def test_a_timer_at_the_edge_of_a_span_is_woken_with_the_millisecond_before(live_limit: int) -> None:
    twins = both(live_limit=live_limit, horizon=DAY)
    walked(twins, [acted(subject, 10, Act(0, "arm", SPAN - 10)) for subject in "abc"], 11)
    for twin in twins:
        twin.walker.tidy()
    assert walked(twins, [], SPAN - 2)[1] == []
    assert len(walked(twins, [], SPAN - 1)[1]) == 3


@needs_both
def test_a_timer_that_was_filed_late_and_asked_for_earlier_since_is_woken_earlier() -> None:
    twins = both(live_limit=0, horizon=30 * DAY)
    walked(twins, [acted(subject, 10, Act(0, "arm", 9 * DAY)) for subject in "ab"], 11)
    for twin in twins:
        twin.walker.tidy()
    walked(twins, [acted("a", 20, Act(1, "arm", DAY), number="2")], 21)
    walked(twins, [acted(subject, 30, number="2") for subject in "bcde"], 31)
    for twin in twins:
        twin.walker.tidy()  # now both rest
    assert walked(twins, [], 2 * DAY)[1] == [("woken", 1, "a", DAY + 20)]
    assert len(walked(twins, [], 20 * DAY)[1]) == 2


@needs_both
def test_a_cell_that_a_stale_timer_has_woken_is_told_in_the_first_snapshot() -> None:
    twins = both(live_limit=0, horizon=30 * DAY)
    walked(twins, [acted(subject, 10, Act(0, "arm", 500)) for subject in "ab"], 11)
    walked(twins, [acted("a", 20, Act(0, "arm", 200), number="2")], 300)
    for twin in twins:
        twin.walker.tidy()  # the key rests, while the later of its two timers still stands in the heap
    assert walked(twins, [], 600)[1] == [("woken", 0, "b", 510)]
    for twin in twins:
        assert twin.walker.changes().keys() == {"a", "b"}


@needs_both
def test_more_cells_than_are_settled_at_once_are_all_there_and_woken() -> None:
    first = both(live_limit=0, horizon=30 * DAY)
    names = [f"{number}é" for number in range(300)]
    walked(first, [acted(name, 10, Act(0, "arm", 3 * DAY)) for name in names], 11)
    plain, compiled = both(live_limit=0, horizon=30 * DAY)
    plain.walker.restore([first[1].walker.all()], recording=True)
    compiled.walker.restore([first[0].walker.all()], recording=True)
    for _ in range(3):
        plain.walker.tidy()
        compiled.walker.tidy()
    assert len(walked((plain, compiled), [], 4 * DAY)[1]) == 300
    assert plainly(compiled.walker.changes()) == plainly(plain.walker.changes())


@needs_both
@pytest.mark.parametrize("lead", [b"", b"\x01", b"\x02\x03\x04\x05"])
def test_both_find_an_id_only_where_one_stands(lead: bytes) -> None:
    twins = both()
    for event in (acted("a", 10), acted("a", 10), acted("a", 10, number="2")):
        walked(twins, [event], 10)
    cells = {}
    for key, cell in twins[0].walker.all().items():
        (until, ids, _), *rest = msgspec.msgpack.decode(cell[8:])
        shifted = lead + ids + bytes(8 - len(lead)) if lead else ids
        cells[key] = cell[:8] + msgspec.msgpack.encode(((until, shifted, b""), *rest))
    for twin in twins:
        twin.walker.restore([cells], recording=False)
    assert walked(twins, [acted("a", 11), acted("a", 11, number="2")], 11)[0] == ((0, 2) if not lead else (2, 0))


@needs_both
@pytest.mark.parametrize("source", ["oms", "仓库"])
def test_ids_are_told_apart_by_source_and_key_and_forgotten_alike(source: str) -> None:
    twins = both(horizon=100)
    ready: list[Any] = []
    for time in range(1, 700, 7):
        ready += [OfField(str(time % 5), source, time, "a"), OfField("é", source + "x", time, "a")]
        ready += [OfCard(str(time % 3), source, time, "a"), late(time, OfWords("1", source, 0, "a"))]
    (applied, duplicates), _ = walked(twins, ready, 1_000)
    assert applied
    assert duplicates
    assert walked(twins, [], 1_200)[0] == (0, 0)
    assert [len(twin.walker) for twin in twins] == [0 if not twin.states() else len(twin.walker) for twin in twins]


@needs_both
def test_a_key_that_a_prefix_is_put_before_need_not_be_a_str() -> None:
    _, log = walked(both(), [OfCard("1", "oms", 10, subject) for subject in (None, 5, "五")], 10)
    assert len(log) == 6


class Moment(int):
    """A time that says when it is let go."""

    gone: Final[list[int]] = []

    def __del__(self) -> None:
        self.gone.append(int(self))


@needs_both
def test_what_hearers_change_in_a_message_does_not_change_when_it_happened() -> None:
    for twin in both():
        heard: list[int] = []
        note = Noted(Moment(10), "x", "a")

        def changing(message: Any, at: int, *, heard: list[int] = heard) -> None:
            message.time, message.key = 20, f"{message.key}+"
            heard.append(at + len(Moment.gone))

        twin.hear(changing, changing, changing)
        assert twin.walker.walk([note], 30) == (0, 0)
        assert heard == [10] * 3
        assert Moment.gone == [10]
        Moment.gone.clear()


@needs_both
def test_a_late_event_is_heard_by_all_though_the_first_takes_it_out() -> None:
    for twin in both():
        heard: list[str] = []
        entry = late(10, OfField("12", "oms", 5, "a"))

        def taking(event: Any, at: int, *, entry: Any = entry, heard: list[str] = heard) -> None:
            entry.time, entry.event = 7, None
            heard.append(f"{event.id} {at}")

        twin.walker.hear(Heard({OfField: (KEYS[OfField], (taking, taking))}, {}, taking))
        assert twin.walker.walk([entry], 10) == (1, 0)
        assert heard == ["12 10"] * 3


@needs_both
def test_what_is_added_to_the_list_in_the_middle_of_a_walk_is_walked_too() -> None:
    for twin in both():
        ready = [OfField("1", "oms", 10, "a")]

        def adding(_message: Any, at: int, *, ready: list[OfField] = ready) -> None:
            if at == 10:
                ready.append(OfField("2", "oms", 11, "b"))

        twin.hear(adding)
        assert twin.walker.walk(ready, 20) == (2, 0)


@needs_both
@pytest.mark.parametrize(
    ("entry", "unknown"),
    [
        (acted("a", 10), OfField),
        (Noted(10, "x", "a"), Noted),
        (late(10, acted("a", 10)), OfField),
        (late(10, Unheard(10, "x", "a")), Unheard),
        (late(10, late(10, acted("a", 10))), Late),
        ("text", str),
    ],
)
def test_an_entry_that_nobody_is_named_for_is_an_error(entry: Any, unknown: type) -> None:
    for twin in both():
        twin.walker.hear(Heard({OfCard: (KEYS[OfCard], ())}, {Unheard: ()}, lambda event, at: None))
        with pytest.raises((KeyError, AttributeError)) as raised:
            twin.walker.walk([entry], 20)
        assert isinstance(entry, str) or raised.value.args == (unknown,)
        assert len(twin.walker) == 0


@needs_both
@pytest.mark.parametrize("live", [0, 3])
@pytest.mark.parametrize("subject", ["\ud800", "a\udfff", None, 5, ["a"]], ids=ascii)
def test_what_is_no_key_is_refused_when_it_comes_and_leaves_nothing_behind(subject: Any, live: int) -> None:
    for twin in both(live_limit=0):
        twin.walked([acted(str(number), 10) for number in range(live)], 11)
        twin.walker.tidy()
        for entry in (OfField("9", "oms", 20, subject), Noted(20, "x", subject)):
            with pytest.raises((TypeError, AttributeError, UnicodeEncodeError)):
                twin.walker.walk([entry], 21)
            twin.walker.tidy()
            twin.walker.changes()
        assert len(twin.walker) == live


@needs_both
@pytest.mark.parametrize(("number", "source"), [("\ud800", "oms"), ("1", "\ud800"), (5, "oms"), ("1", []), ("1", None)])
def test_an_id_or_source_that_is_no_text_is_an_error(number: Any, source: Any) -> None:
    for twin in both():
        for _ in range(2):
            with pytest.raises((TypeError, AttributeError, UnicodeEncodeError)):
                twin.walker.walk([OfField(number, source, 10, "a")], 21)
        assert twin.walker.all() == {}


@needs_both
@pytest.mark.parametrize("slot", [0, 1, 2])
def test_only_for_a_live_key_may_somebody_ask_to_be_woken(slot: int) -> None:
    for twin in both():
        twin.walked([acted("a", 10)], 11)
        arm = twin.walker.armer(slot)
        arm("a", 50)
        with pytest.raises(KeyError, match="'b'"):
            arm("b", 50)
        with pytest.raises((KeyError, TypeError)):
            arm(5, 50)  # type: ignore[arg-type]
        with pytest.raises(TypeError):
            arm([], 50)  # type: ignore[arg-type]
        with pytest.raises(TypeError):
            arm("a")  # type: ignore[call-arg]


@needs_both
def test_nobody_at_rest_is_woken_before_1970() -> None:
    for twin in both():
        twin.walked([acted("a", 10, Act(0, "arm", -20))], 0)
        twin.walker.armer(0)("a", -20)
        for asked in (twin.walker.changes, twin.walker.all):
            with pytest.raises(OverflowError):
                asked()


@needs_both
def test_a_change_that_could_not_be_told_is_told_the_next_time() -> None:
    for twin in both():
        twin.walked([acted("a", 10, Act(0, "say", 1)), acted("b", 10)], 11)
        twin.walker.changes()
        twin.walked([acted("a", 20, Act(0, "say", 2), number="2")], 21)
        twin.parts[0].states["a"].said.append(object())  # type: ignore[arg-type]
        for _ in range(2):
            with pytest.raises(TypeError):
                twin.walker.changes()
        twin.parts[0].states["a"].said.pop()
        assert twin.walker.changes().keys() == {"a"}


@needs_both
def test_moments_at_the_end_of_time_are_in_order() -> None:
    twins = both(live_limit=0, horizon=7 * DAY)
    end = 2**62
    ready = [acted("a", time, Act(0, "arm", 5), number=str(time)) for time in (10, end - 2 * SPAN, end - 1)]
    walked(twins, ready, end - 1)
    for twin in twins:
        twin.walker.tidy()
    assert walked(twins, [acted("b", end)], end)[0] == (1, 0)
    assert walked(twins, [], end + 10)[1][0] == ("woken", 0, "a", end + 4)
    assert [walked(both(), [acted("a", -end)], time) for time in (-end, 0)]


class OfOneMark(str):
    """A key that is looked for where others are."""

    __slots__ = ()

    def __hash__(self) -> int:
        return 7 << 40


@needs_both
def test_keys_at_rest_that_share_their_mark_are_told_apart() -> None:
    twin = Twin(compiled_walker, live_limit=0)
    keys = [OfOneMark(letter) for letter in "abcd"]
    for time in (10, 20, 30):
        for number, key in enumerate(keys):
            twin.walked([Noted(time, "x", key, (Act(0, "say", time + number),))], time)
            assert twin.parts[0].states[key].said == [before + number for before in (10, 20, 30) if before <= time]
            twin.walker.tidy()
    assert len(twin.walker) == 4
