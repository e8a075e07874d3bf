"""The truth about an order: which moves are applied, and what becomes of its parcels."""

from events.records import OrderSnapshot
from tests.operators.timeline import of_kind, play, settings, table

WAY = ("queued", "accepted", "printed", "picked", "packed")


def stages(*lines: str) -> dict[str, str]:
    """The stage of the order, and of its parcels, at the end."""
    fields = of_kind(OrderSnapshot, play(list(lines)))[-1].fields
    parcels = {
        name.split(".")[1]: stage
        for name, stage in fields.items()
        if name.startswith("parcels.") and name.endswith(".stage")
    }
    return {"A": fields["basics.stage"], **parcels}


@table(
    ("created", ["10:00 created"], "A", ["created"]),
    ("paid", ["10:00 created", "10:01 paid"], "A", ["paid"]),
    ("a skip is not applied", ["10:00 created", "10:01 packed"], "A", ["created"]),
    ("a step back is not applied", ["10:00 created", "10:01 paid", "10:02 moved stage=created"], "A", ["paid"]),
    ("nothing moves an ended order", ["10:00 created", "10:01 cancelled", "10:02 paid"], "A", ["cancelled"]),
    (
        "a scan moves it",
        ["10:00 created", "10:01 paid", *(f"10:02 {s}" for s in WAY), "10:03 scanned scan=collected"],
        "A",
        ["collected"],
    ),
    (
        "events of one millisecond follow the chain",
        ["10:00 accepted", "10:00 queued", "10:00 paid", "10:00 created"],
        "A",
        ["accepted"],
    ),
    (
        "it catches up with all that it skipped",
        ["10:00 accepted", "10:01 queued", "10:02 paid", "10:03 created"],
        "A",
        ["accepted"],
    ),
    (
        "it catches up in the order of skipping as far as the chain allows",
        ["10:00 created", "10:01 printed", "10:02 queued", "10:03 paid"],
        "A",
        ["queued"],
    ),
)
def test_the_order_is_where_legal_moves_led_it(lines: list[str], until: str, expected: list[str]) -> None:
    assert [stages(*lines)[until]] == expected


def test_a_split_gives_each_parcel_the_order_s_stage() -> None:
    assert stages("10:00 created", "10:01 paid", "10:02 split parcels=P,Q") == {"A": "paid", "P": "paid", "Q": "paid"}


def test_the_order_is_where_its_least_advanced_parcel_is() -> None:
    lines = ["10:00 created", "10:01 paid", "10:02 split parcels=P,Q", "10:03 queued A/P"]
    assert stages(*lines) == {"A": "paid", "P": "queued", "Q": "paid"}
    assert stages(*lines, "10:04 queued A/Q") == {"A": "queued", "P": "queued", "Q": "queued"}


def test_a_second_parcel_that_is_named_later_takes_the_order_back_with_it() -> None:
    lines = ["10:00 created", "10:01 paid", "10:02 queued A/P", "10:03 accepted A/P", "10:04 scanned A/Q scan=seen"]
    assert stages(*lines) == {"A": "paid", "P": "accepted", "Q": "paid"}


def test_the_same_parcel_named_twice_is_no_split() -> None:
    lines = ["10:00 created", "10:01 paid", "10:02 queued A/P", "10:03 accepted A/P"]
    assert stages(*lines) == {"A": "accepted"}


def test_a_later_split_adds_its_new_parcels() -> None:
    lines = ["10:00 created", "10:01 paid", "10:02 split parcels=P,Q", "10:03 queued", "10:04 split parcels=Q,R"]
    assert stages(*lines) == {"A": "queued", "P": "queued", "Q": "queued", "R": "queued"}


def test_an_order_that_was_cancelled_does_not_come_back_by_a_parcel_that_never_began() -> None:
    lines = ["10:00 queued A/P", "10:01 cancelled", "10:02 moved A/Q stage=created", "10:03 created"]
    assert stages(*lines)["A"] == "cancelled"


def test_a_later_split_may_add_a_single_parcel() -> None:
    lines = ["10:00 created", "10:01 paid", "10:02 split parcels=P,Q", "10:03 queued", "10:04 split parcels=R"]
    assert stages(*lines) == {"A": "queued", "P": "queued", "Q": "queued", "R": "queued"}


def test_a_parcel_that_no_split_named_starts_where_the_order_stood_before_any_parcel_was_named() -> None:
    lines = ["10:00 created", "10:01 scanned A/P scan=seen", "10:02 paid", "10:03 split parcels=P,Q"]
    lines += ["10:04 scanned A/R scan=seen"]
    assert stages(*lines) == {"A": "created", "P": "paid", "Q": "paid", "R": "created"}


def test_an_order_stands_where_a_parcel_of_it_was_seen() -> None:
    lines = ["10:00 moved A/P stage=printed", "10:01 moved A/Q stage=created"]
    assert stages(*lines)["A"] == "created"


def test_a_further_parcel_of_an_order_that_was_split_before_it_was_created_starts_in_the_first_stage() -> None:
    lines = ["10:00 split parcels=P,Q", "10:01 created", "10:02 paid", "10:03 scanned A/R scan=seen"]
    assert stages(*lines) == {"A": "created", "P": "paid", "Q": "paid", "R": "created"}


def test_a_parcel_that_skipped_catches_up_without_the_others() -> None:
    lines = ["10:00 created", "10:01 paid", "10:02 split parcels=P,Q", "10:03 accepted A/P", "10:04 queued"]
    assert stages(*lines) == {"A": "queued", "P": "accepted", "Q": "queued"}


def test_what_was_skipped_and_named_no_parcel_is_made_by_the_first_parcel_that_can() -> None:
    lines = ["10:00 created", "10:01 paid", "10:02 split parcels=P,Q", "10:03 accepted", "10:04 queued A/P"]
    assert stages(*lines) == {"A": "paid", "P": "accepted", "Q": "paid"}
    assert stages(*lines, "10:05 queued A/Q") == {"A": "queued", "P": "accepted", "Q": "queued"}


def test_what_was_skipped_is_remembered_while_any_parcel_would_skip_it() -> None:
    lines = ["10:00 created", "10:01 paid", "10:02 split parcels=P,Q", "10:03 accepted A/P", "10:04 accepted"]
    lines += ["10:05 queued A/P", "10:06 queued A/Q"]
    assert stages(*lines) == {"A": "accepted", "P": "accepted", "Q": "accepted"}


def test_an_order_whose_parcels_all_ended_is_closed() -> None:
    lines = ["10:00 created", "10:01 split parcels=P,Q", "10:02 cancelled A/P"]
    assert not of_kind(OrderSnapshot, play(lines))[-1].closed
    assert of_kind(OrderSnapshot, play([*lines, "10:03 cancelled A/Q"]))[-1].closed


def test_where_no_stage_is_named_for_payment_money_moves_nothing() -> None:
    found = of_kind(
        OrderSnapshot, play(["10:00 created", "10:01 paid amount=5"], settings=settings(flow={"payment_stage": ""}))
    )
    assert (found[-1].fields["basics.stage"], found[-1].fields["payment.amount"]) == ("created", 5)


def test_a_late_event_is_applied_at_its_bound_and_kept() -> None:
    lines = ["10:00 created", "10:10 created B", "10:04 paid"]
    (a,) = [snapshot for snapshot in of_kind(OrderSnapshot, play(lines)) if snapshot.order_id == "A"]
    assert a.fields["payment.paid_at"] == a.fields["basics.created_at"] + 590_000
