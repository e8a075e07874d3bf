"""The shipped profiles over samples of their form, and the example of the documentation."""

import re
from pathlib import Path
from typing import Any

import pytest

from config.loader import load_settings
from events.model import Item, OrderSplit, OrderStage, SystemStatus
from sources.mapping.canonical import EVENTS, targets_of
from sources.mapping.loading import SHIPPED, load_profile
from sources.mapping.profile import Choice, Profile
from tests.mapping.support import SAMPLES, Converted, profile_of, run, run_text
from tests.mapping.test_values import moment

DOCS = Path(__file__).parent.parent.parent / "docs" / "profiles.md"
CONFIG = SHIPPED.parent


def sample(name: str, folder: Path) -> Converted:
    return run(load_profile(name), folder, SAMPLES / name)


def of_order(result: Converted, order_id: str) -> list[tuple[str, int]]:
    return [
        (getattr(event, "stage", None) or event.id.partition("/")[2], event.time)
        for event in result.events
        if getattr(event, "order_id", None) == order_id
    ]


def named_stages(profile: Profile) -> set[str]:
    """Every stage that a profile can name: its constants and what its maps give."""
    choices = [rule.fields["stage"] for rule in profile.events if rule.type == "order.stage"]
    values = [value for choice in choices if isinstance(choice, Choice) for value in choice.values]
    return {str(stage) for value in values for stage in ([value.value] if value.value else (value.map or {}).values())}


@pytest.mark.parametrize("name", sorted(file.stem for file in SHIPPED.glob("*.toml")))
def test_a_shipped_profile_names_only_stages_of_its_chain(name: str) -> None:
    example = CONFIG / "examples" / f"{name}.toml"
    settings = load_settings(example if example.is_file() else None)
    assert named_stages(load_profile(name)) <= settings.stages.keys()


@pytest.mark.parametrize("name", ["olist", "ocel_order_process"])
def test_a_shipped_example_configuration_is_accepted(name: str) -> None:
    assert load_settings(CONFIG / "examples" / f"{name}.toml").chain == name


def test_an_olist_order_goes_from_purchase_to_delivery_in_local_time(tmp_path: Path) -> None:
    assert of_order(sample("olist", tmp_path), "a1") == [
        ("purchased", moment("2018-03-05T10:00:00-03:00")),
        ("approved", moment("2018-03-05T10:20:00-03:00")),
        ("shipped", moment("2018-03-06T09:00:00-03:00")),
        ("delivered", moment("2018-03-12T18:30:00-03:00")),
    ]


def test_an_olist_order_takes_its_amount_from_payments_else_from_items_else_has_none(tmp_path: Path) -> None:
    events: dict[str, Any] = {event.id: event for event in sample("olist", tmp_path).events}
    assert [events[f"{order}/purchased"].amount for order in ("a1", "a2", "a3", "a6")] == [7219, 5390, 12999, 0]
    assert {event.currency for event in events.values() if hasattr(event, "currency")} == {"BRL"}
    assert events["a2/purchased"].items == (Item("p2", 1, 1990), Item("p2", 1, 1990))
    assert (events["a3/approved"].amount, events["a3/approved"].method) == (12999, "boleto")
    assert events["a1/approved"].method is None  # a voucher and a card


def test_an_olist_promise_holds_until_the_end_of_its_day(tmp_path: Path) -> None:
    events: dict[str, Any] = {event.id: event for event in sample("olist", tmp_path).events}
    assert events["a1/purchased"].promised_at == moment("2018-03-20T23:59:59-03:00")


def test_a_cancelled_olist_order_is_cancelled_at_the_last_thing_known_of_it(tmp_path: Path) -> None:
    result = sample("olist", tmp_path)
    assert of_order(result, "a4")[-1] == ("cancelled", moment("2018-03-03T12:00:00-03:00"))
    assert of_order(result, "a5")[-1] == ("cancelled", moment("2018-03-04T07:00:00-03:00"))


def test_olist_times_follow_the_clock_changes_there(tmp_path: Path) -> None:
    result = sample("olist", tmp_path)
    assert of_order(result, "a7")[1] == ("approved", moment("2017-10-15T01:30:00-02:00"))  # 00:30 was skipped
    assert of_order(result, "a8")[1] == ("approved", moment("2018-02-17T23:30:00-02:00"))  # happened twice


def test_an_unreadable_olist_row_costs_only_what_it_spoils(tmp_path: Path) -> None:
    result = sample("olist", tmp_path)
    assert [stage for stage, _ in of_order(result, "a9")] == ["approved", "shipped", "delivered"]
    assert [(letter.reason, Path(letter.partition).name) for letter in result.dead] == [
        ("bad_value", "orders.csv"),
        ("bad_row", "orders.csv"),
    ]
    assert "records of 'items' that belong to no record that was converted: 1" in result.report.notes


