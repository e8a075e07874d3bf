"""Neither nonsense, nor whom it calls, nor what is stored can bring the compiled walker to crash or to leak."""

import gc
import resource
import sys
import tracemalloc
import weakref
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from pathlib import Path
from types import MappingProxyType
from typing import Any, Final

import msgspec
import pytest

from operators.heart.built import BUILT
from operators.heart.keys import Key, by_field
from operators.heart.messages import Late
from operators.heart.walker import Heard, Walker
from operators.heart.walkers import compiled_walker
from tests.operators.twins import (
    DAY,
    KEYS,
    Act,
    Happened,
    Noted,
    OfCard,
    OfField,
    Part,
    Twin,
    Unheard,
    acted,
    late,
    needs_both,
    nobody,
)


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
