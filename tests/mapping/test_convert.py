import base64
import gzip
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from events.model import Address, BehaviourChat, Item, OrderStage
from sources.mapping.convert import convert
from sources.mapping.errors import ConversionError
from tests.mapping.support import created, profile_of, run, run_text

CSV = created(format="csv", input='fields = ["id", "at"]')
AT = "2024-03-05T10:00:00"


def test_a_number_and_a_text_give_the_same_order_with_all_19_digits(tmp_path: Path) -> None:
    text = f'[{{"id": 6917529027641081857, "at": "{AT}"}}, {{"id": "6917529027641081858", "at": "{AT}"}}]'
    ids = [event.order_id for event in run_text(created(), tmp_path, text).events]  # type: ignore[attr-defined]
    assert ids == ["6917529027641081857", "6917529027641081858"]


def test_a_fraction_in_json_keeps_its_cents(tmp_path: Path) -> None:
    text = f'{{"id": "1", "at": "{AT}", "paid": 9999999999999.99}}'
    assert run_text(created('amount = "paid"'), tmp_path, text).only.amount == 999999999999999


def test_the_currency_of_the_record_decides_how_many_decimals_its_money_has(tmp_path: Path) -> None:
    profile = created('amount = "total"\ncurrency = "cur"')
    text = f'[{{"id": 1, "at": "{AT}", "total": "1500", "cur": "JPY"}}, {{"id": 2, "at": "{AT}", "total": "1500"}}]'
    yen, yuan = run_text(profile, tmp_path, text).events
    assert (yen.amount, yen.currency, yuan.amount, yuan.currency) == (1500, "JPY", 150000, "CNY")  # type: ignore[attr-defined]


def test_order_lines_and_address_are_filled_part_by_part(tmp_path: Path) -> None:
    profile = created(
        'items = { field = "lines", each = { sku = "code", quantity = "n", price = "unit.price" } }\n'
        'address = { city = "to.city", detail = { template = "{to.street} {to.no}" } }'
    )
    text = (
        f'{{"id": 1, "at": "{AT}", "to": {{"city": "杭州", "street": "江南大道", "no": 1}},'
        ' "lines": [{"code": 7, "n": "2", "unit": {"price": "9.90"}}, {"code": "B", "n": 1, "unit": {}}]}'
    )
    event = run_text(profile, tmp_path, text).only
    assert event.items == (Item("7", 2, 990), Item("B", 1, 0))
    assert event.address == Address(city="杭州", detail="江南大道 1")


def test_a_wrong_value_inside_an_order_line_is_named(tmp_path: Path) -> None:
    profile = created('items = { field = "lines", each = { sku = "code", price = "price" } }')
    (letter,) = run_text(
        profile, tmp_path, f'{{"id": 1, "at": "{AT}", "lines": [{{"code": "A", "price": "free"}}]}}'
    ).dead
    assert "field items.price of created: 'free' is not a number" in letter.detail


def test_one_record_gives_one_event_per_element_of_a_list(tmp_path: Path) -> None:
    profile = profile_of("""
        name = "push"
        source = "push"
        [time]
        format = "epoch_s"
        [inputs.pushes]
        format = "jsonl"
        [[events]]
        from = "pushes"
        type = "order.stage"
        when = { tag = 120, "data.p_id" = { present = true } }
        for_each = "data.parcels[*]"
        id = { template = "{msg}/{$each.no}/{$index}" }
        time = "data.at"
        order_id = "data.p_id"
        parcel_id = "$each.no"
        stage = { field = "$each.state", map = { OUT = "collected" }, unmapped = "keep" }
        [[events]]
        from = "pushes"
        type = "behaviour.chat"
        when = [{ tag = 200 }, { tag = "201" }]
        id = "msg"
        time = "data.at"
        text = "data.text"
        [[ignore]]
        from = "pushes"
        when = { tag = { not = [120, 200, 201] } }
        """)
    pushes = (
        "\ufeff"
        '[{"tag": 120, "msg": "m1", "data": "{\\"p_id\\": 4705288465508532862, \\"at\\": 1709604000, \\"parcels\\":'
        ' [{\\"no\\": \\"x1\\", \\"state\\": \\"OUT\\"}, {\\"no\\": \\"x2\\", \\"state\\": \\"signed\\"}]}"}]\n'
        '{"tag": 201, "msg": "m2", "data": {"at": 1709604001, "text": "在吗"}}\n\n'
        '{"tag": 300, "msg": "m3"}\n'
        '{"tag": 120, "msg": "m4", "data": {"at": 1}}\n'
    )
    result = run_text(profile, tmp_path, pushes, "pushes.jsonl")
    assert result.events == [
        OrderStage("m1/x1/1", "push", 1709604000000, "4705288465508532862", stage="collected", parcel_id="x1"),
        OrderStage("m1/x2/2", "push", 1709604000000, "4705288465508532862", stage="signed", parcel_id="x2"),
        BehaviourChat("m2", "push", 1709604001000, text="在吗"),
    ]
    (letter,) = result.dead
    assert (letter.reason, letter.position) == ("no_rule", pushes.encode().index(b'{"tag": 120, "msg": "m4"'))
    assert "records left out by [[ignore]]: 1" in result.report.notes


