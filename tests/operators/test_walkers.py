"""The walk in Python and the compiled one do the same, whatever comes, and neither can be brought to crash."""

import gc
import resource
import sys
import tracemalloc
import weakref
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from random import Random
from types import MappingProxyType
from typing import Any, Final, Literal

import msgspec
import pytest
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule
from msgspec import Struct

from config.loader import load_settings
from operators.heart.built import BUILT
from operators.heart.component import GROUP_KEY, Arm, Context, Environment, Handler, StatefulComponent
from operators.heart.keys import Key, by_field
from operators.heart.messages import Late
from operators.heart.walker import Heard, PlainWalker, Walker
from operators.heart.walkers import MakeWalker, compiled_walker

ENVIRONMENT: Final = Environment(load_settings(), 4)
DAY: Final = 86_400_000
SPAN: Final = 1 << 20  # ms: timers that are further ahead are not sorted yet
DROP, FAIL = -1_000, -1_001
Cells = Mapping[str, bytes | None]

needs_both = pytest.mark.skipif(not BUILT, reason="the compiled walker was not built here")


class Act(Struct, frozen=True):
    """What the component in ``slot`` does when it hears a message."""

    slot: int
    what: Literal["say", "drop", "arm", "plan", "fail"]
    number: int = 0


class Happened(Struct, frozen=True):
    """An event."""

    id: str
    source: str
    time: int
    subject: Any
    acts: tuple[Act, ...] = ()


class OfField(Happened, frozen=True):
    """Its key is a field."""


class OfCard(Happened, frozen=True):
    """Its key is a field behind a prefix."""

    amount: int = 0


class OfWords(Happened, frozen=True):
    """Its key is made in another way."""


class Noted(Struct):
    """A note."""

    time: int
    origin: str
    key: str
    acts: tuple[Act, ...] = ()


class Unheard(Noted):
    """A note that nobody wants to hear; it touches its key all the same."""


KEYS: Final[Mapping[type, Key]] = {
    OfField: by_field("subject"),
    OfCard: by_field("subject", "card"),
    OfWords: Key(lambda event: "/".join((event.subject, event.source))),
}


class FailedError(Exception):
    """What a component raises here."""


class Memory(Struct):
    """What a component remembers of a key; ``plan``: what it does at its next timers."""

    said: list[int]
    plan: list[int]


class Part(StatefulComponent[Memory]):
    """Does what messages tell it to do, and logs what it hears."""

    name = "part"
    stage = "orders"
    state_type = Memory

    def __init__(self, slot: int, log: list[Any]) -> None:
        super().__init__(Context(ENVIRONMENT, "orders"))
        self.slot = slot
        self.log = log
        self.arms: list[Arm] = []

    def handlers(self) -> Mapping[type, Handler]:
        return {}

    def hear(self, message: Any, at: int) -> None:
        """An event or a note."""
        self.log.append(("heard", self.slot, message, at))
        key = message.key if isinstance(message, Noted) else KEYS[type(message)].of(message)
        for act in message.acts:
            if act.slot == self.slot:
                self._do(act, key, at)

    def _do(self, act: Act, key: str, at: int) -> None:
        match act.what:
            case "say":
                self._memory(key).said.append(act.number)
            case "plan":
                self._memory(key).plan.append(act.number)
            case "drop":
                self.states.pop(key, None)
            case "arm":
                self.context.arm(key, at + act.number)
            case "fail":
                raise FailedError(key, at)

    def _memory(self, key: str) -> Memory:
        return self.states.setdefault(key, Memory([], []))

    def on_timer(self, key: str, due: int) -> None:
        """It does what it has planned."""
        self.log.append(("woken", self.slot, key, due))
        memory = self.states.get(key)
        if memory is None or not memory.plan:
            return
        ahead = memory.plan.pop(0)
        if ahead == DROP:
            del self.states[key]
        elif ahead == FAIL:
            raise FailedError(key, due)
        else:
            self.arms[ahead % 2](key, due + ahead)  # its own timer, or that of the other component


