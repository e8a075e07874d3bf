"""What stands in a platform's messages, counted: fields, names, versions; never a value of an order or a person."""

import tomllib
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from config.loader import load_settings
from events.model import ContractCounted, FieldCount
from sources.mapping.contract import ContractCounts
from sources.mapping.contract_file import NAME, read_fields
from sources.mapping.convert import convert
from sources.mapping.loading import load_profile, parse_profile
from sources.mapping.mapper import Mapper

SETTINGS = load_settings().intake.contract
SHOP = """
name = "shop"
source = "shop"
[money]
unit = "major"
currency = "CNY"
[inputs.order]
format = "json"
fields = ["id"]
[[events]]
name = "created"
from = "order"
type = "order.created"
when = { state = ["new", "paid"] }
id = { template = "{id}/created" }
time = "created_at"
order_id = "id"
amount = "total"
phone = "buyer.phone"
category = { field = "kind", map = { a = "general", b = "fresh" } }
[[events]]
name = "paid"
from = "order"
type = "payment.succeeded"
when = { paid_at = { present = true } }
id = { template = "{id}/paid" }
time = "paid_at"
order_id = "id"
optional = true
payment_id = "payment"
[[events]]
name = "delivered"
from = "order"
type = "order.stage"
optional = true
id = { template = "{id}/stage" }
time = "delivered_at"
order_id = "id"
stage = { value = "shipped" }
"""
ARRIVAL = 1_770_000_000_000
ORDER = {
    "id": 1,
    "state": "new",
    "created_at": "2026-02-02T02:40:00Z",
    "total": "12.50",
    "buyer": {"phone": "13800001234", "name": "王小明"},
    "kind": "a",
    "paid_at": "2026-02-02T02:40:00Z",
    "payment": "P",
    "delivered_at": "2026-02-02T02:40:00Z",
}


def counted(*messages: dict[str, Any], arrival: int | None = ARRIVAL, pushed: bool = True) -> ContractCounted:
    """The counts of messages of the shop."""
    mapper, counts = Mapper(parse_profile(tomllib.loads(SHOP), "shop.toml")), ContractCounts(SETTINGS)
    for position, message in enumerate(messages, start=10):
        counts.begin(position, ARRIVAL + position, pushed=pushed)
        mapper.map(msgspec.json.encode(message), arrival, counts)
    return counts.take("shop", "raw/0", ARRIVAL, ARRIVAL + 15_000)


def without(name: str) -> dict[str, Any]:
    return {key: value for key, value in ORDER.items() if key != name}


def wrong(event: ContractCounted) -> dict[str, dict[str, int]]:
    """Field -> deviation -> records, of fields that are not as they should be."""
    return {
        each.field: {deviation.what: deviation.count for deviation in each.deviations}
        for each in event.fields
        if each.deviations
    }


def of(event: ContractCounted, name: str) -> FieldCount:
    (found,) = [each for each in event.fields if each.field == name]
    return found


def test_sound_records_deviate_nowhere() -> None:
    event = counted(ORDER, ORDER | {"id": 2})
    assert wrong(event) == {}
    assert (event.records, of(event, "total").seen, of(event, "paid_at").seen) == (2, 2, 2)
    assert (event.id, event.source, event.time) == (f"raw/0/{ARRIVAL}", "shop", ARRIVAL + 15_000)


@pytest.mark.parametrize(
    ("message", "expected"),
    [
        (without("total"), {"total": {"missing": 1}}),
        (without("created_at"), {"created_at": {"lacking": 1}}),
        (ORDER | {"created_at": "soon"}, {"created_at": {"unparsable": 1}}),
        (ORDER | {"total": "12,50 yuan"}, {"total": {"unparsable": 1}}),
        (ORDER | {"kind": "c"}, {"kind": {"unknown_status": 1}}),
        (ORDER | {"buyer": {}}, {"buyer.phone": {"missing": 1}}),
        (without("paid_at"), {"paid_at": {"missing": 1}}),
        (without("delivered_at"), {"delivered_at": {"missing": 1}}),
        ({"other": 1}, {"(message)": {"unparsable": 1}}),
    ],
)
def test_a_field_is_counted_under_the_name_that_the_source_gives_it(message: Any, expected: Any) -> None:
    assert wrong(counted(ORDER, message)) == expected


