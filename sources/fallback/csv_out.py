"""Fallback orders as files for the systems that come back: one per window of event time, the same bytes each time."""

import csv
import io
import os
from collections.abc import Iterable
from datetime import UTC, datetime
from pathlib import Path
from typing import Final
from zoneinfo import ZoneInfo

from msgspec import Struct

from events.model import OrderCreated

COLUMNS: Final = (
    "order_id",
    "taken_at",
    "phone",
    "product",
    "quantity",
    "name",
    "address",
    "amount",
    "priority",
    "channel",
    "remark",
    "operator",
)
_FORMULA: Final = ("=", "+", "-", "@", "\t", "\r")


class Written(Struct, frozen=True):
    """A file that was asked for. ``outcome``: ``new``, ``same`` as before, or ``changed``, as more orders had come."""

    path: Path
    orders: int
    outcome: str


def write_batches(
    orders: Iterable[OrderCreated], directory: Path, since: int, until: int, batch: int, zone: str
) -> list[Written]:
    """One file per window of ``batch`` ms that lies between the moments and has orders. Raises OSError.

    Windows are counted from midnight UTC. One that ``since`` (epoch ms) cuts is written whole, one that ``until`` cuts
    is left out: a file never covers less than its window.
    """
    first = since - since % batch
    unique = {order.order_id: order for order in orders}
    windows: dict[int, list[OrderCreated]] = {}
    for order in sorted(unique.values(), key=lambda order: (order.time, order.order_id)):
        start = order.time - order.time % batch
        if first <= start and start + batch <= until:
            windows.setdefault(start, []).append(order)
    directory.mkdir(parents=True, exist_ok=True)
    return [_write(directory, start, found, ZoneInfo(zone)) for start, found in sorted(windows.items())]


def _write(directory: Path, start: int, orders: list[OrderCreated], zone: ZoneInfo) -> Written:
    name = datetime.fromtimestamp(start // 1000, tz=UTC).strftime("fallback-%Y%m%dT%H%M%SZ.csv")
    path = directory / name
    data = _csv(orders, zone)
    before = path.read_bytes() if path.exists() else None
    if before == data:
        return Written(path, len(orders), "same")
    temporary = directory / f".{name}.new"
    handle = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(handle, "wb") as file:
        file.write(data)
        file.flush()
        os.fsync(handle)
    temporary.replace(path)
    return Written(path, len(orders), "new" if before is None else "changed")


def _csv(orders: list[OrderCreated], zone: ZoneInfo) -> bytes:
    text = io.StringIO(newline="")
    writer = csv.writer(text, lineterminator="\r\n")
    writer.writerow(COLUMNS)
    for order in orders:
        moment = datetime.fromtimestamp(order.time / 1000, tz=zone).isoformat(timespec="milliseconds")
        address = order.address.detail if order.address is not None else None
        for item in order.items:
            amount = f"{order.amount // 100}.{order.amount % 100:02d}" if order.amount else ""
            row = (order.order_id, moment, order.phone, item.sku, item.quantity, order.recipient, address)
            rest = (amount, order.priority, order.channel, order.remark, order.operator)
            writer.writerow([_cell(value) for value in (*row, *rest)])
    return text.getvalue().encode("utf-8-sig")


def _cell(value: object) -> str:
    """A cell that no spreadsheet takes for a formula."""
    text = "" if value is None else str(value)
    return f"'{text}" if text.startswith(_FORMULA) else text