class Counter(Part):
    """Counts over all keys of the group."""

    per_group = True

    def hear(self, message: Any, at: int) -> None:
        """It wants to be woken at the end of the second."""
        super().hear(message, at)
        self._memory(GROUP_KEY).said.append(at % 10)
        self.context.arm(GROUP_KEY, at // 1_000 * 1_000 + 1_000)


class Twin:
    """A walker, its components, and what they were told."""

    def __init__(self, make: MakeWalker, live_limit: int = 1_000, horizon: int = 1_000, *, group: bool = False) -> None:
        self.log: list[Any] = []
        kinds = (Part, Counter) if group else (Part, Part)
        self.parts = [kind(slot, self.log) for slot, kind in enumerate(kinds)]
        self.walker: Walker = make(self.parts, live_limit, horizon)
        for slot, part in enumerate(self.parts):
            part.context.arm = self.walker.armer(slot)
        for part in self.parts:
            part.arms = [part.context.arm for part in self.parts]
        self.hear(*(part.hear for part in self.parts))

    def hear(self, *handlers: Handler) -> None:
        """From now on these are called."""
        events = {kind: (key, handlers) for kind, key in KEYS.items()}
        self.walker.hear(Heard(events, {Noted: handlers, Unheard: ()}, self._say_late))

    def _say_late(self, event: Any, at: int) -> None:
        self.log.append(("late", event, at))

    def walked(self, ready: Sequence[Any], watermark: int) -> Any:
        """What came of a walk, and what was called."""
        self.log.clear()
        try:
            counted: Any = self.walker.walk(list(ready), watermark)
        except FailedError as failure:
            counted = failure.args
        return counted, self.log

    def states(self) -> list[list[tuple[str, Memory]]]:
        """Of the live keys, in the order in which they came to life."""
        return [list(part.states.items()) for part in self.parts]


def plainly(cells: Cells) -> dict[str, Any]:
    """What the cells say. Of a set of ids the order says nothing."""
    return {key: None if cell is None else (cell[:8], _sorted(cell[8:])) for key, cell in cells.items()}


def _sorted(content: bytes) -> Any:
    (until, *ids), *rest = msgspec.msgpack.decode(content)
    return [until, *(sorted(part) if isinstance(part, list) else part for part in ids)], *rest


def late(time: int, event: Any) -> Late:
    """An event that comes late."""
    return Late(time, event)


def both(**options: Any) -> tuple[Twin, Twin]:
    """The two walkers."""
    return Twin(PlainWalker, **options), Twin(compiled_walker, **options)


def walked(twins: tuple[Twin, Twin], ready: Sequence[Any], watermark: int) -> Any:
    """What came of a walk, and what was called: the same for both."""
    plain, compiled = (twin.walked(ready, watermark) for twin in twins)
    assert compiled == plain
    return plain


def events_of(subject: str, count: int, time: int, *, first: int = 0) -> list[Happened]:
    """Events of one key at one time."""
    return [OfField(str(number), "oms", time, subject) for number in range(first, first + count)]


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


def acted(subject: str, time: int, *acts: Act, number: str = "1") -> OfField:
    """An event upon which components do something."""
    return OfField(number, "oms", time, subject, acts)


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


class Alike:
    """Found where a key is looked for, and none."""

    def __eq__(self, other: object) -> bool:
        return other == "a"

    def __hash__(self) -> int:
        return hash("a")


def test_what_only_looks_like_a_key_is_refused(compiled: Twin) -> None:
    compiled.walked([acted("a", 10), acted("b", 10, Act(0, "arm", 50))], 11)
    with pytest.raises(TypeError, match="a key is a str"):
        compiled.walker.armer(0)(Alike(), 50)  # type: ignore[arg-type]
    for entry in (OfField("2", "oms", 20, Alike()), Noted(20, "x", Alike())):  # type: ignore[arg-type]
        with pytest.raises(TypeError, match="a key is a str"):
            compiled.walker.walk([entry], 21)
    assert len(compiled.walked([], 100)[1]) == 1


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


class Stray:
    """Of no use to a walker, and with fields that are none."""

    time = OfField.time
    id = 5
    source = property(str)
    key = Noted.key


@pytest.fixture
def compiled() -> Twin:
    """The compiled walker alone, for what only it could be hurt by."""
    if not BUILT:
        pytest.skip("the compiled walker was not built here")
    return Twin(compiled_walker)


def nobody(_event: Any, _at: int) -> None:
    """Hears, and does nothing."""


@pytest.mark.parametrize(
    "heard",
    [
        Heard({OfField: KEYS[OfField]}, {}, nobody),  # type: ignore[dict-item]
        Heard({OfField: (KEYS[OfField], [nobody])}, {}, nobody),  # type: ignore[dict-item]
        Heard({OfField: (by_field("missing"), ())}, {}, nobody),
        Heard({OfField: (by_field("__doc__"), ())}, {}, nobody),
        Heard({OfField: (None, ())}, {}, nobody),  # type: ignore[dict-item]
        Heard({OfField: (KEYS[OfField], ())}, {OfField: ()}, nobody),
        Heard({OfField: (KEYS[OfField], ()), Late: (KEYS[OfField], ())}, {}, nobody),
        Heard({OfField: (KEYS[OfField], ()), Stray: (KEYS[OfField], ())}, {}, nobody),
        Heard({OfField: (KEYS[OfField], ())}, {Stray: ()}, nobody),
        Heard({OfField: (KEYS[OfField], ())}, {Noted: nobody}, nobody),  # type: ignore[dict-item]
        Heard({OfField: (KEYS[OfField], ()), 5: (KEYS[OfField], ())}, {}, nobody),  # type: ignore[dict-item]
        Heard({OfField: (KEYS[OfField], ())}, {}, nobody, Stray),
        Heard({OfField: (KEYS[OfField], ())}, {}, nobody, 5),  # type: ignore[arg-type]
        Heard(MappingProxyType({OfField: (KEYS[OfField], ())}), {}, nobody),
        None,
    ],
)
def test_who_was_told_nonsense_does_not_walk(heard: Any, compiled: Twin) -> None:
    with pytest.raises((TypeError, ValueError, AttributeError)):
        compiled.walker.hear(heard)
    for entry in (acted("a", 10), Noted(10, "x", "a"), late(10, acted("a", 10)), Stray()):
        with pytest.raises(RuntimeError, match="must hear whom to call"):
            compiled.walker.walk([entry], 20)


@pytest.mark.parametrize(
    ("arguments", "error"),
    [
        ((), TypeError),
        (([],), TypeError),
        (((), 5), TypeError),
        (([], "5"), TypeError),
        (([], 5, 6), TypeError),
        (([], 2**63), OverflowError),
        (([], 2**63 - 1), OverflowError),
        (([], -(2**63)), OverflowError),
        (([acted("a", 2**63)], 5), OverflowError),
        (([acted("a", -(2**63))], 5), OverflowError),
        (([acted("a", None)], 5), TypeError),  # type: ignore[arg-type]
    ],
)
def test_a_walk_with_wrong_arguments_is_an_error(arguments: tuple[Any, ...], error: type, compiled: Twin) -> None:
    with pytest.raises(error):
        compiled.walker.walk(*arguments)
    assert compiled.walker.walk([acted("a", 10)], 20) == (1, 0)


class Oddly(dict[str, Any]):
    """A mapping whose items are none."""

    def items(self) -> Any:
        """As asked for."""
        return self["items"]


@pytest.mark.parametrize(
    "parts",
    [
        None,
        [None],
        [{"a": b"short"}],
        [{"a": "text as long as a cell"}],
        [{5: bytes(8)}],
        [{None: None}],
        [Oddly(items=[["a", bytes(8)]])],
        [Oddly(items=["ab"])],
        [Oddly(items=[("a",)])],
        [Oddly(items=[()])],
        [Oddly(items=5)],
        [{"a": bytes(9)}, {5: None}],
    ],
)
def test_what_cannot_be_restored_changes_nothing(parts: Any, compiled: Twin) -> None:
    compiled.walked([acted("a", 10, Act(0, "say", 1))], 11)
    before = compiled.walker.all()
    with pytest.raises((AttributeError, TypeError, ValueError)):
        compiled.walker.restore(parts, recording=True)
    assert compiled.walker.all() == before
    with pytest.raises(TypeError):
        compiled.walker.restore([], True)  # type: ignore[call-arg]
    with pytest.raises(TypeError):
        compiled.walker.restore([])  # type: ignore[call-arg]


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"\xc1",
        msgspec.msgpack.encode(5),
        msgspec.msgpack.encode(((0, b"", b""), None)),
        msgspec.msgpack.encode(((0, b"", b""), [1], None, None)),
        msgspec.msgpack.encode(((0, b"", b""), [1, 2, 2**63], None, None)),
        msgspec.msgpack.encode(((2**63 - 1, b"", b""), None, None, None)),
        msgspec.msgpack.encode(((0, b"", "text"), None, None, None)),
        msgspec.msgpack.encode(((0, b"", b""), None, 5, None)),
    ],
)
def test_a_damaged_cell_is_an_error_when_it_is_woken(content: bytes, compiled: Twin) -> None:
    for settled in (0, 1):
        compiled.walker.restore([{"a": bytes(8) + content}], recording=True)
        for _ in range(settled):
            compiled.walker.tidy()
        with pytest.raises((msgspec.MsgspecError, ValueError, OverflowError)):
            compiled.walker.walk([acted("a", 10)], 11)


