"""What happened to each order: its stays, its moves and its details ("Orders and stages" in docs/rules.md)."""

from bisect import bisect_right
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Literal

from msgspec import UNSET

from config.settings import Settings
from events.model import (
    AnyEvent,
    Behaviour,
    LogisticsScan,
    OrderChanged,
    OrderCreated,
    OrderFields,
    OrderSplit,
    OrderStage,
    PaymentSucceeded,
    ReviewConfirmed,
    ReviewReleased,
    SystemStatus,
)
from tests.oracle.keys import Keys
from tests.oracle.model import AppliedEvent

Illegal = Literal["unknown", "backwards", "skipped"]
Verdict = Literal["applied", "repeated", "unknown", "backwards", "skipped"]


@dataclass(frozen=True, slots=True)
class Details:
    """What is known of an order from a moment on. ``address`` is the key of its normal form."""

    position: int
    time: int
    customer_id: str | None
    category: str
    amount: int
    card: str | None
    phone: str | None
    ip: str | None
    device: str | None
    address: str | None
    warehouse_id: str | None
    shop: str
    promised_at: int | None
    promise_told: bool


@dataclass(slots=True)
class Stay:
    """A unit's stay in a stage. A parcel may take over an order's stay: ``since`` is when it became a unit.

    ``began`` and ``ended`` are the positions of the events by which it became, and ceased to be, this unit's stay.
    """

    parcel: str | None
    stage: str
    entered: int
    since: int
    category: str
    began: int
    left: int | None = None
    ended: int | None = None
    reason: str | None = None


@dataclass(frozen=True, slots=True)
class Change:
    """A move, or another change of the order's status. ``before`` and ``after`` are the order's stage.

    ``parcels``: the order has moved only because a parcel that is less far became a unit.
    """

    time: int
    position: int
    kind: Literal["applied", "parcels", "status"] | Illegal
    before: str | None
    after: str | None
    category: str


@dataclass(slots=True)
class Unit:
    """The order, or one of its parcels: where it is now, and since when."""

    parcel: str | None
    stage: str | None = None
    entered: int = 0
    stay: Stay | None = None


@dataclass(slots=True, eq=False)
class Life:
    """An order from its first event until it is forgotten. The fields after ``units`` are the fold's own."""

    order_id: str
    position: int
    details: list[Details] = field(default_factory=list)
    stays: list[Stay] = field(default_factory=list)
    changes: list[Change] = field(default_factory=list)
    shipped: tuple[int, int] | None = None
    closed: tuple[int, int] | None = None
    forgotten: int | None = None
    units: dict[str | None, Unit] = field(default_factory=lambda: {None: Unit(None)})
    stage: str | None = None
    entered: int = 0
    first_stage: tuple[str, int] | None = None
    first_parcel: str | None = None
    before_parcels: tuple[str, int] | None = None
    skipped: list[tuple[str, str | None]] = field(default_factory=list)
    statuses: dict[str, str] = field(default_factory=dict)

    def details_at(self, position: int) -> Details | None:
        """The details as the event at ``position`` finds (or leaves) them."""
        index = bisect_right(self.details, position, key=lambda item: item.position)
        return self.details[index - 1] if index else None

    def is_closed_at(self, position: int) -> bool:
        """Whether the order is in a terminal stage when the event at ``position`` comes."""
        return self.closed is not None and self.closed[1] < position


class Histories:
    """The lives of all orders. An order that comes back after it was forgotten begins a new life."""

    def __init__(self, events: Sequence[AppliedEvent], settings: Settings, keys: Keys) -> None:
        self._of: dict[str, list[Life]] = {}
        fold = _Fold(settings, keys)
        for position, applied in enumerate(events):
            order_id = getattr(applied.event, "order_id", None)
            if order_id is not None:
                fold.apply(self._living(order_id, applied.time, position), applied.event, applied.time, position)
        self._customers: dict[str, list[Life]] = {}
        for life in self:
            if life.details and life.details[0].customer_id is not None:
                self._customers.setdefault(life.details[0].customer_id, []).append(life)

    def __iter__(self) -> Iterator[Life]:
        return (life for lives in self._of.values() for life in lives)

    def at(self, order_id: str, position: int) -> Life:
        """The life that the order's event at ``position`` belongs to."""
        lives = self._of[order_id]
        return lives[bisect_right(lives, position, key=lambda life: life.position) - 1]

    def open_orders(self, customer_id: str, position: int) -> list[Life]:
        """The customer's orders that are open when the event at ``position`` comes."""
        return [
            life
            for life in self._customers.get(customer_id, ())
            if life.details[0].position < position and not life.is_closed_at(position)
        ]

    def _living(self, order_id: str, time: int, position: int) -> Life:
        lives = self._of.setdefault(order_id, [])
        if not lives or ((forgotten := lives[-1].forgotten) is not None and time > forgotten):
            lives.append(Life(order_id, position))
        return lives[-1]


