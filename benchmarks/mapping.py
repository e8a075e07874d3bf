"""What mapping by a profile costs beside a function written by hand for the same payload.

``python -m benchmarks.mapping`` prints payloads per second on one core, both ways, for payloads of several platforms.
Both take the payload's bytes and give the same events. The hand-written functions are what one writes for daily use:
fields may be missing or empty, texts are stripped, amounts are exact, local times get their zone, the events are
checked against their types, phones and addresses go through the same cleaning. They give no reasons where something is
wrong. Both ways are measured in turn, and the best of each counts, so that other work on the machine hurts neither.
"""

import argparse
import json
import time
from collections.abc import Callable
from datetime import datetime
from decimal import Decimal
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import msgspec

from events.model import Event, LogisticsScan, OrderChanged, OrderCreated, PaymentSucceeded, SystemStatus
from sources.mapping.addresses import clean_address
from sources.mapping.loading import load_profile
from sources.mapping.mapper import Mapper
from sources.mapping.phones import clean_phone
from sources.mapping.values import short_id

SAMPLES = Path(__file__).parent.parent / "tests" / "mapping" / "samples"

_ZONE = ZoneInfo("Asia/Shanghai")
_DECODER = msgspec.json.Decoder(float_hook=Decimal)

ByHand = Callable[[bytes], list[Event]]


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=2.0, help="for each payload and way (default 2)")
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    results = [measured(*case, seconds=options.seconds) for case in cases()]
    if options.json:
        print(json.dumps(results, indent=2))
        return
    print(f"{'payload':24} {'bytes':>6} {'events':>6} {'by profile/s':>13} {'by hand/s':>11} {'share':>6}")
    for row in results:
        rates = f"{row['by_profile']:13,.0f} {row['by_hand']:11,.0f} {row['share']:6.0%}"
        print(f"{row['payload']:24} {row['bytes']:6,} {row['events']:6} {rates}")


def cases() -> list[tuple[str, str, bytes, ByHand]]:
    """Name, profile, payload, and the function written by hand."""
    pushes = json.loads((SAMPLES / "douyin" / "pushes.json").read_text(encoding="utf-8-sig"))
    webhooks = (SAMPLES / "shopify" / "webhooks.ndjson").read_bytes().splitlines()
    notices = (SAMPLES / "wechat_pay" / "notices.ndjson").read_bytes().splitlines()
    return [
        ("taobao trade", "taobao", (SAMPLES / "taobao" / "fullinfo.json").read_bytes(), taobao_trade),
        ("douyin push, paid", "douyin", json.dumps([pushes[1]]).encode(), douyin_paid),
        ("shopify order, changed", "shopify", webhooks[1], shopify_order),
        ("wechat pay notice", "wechat_pay", notices[0], wechat),
        ("kuaidi100 track", "kuaidi100", (SAMPLES / "kuaidi100" / "with_order.json").read_bytes(), track),
    ]


def measured(name: str, profile: str, payload: bytes, by_hand: ByHand, *, seconds: float) -> dict[str, Any]:
    """Both ways on one payload; refuses to compare ways that do not give the same."""
    mapper = Mapper(load_profile(profile))
    given = mapper.map(payload)
    wanted = sorted(by_hand(payload), key=lambda event: event.time)
    if given.refusals or given.events != wanted:
        raise SystemExit(f"{name}: the two ways differ\n{given}\n{wanted}")
    best = {"by_profile": 0.0, "by_hand": 0.0}
    rounds = 5
    for _ in range(rounds):
        best["by_profile"] = max(best["by_profile"], _rate(mapper.map, payload, seconds / rounds))
        best["by_hand"] = max(best["by_hand"], _rate(by_hand, payload, seconds / rounds))
    share = best["by_profile"] / best["by_hand"]
    return {"payload": name, "bytes": len(payload), "events": len(wanted), **best, "share": share}


def _rate(work: Callable[[bytes], Any], payload: bytes, seconds: float) -> float:
    """Payloads per second of this process's own time."""
    done, began = 0, time.process_time()
    while (used := time.process_time() - began) < seconds:
        for _ in range(100):
            work(payload)
        done += 100
    return done / used


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


if __name__ == "__main__":
    main()
