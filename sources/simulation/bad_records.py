"""Records that cannot be used: each must go to the dead letters and must not move the watermark."""

from collections.abc import Callable

import orjson

Spoil = Callable[[dict[str, object]], bytes]


def bad_record(case: str, number: int, kind: str, time: int) -> bytes:
    """A line (without its end) that is bad in the way of ``case``, among good ones of about that time."""
    return _SPOILERS[case](_good(number, kind, time))


def _good(number: int, kind: str, time: int) -> dict[str, object]:
    """The record as it would have been."""
    name = f"BAD{number:09d}"
    base: dict[str, object] = {"id": f"{name}-1", "source": "broken", "time": time, "order_id": name}
    if kind == "behaviour":
        return {"type": "behaviour.signal", **base, "signal": "page_view", "value": 1}
    if kind == "action":
        return {"type": "review.released", **base, "note": "ok"}
    return {"type": "order.created", **base, "customer_id": f"{name}-C", "currency": "CNY", "amount": 9900}


def _with(**changes: object) -> Spoil:
    return lambda record: orjson.dumps({**record, **changes})


def _without(field: str) -> Spoil:
    return lambda record: orjson.dumps({key: value for key, value in record.items() if key != field})


def _as_order(**changes: object) -> Spoil:
    """The record as the creation of an order, which alone has money."""
    return lambda record: orjson.dumps({**record, "type": "order.created", **changes})


def _in_seconds(record: dict[str, object]) -> bytes:
    return orjson.dumps({**record, "time": int(str(record["time"])) // 1000})


def _invalid_utf8(record: dict[str, object]) -> bytes:
    return orjson.dumps(record).replace(b'"source":"broken"', b'"source":"broken\xff\xfe"')


_SPOILERS: dict[str, Spoil] = {
    "broken_json": lambda record: orjson.dumps(record)[:-12],
    "trailing_text": lambda record: orjson.dumps(record) + b"}",
    "not_an_object": lambda record: orjson.dumps([record]),
    "empty_object": lambda record: b"{}",
    "null_bytes": lambda record: b"\x00" * 64,
    "invalid_utf8": _invalid_utf8,
    "unknown_type": _with(type="order.teleported"),
    "missing_type": _without("type"),
    "missing_time": _without("time"),
    "missing_id": _without("id"),
    "empty_id": _with(id=""),
    "id_is_a_number": _with(id=20260302),
    "time_is_a_text": _with(time="2026-03-02 08:00:00"),
    "time_in_seconds": _in_seconds,
    "time_in_2099": _with(time=4_070_908_800_000),
    "negative_amount": _as_order(amount=-100),
    "amount_with_decimals": _as_order(amount=99.5),
    "amount_is_a_text": _as_order(amount="99.00"),
    "unknown_currency": _as_order(currency="RMB"),
}

BAD_CASES = tuple(_SPOILERS)