def made(components: Any = (), live_limit: Any = 5, horizon: Any = 1_000, **others: Any) -> Walker:
    """A compiled walker that is given something else than usual."""
    module = pytest.importorskip("operators.heart._compiled")
    usual = {"encode": msgspec.msgpack.encode, "decode": msgspec.msgpack.decode, "digest": nobody, "seeds": {"oms": 1}}
    walker: Walker = module.Walker(components, live_limit, horizon, **{**usual, **others})
    walker.hear(Heard({OfField: (KEYS[OfField], ())}, {Noted: ()}, nobody))
    return walker


class Bare:
    """Something like a component."""

    states: Any = MappingProxyType({})
    per_group = False


@needs_both
@pytest.mark.parametrize(
    "given",
    [
        {"components": None},
        {"components": [object()]},
        {"components": [Bare()]},
        {"live_limit": "many"},
        {"horizon": 0},
        {"horizon": -1},
        {"horizon": 2**60},
        {"horizon": 2**70},
        {"seeds": []},
    ],
)
def test_a_walker_that_makes_no_sense_is_not_made(given: dict[str, Any]) -> None:
    with pytest.raises((TypeError, ValueError, OverflowError, AttributeError)):
        made(**given)


@needs_both
@pytest.mark.parametrize("digest", [b"seven..", "eight...", None])
def test_a_digest_that_is_none_is_an_error(digest: Any) -> None:
    with pytest.raises(TypeError):
        made(digest=lambda text, seed: digest).walk([acted("a", 10)], 11)


