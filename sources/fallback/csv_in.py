"""Orders from a file that people filled in with a spreadsheet: all lines of it, or none."""

import csv
import io
import re
from collections import Counter
from datetime import datetime
from hashlib import sha256
from pathlib import Path
from typing import Final
from zoneinfo import ZoneInfo

import msgspec
from msgspec import Struct

from config.settings import Settings
from config.units import Instant
from sources.fallback.form import FIELDS, FieldProblem, FormError, OrderForm, read_form
from sources.fallback.numbers import number_of_request, read_number
from sources.fallback.taking import Taken, take
from sources.reader import SourceError

TAKEN_AT: Final = "taken_at"
ORDER_ID: Final = "order_id"
MOST_BYTES: Final = 64 << 20
_NAMES: Final = {
    "phone": ("phone", "mobile", "tel", "手机", "手机号", "手机号码", "电话", "联系电话"),
    "product": ("product", "sku", "商品", "产品", "商品名称", "商品编码"),
    "quantity": ("quantity", "qty", "数量", "件数"),
    "name": ("name", "recipient", "姓名", "收件人", "收货人", "客户姓名"),
    "address": ("address", "地址", "收货地址", "收件地址"),
    "amount": ("amount", "金额", "总金额", "金额(元)"),
    "channel": ("channel", "渠道", "来源"),
    "remark": ("remark", "note", "备注", "留言"),
    "request_id": ("request_id", "序号", "登记号"),
    TAKEN_AT: ("taken_at", "time", "时间", "登记时间", "下单时间"),
    ORDER_ID: ("order_id", "编号", "订单号", "应急编号"),
}
# Columns of an exported file that follow from others.
_LEFT_OUT: Final = frozenset({"priority", "operator"})
_COLUMN: Final = {alias: name for name, aliases in _NAMES.items() for alias in aliases}
_LOCAL: Final = re.compile(r"(\d{4})[-/](\d{1,2})[-/](\d{1,2})[ T](\d{1,2}):(\d\d)(?::(\d\d))?")


class LineProblem(Struct, frozen=True):
    """What is wrong in a line of the file (counted from 1, the header included)."""

    line: int
    field: str
    zh: str
    en: str


class FileRefusedError(Exception):
    """A file of which nothing is imported."""

    def __init__(self, path: Path, problems: list[LineProblem]) -> None:
        super().__init__(str(path), problems)
        self.path = path
        self.problems = problems


def read_orders(path: Path, settings: Settings, now: int, operator: str | None = None) -> tuple[Taken, ...]:
    """The orders of a file. The same line gives the same number whenever it is imported; ``now`` (epoch ms) is when an
    order was taken that does not say when. Raises FileRefusedError with every bad line, and SourceError.
    """
    rows = _rows(path)
    columns = _columns(path, rows[0][1] if rows else [])
    zone = ZoneInfo(settings.zone)
    problems: list[LineProblem] = []
    taken: dict[str, Taken] = {}
    alike: Counter[str] = Counter()
    for line, row in rows[1:]:
        if not any(cell.strip() for cell in row):
            continue
        found = _row(columns, row, line, zone, problems)
        if found is None:
            continue
        form, moment, number = found
        if number is None:
            number = _number(form, moment, alike)
        order = take(form, number, now if moment is None else moment, settings.fallback, operator)
        if taken.setdefault(number, order).digest != order.digest:
            what = LineProblem(
                line, "request_id", "与前面某行的编号相同,内容不同", "is that of a line above, which differs"
            )
            problems.append(what)
    if problems:
        raise FileRefusedError(path, problems)
    return tuple(taken.values())


