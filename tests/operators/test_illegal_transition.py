"""`illegal_transition`: somebody reported a move that the stage chain does not allow; and catching up afterwards."""

from tests.operators.timeline import alerts, play, settings, table, told

RULE = "illegal_transition"
DONE = ["10:00 created", "10:01 cancelled"]


@table(
    (
        "a stage skipped, then caught up with",
        ["10:00 created", "10:01 queued", "10:02 paid"],
        "10:03",
        ["10:01 opened skipped", "10:02 resolved skipped moved_on"],
    ),
    (
        "two stages skipped, both caught up with at once",
        ["10:00 created", "10:01 accepted", "10:02 queued", "10:03 paid", "10:04 printed"],
        "10:05",
        ["10:01 opened skipped", "10:02 updated skipped skipped", "10:03 resolved skipped moved_on"],
    ),
    (
        "a skipped stage that is never reached stays open",
        ["10:00 created", "10:01 packed"],
        "10:20",
        ["10:01 opened skipped"],
    ),
    (
        "a skipped stage that was passed another way is forgotten",
        [
            "10:00 created",
            "10:01 in_transit",
            "10:02 paid",
            "10:03 queued",
            "10:04 accepted",
            "10:05 printed",
            "10:06 picked",
            "10:07 packed",
            "10:08 collected",
            "10:09 paid",
        ],
        "10:10",
        ["10:01 opened skipped", "10:02 resolved skipped moved_on", "10:09 opened backwards"],
    ),
    (
        "back to where it was before",
        ["10:00 created", "10:01 paid", "10:02 queued", "10:03 moved stage=paid"],
        "10:10",
        ["10:03 opened backwards"],
    ),
    ("a stage nobody knows", ["10:00 created", "10:01 moved stage=teleported"], "10:10", ["10:01 opened unknown"]),
    ("the same stage again", ["10:00 created", "10:01 paid", "10:02 moved stage=paid", "10:03 paid"], "10:10", []),
    ("announced again while new", ["10:00 created", "10:01 created source=erp"], "10:10", []),
    ("announced again later", ["10:00 created", "10:01 paid", "10:02 created"], "10:10", ["10:02 opened backwards"]),
    (
        "every illegal move updates the alert until the order moves",
        [
            "10:00 created",
            "10:01 paid",
            "10:02 created",
            "10:03 moved stage=nowhere",
            "10:04 paid",
            "10:05 packed",
            "10:06 cancelled",
        ],
        "10:10",
        [
            "10:02 opened backwards",
            "10:03 updated unknown unknown",
            "10:05 updated skipped skipped",
            "10:06 resolved skipped cancelled",
        ],
    ),
    (
        "a move after the end, until the order is forgotten",
        [*DONE, "10:02 paid"],
        "+7d 10:01",
        ["10:02 opened backwards", "+7d 10:01 resolved backwards forgotten"],
    ),
    (
        "cancelled twice",
        [*DONE, "10:02 cancelled"],
        "10:10",
        [],
    ),
    (
        "the last millisecond of the retention still knows the order",
        [*DONE, "+7d 10:01 created"],
        "+7d 10:02",
        ["+7d 10:01 opened backwards", "+7d 10:01 resolved backwards forgotten"],
    ),
    ("the next one does not", [*DONE, "+7d 10:01:00.001 created"], "+7d 10:02", []),
    (
        "moves before the order is known are caught up with when it is",
        ["10:00 queued", "10:01 paid", "10:02 created"],
        "10:30",
        ["10:00 opened skipped", "10:01 updated skipped skipped", "10:02 resolved skipped moved_on"],
    ),
    (
        "an order that is never known is forgotten after its last event",
        ["10:00 paid", "11:00 failed"],
        "+7d 11:00",
        ["10:00 opened skipped", "+7d 11:00 resolved skipped forgotten"],
    ),
    (
        "a chat about it does not keep an order that never began",
        ["10:00 queued", "+1d 10:00 chat text=hello", "+7d 10:00:00.001 created"],
        "+7d 10:00:00.001",
        ["10:00 opened skipped", "+7d 10:00 resolved skipped forgotten"],
    ),
    (
        "its moves are forgotten with it",
        ["10:00 paid", "+8d 10:00 created"],
        "+8d 10:06",
        ["10:00 opened skipped", "+7d 10:00 resolved skipped forgotten"],
    ),
    (
        "illegal for parcels only when no parcel can make the move",
        [
            "10:00 created",
            "10:01 paid",
            "10:02 split parcels=P,Q",
            "10:03 queued A/P",
            "10:04 accepted",
            "10:05 packed",
        ],
        "10:10",
        ["10:05 opened skipped"],
    ),
    (
        "a parcel's own skip",
        ["10:00 created", "10:01 paid", "10:02 split parcels=P,Q", "10:03 accepted A/P", "10:04 queued A/P"],
        "10:10",
        ["10:03 opened skipped", "10:04 resolved skipped moved_on"],
    ),
    (
        "a parcel that is cancelled does not cancel the order",
        ["10:00 created", "10:01 paid", "10:02 split parcels=P,Q", "10:03 accepted A/P", "10:04 cancelled A/P"],
        "10:10",
        ["10:03 opened skipped", "10:04 resolved skipped moved_on"],
    ),
    ("a scan that is no stage", ["10:00 created", "10:01 scanned scan=exception"], "10:02", []),
    (
        "a scan that is a stage too far",
        ["10:00 created", "10:01 scanned scan=collected"],
        "10:02",
        ["10:01 opened skipped"],
    ),
)
def test_moves_follow_the_stage_chain(lines: list[str], until: str, expected: list[str]) -> None:
    assert told(RULE, lines, until) == expected


def test_what_was_skipped_is_applied_in_its_order_at_the_moment_of_the_missing_event() -> None:
    lines = ["10:00 created", "10:01 queued", "10:02 accepted", "10:03 paid"]
    assert told("stage_timeout", lines, "11:03") == ["11:03 opened breach"]


def test_the_chain_says_what_may_come_from_anywhere() -> None:
    changed = settings(flow={"from_any": []})
    assert told(RULE, ["10:00 created", "10:01 cancelled"], "10:02", changed) == ["10:01 opened skipped"]


def test_the_evidence_says_who_reported_what_and_how_often() -> None:
    first, second = alerts(RULE, play(["10:00 created", "10:01 packed", "10:02 moved stage=x operator=mei source=erp"]))
    assert first.evidence == {
        "parcel": None,
        "from": "created",
        "to": "packed",
        "reported_by": "wms",
        "event_id": "0001",
        "moves": 1,
    }
    assert (second.evidence["to"], second.evidence["reported_by"], second.evidence["moves"]) == ("x", "erp", 2)
    assert (first.severity, first.reason, second.reason) == ("warning", "skipped", "unknown")


def test_the_evidence_of_a_parcel_s_move_speaks_of_the_parcel() -> None:
    lines = ["10:00 created", "10:01 paid", "10:02 split parcels=P,Q", "10:03 queued A/P", "10:04 packed A/P"]
    (step,) = alerts(RULE, play(lines))
    assert (step.entity_id, step.evidence["parcel"], step.evidence["from"]) == ("A", "P", "queued")


def test_without_the_detector_illegal_moves_are_still_not_applied() -> None:
    lines = ["10:00 created", "10:01 packed"]
    changed = settings(illegal_transition={"enabled": False})
    assert told(RULE, lines, "10:20", changed) == []
    assert told("stage_timeout", lines, "10:20", changed) == ["10:05 opened breach"]