@needs_both
def test_what_is_encoded_must_be_bytes() -> None:
    walker = made(encode=str, digest=lambda text, seed: b"eight...")
    walker.walk([acted("a", 10)], 11)
    for asked in (walker.all, walker.changes):
        with pytest.raises(TypeError):
            asked()


@needs_both
def test_what_is_kept_of_the_bytes_of_a_cell_stays_as_it_was() -> None:
    kept: list[Any] = []

    def decode(content: Any) -> Any:
        kept.append(memoryview(content))
        return (0, b"", b""), None

    walker = made(live_limit=0, decode=decode)
    stored = [{str(number): bytes(8) + bytes([number]) * 500 for number in range(50)}]
    walker.restore(stored, recording=False)
    walker.tidy()
    walker.walk([Noted(10, "x", str(number)) for number in range(50)], 11)
    assert [bytes(view) for view in kept] == [bytes([number]) * 500 for number in range(50)]


REENTRIES: Final[Mapping[str, Callable[[Twin], object]]] = {
    "walk": lambda twin: twin.walker.walk([acted("z", 10)], 30),
    "tidy": lambda twin: twin.walker.tidy(),
    "changes": lambda twin: twin.walker.changes(),
    "all": lambda twin: twin.walker.all(),
    "restore": lambda twin: twin.walker.restore([{}], recording=True),
    "hear": lambda twin: twin.hear(),
}


