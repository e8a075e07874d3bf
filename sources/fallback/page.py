"""The page on which operators take orders: Chinese and English side by side, no script, nothing from elsewhere."""

from collections.abc import Iterable, Mapping
from html import escape

from sources.fallback.desk import Receipt
from sources.fallback.form import FieldProblem

HEADERS = {
    "cache-control": "no-store",
    "content-security-policy": "default-src 'none'; style-src 'unsafe-inline'; form-action 'self'; "
    "frame-ancestors 'none'; base-uri 'none'",
    "referrer-policy": "no-referrer",
    "x-content-type-options": "nosniff",
}
_LABELS = {
    "phone": ("手机号 *", "Phone *", 'inputmode="tel" required autofocus'),
    "product": ("商品 *", "Product *", "required"),
    "quantity": ("数量 *", "Quantity *", 'inputmode="numeric" required'),
    "name": ("收件人", "Recipient", ""),
    "address": ("地址", "Address", ""),
    "amount": ("金额(元)", "Amount (CNY)", 'inputmode="decimal"'),
    "channel": ("渠道", "Channel", ""),
    "remark": ("备注", "Remark", ""),
}
_PAGE = """<!doctype html>
<html lang="zh"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width">
<title>应急登记 · Fallback orders</title>
<style>
body {{ font: 16px/1.5 system-ui, sans-serif; max-width: 34rem; margin: 1.5rem auto; padding: 0 1rem; }}
label {{ display: block; margin: .6rem 0; }} small {{ color: #555; }}
input {{ display: block; width: 100%; box-sizing: border-box; font: inherit; padding: .4rem; }}
button {{ font: inherit; padding: .6rem 1.4rem; margin-top: .6rem; }}
.wrong {{ color: #a00; }} .taken {{ border: 2px solid #070; padding: .6rem 1rem; }} .taken b {{ font-size: 1.5rem; }}
</style></head><body>
<h1>应急登记 <small>Fallback orders</small></h1>
{notice}<form method="post" action="/fallback/orders" autocomplete="off">
<input type="hidden" name="request_id" value="{request_id}">
{inputs}<button>登记 · Take the order</button>
</form></body></html>
"""


def render(
    request_id: str,
    given: Mapping[str, str] | None = None,
    problems: Iterable[FieldProblem] = (),
    receipt: Receipt | None = None,
    refused: str = "",
) -> str:
    """The page: empty, or with what was given and what is wrong with it, and above it what became of the last order."""
    wrong = {problem.field: problem for problem in problems}
    return _PAGE.format(
        notice=_receipt(receipt) if receipt else _refused(refused),
        request_id=escape(request_id),
        inputs="".join(_input(name, (given or {}).get(name, ""), wrong.get(name)) for name in _LABELS),
    )


def _input(name: str, value: str, problem: FieldProblem | None) -> str:
    zh, en, attributes = _LABELS[name]
    said = f'<span class="wrong">{escape(problem.zh)} · {escape(problem.en)}</span>' if problem else ""
    return f'<label>{zh} <small>{en}</small> {said}<input name="{name}" value="{escape(value)}" {attributes}></label>\n'


def _receipt(receipt: Receipt) -> str:
    taken = receipt.taken
    urgent = "<p>优先处理 · high priority</p>" if taken.priority else ""
    state = "" if receipt.delivered else "<p><small>已存本机,稍后送达 · kept here, delivered later</small></p>"
    return f'<div class="taken"><p>已登记 · taken</p><p><b>{escape(taken.order_id)}</b></p>{urgent}{state}</div>\n'


def _refused(why: str) -> str:
    return f'<p class="wrong">未登记 · not taken: {escape(why)}</p>\n' if why else ""
