"""Which records of a pass over history are wanted."""

import base64
from collections.abc import Iterable

import msgspec

from dataflows.history import moment_of
from events.records import AlertRecord, DeadLetterRecord, LateRecord, Record


class Selection:
    """Records from ``since`` on and before ``until`` (epoch ms, None: no bound), of one order or of all."""

    def __init__(self, since: int | None = None, until: int | None = None, order: str | None = None) -> None:
        self._since = since
        self._until = until
        self._order = order
        self.undated = 0
        """Dead letters left out because their log keeps no arrivals: no span of time is known to hold them."""

    def of(self, records: Iterable[Record]) -> list[Record]:
        """Those that are wanted, in their order."""
        return [record for record in records if self._takes(record)]

    def _takes(self, record: Record) -> bool:
        if self._order is not None and not concerns(record, self._order):
            return False
        if self._since is None and self._until is None:
            return True
        moment = moment_of(record)
        if moment is None:
            self.undated += 1
            return False
        return (self._since is None or moment >= self._since) and (self._until is None or moment < self._until)


def concerns(record: Record, order: str) -> bool:
    """Whether a record is of an order, or names it among others."""
    match record:
        case AlertRecord():
            return order in record.orders or (record.entity_type == "order" and record.entity_id == order)
        case LateRecord():
            return record.entity_id == order or record.event.get("order_id") == order
        case DeadLetterRecord():
            # What could not be read may still name the order; where it stands in the record nobody knows.
            return msgspec.json.encode(order) in base64.b64decode(record.payload)
        case _:
            return getattr(record, "order_id", None) == order