@pytest.mark.parametrize("name", REENTRIES)
def test_who_is_called_by_a_walk_cannot_begin_with_something_else(name: str, compiled: Twin) -> None:
    tried: list[str] = []

    def tries(first: Any, *_: Any) -> Any:
        with pytest.raises(RuntimeError, match="while it was at work"):
            REENTRIES[name](compiled)
        tried.append(name)
        assert len(compiled.walker) == 2
        return first.subject if isinstance(first, Happened) else None

    compiled.walked([acted("a", 5, Act(0, "arm", 10)), acted("b", 5)], 6)
    setattr(compiled.parts[0], "on_timer", tries)  # noqa: B010
    compiled.hear(tries, tries)
    compiled.walker.hear(Heard({OfField: (Key(tries), (tries, tries))}, {}, tries))
    assert compiled.walked([acted("a", 10, number="2"), late(12, acted("b", 10, number="2"))], 20)[0] == (2, 0)
    assert tried == [name] * 8
    compiled.hear()
    REENTRIES[name](compiled)


@needs_both
@pytest.mark.parametrize("name", ["walk", "tidy", "changes", "all", "restore", "hear"])
def test_nor_can_who_is_asked_to_encode_a_state_or_to_decode_one(name: str) -> None:
    tried: list[str] = []

    def tries(value: Any) -> Any:
        calls = {
            "walk": lambda: walker.walk([], 30),
            "restore": lambda: walker.restore([{}], recording=True),
            "hear": lambda: walker.hear(Heard({}, {}, nobody)),
        }
        with pytest.raises(RuntimeError, match="while it was at work"):
            calls.get(name, getattr(walker, name))()
        with suppress(KeyError):  # sometimes it is not live
            walker.armer(0)("a", 5)
        tried.append(name)
        return b"cell" if isinstance(value, tuple) else ((0, b"", b""), None)

    walker = made(live_limit=0, encode=tries, decode=tries, digest=lambda text, seed: b"eight...")
    walker.walk([Noted(10, "x", "a"), acted("a", 10), acted("b", 10)], 11)
    walker.changes()
    walker.walk([acted("a", 20, Act(0, "say"))], 21)
    walker.tidy()
    walker.walk([acted("b", 20)], 21)
    assert len(tried) >= 4


class Clearing:
    """A component that takes away what it is taken from."""

    per_group = False

    def __init__(self, owners: list[Any]) -> None:
        self.owners = owners

    @property
    def states(self) -> dict[str, Any]:
        """Asked for in the middle of making a walker."""
        self.owners.clear()
        return {}

    def on_timer(self, key: str, due: int) -> None:
        """It is never armed."""


@needs_both
def test_a_list_of_components_may_change_while_a_walker_is_made_of_it() -> None:
    owners: list[Any] = []
    owners += [Clearing(owners) for _ in range(50)]
    walker = made(owners)
    assert owners == []
    assert callable(walker.armer(49))
    for slot in (51, -1):
        with pytest.raises(IndexError):
            walker.armer(slot)


@needs_both
def test_a_walker_its_components_and_its_armers_go_together() -> None:
    def lives() -> Iterator[bool]:
        yield from (ref() is not None for ref in refs)

    twin = Twin(compiled_walker, group=True)
    twin.walked([acted("a", 10, Act(0, "arm", 5), Act(1, "say"))], 11)
    arm = twin.walker.armer(0)
    refs = [weakref.ref(part) for part in twin.parts]
    del twin
    gc.collect()
    assert all(lives())
    arm("a", 50)
    del arm
    gc.collect()
    assert not any(lives())


