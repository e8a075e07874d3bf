"""Mapping written by hand, as one writes it for daily use: what the declarative profiles are measured against."""

from datetime import datetime
from decimal import Decimal
from typing import Any
from zoneinfo import ZoneInfo

import msgspec

from events.model import Event, LogisticsScan, OrderChanged, OrderCreated, OrderStage, PaymentSucceeded, SystemStatus
from sources.mapping.addresses import clean_address
from sources.mapping.phones import clean_phone
from sources.mapping.profile import TimeRules
from sources.mapping.values import short_id

_ZONE = ZoneInfo("Asia/Shanghai")
_DECODER = msgspec.json.Decoder(float_hook=Decimal)
_EARLIEST, _LATEST = int(TimeRules().earliest), int(TimeRules().latest)


def _text(record: dict[str, Any], *names: str) -> str | None:
    """The first of several fields that has a value, as text."""
    for name in names:
        value = record.get(name)
        if value is not None:
            text = str(value).strip()
            if text and text != "null":
                return text
    return None


def _cents(record: dict[str, Any], name: str) -> int | None:
    text = _text(record, name)
    return None if text is None else int((Decimal(text) * 100).to_integral_exact())


def _local(record: dict[str, Any], name: str) -> int | None:
    text = _text(record, name)
    return None if text is None else int(datetime.fromisoformat(text).replace(tzinfo=_ZONE).timestamp()) * 1000


def _instant(record: dict[str, Any], name: str) -> int | None:
    text = _text(record, name)
    return None if text is None else int(datetime.fromisoformat(text).timestamp()) * 1000


def _event(kind: type[Event], **values: Any) -> Event:
    return msgspec.convert({name: value for name, value in values.items() if value is not None}, kind)


def taobao_trade(payload: bytes) -> list[Event]:
    """A trade as order, payment and status."""
    trade = _DECODER.decode(payload)["trade_fullinfo_get_response"]["trade"]
    tid, amount, lines = _text(trade, "tid"), _cents(trade, "payment"), trade["orders"]["order"]
    parts = {
        "province": _text(trade, "receiver_state"),
        "city": _text(trade, "receiver_city"),
        "district": _text(trade, "receiver_district"),
        "detail": (_text(trade, "receiver_town") or "") + (_text(trade, "receiver_address") or ""),
    }
    phone = _text(trade, "receiver_mobile", "receiver_phone")
    created = _event(
        OrderCreated,
        id=f"{tid}/created",
        source="taobao",
        time=_local(trade, "created"),
        order_id=tid,
        customer_id=_text(trade, "buyer_open_uid", "buyer_nick"),
        channel="tmall" if lines and lines[0].get("seller_type") == "B" else "taobao",
        shop_id=_text(trade, "seller_nick", "title"),
        amount=amount,
        discount=_cents(trade, "discount_fee"),
        items=[
            {
                "sku": _text(line, "outer_sku_id", "outer_iid", "sku_id", "num_iid"),
                "quantity": int(line["num"]),
                "price": _cents(line, "price"),
                "name": _text(line, "title"),
            }
            for line in lines
        ],
        phone=phone and clean_phone(phone, "CN"),
        recipient=_text(trade, "receiver_name"),
        address=clean_address({name: text for name, text in parts.items() if text}),
    )
    paid = _event(
        PaymentSucceeded,
        id=f"{tid}/paid",
        source="taobao",
        time=_local(trade, "pay_time"),
        order_id=tid,
        amount=amount,
        payment_id=_text(trade, "alipay_no"),
    )
    status = _event(
        SystemStatus,
        id=f"{tid}/status/{trade['status']}",
        source="taobao",
        time=_local(trade, "modified"),
        order_id=tid,
        system="taobao",
        status=_text(trade, "status"),
    )
    return [created, paid, status] if _text(trade, "pay_time") else [created, status]


def douyin_paid(payload: bytes) -> list[Event]:
    """A push that says that an order is paid."""
    methods = {"0": "cod", "1": "wechat_pay", "2": "alipay", "4": "bank_card", "5": "balance"}
    events = []
    for push in _DECODER.decode(payload):
        data = push["data"]
        if _text(push, "tag") == "110":
            event = _event(
                PaymentSucceeded,
                id=f"{_text(push, 'msg_id', 'msgId')}/{_text(push, 'tag')}",
                source="douyin",
                time=int(data["pay_time"]) * 1000,
                order_id=_text(data, "p_id"),
                amount=int(data["pay_amount"]),
                method=methods.get(_text(data, "pay_type") or ""),
            )
            events.append(event)
    return events


