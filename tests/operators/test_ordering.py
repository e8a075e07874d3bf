"""The order within one millisecond: fixed by the events, never by their arrival."""

from collections.abc import Sequence
from itertools import permutations
from typing import Any

from operators.heart.buffer import PlainBuffer
from operators.heart.lateness import AFTER_TIME
from operators.heart.messages import AddressChange, KeyUsed, Late
from operators.heart.ordering import Ordering
from tests.operators.timeline import SETTINGS, at, event

ORDERING = Ordering(SETTINGS)
NINE = at("9:00")


def settled(entries: Sequence[Any]) -> list[Any]:
    """What a key group makes of entries that wait."""
    buffer = PlainBuffer()
    buffer.extend(entries)
    ready, ties = buffer.release(AFTER_TIME)
    ORDERING.settle(ready, ties)
    return ready


def test_creation_then_payment_then_split_then_the_chain_then_the_rest() -> None:
    texts = [
        "9:00 created",
        "9:00 failed",
        "9:00 paid",
        "9:00 split parcels=P,Q",
        "9:00 moved stage=paid",
        "9:00 queued",
        "9:00 scanned scan=collected",
        "9:00 changed courier=sf",
        "9:00 moved stage=nowhere",
    ]
    expected = [event(text, number) for number, text in enumerate(texts)]
    assert settled(expected[::-1]) == expected


def test_ties_are_settled_by_source_then_id_as_texts() -> None:
    expected = [
        event("9:00 created A source=a id=2"),
        event("9:00 created A source=b id=10"),
        event("9:00 created A source=b id=9"),
    ]
    for shuffled in permutations(expected):
        assert settled(list(shuffled)) == expected


def test_two_events_that_share_an_id_have_one_order_all_the_same() -> None:
    pair = [event("9:00 created A source=a id=1"), event("9:00 created B source=a id=1")]
    assert settled(pair[:]) == settled(pair[::-1])


def test_a_late_event_takes_its_place_among_those_of_its_bound() -> None:
    late = Late(NINE, event("8:00 created"))
    paid = event("9:00 paid", 1)
    assert settled([paid, late]) == [late, paid]


def test_notes_come_before_events_or_after_them_and_keep_their_sender_s_order() -> None:
    first = KeyUsed(NINE, "A", "card:K", "A", 1, "1")
    second = KeyUsed(NINE, "A", "card:L", "A", 1, "1")
    other = KeyUsed(NINE, "B", "card:K", "B", 1, "2")
    after = AddressChange(NINE, "A", "customer:C", "A", "3")
    created = event("9:00 created")
    assert settled([after, other, created, first, second]) == [first, second, other, created, after]
