"""`merge_candidate`: unshipped orders of one customer to one address, within two hours of each other."""

from tests.operators.timeline import alerts, play, settings, table, told

RULE = "merge_candidate"
PACKED = ["10:30 paid", *(f"10:31 {stage}" for stage in ("queued", "accepted", "printed", "picked", "packed"))]


def bought(time: str, order: str, address: str = "home") -> str:
    return f"{time} created {order} customer=C address={address}"


@table(
    (
        "a group that grows until its window closes",
        [bought("10:00", "A"), bought("12:00", "B"), bought("13:00", "D")],
        "20:00",
        [
            "12:00 opened candidate customer C: A B",
            "13:00 updated candidate joined customer C: A B D",
            "15:00 resolved candidate window_closed customer C: A B D",
        ],
    ),
    ("a millisecond too late for the group", [bought("10:00", "A"), bought("12:00:00.001", "B")], "20:00", []),
    (
        "too late for the group, and the first of the next one",
        [bought("10:00", "A"), bought("12:00:00.001", "B"), bought("12:30", "D")],
        "13:00",
        ["12:30 opened candidate customer C: B D"],
    ),
    (
        "the window counts from the last one that joined",
        [bought("10:00", "A"), bought("11:59", "B"), bought("13:59", "D")],
        "15:58:59.999",
        ["11:59 opened candidate customer C: A B", "13:59 updated candidate joined customer C: A B D"],
    ),
    ("two addresses", [bought("10:00", "A"), bought("10:10", "B", "work")], "20:00", []),
    (
        "one address in two spellings",
        [bought("10:00", "A"), bought("10:10", "B", "home_spelt_otherwise")],
        "10:10",
        ["10:10 opened candidate customer C: A B"],
    ),
    ("two customers", [bought("10:00", "A"), "10:10 created B customer=D address=home"], "20:00", []),
    ("nobody knows who", ["10:00 created A address=home", "10:10 created B address=home"], "20:00", []),
    ("nobody knows where to", [bought("10:00", "A", "nowhere"), bought("10:10", "B", "nowhere")], "20:00", []),
    (
        "two groups of one customer",
        [bought("10:00", "A"), bought("10:01", "B", "work"), bought("10:02", "D"), bought("10:03", "E", "work")],
        "10:10",
        ["10:02 opened candidate customer C: A D", "10:03 opened candidate customer C: B E"],
    ),
)
def test_orders_that_could_ship_together_are_a_group(lines: list[str], until: str, expected: list[str]) -> None:
    assert told(RULE, lines, until) == expected