def shopify_order(payload: bytes) -> list[Event]:
    """A paid order, and what it is like now."""
    order = _DECODER.decode(payload)
    order_id, to, updated = _text(order, "id"), order["shipping_address"], _instant(order, "updated_at")
    written, currency = _text(to, "phone"), _text(order, "currency")
    phone = written and clean_phone(written, _text(to, "country_code") or "US")
    parts = {
        "country": _text(to, "country_code"),
        "province": _text(to, "province"),
        "city": _text(to, "city"),
        "detail": ", ".join(filter(None, (_text(to, "address1"), _text(to, "address2")))),
        "postcode": _text(to, "zip"),
    }
    address = {name: text for name, text in parts.items() if text}
    amount = _cents(order, "current_total_price")
    created = _event(
        OrderCreated,
        id=f"{order_id}/created",
        source="shopify",
        time=_instant(order, "created_at"),
        order_id=order_id,
        cleaned=("phone: one_form",) if phone != written else (),
        customer_id=_text(order["customer"], "id"),
        channel="shopify",
        currency=currency,
        amount=amount,
        discount=_cents(order, "total_discounts"),
        items=[
            {
                "sku": _text(line, "sku", "variant_id", "id"),
                "quantity": line["quantity"],
                "price": _cents(line, "price"),
                "name": _text(line, "title"),
            }
            for line in order["line_items"]
        ],
        phone=phone,
        ip=_text(order, "browser_ip"),
        recipient=_text(to, "name"),
        address=address,
    )
    paid = _event(
        PaymentSucceeded,
        id=f"{order_id}/paid",
        source="shopify",
        time=updated,
        order_id=order_id,
        amount=_cents(order, "total_price"),
        currency=currency,
        method=order["payment_gateway_names"][0],
    )
    changed = _event(
        OrderChanged,
        id=f"{order_id}/changed/{order['updated_at']}",
        source="shopify",
        time=updated,
        order_id=order_id,
        cleaned=("fields.phone: one_form",) if phone != written else (),
        fields={"amount": amount, "phone": phone, "recipient": _text(to, "name"), "address": address},
    )
    return [created, paid, changed]


def wechat(payload: bytes) -> list[Event]:
    """A decrypted payment notice."""
    notice = _DECODER.decode(payload)
    transaction = _text(notice, "transaction_id")
    event = _event(
        PaymentSucceeded,
        id=f"{transaction}/paid",
        source="wechat_pay",
        time=_instant(notice, "success_time"),
        order_id=_text(notice, "out_trade_no"),
        amount=int(notice["amount"]["total"]),
        currency=_text(notice["amount"], "currency"),
        payment_id=transaction,
        method="wechat_pay",
    )
    return [event] if _text(notice, "trade_state") in ("SUCCESS", "REFUND") else []


def track(payload: bytes) -> list[Event]:
    """The steps of a parcel's track."""
    words = {"疑难": "exception", "0": "in_transit"}
    push = _DECODER.decode(payload)
    last = push["lastResult"]
    return [
        _event(
            LogisticsScan,
            id=short_id([_text(last, "nu") or "", _text(step, "ftime") or "", _text(step, "context") or ""]),
            source="kuaidi100",
            time=_local(step, "ftime"),
            order_id=_text(push, "order_id"),
            scan=words[_text(step, "status") or ""],
            parcel_id=_text(last, "nu"),
            carrier=_text(last, "com"),
            location=_text(step, "areaName"),
        )
        for step in last["data"]
    ]


def shopify_message(payload: bytes) -> list[Event]:
    """Whatever state a Shopify order is in, as the profile has it: the same fall-backs, checks and further events."""
    document = _DECODER.decode(payload)
    if not isinstance(document, dict):
        raise ValueError("no order, and no answer with orders")
    orders = document.get("orders", [document])
    return [event for order in orders for event in _shopify_events(order)]