def _row(
    columns: list[str], row: list[str], line: int, zone: ZoneInfo, problems: list[LineProblem]
) -> tuple[OrderForm, int | None, str | None] | None:
    """One line: the form, when it was taken, its number, where they are given; None when it is bad."""
    found: list[FieldProblem] = []
    if any(cell.strip() for cell in row[len(columns) :]):
        what = "比表头多出内容(未加引号的分隔符?)", "has more cells than the header: is a separator not quoted?"
        found.append(FieldProblem("(line)", *what))
    cells = dict(zip(columns, row, strict=False))
    moment, number = None, None
    form: OrderForm | None = None
    try:
        form = read_form({name: cell for name, cell in cells.items() if name in FIELDS})
    except FormError as error:
        found += error.problems
    if (text := cells.get(TAKEN_AT, "").strip()) and (moment := _moment(text, zone)) is None:
        what = "须为带时分的时间,如 2026-01-31 10:05", "must be a date with a time, e.g. 2026-01-31 10:05"
        found.append(FieldProblem(TAKEN_AT, *what))
    if (text := cells.get(ORDER_ID, "").strip()) and (number := read_number(text.removeprefix("'"))) is None:
        found.append(FieldProblem(ORDER_ID, "不是应急编号(有笔误?)", "is no fallback number: there is a slip in it"))
    problems += [LineProblem(line, each.field, each.zh, each.en) for each in found]
    return None if found or form is None else (form, moment, number)


def _number(form: OrderForm, moment: int | None, alike: Counter[str]) -> str:
    """The number of a line that brings none: made from all that it says, and from how many like it stand above."""
    if form.request_id is not None:
        return number_of_request(form.request_id)
    said = sha256(msgspec.json.encode((form, moment))).hexdigest()
    alike[said] += 1
    return number_of_request(f"line/{said}/{alike[said]}")


def _moment(text: str, zone: ZoneInfo) -> int | None:
    match = _LOCAL.fullmatch(text)
    try:
        if match is None:
            return int(Instant.parse(text))
        year, month, day, hour, minute, second = (int(part or 0) for part in match.groups())
        return round(datetime(year, month, day, hour, minute, second, tzinfo=zone).timestamp()) * 1000
    except ValueError:
        return None


def _columns(path: Path, header: list[str]) -> list[str]:
    names = [name.strip().lower() for name in header]
    while names and not names[-1]:
        names.pop()
    columns = [_COLUMN.get(name, name) for name in names]
    problems = []
    for name, column in zip(names, columns, strict=True):
        if column not in _NAMES and column not in _LEFT_OUT:
            known = ", ".join(_NAMES)
            problems.append(LineProblem(1, name or "(empty)", "没有这一列", f"is no column; known are {known}"))
        elif columns.count(column) > 1:
            problems.append(LineProblem(1, name, "该列重复", "is there twice"))
    for column in ("phone", "product", "quantity"):
        if column not in columns:
            aliases = ", ".join(_NAMES[column])
            problems.append(LineProblem(1, column, f"缺少该列({aliases})", f"is missing; it may be called {aliases}"))
    if problems:
        raise FileRefusedError(path, problems)
    return columns


def _decoded(path: Path) -> str:
    """The text: UTF-8 with or without a mark, else GBK."""
    data = _bytes(path)
    for encoding in ("utf-8-sig", "gb18030"):
        try:
            text = data.decode(encoding)
        except UnicodeDecodeError:
            continue
        if "\0" not in text:
            return text
    raise SourceError("is neither UTF-8 nor GBK text", str(path), "save it as CSV (UTF-8), not as a workbook")


def _bytes(path: Path) -> bytes:
    try:
        if path.stat().st_size > MOST_BYTES:
            raise SourceError(f"is larger than {MOST_BYTES >> 20} MiB", str(path), "part it, and import the parts")
        return path.read_bytes()
    except OSError as error:
        raise SourceError(f"cannot be read: {error.strerror}", str(path), "check the path and your rights") from error


def _rows(path: Path) -> list[tuple[int, list[str]]]:
    """The rows, each with the line in which it begins: a quoted cell may have several."""
    text = _decoded(path)
    reader = csv.reader(io.StringIO(text, newline=""), _Dialect(text.partition("\n")[0]))
    rows, line = [], 1
    try:
        for row in reader:
            rows.append((line, row))
            line = reader.line_num + 1
    except csv.Error as error:
        problem = LineProblem(line, "(line)", "无法解析", f"cannot be parsed: {error}")
        raise FileRefusedError(path, [problem]) from None
    return rows


class _Dialect(csv.Dialect):
    """What spreadsheets write; the separator is the one that the header uses most."""

    quotechar = '"'
    doublequote = True
    skipinitialspace = False
    lineterminator = "\r\n"
    quoting = csv.QUOTE_MINIMAL
    strict = False

    def __init__(self, header: str) -> None:
        self.delimiter = max(",\t;", key=header.count)
        super().__init__()