@table(
    (
        "cancelled one after the other; the last one waits for another",
        [
            bought("10:00", "A"),
            bought("10:10", "B"),
            bought("10:20", "D"),
            "10:30 cancelled A",
            "10:40 cancelled B",
            bought("12:20", "E"),
        ],
        "12:30",
        [
            "10:10 opened candidate customer C: A B",
            "10:20 updated candidate joined customer C: A B D",
            "10:30 updated candidate cancelled customer C: B D",
            "10:40 resolved candidate cancelled customer C: B D",
            "12:20 opened candidate customer C: D E",
        ],
    ),
    (
        "leaving does not move the time of the last join",
        [bought("10:00", "A"), bought("10:10", "B"), bought("10:20", "D"), "11:30 cancelled A"],
        "20:00",
        [
            "10:10 opened candidate customer C: A B",
            "10:20 updated candidate joined customer C: A B D",
            "11:30 updated candidate cancelled customer C: B D",
            "12:20 resolved candidate window_closed customer C: B D",
        ],
    ),
    (
        "shipped",
        [bought("10:00", "A"), bought("10:10", "B"), *PACKED, "10:40 scanned scan=collected"],
        "10:41",
        ["10:10 opened candidate customer C: A B", "10:40 resolved candidate shipped customer C: A B"],
    ),
    (
        "one parcel of it shipped",
        [
            bought("10:00", "A"),
            bought("10:10", "B"),
            *PACKED,
            "10:35 split parcels=P,Q",
            "10:40 scanned A/Q scan=collected",
        ],
        "10:41",
        ["10:10 opened candidate customer C: A B", "10:40 resolved candidate shipped customer C: A B"],
    ),
    (
        "shipped before the next one came",
        [bought("10:00", "A"), *PACKED, "10:40 scanned scan=collected", bought("10:50", "B")],
        "11:00",
        [],
    ),
    (
        "readdressed into another group",
        [bought("10:00", "A"), bought("10:10", "B"), bought("10:20", "D", "work"), "10:30 changed B address=work"],
        "10:40",
        [
            "10:10 opened candidate customer C: A B",
            "10:30 resolved candidate address_changed customer C: A B",
            "10:30 opened candidate customer C: D B",
        ],
    ),
    (
        "the same address in another spelling changes nothing",
        [bought("10:00", "A"), bought("10:10", "B"), "10:30 changed B address=home_spelt_otherwise"],
        "10:40",
        ["10:10 opened candidate customer C: A B"],
    ),
    (
        "readdressed after the window: it is in no group and stays in none",
        [bought("10:00", "A"), bought("12:30", "B", "work"), "12:40 changed A address=work"],
        "13:00",
        [],
    ),
    (
        "an address that nobody knows ends its part in any group",
        [bought("10:00", "A"), bought("10:10", "B"), "10:30 changed B address=nowhere"],
        "10:40",
        ["10:10 opened candidate customer C: A B", "10:30 resolved candidate address_changed customer C: A B"],
    ),
    (
        "it leaves exactly when the window closes",
        [bought("10:00", "A"), bought("10:10", "B"), "12:10 cancelled A"],
        "20:00",
        ["10:10 opened candidate customer C: A B", "12:10 resolved candidate cancelled customer C: A B"],
    ),
    (
        "... or joins then",
        [bought("10:00", "A"), bought("10:10", "B"), bought("12:10", "D")],
        "12:11",
        ["10:10 opened candidate customer C: A B", "12:10 updated candidate joined customer C: A B D"],
    ),
    (
        "after the window nobody leaves",
        [bought("10:00", "A"), bought("10:10", "B"), "12:11 cancelled A"],
        "20:00",
        ["10:10 opened candidate customer C: A B", "12:10 resolved candidate window_closed customer C: A B"],
    ),
)
def test_orders_leave_their_group(lines: list[str], until: str, expected: list[str]) -> None:
    assert told(RULE, lines, until) == expected


def test_an_order_that_ends_without_shipping_or_being_cancelled_is_closed() -> None:
    lost = {"label_zh": "丢失", "label_en": "lost", "terminal": True}
    changed = settings(stages={"lost": lost}, flow={"from_any": ["cancelled", "lost"]})
    lines = [bought("10:00", "A"), bought("10:10", "B"), "10:30 lost"]
    assert told(RULE, lines, "10:40", changed)[-1] == "10:30 resolved candidate closed customer C: A B"


def test_an_order_id_used_again_joins_anew() -> None:
    lines = [bought("10:00", "A"), "10:01 cancelled A", bought("+8d 10:00", "B"), bought("+8d 10:01", "A")]
    assert told(RULE, lines, "+8d 10:02") == ["+8d 10:01 opened candidate customer C: B A"]


def test_the_window_is_configuration() -> None:
    lines = [bought("10:00", "A"), bought("10:30", "B")]
    assert told(RULE, lines, "11:00", settings(merge_candidate={"window": "29m"})) == []


def test_the_evidence_names_the_address_only_as_a_hash() -> None:
    (opened,) = alerts(RULE, play([bought("10:00", "A"), bought("10:10", "B")], "10:10"))
    assert opened.evidence["address_key"].startswith("h:")
    assert (opened.evidence["count"], opened.evidence["window_ms"]) == (2, 7_200_000)
    assert (opened.evidence["last_joined"], opened.evidence["event_id"]) == (opened.time, "0001")
    assert (opened.severity, opened.reason, opened.entity_type) == ("info", "joined", "customer")


def test_without_the_detector_nobody_groups() -> None:
    lines = [bought("10:00", "A"), bought("10:10", "B")]
    assert told(RULE, lines, "11:00", settings(merge_candidate={"enabled": False})) == []
