"""The variables that expressions may name: one table, from which docs/composite-rules.md is held."""

import re
from difflib import get_close_matches
from typing import Final, Literal

from msgspec import Struct

from config.expressions.limits import LONGEST_WINDOW
from config.units import Duration

Type = Literal["bool", "int", "double", "text", "list<bool>", "list<int>", "list<double>", "list<text>"]
KEYS: Final = ("card", "phone", "ip", "device", "address")
WINDOW_KEYS: Final = (*KEYS, "customer")
_WINDOW: Final = re.compile(rf"windows\.({'|'.join(WINDOW_KEYS)})_([0-9a-z]+)")
_SIGN: Final = re.compile(r"(signals|values)\.[a-z][a-z0-9_]{0,63}")


class Variable(Struct, frozen=True):
    """One variable. ``optional``: an order may lack it. ``private``: alerts show it masked.

    ``key``: it holds a risk key of that kind, which lists of that kind compare with.
    """

    name: str
    type: Type
    zh: str
    en: str
    optional: bool = False
    private: bool = False
    key: str | None = None

    @property
    def room(self) -> str:
        """What stands before the dot."""
        return self.name.partition(".")[0]


def _maybe(name: str, kind: Type, zh: str, en: str, *, private: bool = False, key: str | None = None) -> Variable:
    return Variable(name, kind, zh, en, optional=True, private=private, key=key)


_ALL: Final = (
    Variable("order.amount", "int", "订单金额(分)", "amount of the order, in fen"),
    Variable("order.discount", "int", "优惠金额(分)", "discount, in fen"),
    Variable("order.currency", "text", "币种", "currency, as `CNY`"),
    Variable("order.source", "text", "上报系统", "the system that reported the order"),
    _maybe("order.channel", "text", "渠道", "sales channel"),
    _maybe("order.shop", "text", "店铺编号", "shop id"),
    Variable("order.category", "text", "品类", "category"),
    _maybe("order.priority", "text", "优先级", "priority"),
    _maybe("order.warehouse", "text", "仓库编号", "warehouse id"),
    Variable("order.lines", "int", "商品行数", "number of order lines"),
    Variable("order.quantity", "int", "商品总件数", "pieces in all lines together"),
    Variable("order.skus", "list<text>", "各行的 SKU(前 50 个)", "the SKU of each line, the first 50"),
    Variable("order.hour", "int", "下单时刻的小时(当地,0–23)", "local hour of the creation, 0 to 23"),
    Variable("order.weekday", "int", "下单星期(当地,1=周一)", "local day of the week of the creation, 1 = Monday"),
    _maybe("order.country", "text", "国家", "country of the address"),
    _maybe("order.province", "text", "省", "province of the address"),
    _maybe("order.city", "text", "市", "city of the address"),
    _maybe("order.district", "text", "区县", "district of the address"),
    _maybe("order.detail", "text", "详细地址", "the rest of the address", private=True),
    _maybe("order.recipient", "text", "收件人", "name of the recipient", private=True),
    _maybe("order.remark", "text", "买家备注", "the buyer's remark", private=True),
    _maybe("order.card", "text", "卡(支付时为付款卡)", "card; when paid, the one that paid", key="card"),
    _maybe("order.phone", "text", "手机号(哈希)", "phone, as its keyed hash", key="phone"),
    _maybe("order.phone_prefix", "text", "手机号前三位", "first three digits of the phone, without the country"),
    _maybe("order.ip", "text", "下单 IP", "IP address", key="ip"),
    _maybe("order.device", "text", "设备指纹", "device fingerprint", key="device"),
    _maybe("order.address", "text", "地址键(哈希)", "address, as its keyed hash", key="address"),
    _maybe("payment.amount", "int", "实付金额(分),付款后才有", "amount paid, in fen; from the payment on"),
    _maybe("payment.method", "text", "支付方式,付款后才有", "method of payment; from the payment on"),
    _maybe("customer.id", "text", "客户编号", "customer id"),
    _maybe("customer.orders", "int", "该客户此前的订单数", "orders of the customer, without this one"),
    _maybe("customer.cancelled", "int", "其中已取消的订单数", "how many of these were cancelled"),
    _maybe("customer.mean_amount", "int", "该客户的平均金额(分)", "mean amount of the customer's other orders, in fen"),
    _maybe("customer.known_hours", "int", "首次下单至今的小时数", "hours since the customer's first order"),
    _maybe("customer.account_hours", "int", "账号注册至今的小时数", "hours since the account was made"),
    Variable("shop.orders", "int", "该店铺的其他订单数", "other orders of the shop"),
    _maybe("shop.mean_amount", "int", "该店铺的平均金额(分)", "mean amount of the shop's other orders, in fen"),
)
VARIABLES: Final = {variable.name: variable for variable in _ALL}
PATTERNS: Final = (
    _maybe(
        "windows.<key>_<length>",
        "int",
        "同一键在该时长内的其他订单数(最多 1000)",
        "other orders on the same key within that time, 1000 at most",
    ),
    Variable("signals.<name>", "int", "该订单的某行为信号出现次数", "how often the order had that behaviour signal"),
    _maybe("values.<name>", "int", "该行为信号最近一次的数值", "the latest number that came with that signal"),
)
ROOMS: Final = tuple(dict.fromkeys(variable.room for variable in (*_ALL, *PATTERNS)))


def variable(name: str) -> Variable:
    """The variable of a name; raises ValueError with what was perhaps meant."""
    known = VARIABLES.get(name)
    if known is not None:
        return known
    room = name.partition(".")[0]
    if room == "windows":
        window_of(name)
        return _like(PATTERNS[0], name)
    if room in ("signals", "values") and _SIGN.fullmatch(name):
        return _like(PATTERNS[1 if room == "signals" else 2], name)
    close = get_close_matches(name, VARIABLES, n=1, cutoff=0.7)
    if close:
        raise ValueError(f"unknown variable {name!r}: did you mean {close[0]!r}?")
    of_room = ", ".join(known for known in VARIABLES if known.startswith(f"{room}."))
    rooms = ", ".join(f"{room}.*" for room in ROOMS)
    raise ValueError(f"unknown variable {name!r}; known are {of_room or rooms}")


def window_of(name: str) -> tuple[str, int]:
    """Key and length (ms) of a variable such as ``windows.phone_10m``; raises ValueError."""
    match = _WINDOW.fullmatch(name)
    keys = ", ".join(WINDOW_KEYS)
    if match is None:
        raise ValueError(f"{name!r} is no window: write windows.<key>_<length> as windows.phone_10m; keys: {keys}")
    length = Duration.parse(match[2])
    if not 0 < length <= LONGEST_WINDOW:
        raise ValueError(f"the window of {name!r} must be longer than nothing and {Duration(LONGEST_WINDOW)} at most")
    return match[1], int(length)


def _like(pattern: Variable, name: str) -> Variable:
    return Variable(name, pattern.type, pattern.zh, pattern.en, optional=pattern.optional)
