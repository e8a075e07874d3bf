"""The platforms' profiles over payloads in their documented form: golden events, and what may never happen."""

import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from events.model import AnyEvent, Event, OrderChanged, OrderCreated
from sources.mapping.errors import ConversionError
from sources.mapping.loading import load_profile, shipped_profiles
from sources.mapping.mapper import Mapped, Mapper
from tests.mapping.golden import GOLDEN, PLATFORMS, SAMPLES, made
from tests.mapping.support import run
from tests.mapping.test_values import moment

# A folder with original payloads of platforms, if somebody has one: they belong to others and do not come with us.
ORIGINALS = Path(os.environ.get("ORDERPULSE_PAYLOADS", ""))
ARRIVAL = moment("2026-03-02T22:00:00+08:00")
MESSAGES = [name for name in PLATFORMS if name != "erp_wms_csv"]

_EVENT: msgspec.json.Decoder[Any] = msgspec.json.Decoder(AnyEvent)
_MAPPERS: dict[str, Mapper] = {}


def mapper(name: str) -> Mapper:
    if name not in _MAPPERS:
        tables = [path for path in (SAMPLES / name).iterdir() if path.suffix == ".csv"]
        _MAPPERS[name] = Mapper(load_profile(name), tables)
    return _MAPPERS[name]


def messages(name: str) -> Iterator[bytes]:
    for path in sorted((SAMPLES / name).iterdir()):
        if path.suffix in (".ndjson", ".txt"):
            yield from path.read_bytes().splitlines()
        elif path.suffix == ".json":
            yield path.read_bytes()


def mapped(name: str, **push: Any) -> Mapped:
    return mapper(name).map(json.dumps(push).encode(), ARRIVAL)


@pytest.mark.parametrize("name", PLATFORMS)
def test_a_platforms_samples_give_the_golden_events(name: str) -> None:
    events, letters = made(name)
    assert events == (GOLDEN / f"{name}.ndjson").read_text(encoding="utf-8")
    assert letters == (GOLDEN / f"{name}.dead.txt").read_text(encoding="utf-8")


def test_each_platform_that_is_promised_has_a_profile_with_samples() -> None:
    promised = {"taobao", "jd", "pdd", "douyin", "shopify", "woocommerce", "unicommerce", "wechat_pay", "alipay"}
    promised |= {"erp_wms_csv", "kuaidi100"}
    assert promised <= set(shipped_profiles())
    assert promised == set(PLATFORMS)


@pytest.mark.parametrize("name", MESSAGES)
def test_a_message_mapped_alone_gives_what_its_file_gives(name: str, tmp_path: Path) -> None:
    by_file = {(event.source, event.id): event for event in run(load_profile(name), tmp_path, SAMPLES / name).events}
    alone = [event for message in messages(name) for event in mapper(name).map(message).events]
    assert {(event.source, event.id) for event in alone} == by_file.keys()
    first: dict[tuple[str, str], Event] = {}
    for event in alone:
        first.setdefault((event.source, event.id), event)
    told_once = {key: event for key, event in first.items() if event == by_file[key]}
    assert len(told_once) >= len(by_file) - 1  # of pictures of the present, files may be read in another order


@pytest.mark.parametrize("name", MESSAGES)
def test_the_events_of_one_message_come_out_in_order_of_time(name: str) -> None:
    for message in messages(name):
        times = [event.time for event in mapper(name).map(message, ARRIVAL).events]
        assert times == sorted(times)


@pytest.mark.parametrize(
    ("folder", "profile", "orders"),
    [("douyin_shop", "douyin", 2), ("unicommerce", "unicommerce", 7), ("woocommerce", "woocommerce", 1)],
)
def test_original_payloads_give_their_orders_and_nothing_is_dropped(
    folder: str, profile: str, orders: int, tmp_path: Path
) -> None:
    if not os.environ.get("ORDERPULSE_PAYLOADS"):
        pytest.skip("set ORDERPULSE_PAYLOADS to a folder of original payloads, one folder a platform, to run over them")
    result = run(load_profile(profile), tmp_path, ORIGINALS / folder)
    assert result.report.by_type["order.created"] == orders
    assert {letter.reason for letter in result.dead} <= {"missing_value"}
    assert all("the platform tells no time of this" in letter.detail for letter in result.dead)


def test_an_event_without_a_time_of_its_own_gets_the_arrival_and_says_so() -> None:
    push = {"tag": "212", "msg_id": "m1", "data": {"p_id": 4705288465508532862}}
    (event,) = mapped("douyin", **push).events
    assert (event.time, event.cleaned) == (ARRIVAL, ("time: arrival",))
    (refusal,) = mapper("douyin").map(json.dumps(push).encode()).refusals
    assert "when it came in is not known here" in refusal.what


def test_a_payment_notice_that_lost_its_order_number_in_decryption_is_a_dead_letter_that_names_it() -> None:
    notice = next(messages("wechat_pay"))
    broken = {key: value for key, value in json.loads(notice).items() if key != "out_trade_no"}
    result = mapped("wechat_pay", **broken)
    assert result.events == []
    assert [(refusal.reason, refusal.field) for refusal in result.refusals] == [("missing_value", "order_id")]


