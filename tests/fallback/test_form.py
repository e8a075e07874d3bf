"""The form: what people write is understood, and what is wrong is named field by field."""

import pytest

from sources.fallback.form import FormError, read_form
from tests.fallback.support import NOW, PHONE, SETTINGS, form, taken


@pytest.mark.parametrize(
    ("field", "given", "read"),
    [
        ("phone", "+86 138 0000 1234", PHONE),
        ("phone", "１３８００００１２３４", PHONE),
        ("phone", '="13800001234"', PHONE),
        ("phone", "'13800001234", PHONE),
        ("phone", "021-62345678", "02162345678"),
        ("phone", "+44 20 7946 0958", "+442079460958"),
        ("quantity", "2.0", 2),
        ("quantity", " 3 ", 3),
        ("amount", "1,258.50", 125_850),
        ("amount", "0.1", 10),
        ("amount", "", None),
        ("product", " 车厘子 2kg ", "车厘子 2kg"),
    ],
)
def test_what_people_write_is_understood(field: str, given: str, read: object) -> None:
    assert getattr(form(**{field: given}), field) == read


@pytest.mark.parametrize(
    ("field", "given", "why"),
    [
        ("phone", "", "is missing"),
        ("phone", "1.38E+10", "was shortened by a spreadsheet: format the column as text"),
        ("phone", "138****1234", "is no phone number"),
        ("phone", "12345", "is no phone number"),
        ("product", "  ", "is missing"),
        ("product", "x" * 257, "is longer than 256 characters"),
        ("product", "a\0b", "has control characters"),
        ("quantity", "0", "must be a whole number from 1 to 1000000"),
        ("quantity", "1.5", "must be a whole number from 1 to 1000000"),
        ("quantity", "1000001", "must be a whole number from 1 to 1000000"),
        ("quantity", "-1", "must be a whole number from 1 to 1000000"),
        ("amount", "12.345", "must be an amount in CNY, e.g. 129.00"),
        ("amount", "1,2", "must be an amount in CNY, e.g. 129.00"),
        ("amount", "-5", "must be an amount in CNY, e.g. 129.00"),
        ("amount", "5e2", "was shortened by a spreadsheet: format the column as text"),
        ("colour", "red",
         "is not known; known are phone, product, quantity, name, address, amount, channel, remark, request_id"),
    ],
)  # fmt: skip
def test_what_is_wrong_is_named(field: str, given: str, why: str) -> None:
    with pytest.raises(FormError) as refused:
        form(**{field: given})
    (problem,) = refused.value.problems
    assert (problem.field, problem.en) == (field, why)
    assert len(given) < 4 or given not in str(refused.value)


def test_all_that_is_wrong_is_named_at_once() -> None:
    with pytest.raises(FormError) as refused:
        read_form({"quantity": "x"})
    assert [problem.field for problem in refused.value.problems] == ["phone", "product", "quantity"]


def test_above_500_yuan_an_order_is_urgent() -> None:
    assert taken(amount="500.00").priority is None
    assert taken(amount="500.01").priority == "high"


def test_an_order_and_the_notice_to_its_buyer() -> None:
    order = taken("FB-1", amount="129", name="王小明", address="文三路 90 号", remark="尽快")
    created, notice = order.order, order.notice
    assert (created.id, created.source, created.time, created.order_id) == ("FB-1/created", "fallback", NOW, "FB-1")
    assert (created.amount, created.phone, created.recipient, created.remark) == (12_900, PHONE, "王小明", "尽快")
    assert (notice.id, notice.phone, notice.template) == ("FB-1/notice", PHONE, "order_taken")
    assert notice.zh == "您的订单已登记,编号 FB-1:cherry × 1。系统恢复后将尽快处理。"
    assert notice.en.startswith("Your order is taken, number FB-1: cherry x 1.")
    assert taken().order.source == SETTINGS.fallback.source
