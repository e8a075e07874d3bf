"""What came before a process had its state is read back as it was, and what cannot be read is refused."""

import msgspec
import pytest
from msgspec.structs import replace

from dataflows.deliveries import Inputs, from_store, to_store
from dataflows.seals import sealed
from events.model import RulePublished
from operators.heart.inputs import Chunk, GroupInput
from operators.heart.messages import AnyNote, CustomerBehaviour, Outcome, PaymentFailure
from operators.heart.snapshots import SnapshotError
from operators.rules.documents import Announced
from tests.operators.timeline import at, event

LINES = Chunk("log", "orders", [b"{", b"\xff\n"], [4, 5], late={1: 8}, arrivals=[1, 2], headers={0: (("a", None),)})
EVENTS = Chunk("log", "orders", events=[event("10:00 created A"), event("10:01 paid A")])


NOTES: list[AnyNote] = [
    PaymentFailure(1, "A", "B", "e-1"),
    CustomerBehaviour(2, "C", "D", event("10:02 paid A")),
    Outcome(3, "A", "B", "capture", "card_burst", 2, {"met": 1}),
]


def listed(deliveries: list[Inputs]) -> list[Inputs]:
    """The same with lists for sequences, as it is read back."""
    return [
        {number: replace(item, chunks=[*item.chunks], notes=[*item.notes], rules=[*item.rules])}
        for each in deliveries
        for number, item in each.items()
    ]


def test_notes_are_read_back() -> None:
    deliveries: list[Inputs] = [{3: GroupInput("stage/0", 1, notes=NOTES)}, {4: GroupInput("stage/1", 2)}]
    assert from_store(to_store(deliveries)) == listed(deliveries)


def test_records_events_and_rule_documents_are_read_back() -> None:
    document = RulePublished("r", "shop", at("10:00"), rule="card_burst", version=2, effective_at=at("11:00"))
    announced = Announced(at("10:00"), document, "rules", "rules/0", 3, b"{}", 7, (("a", b"\xff"),), tells=True)
    deliveries: list[Inputs] = [
        {0: GroupInput("source/0", 1, [LINES, EVENTS], rules=[announced])},
        {0: GroupInput("source/1", 2, ended=5)},
    ]
    assert from_store(to_store(deliveries)) == listed(deliveries)


def test_nothing_is_stored_as_nothing() -> None:
    assert to_store([]) is None
    assert from_store(None) == []


def test_a_mark_of_an_older_store_says_nothing() -> None:
    assert from_store(True) == []


@pytest.mark.parametrize("damaged", [b"", b"no", sealed(b"\xc1"), sealed(msgspec.msgpack.encode([{"0": 1}]))])
def test_what_cannot_be_read_is_refused(damaged: bytes) -> None:
    with pytest.raises(SnapshotError, match="cannot be read"):
        from_store(damaged)


def test_what_was_kept_in_another_way_is_refused() -> None:
    with pytest.raises(SnapshotError, match="start it once more with that"):
        from_store(({0: GroupInput("source/0", 1)},))
