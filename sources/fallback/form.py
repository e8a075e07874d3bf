"""What operators write down of an order, checked field by field."""

import re
import unicodedata
from collections.abc import Iterable, Mapping
from decimal import Decimal
from typing import Final

from msgspec import Struct

from sources.mapping.phones import clean_phone

FIELDS: Final = ("phone", "product", "quantity", "name", "address", "amount", "channel", "remark", "request_id")
REQUIRED: Final = ("phone", "product", "quantity")
MOST_QUANTITY: Final = 1_000_000
_LONGEST: Final = {"product": 256, "name": 64, "address": 500, "channel": 64, "remark": 2_000, "request_id": 128}
_SHORTENED = re.compile(r"[+-]?\d+(?:[.,]\d+)?[eE][+-]?\d+")
_WHOLE = re.compile(r"\d{1,7}(?:\.0+)?")
_AMOUNT = re.compile(r"(?:\d{1,3}(?:,\d{3})+|\d{1,12})(?:\.\d{1,2}0*)?")
_PHONE = re.compile(r"\+\d{7,15}|0\d{9,11}|1\d{10}|[48]00\d{7}")
_EXTENSION = re.compile(r"(.+)-(\d{1,6})")


class FieldProblem(Struct, frozen=True):
    """What is wrong with a field, in both languages."""

    field: str
    zh: str
    en: str


class FormError(Exception):
    """Fields that cannot be taken; nothing of them is quoted."""

    def __init__(self, problems: Iterable[FieldProblem]) -> None:
        self.problems = tuple(problems)
        super().__init__("; ".join(f"{problem.field}: {problem.en}" for problem in self.problems))


class OrderForm(Struct, frozen=True):
    """An order as it was taken. ``amount`` is in fen, None where nobody said it."""

    phone: str
    product: str
    quantity: int
    name: str | None = None
    address: str | None = None
    amount: int | None = None
    channel: str | None = None
    remark: str | None = None
    request_id: str | None = None


def read_form(given: Mapping[str, str]) -> OrderForm:
    """The form from its fields as texts; raises FormError with all that is wrong."""
    problems = [
        FieldProblem(name, "没有这一项", f"is not known; known are {', '.join(FIELDS)}")
        for name in given
        if name not in FIELDS
    ]
    texts = {name: _text(given.get(name, "")) for name in FIELDS}
    for name, text in texts.items():
        problem = _problem(name, text)
        if problem is not None:
            problems.append(FieldProblem(name, *problem))
    if problems:
        raise FormError(problems)
    optional = {name: texts[name] or None for name in ("name", "address", "channel", "remark", "request_id")}
    return OrderForm(
        phone=clean_phone(texts["phone"], "CN"),
        product=texts["product"],
        quantity=int(Decimal(texts["quantity"])),
        amount=int(Decimal(texts["amount"].replace(",", "")) * 100) if texts["amount"] else None,
        **optional,
    )


def _text(value: str) -> str:
    """Full-width digits and letters as plain ones, without the marks by which a spreadsheet keeps a text a text."""
    folded = unicodedata.normalize("NFKC", value).strip()
    if folded.startswith('="') and folded.endswith('"'):
        folded = folded[2:-1]
    return folded.removeprefix("'").strip()


def _problem(name: str, text: str) -> tuple[str, str] | None:
    if not text:
        return ("必填", "is missing") if name in REQUIRED else None
    if name in _NUMBERS and _SHORTENED.fullmatch(text):
        return (
            "被表格改成了科学计数,请把该列设为文本后重填",
            "was shortened by a spreadsheet: format the column as text",
        )
    if any(unicodedata.category(character) == "Cc" and character not in "\n\r\t" for character in text):
        return "含有控制字符", "has control characters"
    longest = _LONGEST.get(name, len(text))
    if len(text) > longest:
        return f"超过 {longest} 个字", f"is longer than {longest} characters"
    check = _CHECKS.get(name)
    return check(text) if check is not None else None


def _quantity_problem(text: str) -> tuple[str, str] | None:
    if _WHOLE.fullmatch(text) and 1 <= Decimal(text) <= MOST_QUANTITY:
        return None
    return f"须为 1 到 {MOST_QUANTITY} 的整数", f"must be a whole number from 1 to {MOST_QUANTITY}"


def _amount_problem(text: str) -> tuple[str, str] | None:
    if _AMOUNT.fullmatch(text):
        return None
    return "须为金额(元),如 129.00", "must be an amount in CNY, e.g. 129.00"


def _phone_problem(text: str) -> tuple[str, str] | None:
    phone = clean_phone(text, "CN")
    match = _EXTENSION.fullmatch(phone)
    if _PHONE.fullmatch(match[1] if match else phone):
        return None
    return "不是有效的电话号码", "is no phone number"


_NUMBERS: Final = ("phone", "quantity", "amount", "request_id")
_CHECKS: Final = {"phone": _phone_problem, "quantity": _quantity_problem, "amount": _amount_problem}
