"""Acknowledging: a person has read an alert."""

from events.records import LocalText
from tests.operators.timeline import alerts, play, table, told

RULE = "stage_timeout"
READ = "acknowledged order:A rule=stage_timeout opened=10:05 variant=created operator=mei"


@table(
    (
        "read, then resolved",
        ["10:00 created", f"10:06 {READ}", "10:07 paid"],
        "10:10",
        ["10:05 opened breach", "10:06 acknowledged breach", "10:07 resolved breach paid_late"],
    ),
    (
        "read twice is once",
        ["10:00 created", f"10:06 {READ}", f"10:07 {READ}"],
        "10:10",
        ["10:05 opened breach", "10:06 acknowledged breach"],
    ),
    (
        "read when it has ended",
        ["10:00 created", "10:06 paid", f"10:07 {READ}"],
        "10:10",
        ["10:05 opened breach", "10:06 resolved breach paid_late"],
    ),
    ("read before it opened", ["10:00 created", f"10:01 {READ}"], "10:10", ["10:05 opened breach"]),
    (
        "read in the millisecond in which it opened",
        ["10:00 created", f"10:05 {READ}"],
        "10:10",
        ["10:05 opened breach", "10:05 acknowledged breach"],
    ),
)
def test_an_alert_is_acknowledged_once_while_it_is_open(lines: list[str], until: str, expected: list[str]) -> None:
    assert told(RULE, lines, until) == expected


def test_the_step_says_who_and_keeps_the_number_of_steps() -> None:
    lines = ["10:00 created", f"10:06 {READ} id=ack-1", "10:07 paid"]
    opened, read, paid = alerts(RULE, play(lines, "10:10"))
    assert [step.step_number for step in (opened, read, paid)] == [1, 2, 3]
    assert (read.id, read.episode, read.reason) == (f"{opened.episode}#2", opened.episode, "acknowledged")
    assert read.evidence == {"operator": "mei", "event_id": "ack-1"}
    assert read.text == LocalText(zh="已由 mei 确认", en="acknowledged by mei")


def test_a_later_step_keeps_its_number_when_a_reminder_was_read() -> None:
    lines = [
        "10:00 created",
        "10:01 signal signal=rating_threat",
        "10:02 signal signal=urgency_words",
        "10:03 acknowledged order:A rule=resonance opened=10:02",
        "10:04 signal signal=rating_threat",
    ]
    assert told("resonance", lines, "10:05") == [
        "10:02 opened orange",
        "10:03 acknowledged orange",
        "10:04 updated lock sum_rose",
    ]
