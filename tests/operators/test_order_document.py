"""The order as a document: versions, diffs for other systems, the three-layer status, what the read model shows."""

from collections.abc import Iterable
from typing import Any

import pytest

from config.settings import Settings
from dataflows.memory import MemoryDriver
from events.records import DiffRecord, FieldChange, OrderSnapshot, Record, VersionRecord
from operators.heart.component import Environment
from operators.orders.targets import compare
from operators.topology import topology
from tests.operators.timeline import SETTINGS, at, clock, event, of_kind, play, settings
from tests.support.flow import batch

CREATED = (
    "10:00 created customer=C amount=9900 phone=13800001234 recipient=王小明 address=home items=shoe,hat "
    "channel=jd operator=shop"
)


def versions(*lines: str, rules: Settings = SETTINGS) -> list[VersionRecord]:
    return of_kind(VersionRecord, play(lines, settings=rules))


def changes(record: VersionRecord | DiffRecord) -> dict[str, tuple[Any, Any]]:
    return {change.field: (change.old, change.new) for change in record.changes}


def diffs(records: Iterable[Record], target: str) -> list[DiffRecord]:
    return [record for record in of_kind(DiffRecord, records) if record.target == target]


def test_each_event_that_changes_something_makes_one_version() -> None:
    found = versions(CREATED, "10:01 paid amount=9900", "10:01 paid", "10:02 created", "10:03 packed", "10:04 queued")
    assert [record.id for record in found] == [f"A/v{record.version}/{record.time}" for record in found]
    assert [(record.version, record.event_type, clock(record.time)) for record in found] == [
        (1, "order.created", "10:00"),
        (2, "payment.succeeded", "10:01"),
        (3, "payment.succeeded", "10:01"),
        (4, "order.stage", "10:04"),
    ]
    assert (found[0].system, found[0].operator, found[0].event_id) == ("oms", "shop", "0000")


def test_a_version_names_every_field_that_really_changed_with_both_values() -> None:
    _, changed = versions(CREATED, "10:01 changed amount=9900 courier=sf recipient=- category=fresh operator=mei")
    assert changes(changed) == {
        "basics.category": ("general", "fresh"),
        "customer.recipient": ("王小明", None),
        "fulfilment.courier": (None, "sf"),
    }
    assert changed.operator == "mei"


def test_a_change_to_the_same_values_makes_no_version() -> None:
    assert len(versions(CREATED, "10:01 changed amount=9900 recipient=王小明 address=home")) == 1


def test_the_first_version_holds_all_that_was_known_at_the_beginning() -> None:
    (first,) = versions(CREATED)
    fields = changes(first)
    assert fields["basics.stage"] == (None, "created")
    assert fields["amounts.total"] == (None, 9900)
    assert fields["basics.created_at"] == (None, at("10:00"))
    assert fields["address.city"] == (None, "上海市")
    assert [item["sku"] for item in fields["items"][1]] == ["shoe", "hat"]
    assert fields["status.business"] == (None, "awaiting_payment")
    assert "fulfilment.warehouse_id" not in fields
    assert [change.field for change in first.changes] == sorted(fields)


def test_a_skipped_stage_and_what_it_catches_up_with_are_one_version() -> None:
    found = versions("10:00 created", "10:01 queued", "10:02 paid")
    assert len(found) == 2
    assert changes(found[1])["basics.stage"] == ("created", "queued")


def test_each_layer_of_the_status_follows_its_owners() -> None:
    found = versions(
        "10:00 created",
        "10:01 status system=wms status=LOADED",
        "10:02 status system=erp status=POSTED",
        "10:03 status system=erp status=SHIPPED",
    )
    assert changes(found[1]) == {
        "status.base.wms": (None, "LOADED"),
        "status.business": ("awaiting_payment", "on_the_way"),
    }
    assert changes(found[2]) == {
        "status.base.erp": (None, "POSTED"),
        "status.finance": ("none", "accrual_ready"),
    }
    assert changes(found[3]) == {"status.base.erp": ("POSTED", "SHIPPED")}


def test_a_system_that_does_not_own_a_layer_does_not_move_it() -> None:
    rules = settings(status={"owners": {"business": ["tms"], "finance": ["stages"]}})
    created, loaded = versions("10:00 created", "10:01 status system=wms status=LOADED", rules=rules)
    assert "status.business" not in changes(created)
    assert changes(loaded) == {"status.base.wms": (None, "LOADED")}


def test_a_partly_shipped_order_says_so() -> None:
    steps = [f"10:02 {stage}" for stage in ("queued", "accepted", "printed", "picked", "packed")]
    found = versions(
        "10:00 created",
        "10:01 paid",
        *steps,
        "10:03 split parcels=P,Q",
        "10:04 scanned A/P scan=collected",
        "10:05 scanned A/Q scan=collected",
    )
    assert changes(found[-2])["status.business"] == ("ready_to_ship", "partly_shipped")
    assert changes(found[-2])["parcels.P.stage"] == ("packed", "collected")
    assert changes(found[-1])["status.business"] == ("partly_shipped", "on_the_way")