def test_events_come_out_in_order_of_time_and_within_a_moment_in_order_of_the_input(tmp_path: Path) -> None:
    rows = "".join(f"{name},2024-03-0{day} 10:00:00\n" for name, day in [("c", 5), ("b", 4), ("a", 5), ("d", 3)])
    events = run_text(CSV, tmp_path, "id,at\n" + rows, "orders.csv").events
    assert [event.id.partition("/")[0] for event in events] == ["d", "b", "c", "a"]


def test_a_bad_row_is_a_dead_letter_with_file_line_field_reason_remedy_and_its_bytes(tmp_path: Path) -> None:
    text = "id,at\r\nA,2024-03-05 10:00:00\r\n杭,yesterday\r\nB,2024-03-05 11:00:00\r\n"
    result = run_text(CSV, tmp_path, b"\xef\xbb\xbf" + text.encode(), "orders.csv")
    assert [event.id for event in result.events] == ["A/created", "B/created"]
    (letter,) = result.dead
    assert letter.detail == "orders.csv, line 3, field at -> time of created: 'yesterday' is not an ISO 8601 time"
    assert (letter.reason, letter.remedy) == ("bad_value", "set format to what the field holds")
    assert base64.b64decode(letter.payload) == "杭,yesterday\r\n".encode()
    assert (b"\xef\xbb\xbf" + text.encode())[letter.position :].startswith("杭".encode())


@pytest.mark.parametrize(
    ("row", "what"),
    [
        ('"A,2024-03-05 10:00:00', "quotes of this row do not match"),
        ('A,"2024-03-05 10:00:00', "quotes of this row do not match"),
        ("A", "1 columns, the header 2"),
        ("A,2024-03-05 10:00:00,x", "3 columns, the header 2"),
    ],
)
def test_a_broken_row_costs_only_itself(tmp_path: Path, row: str, what: str) -> None:
    after = '"B",2024-03-05 11:00:00\nC,"2024-03-05 12:00:00"\n'
    result = run_text(CSV, tmp_path, f"id,at\n{row}\n{after}", "orders.csv")
    assert [event.id for event in result.events] == ["B/created", "C/created"]
    (letter,) = result.dead
    assert what in letter.detail
    assert base64.b64decode(letter.payload).decode() == row + "\n"


def test_a_row_in_another_encoding_is_a_dead_letter_with_its_bytes(tmp_path: Path) -> None:
    row = "杭,2024-03-05 10:00:00\n".encode("gb18030")
    (letter,) = run_text(CSV, tmp_path, b"id,at\n" + row, "orders.csv").dead
    assert base64.b64decode(letter.payload) == row
    declared = created(format="csv", input='fields = ["id"]\nencoding = "gb18030"')
    assert run_text(declared, tmp_path, b"id,at\n" + row, "orders.csv").only.order_id == "杭"


def test_one_bad_record_of_a_list_leaves_the_others(tmp_path: Path) -> None:
    text = f'{{"data": {{"orders": [{{"id": 1, "at": "{AT}"}}, 7, {{"at": "{AT}"}}, {{"id": [1], "at": "{AT}"}}]}}}}'
    result = run_text(created(input='records = "data.orders"'), tmp_path, text)
    assert [event.id for event in result.events] == ["1/created"]
    assert [(letter.reason, letter.position) for letter in result.dead] == [
        ("bad_row", 1),
        ("missing_value", 2),
        ("bad_value", 3),
    ]


