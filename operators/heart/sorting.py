"""The loop over the headers of a batch: when each record counts, and which key group it is for."""

from collections import defaultdict
from collections.abc import Callable, Mapping
from typing import Any, Protocol
from zlib import crc32

from operators.heart.headers import Kind
from operators.heart.lateness import PartitionClock

Indexes = dict[int, list[int]]
"""Key group -> indexes of its records in the batch."""
Unusual = Callable[[int, Kind, Any], tuple[str, str] | None]
"""``unusual(index, kind, header)``: stage and key of a record that goes neither by its order nor by its customer; None
if it goes nowhere."""
Judge = Callable[[int, int, int | None], int | None]
"""``judge(index, time, arrival)``: what the clock says of it; None: it has no place in time."""


class Sorter(Protocol):
    """There are two that do the same: ``PlainSorter``, and a compiled one."""

    def sort(
        self,
        kinds: list[Kind] | None,
        headers: list[Any],
        arrivals: list[int] | None,
        clock: PartitionClock,
        ceiling: Callable[[], int],
        unusual: Unusual,
        judge: Judge,
        /,
    ) -> tuple[dict[str, Indexes], dict[int, int]]:
        """Stage -> key group -> indexes of its records; and the index of each late record -> when it is applied.

        ``kinds``: None where the types of the headers say it. A header that is None is left out. ``ceiling()``: see
        ``PartitionClock.ceiling``. The clock moves on.
        """


class PlainSorter:
    """The loop in Python. ``by_order``, ``by_customer``: kind -> stage, of what has an order, or else has a customer.

    A kind goes by its customer only if it would go by an order.
    """

    def __init__(self, by_order: Mapping[Kind, str], by_customer: Mapping[Kind, str], groups: int) -> None:
        self._by_order = by_order
        self._by_customer = by_customer
        self._groups = groups

    def sort(
        self,
        kinds: list[Kind] | None,
        headers: list[Any],
        arrivals: list[int] | None,
        clock: PartitionClock,
        ceiling: Callable[[], int],
        unusual: Unusual,
        judge: Judge,
        /,
    ) -> tuple[dict[str, Indexes], dict[int, int]]:
        """One pass over the headers, where each step counts. What is refused does not move the clock."""
        groups, by_order, by_customer = self._groups, self._by_order, self._by_customer
        behind, gap, ahead, quiet = clock.behind, clock.gap, clock.ahead, clock.idle_until
        largest, highest, arrival = clock.largest, ceiling(), None
        placed: defaultdict[str, defaultdict[int, list[int]]] = defaultdict(_by_group)
        late: dict[int, int] = {}
        for index, (kind, header) in enumerate(zip(kinds or map(type, headers), headers, strict=True)):
            stage = by_order.get(kind)
            key = None if stage is None else header.order_id
            if stage is None or key is None:
                other = None if stage is None else by_customer.get(kind)
                if other is not None and header.customer_id is not None:
                    stage, key = other, f"customer:{header.customer_id}"
                else:
                    clock.largest = largest
                    found = None if header is None else unusual(index, kind, header)
                    quiet, highest = clock.idle_until, ceiling()
                    if found is None:
                        continue
                    stage, key = found
            time = header.time
            if arrivals is not None:
                arrival = arrivals[index]
            # Of nearly all records the clock would say one of two things: the latest so far, or in time all the same.
            if largest < time <= highest and (arrival is None or arrival - gap <= time <= arrival + ahead):
                largest = time
            elif (
                not quiet <= time <= largest
                or time < largest - behind
                or (arrival is not None and not arrival - gap <= time <= arrival + ahead)
            ):
                clock.largest = largest
                bound = judge(index, time, arrival)
                largest, highest = clock.largest, ceiling()
                if bound is None:
                    continue
                if time < bound:
                    late[index] = bound
            placed[stage][crc32(key.encode()) % groups].append(index)
        clock.largest = largest
        return {stage: dict(by_group) for stage, by_group in placed.items()}, late


def _by_group() -> defaultdict[int, list[int]]:
    return defaultdict(list)