def test_olist_orders_alone_are_enough(tmp_path: Path) -> None:
    result = run(load_profile("olist"), tmp_path, SAMPLES / "olist" / "orders.csv")
    assert result.report.by_type["order.created"] == 8
    assert "no file holds 'items': what comes from there stays empty" in result.report.notes


def test_an_event_that_names_only_items_or_a_delivery_finds_its_orders(tmp_path: Path) -> None:
    result = sample("ocel_order_process", tmp_path)
    moves = [(event.order_id, event.stage, event.parcel_id) for event in result.events if isinstance(event, OrderStage)]
    assert moves == [
        ("o1", "confirmed", None),
        ("o1", "picked", "d1"),
        ("o1", "picked", "d2"),
        ("o1", "loaded", "d1"),
        ("o2", "loaded", "d1"),  # one delivery, two orders
        ("o1", "loaded", "d2"),
        ("o1", "on_route", "d1"),
        ("o2", "on_route", "d1"),
        ("o1", "delivered", "d1"),
        ("o2", "delivered", "d1"),
    ]
    assert result.events[0].time == moment("2024-03-01T08:00:00.500+00:00")


def test_an_order_is_told_at_once_into_which_parcels_it_goes(tmp_path: Path) -> None:
    splits = [event for event in sample("ocel_order_process", tmp_path).events if isinstance(event, OrderSplit)]
    assert [(event.order_id, event.parcels) for event in splits] == [("o1", ("d1", "d2")), ("o2", ("d1",))]


def test_an_order_of_which_nothing_was_loaded_is_not_split_and_that_is_no_defect(tmp_path: Path) -> None:
    place = '{"ocel:activity": "Place Order", "ocel:timestamp": "2024-03-01T08:00:00", "ocel:omap": ["o1", "i1"]}'
    log = f'{{"ocel:events": {{"0": {place}}}, "ocel:objects": {{"o1": {{"ocel:type": "order"}}}}}}'
    assert run_text(load_profile("ocel_order_process"), tmp_path, log, "log.jsonocel").only.order_id == "o1"


def test_payment_and_stock_are_recorded_beside_the_way_of_the_goods(tmp_path: Path) -> None:
    result = sample("ocel_order_process", tmp_path)
    said = [(event.system, event.status) for event in result.events if isinstance(event, SystemStatus)]
    assert said[:4] == [("stock", "OUT_OF_STOCK"), ("stock", "REORDERED"), ("billing", "REMINDED"), ("billing", "PAID")]
    assert result.report.by_type["payment.succeeded"] == 1


def test_an_object_that_leads_to_no_order_and_an_unknown_activity_are_dead_letters(tmp_path: Path) -> None:
    dead = sample("ocel_order_process", tmp_path).dead
    assert [(letter.reason, letter.position) for letter in dead] == [("unresolved", 14), ("no_rule", 15)]


def test_a_back_office_list_is_read_through_what_spreadsheets_do_to_it(tmp_path: Path) -> None:
    result = sample("orders_csv", tmp_path)
    events: dict[str, Any] = {event.id: event for event in result.events}
    first, second = events["6917529027641081856/created"], events["6917529027641081857/created"]
    assert (first.amount, first.discount, first.channel, first.phone) == (129900, 10000, "tmall", "13800000001")
    assert first.promised_at == moment("2024-03-06T23:59:59+08:00")
    assert first.address.city == "杭州市"
    assert (second.amount, second.category, second.channel, second.promised_at) == (5890, "fresh", "小程序", None)
    assert events["6917529027641081857/collected"].time == moment("2024-03-05T12:00:00+08:00")  # the day alone
    assert "6917529027641081858/cancelled" in events
    assert [letter.detail.partition(": ")[2] for letter in result.dead] == [
        "'6.91753E+18' is a number that lost digits",
        "'玩具' is not in the map",
    ]


def test_the_example_of_the_documentation_gives_what_it_shows(tmp_path: Path) -> None:
    blocks = dict(re.findall(r"<!-- example: (\S+) -->\n```\w*\n(.*?)```", DOCS.read_text(encoding="utf-8"), re.DOTALL))
    result = run_text(profile_of(blocks["shop.toml"]), tmp_path, blocks["orders.csv"], "orders.csv")
    assert result.report.events_file.read_text(encoding="utf-8") == blocks["events"]
    assert [f"{letter.detail}; {letter.remedy}\n" for letter in result.dead] == [blocks["dead_letters"]]


def test_the_documentation_names_every_field_that_can_be_filled() -> None:
    text = DOCS.read_text(encoding="utf-8")
    missing = [name for name in EVENTS if f"`{name}`" not in text]
    missing += [field for event in EVENTS.values() for field in targets_of(event) if f"`{field}`" not in text]
    assert missing == []