class _Fold:
    """One event after the other, onto the life of its order."""

    def __init__(self, settings: Settings, keys: Keys) -> None:
        self._stages = settings.stages
        self._index = {name: index for index, name in enumerate(settings.stages)}
        self._flow = settings.flow
        self._systems = settings.status.systems
        self._keys = keys

    def apply(self, life: Life, event: AnyEvent, time: int, position: int) -> None:
        """Apply an event that names the order, and say until when the order is remembered."""
        self._apply_event(life, event, (time, position))
        if life.closed is not None:
            life.forgotten = life.closed[0] + self._flow.closed_retention
        elif life.stage is not None:
            life.forgotten = None
        elif not isinstance(event, Behaviour | ReviewReleased | ReviewConfirmed):
            life.forgotten = time + self._flow.closed_retention

    def _apply_event(self, life: Life, event: AnyEvent, when: tuple[int, int]) -> None:
        match event:
            case OrderCreated():
                self._create(life, event, when)
            case OrderStage():
                self._name_parcel(life, event.parcel_id, when)
                self._move(life, event.stage, event.parcel_id, when)
            case LogisticsScan():
                self._name_parcel(life, event.parcel_id, when)
                if target := self._flow.scans.get(event.scan):
                    self._move(life, target, event.parcel_id, when)
            case PaymentSucceeded() if self._flow.payment_stage:
                self._move(life, self._flow.payment_stage, None, when)
            case OrderSplit():
                self._split(life, list(dict.fromkeys(event.parcels)), when)
            case SystemStatus():
                self._status(life, event, when)
            case OrderChanged() if life.details:
                life.details.append(self._changed(life.details[-1], event.fields, when))
            case _:
                pass

    def _create(self, life: Life, event: OrderCreated, when: tuple[int, int]) -> None:
        if life.stage not in (None, self._flow.initial):
            self._note(life, "backwards", life.stage, when)
            return
        if life.details:
            return
        life.details.append(
            Details(
                position=when[1],
                time=when[0],
                customer_id=event.customer_id,
                category=event.category,
                amount=event.amount,
                card=event.card,
                phone=event.phone,
                ip=event.ip,
                device=event.device,
                address=self._keys.of_address(event.address_key, event.address),
                warehouse_id=event.warehouse_id,
                shop=event.shop_id or event.channel or event.source,
                promised_at=event.promised_at,
                promise_told=True,
            )
        )
        self._move(life, self._flow.initial, None, when)

    def _changed(self, old: Details, fields: OrderFields, when: tuple[int, int]) -> Details:
        given_key = None if fields.address_key is UNSET else fields.address_key
        given_address = None if fields.address is UNSET else fields.address
        same_address = given_key is None and given_address is None
        return Details(
            position=when[1],
            time=when[0],
            customer_id=old.customer_id,
            category=old.category if fields.category is UNSET else fields.category,
            amount=old.amount,
            card=old.card,
            phone=old.phone if fields.phone is UNSET else fields.phone,
            ip=old.ip,
            device=old.device,
            address=old.address if same_address else self._keys.of_address(given_key, given_address),
            warehouse_id=old.warehouse_id if fields.warehouse_id is UNSET else fields.warehouse_id,
            shop=old.shop,
            promised_at=old.promised_at if fields.promised_at is UNSET else fields.promised_at,
            promise_told=fields.promised_at is not UNSET,
        )

    def _status(self, life: Life, event: SystemStatus, when: tuple[int, int]) -> None:
        rule = self._systems.get(event.system, {}).get(event.status)
        if rule is not None and rule.stage:
            self._name_parcel(life, event.parcel_id, when)
            self._move(life, rule.stage, event.parcel_id, when)
        if life.statuses.get(event.system) != event.status:
            life.statuses[event.system] = event.status
            self._note(life, "status", life.stage, when)

    def _move(self, life: Life, target: str, parcel: str | None, when: tuple[int, int]) -> None:
        verdict = self._judge(life, target, parcel)
        if verdict == "applied":
            self._apply(life, target, parcel, when)
            self._catch_up(life, when)
        elif verdict != "repeated":
            self._note(life, verdict, life.stage, when)
            if verdict == "skipped" and (target, parcel) not in life.skipped:
                life.skipped.append((target, parcel))

    def _catch_up(self, life: Life, when: tuple[int, int]) -> None:
        while settled := [move for move in life.skipped if not self._lies_ahead(life, *move)]:
            life.skipped.remove(settled[0])
            if self._judge(life, *settled[0]) == "applied":
                self._apply(life, *settled[0], when)

    def _lies_ahead(self, life: Life, target: str, parcel: str | None) -> bool:
        verdicts = [self._judge_stage(unit.stage, target) for unit in self._addressed(life, parcel)]
        return "applied" not in verdicts and "skipped" in verdicts

    def _judge(self, life: Life, target: str, parcel: str | None) -> Verdict:
        units = self._addressed(life, parcel)
        verdicts = [self._judge_stage(unit.stage, target) for unit in units]
        if "applied" in verdicts:
            return "applied"
        return "repeated" if "repeated" in verdicts else verdicts[self._least_far(units)]

    def _judge_stage(self, current: str | None, target: str) -> Verdict:
        if target not in self._stages:
            return "unknown"
        if current is None:
            return "applied" if target == self._flow.initial else "skipped"
        if target == current:
            return "repeated"
        stage = self._stages[current]
        if not stage.terminal and (target in stage.next or target in self._flow.from_any):
            return "applied"
        if stage.terminal or self._index[target] < self._index[current]:
            return "backwards"
        return "skipped"

    def _addressed(self, life: Life, parcel: str | None) -> list[Unit]:
        """The units that a move is about: the parcel that it names, or all."""
        return [life.units[parcel]] if parcel in life.units else list(life.units.values())

    def _least_far(self, units: list[Unit]) -> int:
        """Which unit; of one that has no stage yet nothing is known."""
        nowhere = len(self._index)
        return min(range(len(units)), key=lambda n: nowhere if (s := units[n].stage) is None else self._index[s])

    def _apply(self, life: Life, target: str, parcel: str | None, when: tuple[int, int]) -> None:
        for unit in self._addressed(life, parcel):
            if self._judge_stage(unit.stage, target) == "applied":
                self._enter(life, unit, target, when)
        before = life.stage
        self._follow_parcels(life, when)
        self._note(life, "applied", before, when)

    def _enter(self, life: Life, unit: Unit, stage: str, when: tuple[int, int]) -> None:
        if unit.stay is not None:
            unit.stay.left, unit.stay.ended = when
            unit.stay.reason = self._why_left(unit.stay.stage, stage)
        unit.stage, unit.entered = stage, when[0]
        unit.stay = self._stay(life, unit, when)
        life.first_stage = life.first_stage or (stage, when[0])
        if self._stages[stage].shipped and life.shipped is None:
            life.shipped = when

    def _stay(self, life: Life, unit: Unit, when: tuple[int, int]) -> Stay | None:
        if unit.stage is None:
            return None
        stay = Stay(unit.parcel, unit.stage, unit.entered, when[0], _category(life), when[1])
        life.stays.append(stay)
        return stay

    def _why_left(self, old: str, new: str) -> str:
        if self._stages[new].cancels:
            return "cancelled"
        return "paid_late" if self._stages[new].paid and not self._stages[old].paid else "moved_on"

    def _follow_parcels(self, life: Life, when: tuple[int, int]) -> None:
        """The order's stage is that of the unit that is least far."""
        units = list(life.units.values())
        stage = units[self._least_far(units)].stage
        if stage == life.stage:
            return
        life.stage, life.entered = stage, when[0]
        if stage is not None and self._stages[stage].terminal and life.closed is None:
            life.closed = when

    def _note(
        self,
        life: Life,
        kind: Literal["applied", "parcels", "status"] | Illegal,
        before: str | None,
        when: tuple[int, int],
    ) -> None:
        life.changes.append(Change(*when, kind, before, life.stage, _category(life)))

    def _name_parcel(self, life: Life, parcel: str | None, when: tuple[int, int]) -> None:
        """A move or a scan names a parcel: the second one makes every parcel a unit of its own."""
        if parcel is None or parcel in life.units or life.closed is not None:
            return
        if None not in life.units:
            self._add_parcels(life, {parcel: life.before_parcels or life.first_stage}, when)
        elif life.first_parcel is None:
            life.first_parcel = parcel
            life.before_parcels = _where(life)
        elif parcel != life.first_parcel:
            base = life.before_parcels or life.first_stage
            self._add_parcels(life, {life.first_parcel: _where(life), parcel: base}, when)

    def _split(self, life: Life, parcels: list[str], when: tuple[int, int]) -> None:
        if life.closed is not None or (None in life.units and len(parcels) < 2):
            return
        if None in life.units and life.first_parcel is None:
            life.before_parcels = _where(life)
        here = _where(life)
        self._add_parcels(life, {parcel: here for parcel in parcels if parcel not in life.units}, when)

    def _add_parcels(self, life: Life, places: dict[str, tuple[str, int] | None], when: tuple[int, int]) -> None:
        whole = life.units.pop(None, None)
        if whole is not None and whole.stay is not None:
            (whole.stay.left, whole.stay.ended), whole.stay.reason = when, "split"
        for parcel, place in places.items():
            stage, entered = place or (None, 0)
            unit = Unit(parcel, stage, entered)
            unit.stay = self._stay(life, unit, when)
            life.units[parcel] = unit
        before = life.stage
        self._follow_parcels(life, when)
        if life.stage != before:
            self._note(life, "parcels", before, when)


def _where(life: Life) -> tuple[str, int] | None:
    return None if life.stage is None else (life.stage, life.entered)


def _category(life: Life) -> str:
    return life.details[-1].category if life.details else "general"