def _shopify_events(order: dict[str, Any]) -> list[Event]:
    if not {"id", "line_items", "financial_status"} <= order.keys():
        raise ValueError("a refund, a transaction or a fulfillment: another function's")
    order_id, currency = _text(order, "id"), _text(order, "currency") or "USD"
    customer, to = order.get("customer") or {}, order.get("shipping_address") or {}
    client, billing = order.get("client_details") or {}, order.get("billing_address") or {}
    country = _text(to, "country_code")
    written = _text(to, "phone") or _text(order, "phone") or _text(customer, "phone") or _text(billing, "phone")
    phone = written and clean_phone(written, country.upper() if country and len(country) == 2 else "US")
    streets = (_text(to, "address1"), _text(to, "address2"))
    parts = {
        "country": country,
        "province": _text(to, "province"),
        "city": _text(to, "city"),
        "detail": ", ".join(filter(None, streets)) if streets[0] else None,
        "postcode": _text(to, "zip"),
    }
    address = {name: text for name, text in parts.items() if text}
    created_at, updated_at = _text(order, "created_at"), _text(order, "updated_at")
    updated, amount = _moment(updated_at), _exact(order, "current_total_price", "total_price")
    frame = {"source": "shopify", "order_id": order_id}
    events = [
        _event(
            OrderCreated,
            id=f"{order_id}/created",
            time=_moment(created_at),
            cleaned=("phone: one_form",) if phone != written else (),
            customer_id=_text(customer, "id") or _text(order, "email"),
            channel="shopify",
            currency=currency,
            amount=amount,
            discount=_exact(order, "current_total_discounts", "total_discounts"),
            items=[
                {
                    "sku": _text(line, "sku", "variant_id", "id"),
                    "quantity": int(line.get("quantity") or 1),
                    "price": _exact(line, "price") or 0,
                    "name": _text(line, "title"),
                }
                for line in order["line_items"] or ()
            ],
            phone=phone,
            ip=_text(client, "browser_ip") or _text(order, "browser_ip"),
            recipient=_text(to, "name"),
            address=address or None,
            **frame,
        )
    ]
    if order["financial_status"] in ("paid", "partially_refunded", "refunded"):
        gateways = order.get("payment_gateway_names") or ()
        paid_at = _moment(_text(order, "processed_at")) if updated is None else updated
        paid = _event(
            PaymentSucceeded,
            id=f"{order_id}/paid",
            time=paid_at,
            amount=_exact(order, "total_price"),
            currency=currency,
            method=gateways[0] if gateways else None,
            **frame,
        )
        events.append(paid)
    if (cancelled := _moment(_text(order, "cancelled_at"))) is not None:
        events.append(_event(OrderStage, id=f"{order_id}/cancelled", time=cancelled, stage="cancelled", **frame))
    if updated_at and updated_at != created_at:
        fields = {"amount": amount, "phone": phone, "recipient": _text(to, "name"), "address": address or None}
        changed = _event(
            OrderChanged,
            id=f"{order_id}/changed/{updated_at}",
            time=updated,
            cleaned=("fields.phone: one_form",) if phone != written else (),
            fields={name: value for name, value in fields.items() if value is not None},
            **frame,
        )
        events.append(changed)
    for parcel in order.get("fulfillments") or ():
        name, status = _text(parcel, "id"), _text(parcel, "status")
        shipped = _event(
            SystemStatus,
            id=f"fulfillment/{name}/{status}",
            time=_moment(_text(parcel, "created_at")),
            system="shopify",
            status=f"FULFILLMENT_{status}",
            parcel_id=_text(parcel, "tracking_number", "id"),
            **frame,
        )
        events.append(shipped)
    return events


def _exact(record: dict[str, Any], *names: str) -> int | None:
    """An amount in cents; refused when it has parts of a cent."""
    text = _text(record, *names)
    if text is None:
        return None
    cents = Decimal(text) * 100
    if cents != int(cents):
        raise ValueError(f"{text} has parts of a cent")
    return int(cents)


def _moment(text: str | None) -> int | None:
    """Epoch milliseconds; refused without an offset, and far from our days."""
    if text is None:
        return None
    at = datetime.fromisoformat(text)
    if at.tzinfo is None:
        raise ValueError(f"{text} has no offset")
    moment = int(at.timestamp()) * 1000 + at.microsecond // 1000
    if not _EARLIEST <= moment <= _LATEST:
        raise ValueError(f"{text} is far from our days")
    return moment
