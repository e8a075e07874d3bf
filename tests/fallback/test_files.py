"""Files in and out: all lines or none, every bad one named; and the same bytes each time."""

import csv
import io
from pathlib import Path
from typing import Any

import msgspec
import pytest

from config.units import Instant
from events.model import OrderCreated
from sources.fallback.csv_in import FileRefusedError, read_orders
from sources.fallback.csv_out import write_batches
from sources.fallback.taking import Taken
from sources.reader import SourceError
from tests.fallback.support import NOW, PHONE, SETTINGS, taken

HALF_AN_HOUR = 1_800_000
CHINESE = '手机号,商品,数量,姓名,金额,备注\n13800001234,车厘子 2kg,2,王小明,"1,258.00",尽快\n'


def imported(directory: Path, data: str | bytes, now: int = NOW) -> tuple[Taken, ...]:
    path = directory / "orders.csv"
    path.write_bytes(data if isinstance(data, bytes) else data.encode())
    return read_orders(path, SETTINGS, now)


def problems(directory: Path, data: str | bytes) -> list[tuple[int, str]]:
    with pytest.raises(FileRefusedError) as refused:
        imported(directory, data)
    return [(problem.line, problem.field) for problem in refused.value.problems]


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "gbk"])
def test_utf8_with_and_without_a_mark_and_gbk(tmp_path: Path, encoding: str) -> None:
    (order,) = imported(tmp_path, CHINESE.encode(encoding))
    assert (order.order.items[0].sku, order.order.recipient, order.order.amount) == ("车厘子 2kg", "王小明", 125_800)


@pytest.mark.parametrize("separator", [",", ";", "\t"])
def test_any_separator_and_what_spreadsheets_leave_behind(tmp_path: Path, separator: str) -> None:
    lines = [["Phone", "Product", "Quantity", "", ""], ['"=""13800001234"""', '"a, b"', "2.0", "", ""], [""] * 5]
    (order,) = imported(tmp_path, "\r\n".join(separator.join(line) for line in lines) + "\r\n\r\n")
    assert (order.order.phone, order.order.items[0].quantity) == (PHONE, 2)


def test_every_bad_line_is_named_with_its_number_and_field_and_nothing_is_imported(tmp_path: Path) -> None:
    data = (
        "phone,product,quantity,taken_at\n"
        "13800001234,a,1,2026-11-22 10:05\n"
        "1.38E+10,a,1,\n"
        '13800001234,"two\nlines",0,\n'
        "13800001234,a,1,2026-11-22\n"
        "13800001234,a,1,,more\n"
    )
    assert problems(tmp_path, data) == [(3, "phone"), (4, "quantity"), (6, "taken_at"), (7, "(line)")]


@pytest.mark.parametrize(
    ("header", "bad"),
    [
        ("phone,product", [(1, "quantity")]),
        ("phone,product,quantity,colour", [(1, "colour")]),
        ("phone,手机,product,quantity", [(1, "phone"), (1, "手机")]),
        ("", [(1, "phone"), (1, "product"), (1, "quantity")]),
    ],
)
def test_a_header_that_cannot_be_understood_is_refused(tmp_path: Path, header: str, bad: list[Any]) -> None:
    assert problems(tmp_path, header + "\n13800001234,a,1\n") == bad


def test_a_workbook_is_no_csv(tmp_path: Path) -> None:
    with pytest.raises(SourceError, match="save it as CSV"):
        imported(tmp_path, b"PK\x03\x04\0\0\xff\xff")


def test_the_same_file_gives_the_same_numbers_whenever_it_is_imported(tmp_path: Path) -> None:
    line = "13800001234,a,1\n"
    data = "phone,product,quantity\n" + line + line + "13900001234,a,1\n"
    first, later = imported(tmp_path, data), imported(tmp_path, data, NOW + 1)
    assert [order.order_id for order in first] == [order.order_id for order in later]
    assert len({order.order_id for order in first}) == 3, "two lines alike are two orders"


def test_two_lines_with_one_request_id_are_one_order_or_a_mistake(tmp_path: Path) -> None:
    header = "phone,product,quantity,request_id\n"
    assert len(imported(tmp_path, header + "13800001234,a,1,7\n" * 2)) == 1
    assert problems(tmp_path, header + "13800001234,a,1,7\n13800001234,a,2,7\n") == [(3, "request_id")]


def test_local_times_are_those_of_the_configured_zone(tmp_path: Path) -> None:
    (order,) = imported(tmp_path, "phone,product,quantity,taken_at\n13800001234,a,1,2026/1/31 10:05\n")
    assert order.order.time == Instant.parse("2026-01-31T10:05:00+08:00")


def test_one_file_per_window_and_the_same_bytes_again(tmp_path: Path) -> None:
    start = NOW - NOW % HALF_AN_HOUR
    orders = [taken(f"FB-{minute}").order for minute in range(3)]
    orders = [_at(order, start + index * (HALF_AN_HOUR - 1)) for index, order in enumerate(orders)]

    def export(until: int) -> list[tuple[int, str]]:
        written = write_batches(orders, tmp_path, start + 5, until, HALF_AN_HOUR, "Asia/Shanghai")
        return [(each.orders, each.outcome) for each in written]

    assert export(start + HALF_AN_HOUR - 1) == [], "a window that is not over"
    assert export(start + HALF_AN_HOUR) == [(2, "new")]
    before = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    orders.append(orders[0])
    assert export(start + 3 * HALF_AN_HOUR) == [(2, "same"), (1, "new")]
    assert {name: (tmp_path / name).read_bytes() for name in before} == before
    orders.append(_at(taken("FB-late").order, start))
    assert export(start + HALF_AN_HOUR) == [(3, "changed")]


def test_what_is_exported_is_imported_as_the_same_orders(tmp_path: Path) -> None:
    number = imported(tmp_path, CHINESE)[0].order_id
    order = taken(number, phone="+44 20 7946 0958", remark="=1+1", amount="600", name="王").order
    (written,) = write_batches([order], tmp_path, 0, NOW + HALF_AN_HOUR, HALF_AN_HOUR, "Asia/Shanghai")
    cells = list(csv.reader(io.StringIO(written.path.read_text("utf-8-sig"))))[1]
    assert not any(cell.startswith(("=", "+", "-", "@")) for cell in cells), "nothing that a spreadsheet computes"
    (again,) = read_orders(written.path, SETTINGS, 0)
    assert again.order == order


def _at(order: OrderCreated, time: int) -> OrderCreated:
    return msgspec.structs.replace(order, time=time)