def test_a_track_that_is_told_whole_again_counts_each_step_once_and_in_its_order() -> None:
    older, newer = list(messages("kuaidi100"))[:2]
    first, second = mapper("kuaidi100").map(older).events, mapper("kuaidi100").map(newer).events
    assert [event.id for event in second[: len(first)]] == [event.id for event in first]
    assert [event.scan for event in second] == ["collected", "in_transit", "in_transit", "signed"]  # type: ignore[attr-defined]


def test_the_same_buyer_has_the_same_phone_and_address_on_every_channel() -> None:
    parts = {"receiver_state": "浙江", "receiver_city": "杭州", "receiver_district": "西湖区"}
    taobao = json.loads((SAMPLES / "taobao" / "fullinfo.json").read_text(encoding="utf-8"))
    taobao["trade_fullinfo_get_response"]["trade"] |= parts | {"receiver_mobile": "+86 138-0000-1234"}
    jd = json.loads((SAMPLES / "jd" / "order.json").read_text(encoding="utf-8"))
    jd["jingdong_pop_order_get_responce"]["orderDetailInfo"]["orderInfo"]["consigneeInfo"] = {
        "mobile": "008613800001234",
        "fullAddress": "浙江省杭州市西湖区文三路90号3幢502",
    }
    created = [
        event
        for name, document in (("taobao", taobao), ("jd", jd))
        for event in mapped(name, **document).events
        if isinstance(event, OrderCreated)
    ]
    assert len({(event.phone, event.address) for event in created}) == 1
    assert created[0].phone == "13800001234"


def test_the_currency_of_the_order_counts_for_its_changes_too() -> None:
    order = json.loads((SAMPLES / "woocommerce" / "list.json").read_text(encoding="utf-8"))[0]
    changes = [event for event in mapped("woocommerce", **order).events if isinstance(event, OrderChanged)]
    assert [change.fields.amount for change in changes] == [1500]  # yen have no decimals


def test_a_profile_that_needs_all_records_or_only_reads_tables_maps_no_single_messages() -> None:
    with pytest.raises(ConversionError, match="orderpulse convert"):
        Mapper(load_profile("ocel_order_process"))
    with pytest.raises(ConversionError, match="only CSV files"):
        Mapper(load_profile("erp_wms_csv"))


# Whatever comes in ends as an event, a reason, or is left out on purpose


_SCALARS = (
    st.none()
    | st.booleans()
    | st.integers(-(10**25), 10**25)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(max_size=30)
    | st.sampled_from(["", " ", "0", "-1", "null", "2026-02-30 10:00:00", "9999-12-31", "1e99", "6.9E+18", "[", "{}"])
)
_VALUES = st.recursive(
    _SCALARS, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=6), inner, max_size=3)
)


def _places(value: Any, at: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    members = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, inner in members:
        yield (*at, key)
        yield from _places(inner, (*at, key))


def _spoilt(data: st.DataObject, document: Any) -> Any:
    for _ in range(data.draw(st.integers(1, 4))):
        places = list(_places(document))
        if not places:
            return document
        *above, last = data.draw(st.sampled_from(places))
        owner = document
        for key in above:
            owner = owner[key]
        if data.draw(st.booleans()) or isinstance(owner, list):
            owner[last] = data.draw(_VALUES)
        else:
            del owner[last]
    return document


def _accounted_for(name: str, message: bytes) -> None:
    result = mapper(name).map(message, ARRIVAL)
    for event in result.events:
        assert _EVENT.decode(msgspec.json.encode(event)) == event
    for refusal in result.refusals:
        assert refusal.reason
        assert refusal.field
        assert refusal.what
        assert refusal.remedy


@settings(suppress_health_check=list(HealthCheck), deadline=None, max_examples=150)
@given(data=st.data())
def test_a_spoilt_payload_ends_as_events_or_as_reasons_that_help(data: st.DataObject) -> None:
    name = data.draw(st.sampled_from(MESSAGES))
    message = data.draw(st.sampled_from(list(messages(name))))
    try:
        document = json.loads(message.removeprefix(b"\xef\xbb\xbf"))
    except ValueError:
        cut = data.draw(st.integers(0, len(message)))
        _accounted_for(name, message[:cut] + data.draw(st.binary(max_size=8)) + message[cut:])
        return
    _accounted_for(name, json.dumps(_spoilt(data, document)).encode())


@settings(deadline=None, max_examples=150)
@given(name=st.sampled_from(MESSAGES), message=st.binary(max_size=200) | st.text(max_size=100).map(str.encode))
def test_bytes_that_are_no_message_are_refused_with_a_reason(name: str, message: bytes) -> None:
    result = mapper(name).map(message, ARRIVAL)
    assert [refusal.reason for refusal in result.refusals] == ["bad_row"]


@pytest.mark.parametrize("name", MESSAGES)
@pytest.mark.parametrize(
    "message", [b"", b"null", b"[]", b"{}", b"[[[[", b"[" * 100_000, b"\xff\xfe", b'"text"', b"1e999999"]
)
def test_a_message_of_no_known_kind_is_refused(name: str, message: bytes) -> None:
    (refusal,) = mapper(name).map(message).refusals
    assert refusal.reason == "bad_row"