def test_a_word_that_no_rule_takes_is_an_unknown_status_of_its_field() -> None:
    other = {"id": 1, "state": "frozen"}
    strict = SHOP.replace('optional = true\nid = { template = "{id}/stage" }', 'when = { state = "x" }\nid = "id"')
    mapper, counts = Mapper(parse_profile(tomllib.loads(strict), "shop.toml")), ContractCounts(SETTINGS)
    counts.begin(7, ARRIVAL)
    mapper.map(msgspec.json.encode(other), ARRIVAL, counts)
    event = counts.take("shop", "raw/0", ARRIVAL, ARRIVAL)
    assert wrong(event)["state"] == {"unknown_status": 1}


def test_the_first_of_the_deviating_is_the_example() -> None:
    event = counted(ORDER, without("total"), without("total"))
    (deviation,) = of(event, "total").deviations
    assert (deviation.count, deviation.position, deviation.since) == (2, 11, ARRIVAL + 11)


@pytest.mark.parametrize(
    ("arrival", "pushed", "expected"),
    [
        (ARRIVAL + 3 * 3_600_000, True, {"time_offset": 1}),
        (ARRIVAL + 3 * 3_600_000, False, None),
        (ARRIVAL - 3_600_000, False, {"time_offset": 1}),
        (None, True, None),
    ],
)
def test_a_time_is_held_against_arrival_but_a_poll_may_bring_old_ones(
    arrival: int | None, pushed: bool, expected: dict[str, int] | None
) -> None:
    assert wrong(counted(ORDER, arrival=arrival, pushed=pushed)).get("created_at") == expected


def test_names_are_counted_down_to_the_objects_inside_and_their_digits_are_not_told() -> None:
    event = counted(ORDER | {"13800001234": 1, "lines": [{"sku": "S"}]})
    names = {each.name for each in event.names}
    assert {"id", "buyer.name", "lines.sku", "#"} <= names
    assert not any("138" in name for name in names)


def test_versions_are_counted_by_value() -> None:
    event = counted(ORDER | {"version": "2.0"}, ORDER | {"version": "2.1"}, ORDER | {"version": "2.1"})
    assert [(each.name, each.value, each.count) for each in event.traits] == [
        ("version", "2.0", 1),
        ("version", "2.1", 2),
    ]


def test_no_value_of_an_order_or_a_person_is_in_the_counts() -> None:
    text = msgspec.json.encode(counted(ORDER, ORDER | {"total": "13812345678"}, ORDER | {"kind": "王小明"})).decode()
    assert not any(value in text for value in ("13800001234", "13812345678", "王小明", "12.50"))


@given(st.lists(st.sampled_from([ORDER, without("total"), ORDER | {"kind": "c"}, {"other": 1}]), max_size=8))
def test_counting_changes_nothing_of_what_is_mapped(messages: list[dict[str, Any]]) -> None:
    mapper, counts = Mapper(parse_profile(tomllib.loads(SHOP), "shop.toml")), ContractCounts(SETTINGS)
    for message in messages:
        counts.begin(0, ARRIVAL)
        body = msgspec.json.encode(message)
        assert mapper.map(body, ARRIVAL, counts) == mapper.map(body, ARRIVAL)


def test_a_conversion_writes_what_its_fields_look_like(tmp_path: Path) -> None:
    file = tmp_path / "in.json"
    file.write_bytes(msgspec.json.encode([ORDER, without("total"), ORDER | {"created_at": "soon"}]))
    profile = parse_profile(tomllib.loads(SHOP), "shop.toml")
    convert(profile, [file], tmp_path / "out", SETTINGS)
    fields = {each.field: each for each in read_fields(tmp_path / "out" / NAME)}
    assert (fields["total"].seen, fields["total"].wrong) == (3, {"missing": 1})
    assert fields["created_at"].wrong == {"unparsable": 1}
    assert fields["created_at"].first == {"unparsable": 2}


def test_a_conversion_that_nobody_counts_leaves_no_counts(tmp_path: Path) -> None:
    file = tmp_path / "in.json"
    file.write_bytes(msgspec.json.encode([ORDER]))
    convert(parse_profile(tomllib.loads(SHOP), "shop.toml"), [file], tmp_path / "out")
    assert not (tmp_path / "out" / NAME).exists()


def test_every_shipped_profile_can_be_counted() -> None:
    for name in ("wechat_pay", "alipay", "taobao", "jd", "pdd", "douyin", "shopify", "woocommerce", "kuaidi100"):
        counts = ContractCounts(SETTINGS)
        counts.begin(1, ARRIVAL)
        Mapper(load_profile(name)).map(b'{"trade_state": "SUCCESS"}', ARRIVAL, counts)
        assert counts.take(name, "raw/0", 0, 1).records == 1
