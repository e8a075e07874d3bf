"""`order_timeout`: the handling limit, from paid until the warehouse first handles the order."""

from tests.operators.timeline import alerts, play, settings, table, told

RULE = "order_timeout"
PAID = ["10:00 created", "10:01 paid"]


@table(
    ("paid, then nothing", PAID, "12:02", ["12:01 opened breach"]),
    ("a millisecond before the deadline", PAID, "12:00:59.999", []),
    ("never paid", ["10:00 created"], "20:00", []),
    ("handled exactly at the deadline", [*PAID, "10:10 queued", "12:01 accepted"], "14:00", []),
    (
        "handled a millisecond late",
        [*PAID, "10:10 queued", "12:01:00.001 accepted"],
        "14:00",
        ["12:01 opened breach", "12:01:00.001 resolved breach moved_on"],
    ),
    ("waiting in the queue is not handled", [*PAID, "10:10 queued"], "12:01", ["12:01 opened breach"]),
    (
        "cancelled by the buyer",
        [*PAID, "12:30 cancelled"],
        "14:00",
        ["12:01 opened breach", "12:30 resolved breach cancelled"],
    ),
    ("cancelled in time", [*PAID, "12:01 cancelled"], "14:00", []),
    ("a second payment does not start the clock again", [*PAID, "11:00 paid"], "12:30", ["12:01 opened breach"]),
    (
        "a payment that came before its order counts from the order's creation",
        ["10:00 paid", "10:30 created"],
        "12:31",
        ["12:30 opened breach"],
    ),
    (
        "caught up straight into the warehouse: it never waited",
        ["10:00 created", "10:01 queued", "10:02 accepted", "10:03 paid"],
        "14:00",
        [],
    ),
    (
        "fresh goods, exactly in time",
        ["10:00 created category=fresh", "10:01 paid", "10:05 queued", "10:31 accepted"],
        "12:30",
        [],
    ),
    ("fresh goods", ["10:00 created category=fresh", "10:01 paid"], "10:32", ["10:31 opened breach"]),
    (
        "goods that become fresh once they are paid keep their limit",
        [*PAID, "10:02 changed category=fresh"],
        "12:01",
        ["12:01 opened breach"],
    ),
    (
        "goods that became fresh before they were paid do not",
        ["10:00 created", "10:00:30 changed category=fresh", "10:01 paid"],
        "11:00",
        ["10:31 opened breach"],
    ),
    (
        "a split order waits for the parcel that is least far",
        [*PAID, "10:02 split parcels=P,Q", "10:03 queued", "10:04 accepted A/P", "12:10 accepted A/Q"],
        "13:00",
        ["12:01 opened breach", "12:10 resolved breach moved_on"],
    ),
)
def test_a_paid_order_must_be_handled_in_time(lines: list[str], until: str, expected: list[str]) -> None:
    assert told(RULE, lines, until) == expected


@table(
    (
        "reminded, then overdue",
        PAID,
        "13:00",
        ["11:46 opened reminder", "12:01 updated breach limit_exceeded"],
    ),
    (
        "handled between reminder and limit",
        [*PAID, "10:10 queued", "11:50 accepted"],
        "13:00",
        ["11:46 opened reminder", "11:50 resolved reminder moved_on"],
    ),
    ("handled when the reminder is due", [*PAID, "10:10 queued", "11:46 accepted"], "13:00", []),
)
def test_a_reminder_comes_fifteen_minutes_before_the_limit(lines: list[str], until: str, expected: list[str]) -> None:
    assert told(RULE, lines, until, settings(order_timeout={"reminder_lead": "15m"})) == expected


def test_an_order_that_ends_without_being_handled_or_cancelled_is_closed() -> None:
    lost = {"label_zh": "丢失", "label_en": "lost", "terminal": True}
    changed = settings(stages={"lost": lost}, flow={"from_any": ["cancelled", "lost"]})
    assert told(RULE, [*PAID, "12:30 lost"], "13:00", changed) == [
        "12:01 opened breach",
        "12:30 resolved breach closed",
    ]


def test_where_paying_is_handling_nothing_has_to_be_waited_for() -> None:
    assert told(RULE, PAID, "20:00", settings(stages={"paid": {"handled": True}})) == []


def test_the_alert_is_about_the_order_and_says_since_when() -> None:
    (late,) = alerts(RULE, play(PAID, "12:30"))
    assert (late.entity_type, late.entity_id, late.severity, late.orders) == ("order", "A", "warning", ("A",))
    assert late.evidence == {
        "subject": "handling",
        "since": late.time - 7_200_000,
        "deadline": late.time,
        "limit_ms": 7_200_000,
        "event_id": "0001",
    }


def test_without_the_detector_nobody_watches_the_handling() -> None:
    assert told(RULE, PAID, "20:00", settings(order_timeout={"enabled": False})) == []
