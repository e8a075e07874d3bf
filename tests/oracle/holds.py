"""Holds of orders ("Holds" in docs/rules.md): from the episodes that ask for them and the reviews that end them."""

from collections.abc import Iterator, Sequence
from typing import Literal

from config.settings import Settings
from events.model import ReviewConfirmed, ReviewReleased
from tests.oracle.model import EVENT, AppliedEvent, Cause, ExpectedHold, ExpectedStep, Place

Request = Cause | Literal["released", "confirmed"]


def holds(events: Sequence[AppliedEvent], steps: Sequence[ExpectedStep], settings: Settings) -> list[ExpectedHold]:
    """All hold records; those of one order stand in their order."""
    listed = [*_asked(steps, settings), *_reviewed(events)]
    records: list[ExpectedHold] = []
    orders: dict[str, _Hold] = {}
    for place, order_id, request in sorted(listed, key=_turn):
        hold = orders.setdefault(order_id, _Hold(order_id))
        records.extend(hold.take(request, place[0]))
    return records


def _turn(item: tuple[Place, str, Request]) -> tuple[int, bool, str, Place]:
    """Within a millisecond: bursts by their key, then resonance, then reviews."""
    place, _, request = item
    if isinstance(request, Cause):
        return place[0], False, f"{request.rule}:{request.entity_type}:{request.entity_id}", place
    return place[0], True, "", place


def _asked(steps: Sequence[ExpectedStep], settings: Settings) -> Iterator[tuple[Place, str, Request]]:
    detectors = settings.detectors
    for step in steps:
        if step.step == "resolved":
            continue
        bursts = step.rule == "card_burst" and detectors.card_burst.hold
        locks = step.rule == "resonance" and detectors.resonance.hold and step.level == "lock"
        if bursts or locks:
            cause = Cause(step.rule, step.entity_type, step.entity_id, step.variant, step.opened_at)
            for order_id in step.orders:
                yield step.place, order_id, cause


def _reviewed(events: Sequence[AppliedEvent]) -> Iterator[tuple[Place, str, Request]]:
    for position, applied in enumerate(events):
        match applied.event:
            case ReviewReleased(order_id=order_id):
                yield (applied.time, EVENT, position), order_id, "released"
            case ReviewConfirmed(order_id=order_id):
                yield (applied.time, EVENT, position), order_id, "confirmed"
            case _:
                pass


class _Hold:
    """The hold of one order. An episode that once held the order does not do so again after a release."""

    def __init__(self, order_id: str) -> None:
        self._order_id = order_id
        self._status: Literal["free", "held", "confirmed"] = "free"
        self._causes: list[Cause] = []
        self._used: set[Cause] = set()
        self._version = 0

    def take(self, request: Request, time: int) -> Iterator[ExpectedHold]:
        if isinstance(request, Cause):
            if self._status != "confirmed" and request not in self._used:
                self._used.add(request)
                self._causes.append(request)
                self._status = "held"
                yield self._record("held", time)
        elif request == "released" and self._status != "free":
            yield self._record("released", time)
            self._status = "free"
            self._causes = []
        elif request == "confirmed" and self._status == "held":
            self._status = "confirmed"
            yield self._record("confirmed", time)

    def _record(self, status: Literal["held", "released", "confirmed"], time: int) -> ExpectedHold:
        self._version += 1
        return ExpectedHold(self._order_id, self._version, status, time, tuple(self._causes))
