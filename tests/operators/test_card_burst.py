"""`card_burst`: many distinct orders on one card, phone, ip, device or address within a short time.

The defaults: 5 orders, or 3 of the same amount, within 10 minutes.
"""

import pytest

from events.normal_form import risk_key
from tests.operators.timeline import HASH_KEY, alerts, play, settings, table, told

RULE = "card_burst"
ANY = [f"10:0{2 * n} created O{n} card=K amount={100 + n}" for n in range(5)]
SAME = [f"10:0{n} created O{n} card=K amount=500" for n in range(3)]


@table(
    (
        "the fifth order within the window completes it; the first two leave, it ends",
        ANY,
        "11:00",
        [
            "10:08 opened burst card K: O0 O1 O2 O3 O4",
            "10:10:00.001 resolved burst window_passed card K: O0 O1 O2 O3 O4",
        ],
    ),
    (
        "it grows by each further order and lasts as long as five are left",
        [*ANY, "10:09 created O5 card=K amount=7", "10:11 created O6 card=K amount=8"],
        "11:00",
        [
            "10:08 opened burst card K: O0 O1 O2 O3 O4",
            "10:09 updated burst joined card K: O0 O1 O2 O3 O4 O5",
            "10:11 updated burst joined card K: O0 O1 O2 O3 O4 O5 O6",
            "10:14:00.001 resolved burst window_passed card K: O0 O1 O2 O3 O4 O5 O6",
        ],
    ),
    ("four orders are none", ANY[:4], "11:00", []),
    (
        "the window holds its first millisecond",
        ["10:00 created O0 card=K amount=1", *ANY[1:4], "10:10 created O4 card=K amount=9"],
        "10:10",
        ["10:10 opened burst card K: O0 O1 O2 O3 O4"],
    ),
    (
        "... and not the one before",
        ["10:00 created O0 card=K amount=1", *ANY[1:4], "10:10:00.001 created O4 card=K amount=9"],
        "11:00",
        [],
    ),
    (
        "an order counts once however often it uses the card",
        [*ANY[:4], "10:07 paid O0", "10:07 paid O1", "10:07 paid O2", "10:07 paid O3"],
        "11:00",
        [],
    ),
    (
        "in one millisecond order by order, by order id",
        [f"10:00 created O{n} card=K amount={n + 1}" for n in (3, 1, 0, 4, 2)],
        "10:00",
        ["10:00 opened burst card K: O0 O1 O2 O3 O4"],
    ),
)
def test_five_orders_on_one_card_are_a_burst(lines: list[str], until: str, expected: list[str]) -> None:
    assert told(RULE, lines, until) == expected


@table(
    (
        "three of the same amount",
        SAME,
        "11:00",
        [
            "10:02 opened same_amount card K: O0 O1 O2",
            "10:10:00.001 resolved same_amount window_passed card K: O0 O1 O2",
        ],
    ),
    (
        "three of different amounts",
        [*SAME[:2], "10:02 created O2 card=K amount=501"],
        "11:00",
        [],
    ),
    (
        "the amount of the order's creation counts, whatever it is changed to",
        [*SAME[:2], "10:01:30 changed O0 amount=1", "10:02 created O2 card=K amount=500"],
        "10:02",
        ["10:02 opened same_amount card K: O0 O1 O2"],
    ),
    ("an amount of nothing is no amount", [f"10:0{n} created O{n} card=K" for n in range(4)], "11:00", []),
    (
        "the window to the millisecond",
        ["10:00 created O0 card=K amount=5", "10:05 created O1 card=K amount=5", "10:10 created O2 card=K amount=5"],
        "11:00",
        [
            "10:10 opened same_amount card K: O0 O1 O2",
            "10:10:00.001 resolved same_amount window_passed card K: O0 O1 O2",
        ],
    ),
    (
        "a millisecond too far apart",
        [
            "10:00 created O0 card=K amount=5",
            "10:05 created O1 card=K amount=5",
            "10:10:00.001 created O2 card=K amount=5",
        ],
        "11:00",
        [],
    ),
    (
        "an order already named does not update the burst but stays longer in it",
        [*SAME, "10:08 paid O0"],
        "11:00",
        [
            "10:02 opened same_amount card K: O0 O1 O2",
            "10:11:00.001 resolved same_amount window_passed card K: O0 O1 O2",
        ],
    ),
    (
        "an order that leaves and comes back in one millisecond starts another burst",
        [
            "10:00 created O0 card=K amount=5",
            "10:05 created O1 card=K amount=5",
            "10:06 created O2 card=K amount=5",
            "10:10:00.001 paid O0",
        ],
        "10:12",
        [
            "10:06 opened same_amount card K: O0 O1 O2",
            "10:10:00.001 resolved same_amount window_passed card K: O0 O1 O2",
            "10:10:00.001 opened same_amount card K: O1 O2 O0",
        ],
    ),
    (
        "both kinds at once are two alerts",
        [*SAME, "10:03 created O3 card=K amount=1", "10:04 created O4 card=K amount=2"],
        "10:10",
        ["10:02 opened same_amount card K: O0 O1 O2", "10:04 opened burst card K: O0 O1 O2 O3 O4"],
    ),
    (
        "two amounts are two bursts",
        [
            line
            for n in range(3)
            for line in (f"10:0{n} created O{n} card=K amount=5", f"10:0{n} created P{n} card=L amount=6")
        ],
        "10:09",
        ["10:02 opened same_amount card K: O0 O1 O2", "10:02 opened same_amount card L: P0 P1 P2"],
    ),
)
def test_three_orders_of_one_amount_on_one_card_are_a_burst(lines: list[str], until: str, expected: list[str]) -> None:
    assert told(RULE, lines, until) == expected