def test_diffs_hold_only_what_a_target_wants_and_each_names_the_one_before() -> None:
    records = play([CREATED, "10:01 paid amount=9900", "10:02 changed phone=13900001234"])
    finance = diffs(records, "finance")
    assert [diff.id for diff in finance] == [f"A/v{diff.version}/{diff.time}/finance" for diff in finance]
    assert [(diff.version, diff.previous) for diff in finance] == [(1, 0), (2, 1)]
    assert set(changes(finance[1])) == {"payment.amount", "payment.paid_at", "status.finance"}
    erp = diffs(records, "erp")
    assert [(diff.version, diff.previous) for diff in erp] == [(1, 0), (2, 1), (3, 2)]
    assert changes(erp[2]) == {"customer.phone": ("13800001234", "13900001234")}


def test_a_diff_after_versions_that_a_target_did_not_want_names_the_last_one_it_got() -> None:
    records = play([CREATED, "10:01 changed phone=13900001234", "10:02 changed amount=1"])
    assert [(diff.version, diff.previous) for diff in diffs(records, "finance")] == [(1, 0), (3, 1)]


@pytest.mark.parametrize(("echo", "targets"), [(False, {"crm", "erp"}), (True, {"crm", "erp", "wms"})])
def test_a_system_is_not_told_what_it_reported_itself_unless_that_is_wanted(echo: bool, targets: set[str]) -> None:
    records = play([CREATED, "10:01 changed address=work source=wms"], settings=settings(diffs={"echo": echo}))
    assert {diff.target for diff in of_kind(DiffRecord, records) if diff.version == 2} == targets


def test_a_diff_carries_the_actions_of_the_status() -> None:
    records = play([CREATED, "10:01 status system=erp status=POSTED"])
    (created, posted) = diffs(records, "finance")
    assert (created.actions, posted.actions) == ((), ("post_accrual",))


def test_the_snapshot_masks_persons_and_the_versions_keep_them() -> None:
    records = play([CREATED])
    (snapshot,) = of_kind(OrderSnapshot, records)
    fields = snapshot.fields
    assert (fields["customer.phone"], fields["customer.recipient"]) == ("138****1234", "王**")
    assert fields["address.detail"] == "世*****"
    assert fields["address.city"] == "上海市"
    assert (snapshot.order_id, snapshot.version, snapshot.customer_id, snapshot.closed) == ("A", 1, "C", False)
    (version,) = of_kind(VersionRecord, records)
    assert changes(version)["customer.phone"] == (None, "13800001234")


def test_the_snapshot_of_an_ended_order_is_closed() -> None:
    assert of_kind(OrderSnapshot, play([CREATED, "10:01 cancelled"]))[-1].closed


def test_any_two_versions_can_be_compared() -> None:
    found = versions(
        CREATED, "10:01 changed amount=1 courier=sf", "10:02 changed amount=9900", "10:03 changed courier=-"
    )
    states: list[dict[str, object]] = [{}]
    for version in found:
        state = dict(states[-1])
        for change in version.changes:
            state[change.field] = change.new
        states.append({name: value for name, value in state.items() if value is not None})
    assert compare(states[1], states[3]) == (FieldChange("fulfilment.courier", None, "sf"),)
    assert compare(states[3], states[1]) == (FieldChange("fulfilment.courier", "sf", None),)
    assert compare(states[1], states[4]) == ()
    assert compare(states[1], states[2]) == found[1].changes


def test_a_forgotten_order_starts_again_at_version_one() -> None:
    found = versions(CREATED, "10:01 cancelled", "+8d 10:00 created")
    assert [record.version for record in found] == [1, 2, 1]


def test_what_nobody_wants_is_not_written() -> None:
    records = play([CREATED], settings=settings(versions={"enabled": False}, diffs={"enabled": False}))
    assert of_kind(VersionRecord, records) == []
    assert of_kind(DiffRecord, records) == []
    assert len(of_kind(OrderSnapshot, records)) == 1


def test_the_same_items_again_are_no_change_whether_or_not_the_order_has_rested_meanwhile() -> None:
    plan = topology(Environment(SETTINGS, 1))
    before, after = MemoryDriver(plan, ["day"]), MemoryDriver(plan, ["day"])
    before.feed(batch("day", [(event("10:00 created items=a"), None), (event("10:01 created X", 1), None)]))
    after.restore(before.snapshot())
    records = after.feed(batch("day", [(event("10:02 changed items=a", 2), None)], 2, finished=True))
    assert [version.event_id for version in of_kind(VersionRecord, records)] == ["0001"]