@pytest.mark.parametrize("text", ["", "{", "[1", "\x00\xff", '{"other": []}', "[" * 5000])
def test_a_broken_document_is_a_dead_letter_not_a_crash(tmp_path: Path, text: str) -> None:
    (letter,) = run_text(created(input='records = "orders"'), tmp_path, text).dead
    assert letter.reason == "bad_row"


_CELLS = st.lists(
    st.sampled_from(["A", "B", ",", '"', "\n", "\r", "2024-03-05 10:00:00", " ", "é", "\x00"]), max_size=40
)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None, max_examples=60)
@given(cells=_CELLS, tail=st.binary(max_size=20))
def test_whatever_a_csv_holds_every_byte_of_it_comes_out_as_an_event_or_a_dead_letter(
    tmp_path: Path, cells: list[str], tail: bytes
) -> None:
    body = "".join(cells).encode() + tail
    result = run_text(CSV, tmp_path, b"id,at\n" + body, "orders.csv")
    assert result.report.records == len(result.events) + len(result.dead) + repeated(result.report.notes)


def repeated(notes: tuple[str, ...]) -> int:
    return sum(int(note.split()[-1]) for note in notes if note.startswith("events told again"))


def test_an_event_given_twice_is_written_once_and_counted(tmp_path: Path) -> None:
    result = run_text(CSV, tmp_path, "id,at\nA,2024-03-05 10:00:00\nA,2024-03-05 10:00:00\n", "orders.csv")
    assert len(result.events) == 1
    assert "events told again, each written once: 1" in result.report.notes


def test_two_events_that_differ_under_one_id_are_told_apart_before_a_run_drops_one(tmp_path: Path) -> None:
    result = run_text(CSV, tmp_path, "id,at\nA,2024-03-05 10:00:00\nA,2024-03-06 10:00:00\n", "orders.csv")
    assert [event.time for event in result.events] == [1709604000000]
    assert [letter.reason for letter in result.dead] == ["conflicting_id"]


def test_a_field_that_never_had_a_value_is_pointed_out(tmp_path: Path) -> None:
    result = run_text(created('phone = "telefone"'), tmp_path, f'{{"id": 1, "at": "{AT}", "telephone": "1"}}')
    assert "rule 'created': no record had a value for phone (at 'telefone')" in result.report.notes


def test_a_compressed_file_is_read_as_it_is(tmp_path: Path) -> None:
    packed = gzip.compress(b"id,at\nA,2024-03-05 10:00:00\n")
    assert run_text(CSV, tmp_path, packed, "orders.csv.gz").only.order_id == "A"


def test_a_file_of_no_known_kind_is_refused_and_in_a_folder_left_aside_with_a_note(tmp_path: Path) -> None:
    other, good = tmp_path / "in" / "other.csv", tmp_path / "in" / "orders.csv"
    good.parent.mkdir()
    other.write_text("name,price\nA,1\n")
    good.write_text("id,at\nA,2024-03-05 10:00:00\n")
    with pytest.raises(ConversionError, match="of no kind that profile 'shop' knows"):
        run(CSV, tmp_path, other)
    result = run(CSV, tmp_path, good.parent)
    assert len(result.events) == 1
    assert any(str(other) in note for note in result.report.notes)
    with pytest.raises(ConversionError, match="does not exist"):
        run(CSV, tmp_path, tmp_path / "nowhere.csv")


def test_the_events_may_go_to_a_named_file_and_nothing_half_written_stays(tmp_path: Path) -> None:
    (tmp_path / "orders.csv").write_text("id,at\nA,2024-03-05 10:00:00\n")
    report = convert(CSV, [tmp_path / "orders.csv"], tmp_path / "to" / "a.ndjson")
    assert report.events_file == tmp_path / "to" / "a.ndjson"
    assert sorted(file.name for file in (tmp_path / "to").iterdir()) == ["a.ndjson", "dead_letters.ndjson"]
