"""What a shop meets when it connects a platform that no profile knows: odd forms are read, mistakes are explained."""

import json
from pathlib import Path
from typing import Any
from urllib.parse import quote, quote_plus

import pytest

from config.problems import ConfigurationError
from sources.mapping.coverage import coverage, stages
from sources.mapping.errors import ConversionError
from sources.mapping.loading import load_profile
from sources.mapping.mapper import Mapper
from tests.mapping.support import CREATED, created, profile_of, run, run_text
from tests.mapping.test_values import moment

PUSH = profile_of("""
name = "push"
source = "push"
[time]
zone = "Asia/Shanghai"
[money]
unit = "major"
[inputs.push]
format = "json"
fields = ["type", "msg"]
[[events]]
name = "created"
from = "push"
type = "order.created"
when = { type = "paid" }
id = { template = "{msg.order.tid}/created" }
order_id = "msg.order.tid"
time = "msg.order.created"
amount = "msg.pay.payment"
items = { field = "msg.lines", each = { sku = "code" } }
[[ignore]]
from = "push"
when = { type = "points" }
""")
ORDER = {"tid": 1102345678901234567, "created": "2026-03-02 20:30:12"}
MESSAGE: dict[str, Any] = {"order": ORDER, "pay": {"payment": "128.50"}, "lines": [{"code": "茶+1 号"}], "mark": "急"}

TABLE = """
name = "table"
source = "table"
[time]
format = "%Y/%m/%d %H:%M"
zone = "Asia/Shanghai"
[inputs.orders]
format = "csv"
encoding = "gb18030"
skip_lines = 2
fields = ["订单编号", "下单时间"]
[inputs.lines]
format = "csv"
encoding = "gb18030"
skip_lines = 2
fields = ["订单编号", "商品编码"]
key = "订单编号"
[[events]]
name = "created"
from = "orders"
type = "order.created"
once = true
id = { template = "{订单编号}/created" }
order_id = "订单编号"
time = "下单时间"
items = { lookup = "lines", by = "订单编号", each = { sku = "商品编码" } }
"""
EXPORT = """团购导出表,,,
"2026年3月,第1周",,,
订单编号,下单时间,商品编码,团长
T1,2026/3/2 8:05,苹果,李姐
T1,2026/3/2 8:05,鸡蛋,李姐
T2,2026/3/2 9:15
T3,昨天,苹果,李姐
""".encode("gb18030")


def pushed(kind: str, text: str) -> str:
    return json.dumps({"type": kind, "msg": text}, ensure_ascii=False) + "\n"


@pytest.mark.parametrize("write", [str, quote, quote_plus])
def test_an_order_in_a_text_is_read_plain_and_percent_encoded(write: Any, tmp_path: Path) -> None:
    text = write(json.dumps(MESSAGE, ensure_ascii=False))
    order = run_text(PUSH, tmp_path, pushed("paid", text)).only
    assert (order.order_id, order.amount, order.items[0].sku) == ("1102345678901234567", 12850, "茶+1 号")
    assert order.time == moment("2026-03-02T20:30:12+08:00")
    assert Mapper(PUSH).map(pushed("paid", text).encode()).events == [order]


@pytest.mark.parametrize("text", ["%7Bbroken", "%7B%22order%22%3A%22%FF%22%7D", "{", "no JSON", "[" * 5000])
def test_a_text_that_holds_no_json_is_a_dead_letter_that_names_the_path(text: str, tmp_path: Path) -> None:
    (letter,) = run_text(PUSH, tmp_path, pushed("paid", text)).dead
    assert letter.reason == "missing_value"
    assert "there is no value at '{msg.order.tid}/created'" in letter.detail


def test_two_texts_of_one_record_are_not_mistaken_for_each_other(tmp_path: Path) -> None:
    texts = [json.dumps(MESSAGE | {"order": ORDER | {"tid": number}}) for number in range(20)]
    result = run_text(PUSH, tmp_path, "".join(pushed("paid", text) for text in texts), "orders.ndjson")
    assert [event.id for event in result.events] == [f"{number}/created" for number in range(20)]


def test_a_table_below_a_title_with_a_row_for_each_item_gives_orders_with_their_items(tmp_path: Path) -> None:
    result = run_text(profile_of(TABLE), tmp_path, EXPORT, "export.csv")
    (order,) = [event for event in result.events if getattr(event, "items", None)]
    assert (order.id, [item.sku for item in order.items]) == ("T1/created", ["苹果", "鸡蛋"])  # type: ignore[attr-defined]
    assert [(letter.reason, letter.detail.split(", ")[1], letter.position) for letter in result.dead] == [
        ("bad_row", "line 6", EXPORT.index(b"T2")),
        ("bad_value", "line 7", EXPORT.index(b"T3")),
    ]
    assert result.report.records == 4  # each row once, though two inputs read it


def test_lines_to_skip_are_for_tables_alone() -> None:
    with pytest.raises(ConfigurationError, match="is for CSV"):
        created(input="skip_lines = 1")


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        ("a.csv", EXPORT, "orders: its header has 订单编号, 下单时间, 商品编码, 团长"),
        ("a.csv", EXPORT.decode("gb18030").encode("utf-16"), "orders: it is not gb18030: set the input's encoding"),
        ("a.csv", b"", "orders: it has no header"),
    ],
)
def test_a_file_of_no_known_kind_is_refused_with_what_it_holds(
    name: str, content: bytes, said: str, tmp_path: Path
) -> None:
    (tmp_path / name).write_bytes(content)
    profile = profile_of(TABLE.replace('"订单编号", "下单时间"', '"编号"').replace('"商品编码"]', '"编码"]'))
    with pytest.raises(ConversionError) as caught:
        run(profile, tmp_path, tmp_path / name)
    assert said in str(caught.value)