@needs_both
def test_a_component_that_says_farewell_may_do_what_it_likes() -> None:
    said: list[str] = []

    class Farewell(Part):
        def __del__(self) -> None:
            said.append("farewell")
            self.arms[0]("a", 5)

    for _ in range(3):
        log: list[Any] = []
        part = Farewell(0, log)
        walker = compiled_walker([part], 5, 1_000)
        part.arms = [walker.armer(0)]
        walker.hear(Heard({OfField: (KEYS[OfField], (part.hear,))}, {}, nobody))
        walker.walk([acted("a", 10)], 11)
        del part, walker
        gc.collect()
    assert said == ["farewell"] * 3


def _usage(walker: Walker, event: Any, turns: int) -> None:
    """A bit of everything."""
    for turn in range(turns):
        time = 1_000_000 + 10 * turn
        ready = [OfField(str(turn), "oms", time, f"{turn % 50}é"), OfCard("1", "仓库", time, str(turn % 70)), event]
        walker.walk([*ready, late(time, ready[0]), Noted(time, "x", "n")], time)
        walker.tidy()
        if turn % 100 == 0:
            walker.restore([walker.all(), walker.changes()], recording=turn % 200 == 0)


@needs_both
def test_nothing_is_referred_to_for_longer_than_it_is_used() -> None:
    twin = Twin(compiled_walker, live_limit=3)
    twin.hear(nobody)
    subject, event = "".join(("sub", "ject")), acted("once", 5)
    shared: list[Any] = [b"", OfField, Noted, Late, nobody, event, subject]
    _usage(twin.walker, event, 200)
    before = [sys.getrefcount(each) for each in shared]
    _usage(twin.walker, event, 1_000)
    with pytest.raises(KeyError):
        twin.walker.walk([acted(subject, 5), subject], 5)
    twin.walker.restore([], recording=False)
    twin.walker.walk([], 10**12)
    after = [sys.getrefcount(each) for each in shared]
    assert all(abs(one - other) < 40 for one, other in zip(before, after, strict=True))


@needs_both
def test_nothing_is_noted_down_of_changes_that_nobody_asks_for() -> None:
    twin = Twin(compiled_walker, live_limit=0, horizon=30 * DAY)
    twin.hear(nobody)
    twin.walked([acted("before", 10)], 11)
    before = sys.getallocatedblocks()
    for number in range(3_000):
        twin.walker.walk([acted(str(number), 10)], 11)
        twin.walker.tidy()
    assert len(twin.walker) == 3_001
    assert sys.getallocatedblocks() - before < 1_000


@needs_both
def test_a_deadline_is_filed_once_however_often_its_key_is_woken_and_rests() -> None:
    twin = Twin(compiled_walker, live_limit=0, horizon=30 * DAY)
    twin.walked([acted(subject, 10, Act(0, "arm", 2 * DAY)) for subject in "ab"], 11)
    tracemalloc.start()
    try:
        for _ in range(5_000):
            twin.walker.walk([Unheard(20, "x", "a"), Unheard(20, "x", "b")], 21)
            twin.walker.tidy()
        assert tracemalloc.get_traced_memory()[0] < 20_000
    finally:
        tracemalloc.stop()
    assert len(twin.walked([], 3 * DAY)[1]) == 2


def _resident() -> int:
    """Bytes of memory that this process takes."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * resource.getpagesize()


@needs_both
@pytest.mark.skipif(not Path("/proc/self/statm").exists(), reason="reads Linux's own numbers")
def test_a_walker_at_work_takes_no_more_and_more_memory() -> None:
    twin = Twin(compiled_walker, live_limit=3, horizon=1_000)
    twin.hear(nobody)
    event = acted("once", 5)
    _usage(twin.walker, event, 3_000)
    before = _resident()
    _usage(twin.walker, event, 12_000)
    assert _resident() - before < 1_000_000
