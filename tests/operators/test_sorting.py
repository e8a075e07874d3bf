"""Routing in Python and compiled: whatever a batch holds, both say the same of it, and the clocks agree."""

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from operators.heart.built import BUILT
from operators.heart.component import Environment
from operators.heart.lateness import PartitionClock
from operators.heart.messages import AnyNote, OrderEnded
from operators.heart.router import LOOPS, Loops, Routed, Router, key_group, newlines, picked
from operators.heart.walkers import loops_for
from operators.topology import topology
from tests.operators.timeline import SETTINGS, event
from tests.oracle.generate import Log, logs
from tests.support.flow import batch, line

pytestmark = pytest.mark.skipif(not BUILT, reason="it was not built")

if BUILT:
    from operators.heart import _compiled

GROUPS = 8
ENVIRONMENT = Environment(SETTINGS, GROUPS)
ODD = (
    b"{",
    b"[]",
    b"",
    line(event("10:00 created")).replace(b'"time":', b'"time":9999999999999999999999'),
    line(event("10:00 created")).replace(b'"time":1', b'"time":-1'),
    line(event("10:00 created")).replace(b'"time":1', b'"time":9'),
    line(event("10:00 created A")).replace(b'"order.created"', b'"order.unheard_of"'),
    line(event("10:00 created 订单-1", 7)),
    line(event("10:01 chat - customer=客户 text=催", 8)),
    line(event("10:01 acknowledged card:K rule=card_burst opened=10:00", 9)),
    line(event("10:00 created A", 3)) + b"\n" + line(event("10:00 created B", 4)),
)


def said(routed: Routed) -> bytes:
    """Everything, in one order."""
    return msgspec.json.encode(
        (
            {name: sorted(chunks.items()) for name, chunks in sorted(routed.chunks.items())},
            sorted(map(msgspec.json.encode, routed.dead)),
            (routed.events, routed.late, routed.forced),
        )
    )


@given(logs(SETTINGS), st.lists(st.tuples(st.integers(0, 20), st.sampled_from(ODD))), st.integers(1, 9), st.booleans())
def test_both_loops_say_the_same(
    drawn: dict[str, Log],
    odd: list[tuple[int, bytes]],
    size: int,
    whole: bool,
) -> None:
    plan = topology(ENVIRONMENT)
    plain, compiled = (
        Router(SETTINGS.time, GROUPS, plan.routes, None, plan.rulebook, whole=whole, loops=loops)
        for loops in (LOOPS, loops_for(ENVIRONMENT))
    )
    for name, log in drawn.items():
        records = list(log)
        for place, record in odd:
            records.insert(place, (record, log[0][1] if log else None))
        for start in range(0, len(records), size):
            taken = batch(name, records[start : start + size], start)
            assert said(plain.route(taken)) == said(compiled.route(taken))
            assert plain.snapshot() == compiled.snapshot()


def test_the_compiled_loops_are_those_that_the_settings_ask_for() -> None:
    assert loops_for(ENVIRONMENT) == Loops(_compiled.Sorter, _compiled.picked, _compiled.newlines)
    assert loops_for(msgspec.structs.replace(ENVIRONMENT, compiled=False)) == LOOPS


@given(st.binary(max_size=200).map(lambda text: text.replace(b"a", b"\n")))
def test_newlines_are_counted_alike(text: bytes) -> None:
    assert _compiled.newlines(text) == newlines(text)


@given(st.lists(st.integers(), max_size=20), st.data())
def test_items_are_picked_alike(items: list[int], data: st.DataObject) -> None:
    indexes = data.draw(st.lists(st.integers(0, len(items) - 1), max_size=30)) if items else []
    assert _compiled.picked(items, indexes) == picked(items, indexes)
    for wrong in (-1, len(items)):
        with pytest.raises(IndexError):
            _compiled.picked(items, [wrong])


@given(st.text(st.characters(exclude_categories=["Cs"]), max_size=40), st.integers(1, 200))
def test_a_note_goes_to_the_key_group_of_its_key(key: str, groups: int) -> None:
    notes: dict[str, dict[int, list[AnyNote]]] = {}
    note = OrderEnded(1, "A", key, "ended", "")
    _compiled.post(notes, "signals", note, groups)
    _compiled.post(notes, "signals", note, groups)
    assert notes == {"signals": {key_group(key, groups): [note, note]}}


def test_wrong_arguments_are_refused() -> None:
    sorter = _compiled.Sorter({}, {}, 1)
    with pytest.raises(TypeError, match="lists of one length"):
        sorter.sort([], [None], None, None, None, None, None)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="at least one key group"):
        _compiled.Sorter({}, {}, 0)
    with pytest.raises(ValueError, match="at least one key group"):
        _compiled.post({}, "signals", OrderEnded(1, "A", "B", "ended", ""), 0)
    with pytest.raises(TypeError):
        _compiled.picked((), [])  # type: ignore[arg-type]
    with pytest.raises(TypeError):
        _compiled.newlines("text")  # type: ignore[arg-type]


def test_what_a_router_calls_may_fail() -> None:
    def fails(*_: object) -> None:
        raise RuntimeError("no")

    def unheard_of(*_: object) -> None:
        return None

    sorter = _compiled.Sorter({"order.created": "orders"}, {}, 1)
    clock, headers = PartitionClock(SETTINGS.time), [event("10:00 created")]
    for kind, ceiling, unusual, judge in (
        ("order.created", fails, unheard_of, unheard_of),
        ("order.unheard_of", lambda: 0, fails, unheard_of),
        ("order.created", lambda: 0, unheard_of, fails),
    ):
        with pytest.raises(RuntimeError, match="no"):
            sorter.sort([kind], headers, None, clock, ceiling, unusual, judge)  # type: ignore[arg-type]