def test_json_that_none_of_several_inputs_knows_is_refused_and_json_that_is_broken_a_dead_letter(
    tmp_path: Path,
) -> None:
    (tmp_path / "a.json").write_text(pushed("paid", "{}"))
    with pytest.raises(ConversionError, match=r"bare: its first record has type, msg"):
        run(load_profile("jd"), tmp_path, tmp_path / "a.json")
    assert [letter.reason for letter in run_text(load_profile("jd"), tmp_path, '{"type": ').dead] == ["bad_row"]


@pytest.mark.parametrize(
    ("text", "form"),
    [
        ("2026/3/2 8:05", "%Y/%m/%d %H:%M"),
        ("2026年3月2日 08:05", "%Y年%m月%d日 %H:%M"),
        ("20260302080500", "%Y%m%d%H%M%S"),
        (1772409900, "epoch_s"),
        ("1772409900000", "epoch_ms"),
        ("03/02/2026", None),  # a day or a month: nothing is guessed
        ("昨天", None),
    ],
)
def test_a_time_of_another_form_is_refused_with_the_form_that_it_likely_has(
    text: str | int, form: str | None, tmp_path: Path
) -> None:
    (letter,) = run_text(created(), tmp_path, json.dumps({"id": "A", "at": text})).dead
    assert letter.remedy == "set format to what the field holds" + (f", e.g. format = {form!r}" if form else "")


@pytest.mark.parametrize(
    "text", ["2026/3/2 8:05:00", "2026.03.02 08:05:00", "2026年3月2日8:05", "20260302080500", "1772409900"]
)
def test_a_form_that_is_proposed_reads_the_time_that_it_was_proposed_for(text: str, tmp_path: Path) -> None:
    record = json.dumps({"id": "A", "at": text})
    (letter,) = run_text(created(), tmp_path, record).dead
    form = letter.remedy.partition("format = '")[2].rstrip("'")
    profile = CREATED.format(format="json", input="", fields="")
    told = profile.replace('time = "at"', f'time = {{ field = "at", format = "{form}" }}')
    assert run_text(profile_of(told), tmp_path, record).only.time == moment("2026-03-02T08:05:00+08:00")


def test_mistakes_that_who_writes_a_first_profile_makes_are_explained(tmp_path: Path) -> None:
    for text, said in [
        ("when = { 支付时间 = { present = true } }", "stands in quotes"),
        ('name = "a"\naddress = 1', "is missing"),
    ]:
        (tmp_path / "own.toml").write_text(text, encoding="utf-8")
        with pytest.raises(ConfigurationError, match=said):
            load_profile(tmp_path / "own.toml")
    with pytest.raises(ConfigurationError, match=r"an address in one text is \{ detail = 'to' \}"):
        created('address = "to"')
    with pytest.raises(ConfigurationError, match="write one of reject, keep, leave_out"):
        created('channel = { field = "c", map = { a = "b" }, unmapped = "skip" }')
    with pytest.raises(ConfigurationError, match="write one of CN"):
        profile_of('name = "a"\nsource = "a"\nclean = { address = "china" }')


def test_a_platform_cannot_publish_rules() -> None:
    with pytest.raises(ConfigurationError, match=r"'rule\.published' is no event type"):
        profile_of('name = "a"\nsource = "a"\n[[events]]\nfrom = "b"\ntype = "rule.published"')


# What a check says of a sample


def unmapped(profile: Any, folder: Path, text: str | bytes, name: str) -> dict[str, dict[str, int]]:
    (folder / name).write_bytes(text if isinstance(text, bytes) else text.encode())
    return coverage(profile, [folder / name]).unmapped


def test_fields_of_records_that_are_left_out_on_purpose_are_not_asked_for(tmp_path: Path) -> None:
    paid, points = pushed("paid", quote(json.dumps(MESSAGE))), pushed("points", '{"total": 210}')
    assert unmapped(PUSH, tmp_path, paid + points, "a.ndjson") == {"push": {"msg.mark": 1}}


def test_in_a_file_of_mixed_kinds_each_input_is_asked_for_its_own_records_alone(tmp_path: Path) -> None:
    profile = profile_of("""
        name = "mixed"
        source = "mixed"
        [money]
        unit = "major"
        [inputs.order]
        format = "json"
        fields = ["order_no"]
        [inputs.refund]
        format = "json"
        fields = ["refund_no"]
        [[events]]
        name = "created"
        from = "order"
        type = "order.created"
        id = "order_no"
        order_id = "order_no"
        time = "at"
        [[events]]
        name = "refunded"
        from = "refund"
        type = "order.stage"
        id = "refund_no"
        order_id = "of"
        time = "at"
        stage = { field = "state", map = { done = "cancelled", open = "asked" } }
    """)
    lines = '{"order_no": 1, "at": "2026-03-02T10:00Z", "gift": 1}\n{"refund_no": 2, "of": 1, "at": "", "why": "x"}\n'
    assert unmapped(profile, tmp_path, lines, "a.ndjson") == {"order": {"gift": 1}, "refund": {"why": 1}}
    assert stages(profile) == ["cancelled", "asked"]


def test_a_table_that_two_inputs_read_is_told_of_once(tmp_path: Path) -> None:
    assert unmapped(profile_of(TABLE), tmp_path, EXPORT, "a.csv") == {"orders": {"团长": 3}}