@table(
    (
        "the card that pays counts",
        [*SAME[:2], "10:02 created O2 amount=500", "10:03 paid O2 card=K"],
        "10:03",
        ["10:03 opened same_amount card K: O0 O1 O2"],
    ),
    (
        "the order's own card, where the payment names none",
        [
            "10:00 created O0 card=K amount=5",
            "10:09 paid O0",
            "10:15 created O1 card=K amount=5",
            "10:19 created O2 card=K amount=5",
        ],
        "10:19",
        ["10:19 opened same_amount card K: O0 O1 O2"],
    ),
    (
        "a payment that moves nothing counts all the same",
        [
            "10:00 created O0 card=K amount=5",
            "10:01 paid O0",
            "10:09 paid O0",
            "10:15 created O1 card=K amount=5",
            "10:19 created O2 card=K amount=5",
        ],
        "10:19",
        ["10:19 opened same_amount card K: O0 O1 O2"],
    ),
    (
        "a payment before the order is known does not",
        ["10:00 paid O2 card=K", *SAME[:2], "10:05 created O2 amount=500"],
        "10:06",
        [],
    ),
    (
        "a repeated announcement does not",
        [
            "10:00 created O0 card=K amount=5",
            "10:09 created O0 card=K amount=5 source=erp",
            "10:11 created O1 card=K amount=5",
            "10:12 created O2 card=K amount=5",
        ],
        "10:15",
        [],
    ),
)
def test_payments_use_the_keys_of_their_order(lines: list[str], until: str, expected: list[str]) -> None:
    assert told(RULE, lines, until) == expected


@pytest.mark.parametrize(
    ("key", "value", "entity"),
    [
        ("ip", "203.0.113.7", "203.0.113.7"),
        ("device", "D-1", "D-1"),
        ("phone", "13800001111", risk_key("phone", "13800001111", HASH_KEY)),
        ("card", "6222000011112222", risk_key("card", "6222000011112222", HASH_KEY)),
        ("address", "home", None),
    ],
)
def test_every_key_of_an_order_is_watched_and_secrets_only_as_hashes(key: str, value: str, entity: str | None) -> None:
    steps = alerts(RULE, play([f"10:0{n} created O{n} {key}={value} amount=5" for n in range(3)], "10:05"))
    assert [(step.entity_type, step.orders) for step in steps] == [(key, ("O0", "O1", "O2"))]
    assert steps[0].entity_id == entity or (entity is None and steps[0].entity_id.startswith("h:"))


def test_spellings_of_one_phone_or_address_are_one_key() -> None:
    phones = ("13800001111", "'+86 138-0000-1111'", "008613800001111")
    by_phone = [f"10:0{n} created O{n} phone={phone} amount=5" for n, phone in enumerate(phones)]
    assert len(told(RULE, by_phone, "10:05")) == 1
    places = ("home", "home_spelt_otherwise", "home")
    by_address = [f"10:0{n} created O{n} address={place} amount=5" for n, place in enumerate(places)]
    assert len(told(RULE, by_address, "10:05")) == 1


def test_a_masked_number_is_shared_by_many_and_no_key() -> None:
    assert told(RULE, [f"10:0{n} created O{n} phone=138****1111 amount=5" for n in range(6)], "10:08") == []


def test_a_phone_changed_before_payment_is_the_one_that_counts_then() -> None:
    lines = [
        *(f"10:0{n} created O{n} phone=13800001111 amount=5" for n in range(2)),
        "10:02 created O2 amount=5",
        "10:03 changed O2 phone=13800001111",
    ]
    assert told(RULE, lines, "10:04") == []
    assert len(told(RULE, [*lines, "10:04 paid O2"], "10:04")) == 1


def test_only_the_configured_keys_and_moments_are_judged() -> None:
    by_payment = [*SAME[:2], "10:02 created O2 amount=500", "10:03 paid O2 card=K"]
    assert told(RULE, SAME, "10:05", settings(card_burst={"keys": ["phone"]})) == []
    assert told(RULE, by_payment, "10:05", settings(card_burst={"judged_on": ["created"]})) == []
    assert told(RULE, SAME, "10:05", settings(card_burst={"judged_on": ["paid"]})) == []
    paid = [*SAME, *(f"10:0{n + 3} paid O{n}" for n in range(3))]
    assert told(RULE, paid, "10:05", settings(card_burst={"judged_on": ["paid"]})) == [
        "10:05 opened same_amount card K: O0 O1 O2"
    ]


def test_count_and_window_are_configuration() -> None:
    changed = settings(
        card_burst={"any_amount": {"count": 2, "window": "1s"}, "same_amount": {"count": 9, "window": "1s"}}
    )
    lines = ["10:00 created O0 card=K", "10:00:01 created O1 card=K", "10:00:02.001 created O2 card=K"]
    assert told(RULE, lines, "10:01", changed) == [
        "10:00:01 opened burst card K: O0 O1",
        "10:00:01.001 resolved burst window_passed card K: O0 O1",
    ]


def test_the_evidence_counts_and_names_the_amount() -> None:
    opened, resolved = alerts(RULE, play(SAME, "11:00"))
    assert opened.evidence == {"count": 3, "limit": 3, "window_ms": 600_000, "event_id": "0002", "amount": 500}
    assert (opened.severity, opened.reason, resolved.evidence) == ("critical", "completed", opened.evidence)
    assert opened.episode == resolved.episode == f"card_burst/card/K/{opened.time}/same_amount/500"


def test_without_the_detector_nobody_counts() -> None:
    assert told(RULE, SAME, "11:00", settings(card_burst={"enabled": False})) == []
