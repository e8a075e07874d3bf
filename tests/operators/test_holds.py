"""Holds: which orders must not ship, until a review says so."""

from events.records import HoldRecord
from tests.operators.timeline import held, of_kind, play, settings, table

BURST = [f"10:0{n} created O{n} card=K amount=5" for n in range(3)]
HELD = ["10:02 O0 held card_burst", "10:02 O1 held card_burst", "10:02 O2 held card_burst"]
LOCKED = ["10:00 created", *(f"10:0{n} signal signal=rating_threat" for n in range(3))]


@table(
    ("a burst holds all its orders", BURST, "12:00", HELD),
    (
        "... and those that join it",
        [*BURST, "10:03 created O3 card=K amount=5"],
        "12:00",
        [*HELD, "10:03 O3 held card_burst"],
    ),
    ("a resonance that locks an order holds it", LOCKED, "12:00", ["10:02 A held resonance"]),
    ("an orange one does not", LOCKED[:3], "12:00", []),
    (
        "a review releases",
        [*BURST, "10:20 released O0"],
        "12:00",
        [*HELD, "10:20 O0 released review_released"],
    ),
    (
        "a review confirms",
        [*BURST, "10:20 confirmed O0"],
        "12:00",
        [*HELD, "10:20 O0 confirmed review_confirmed"],
    ),
    (
        "the same review twice is once",
        [*BURST, "10:20 released O0", "10:21 released O0"],
        "12:00",
        [*HELD, "10:20 O0 released review_released"],
    ),
    ("a review of an order that is not held", ["10:00 created", "10:01 released", "10:02 confirmed"], "12:00", []),
    (
        "after a release nothing can be confirmed",
        [*BURST, "10:20 released O0", "10:21 confirmed O0"],
        "12:00",
        [*HELD, "10:20 O0 released review_released"],
    ),
    (
        "a confirmed suspicion can still be released",
        [*BURST, "10:20 confirmed O0", "10:21 released O0"],
        "12:00",
        [*HELD, "10:20 O0 confirmed review_confirmed", "10:21 O0 released review_released"],
    ),
    (
        "the same burst cannot hold a released order again",
        [*BURST, "10:05 released O0", "10:06 paid O0", "10:07 created O3 card=K amount=5"],
        "12:00",
        [*HELD, "10:05 O0 released review_released", "10:07 O3 held card_burst"],
    ),
    (
        "a resonance that falls and reaches the lock again is the same one",
        [*LOCKED, "10:05 released A", "10:31 signal signal=rating_threat"],
        "10:40",
        ["10:02 A held resonance", "10:05 A released review_released"],
    ),
    (
        "another burst can",
        [
            *BURST,
            "10:20 released O0",
            "10:30 created O5 card=K amount=5",
            "10:31 created O6 card=K amount=5",
            "10:32 paid O0",
        ],
        "12:00",
        [
            *HELD,
            "10:20 O0 released review_released",
            "10:32 O0 held card_burst",
            "10:32 O5 held card_burst",
            "10:32 O6 held card_burst",
        ],
    ),
    (
        "but not an order whose suspicion was confirmed",
        [
            *BURST,
            "10:20 confirmed O0",
            "10:30 created O5 card=K amount=5",
            "10:31 created O6 card=K amount=5",
            "10:32 paid O0",
        ],
        "12:00",
        [*HELD, "10:20 O0 confirmed review_confirmed", "10:32 O5 held card_burst", "10:32 O6 held card_burst"],
    ),
    (
        "a second cause is added to a standing hold",
        [*BURST, *(f"10:0{n + 3} signal O0 signal=rating_threat" for n in range(3))],
        "12:00",
        [*HELD, "10:05 O0 held resonance"],
    ),
)
def test_an_order_is_held_until_a_review_says_so(lines: list[str], until: str, expected: list[str]) -> None:
    assert held(lines, until) == expected


def test_each_record_of_a_hold_has_the_next_version_and_all_its_causes() -> None:
    lines = [
        *BURST,
        *(f"10:0{n + 3} signal O0 signal=rating_threat" for n in range(3)),
        "10:20 released O0 operator=mei",
    ]
    records = [hold for hold in of_kind(HoldRecord, play(lines, "12:00")) if hold.order_id == "O0"]
    assert [(hold.id, hold.version, hold.operator) for hold in records] == [
        ("hold/O0/1", 1, None),
        ("hold/O0/2", 2, None),
        ("hold/O0/3", 3, "mei"),
    ]
    assert [[cause.rule for cause in hold.causes] for hold in records] == [
        ["card_burst"],
        ["card_burst", "resonance"],
        ["card_burst", "resonance"],
    ]
    assert records[1].causes[1].since == records[1].time


def test_an_order_that_two_bursts_name_has_two_causes() -> None:
    lines = [f"10:0{n} created O{n} card=K ip=203.0.113.7 amount=5" for n in range(3)]
    last = [hold for hold in of_kind(HoldRecord, play(lines, "10:05")) if hold.order_id == "O0"][-1]
    assert sorted(cause.episode.split("/")[1] for cause in last.causes) == ["card", "ip"]


def test_detectors_hold_only_where_they_are_told_to() -> None:
    assert held(BURST, "12:00", settings(card_burst={"hold": False})) == []
    assert held(LOCKED, "12:00", settings(resonance={"hold": False})) == []
