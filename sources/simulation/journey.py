"""One order on its way: the events that it gives, and what the rules will see of them."""

from typing import NamedTuple

from events.model import (
    Address,
    BehaviourChat,
    BehaviourSignal,
    Event,
    LogisticsScan,
    OrderChanged,
    OrderCreated,
    OrderEvent,
    OrderFields,
    OrderSplit,
    OrderStage,
    PaymentFailed,
    PaymentSucceeded,
    ReviewConfirmed,
    ReviewReleased,
    SystemStatus,
    WaybillPrinted,
)
from sources.simulation.chain import Chain, Move


class Emission(NamedTuple):
    """An event on its way into a log.

    ``arrival``: the ms at which it arrives, where the case needs a certain one. ``latest``: up to when it may arrive
    late with no effect on any alert; None: it must be on time.
    """

    event: Event
    arrival: int | None = None
    latest: int | None = None


class Journey:
    """An order and its events. Times are epoch ms at which the events are applied.

    ``changes``: each change of status and the order's stage after it. ``attempts``: each move, and the word for it
    where it was illegal. ``parcels``: the moves of each parcel, for an order that was split at ``split_at``.
    """

    def __init__(self, chain: Chain, order: OrderCreated) -> None:
        self.chain = chain
        self.order = order
        self.order_id = order.order_id
        self.emissions: list[Emission] = []
        self.moves: list[Move] = []
        self.changes: list[Move] = []
        self.attempts: list[tuple[int, str | None]] = []
        self.uses: list[tuple[int, OrderCreated]] = []
        self.addresses: list[tuple[int, Address]] = []
        self.signals: list[tuple[int, str]] = []
        self.prints: list[tuple[int, str]] = []
        self.split_at: int | None = None
        self.parcels: dict[str, list[Move]] = {}
        self._statuses: dict[str, str] = {}
        self._numbered = 1
        self._create()

    def _create(self) -> None:
        self.emissions.append(Emission(self.order))
        self._moved(self.order.time, self.chain.flow.initial)
        self.uses.append((self.order.time, self.order))
        if self.order.address is not None:
            self.addresses.append((self.order.time, self.order.address))

    def next_id(self) -> str:
        """An event id that no other event has."""
        self._numbered += 1
        return f"{self.order_id}-{self._numbered}"

    def emit(self, event: Event, *, arrival: int | None = None, latest: int | None = None) -> None:
        """Add an event as it is."""
        self.emissions.append(Emission(event, arrival, latest))

    def follow(self, moves: list[Move]) -> None:
        """Make these moves, which the chain allows one after the other."""
        for time, stage in moves:
            self.move(stage, time)

    def move(
        self,
        stage: str,
        time: int,
        *,
        own_time: int | None = None,
        arrival: int | None = None,
        latest: int | None = None,
    ) -> None:
        """An allowed move, applied at ``time``; ``own_time`` is the event's own where it arrives late."""
        self.emit(self.move_event(stage, own_time or time), arrival=arrival, latest=latest)
        if stage == self.chain.flow.payment_stage:
            self.uses.append((time, self.order))
        self._moved(time, stage)

    def _moved(self, time: int, stage: str) -> None:
        self.moves.append((time, stage))
        self.changes.append((time, stage))
        self.attempts.append((time, None))

    def catch_up(self, stage: str, time: int) -> None:
        """A remembered move is applied, with no event of its own."""
        self._moved(time, stage)

    def attempt(self, stage: str, time: int, kind: str) -> None:
        """A move that the chain does not allow: ``unknown``, ``backwards`` or ``skipped``."""
        self.emit(self.move_event(stage, time))
        if stage == self.chain.flow.payment_stage:
            self.uses.append((time, self.order))
        self.attempts.append((time, kind))

    def create_again(self, time: int) -> None:
        """A second ``order.created`` after the order moved on."""
        order = self.order
        self.emit(
            OrderCreated(
                id=self.next_id(),
                source=order.source,
                time=time,
                order_id=order.order_id,
                customer_id=order.customer_id,
                amount=order.amount,
            )
        )
        self.attempts.append((time, "backwards"))

    def move_event(self, stage: str, time: int, parcel_id: str | None = None) -> OrderEvent:
        """The event that moves an order to the stage."""
        order, name = self.order_id, self.next_id()
        if stage == self.chain.flow.payment_stage:
            return PaymentSucceeded(
                id=name,
                source="payment",
                time=time,
                order_id=order,
                amount=self.order.amount,
                payment_id=f"P{order}",
                card=self.order.card,
            )
        scan = self.chain.scan_of.get(stage)
        if scan is not None:
            return LogisticsScan(
                id=name, source="tms", time=time, order_id=order, scan=scan, parcel_id=parcel_id, carrier="sf"
            )
        known = self.chain.stages.get(stage)
        source = "wms" if known is not None and known.handled and not known.shipped else "oms"
        return OrderStage(id=name, source=source, time=time, order_id=order, stage=stage, parcel_id=parcel_id)

    def split(self, time: int, parcels: tuple[str, ...]) -> None:
        """The order will ship in these parcels; each takes over its stage."""
        self.emit(OrderSplit(id=self.next_id(), source="oms", time=time, order_id=self.order_id, parcels=parcels))
        self.split_at = time
        self.parcels = {parcel: [self.moves[-1]] for parcel in parcels}

    def move_parcel(self, parcel: str, stage: str, time: int) -> None:
        """A parcel moves; the order does when all have."""
        self.emit(self.move_event(stage, time, parcel))
        self.parcels[parcel].append((time, stage))
        if all(moves[-1][1] == stage for moves in self.parcels.values()):
            self._moved(time, stage)
        else:
            self.changes.append((time, self.moves[-1][1]))

    def move_parcels(self, stage: str, time: int) -> None:
        """All parcels move with one event that names none."""
        self.move(stage, time)
        for moves in self.parcels.values():
            moves.append((time, stage))

    def status(self, system: str, status: str, time: int) -> None:
        """A system says its raw status; saying the same again changes nothing."""
        self.emit(
            SystemStatus(
                id=self.next_id(), source=system, time=time, order_id=self.order_id, system=system, status=status
            )
        )
        if self._statuses.get(system) != status:
            self._statuses[system] = status
            stage = next(stage for moved, stage in reversed(self.moves) if moved <= time)
            self.changes.append((time, stage))

    def fail_payment(self, time: int) -> None:
        """An attempt to pay fails."""
        self.emit(
            PaymentFailed(
                id=self.next_id(),
                source="payment",
                time=time,
                order_id=self.order_id,
                amount=self.order.amount,
                card=self.order.card,
                reason="insufficient_funds",
            )
        )

    def change(self, time: int, fields: OrderFields, *, by_customer: bool = False, arrival: int | None = None) -> None:
        """Fields get new values, by customer service or by the buyer."""
        self.emit(
            OrderChanged(
                id=self.next_id(),
                source="crm",
                time=time,
                order_id=self.order_id,
                fields=fields,
                customer_id=self.order.customer_id if by_customer else None,
            ),
            arrival=arrival,
        )
        if isinstance(fields.address, Address):
            self.addresses.append((time, fields.address))

    def print_waybill(self, time: int, warehouse: str, duration_ms: int) -> None:
        """A waybill is printed."""
        self.prints.append((time, warehouse))
        self.emit(
            WaybillPrinted(
                id=self.next_id(),
                source="print",
                time=time,
                order_id=self.order_id,
                duration_ms=duration_ms,
                warehouse_id=warehouse,
            )
        )

    def scan(self, scan: str, time: int, *, latest: int | None = None) -> None:
        """A carrier's scan that moves nothing."""
        event = LogisticsScan(
            id=self.next_id(), source="tms", time=time, order_id=self.order_id, scan=scan, carrier="sf"
        )
        self.emit(event, latest=latest)

    def behave(
        self,
        signal: str,
        time: int,
        *,
        value: int | None = None,
        device: str | None = None,
        names_order: bool = True,
        latest: int | None = None,
    ) -> None:
        """The storefront's probe saw something."""
        event = BehaviourSignal(
            id=self.next_id(),
            source="probe",
            time=time,
            signal=signal,
            value=value,
            device=device,
            order_id=self.order_id if names_order else None,
            customer_id=self.order.customer_id,
        )
        self.emissions.append(Emission(event, None, latest))

    def chat(self, text: str, time: int) -> None:
        """The buyer writes to customer service."""
        self.emit(
            BehaviourChat(
                id=self.next_id(),
                source="crm",
                time=time,
                text=text,
                order_id=self.order_id,
                customer_id=self.order.customer_id,
            )
        )

    def review(self, time: int, *, confirmed: bool) -> None:
        """A reviewer decides about the order."""
        kind = ReviewConfirmed if confirmed else ReviewReleased
        self.emit(
            kind(id=self.next_id(), source="risk", time=time, order_id=self.order_id, operator=f"reviewer-{time % 7}")
        )

    def left_at(self) -> int | None:
        """When the order first shipped or ended, so that it can no longer be merged; None: not at all."""
        stages = self.chain.stages
        moves = sorted(self.moves + [move for moved in self.parcels.values() for move in moved])
        return next((time for time, stage in moves if stages[stage].shipped or stages[stage].terminal), None)
