"""The one truth per order: applies the events of orders to their state and tells the other components what changed."""

from collections.abc import Mapping
from typing import Any, ClassVar

from msgspec import UNSET

from events.model import (
    Event,
    LogisticsScan,
    OrderChanged,
    OrderCreated,
    OrderEvent,
    OrderMerged,
    OrderSplit,
    OrderStage,
    PaymentFailed,
    PaymentSucceeded,
    SystemStatus,
    WaybillPrinted,
)
from events.normal_form import address_key, risk_key
from operators.heart.component import Context, Environment, Handler, StatefulComponent, tell
from operators.orders.order_state import (
    EventApplied,
    FieldsChanged,
    IllegalMove,
    Merged,
    MergeRefused,
    MergeWanted,
    OrderClosed,
    OrderForgotten,
    OrderOpened,
    OrderSplitUp,
    OrderState,
    Paid,
    Parcel,
    PaymentRefused,
    Printed,
    Scanned,
    StageMoved,
    StatusReported,
)
from operators.orders.state_machine import StateMachine, Verdict


class OrderTruth(StatefulComponent[OrderState]):
    """State machine, parcels and what else is known of each order; see docs/rules.md, 'Orders and stages'."""

    name: ClassVar[str] = "order_truth"
    stage: ClassVar[str] = "orders"
    state_type: ClassVar[type[Any]] = OrderState

    def __init__(self, context: Context) -> None:
        super().__init__(context)
        settings = context.environment.settings
        self._machine = StateMachine(settings)
        self._payment_stage = settings.flow.payment_stage
        self._scans = settings.flow.scans
        self._rules = settings.status.systems
        self._retention = int(settings.flow.closed_retention)
        self._hash_key = context.environment.hash_key
        self._merged_stage = settings.fallback.merged_stage
        self._shops = settings.detectors.stage_timeout.history.enabled

    @classmethod
    def enabled(cls, environment: Environment) -> bool:
        """Always: what it publishes is what the other components of the stage live on."""
        return True

    def handlers(self) -> Mapping[type, Handler]:
        """The events that change an order."""
        return {
            OrderCreated: self.on_created,
            OrderStage: self.on_stage,
            OrderChanged: self.on_changed,
            OrderSplit: self.on_split,
            OrderMerged: self.on_merged,
            MergeWanted: self.on_merge_wanted,
            PaymentSucceeded: self.on_payment,
            PaymentFailed: self.on_refused,
            WaybillPrinted: self.on_printed,
            SystemStatus: self.on_status,
            LogisticsScan: self.on_scan,
        }

    def connect(self) -> None:
        """Facts that nobody wants are not made."""
        wanted = self.context.subscribed
        self._opened = wanted(OrderOpened)
        self._moved = wanted(StageMoved)
        self._split_up = wanted(OrderSplitUp)
        self._illegal = wanted(IllegalMove)
        self._status_reported = wanted(StatusReported)
        self._fields_changed = wanted(FieldsChanged)
        self._paid = wanted(Paid)
        self._refused = wanted(PaymentRefused)
        self._printed = wanted(Printed)
        self._scanned = wanted(Scanned)
        self._closed = wanted(OrderClosed)
        self._merged = wanted(Merged)
        self._merge_refused = wanted(MergeRefused)
        self._forgotten = wanted(OrderForgotten)
        self._applied = wanted(EventApplied)

    def on_created(self, event: OrderCreated, at: int) -> None:
        """A new order, or one more announcement of an order that is there."""
        order = self._order(event.order_id, at)
        verdict = self._machine.judge(order.stage, self._machine.initial)
        if verdict in (Verdict.APPLIED, Verdict.REPEATED) and not order.created:
            self._take_details(order, event)
            if self._opened:
                tell(self._opened, OrderOpened(event.order_id, order, event), at)
        if verdict is Verdict.BACKWARDS:  # whatever a parcel of it may have missed
            self._refuse(event.order_id, order, None, self._machine.initial, verdict, event, at)
        else:
            self._move(event.order_id, order, None, self._machine.initial, event, at)
        if order.merge_wanted and order.stage is not None:
            into, order.merge_wanted = order.merge_wanted, ""
            self._merge(event.order_id, order, into, event, at)
        self._done(order, event, at)

    def on_stage(self, event: OrderStage, at: int) -> None:
        """Somebody says that the order reached a stage."""
        order = self._order(event.order_id, at)
        if event.parcel_id is not None:
            self._note_parcel(event.order_id, order, event.parcel_id, event, at)
        self._move(event.order_id, order, event.parcel_id, event.stage, event, at)
        self._done(order, event, at)

    def on_changed(self, event: OrderChanged, at: int) -> None:
        """New values of fields."""
        order = self._order(event.order_id, at)
        fields = event.fields
        if fields.category is not UNSET:
            order.category = fields.category
        if fields.phone is not UNSET:
            order.phone = risk_key("phone", fields.phone, self._hash_key) if fields.phone else ""
        if fields.warehouse_id is not UNSET:
            order.warehouse_id = fields.warehouse_id
        if fields.promised_at is not UNSET:
            order.promised_at = fields.promised_at
        old_address = order.address
        if fields.address_key is not UNSET:
            order.address = fields.address_key
        elif fields.address is not UNSET:
            order.address = address_key(fields.address, self._hash_key)
        if self._fields_changed:
            tell(self._fields_changed, FieldsChanged(event.order_id, order, event, order.address != old_address), at)
        self._done(order, event, at)

    def on_split(self, event: OrderSplit, at: int) -> None:
        """The order is going to ship in several parcels."""
        order = self._order(event.order_id, at)
        new = tuple(dict.fromkeys(name for name in event.parcels if name not in (order.parcels or {})))
        if not self._machine.is_terminal(order.stage) and (len(new) > 1 or order.parcels is not None) and new:
            if order.parcels is None and order.first_parcel is None:
                order.before = _where(order)
            self._add_parcels(event.order_id, order, new, _where(order), event, at)
        self._done(order, event, at)

    def on_merged(self, event: OrderMerged, at: int) -> None:
        """A system says that another order takes this one's place."""
        order = self._order(event.order_id, at)
        self._merge(event.order_id, order, event.merged_into, event, at)
        self._done(order, event, at)

    def on_merge_wanted(self, fact: MergeWanted, at: int) -> None:
        """A component found that out."""
        order = self._order(fact.order_id, at)
        self._merge(fact.order_id, order, fact.into, fact.event, at)
        self._done(order, fact.event, at)

    def on_payment(self, event: PaymentSucceeded, at: int) -> None:
        """Money arrived."""
        order = self._order(event.order_id, at)
        if self._paid:
            card = risk_key("card", event.card, self._hash_key) if event.card else order.card
            tell(self._paid, Paid(event.order_id, order, event, card), at)
        if self._payment_stage:
            self._move(event.order_id, order, None, self._payment_stage, event, at)
        self._done(order, event, at)

    def on_refused(self, event: PaymentFailed, at: int) -> None:
        """A payment did not go through."""
        order = self._order(event.order_id, at)
        if self._refused:
            tell(self._refused, PaymentRefused(event.order_id, order, event), at)
        self._done(order, event, at)

    def on_printed(self, event: WaybillPrinted, at: int) -> None:
        """A waybill was printed."""
        order = self._order(event.order_id, at)
        if self._printed:
            tell(self._printed, Printed(event.order_id, order, event), at)
        self._done(order, event, at)

    def on_status(self, event: SystemStatus, at: int) -> None:
        """A system reports its own raw status."""
        order = self._order(event.order_id, at)
        statuses = order.statuses = order.statuses or {}
        old = statuses.get(event.system)
        if old != event.status:
            statuses[event.system] = event.status
            order.changed_at = at
            if self._status_reported:
                fact = StatusReported(event.order_id, order, event, event.system, old, event.status)
                tell(self._status_reported, fact, at)
        rule = self._rules.get(event.system, {}).get(event.status)
        if rule is not None and rule.stage is not None:
            if event.parcel_id is not None:
                self._note_parcel(event.order_id, order, event.parcel_id, event, at)
            self._move(event.order_id, order, event.parcel_id, rule.stage, event, at)
        self._done(order, event, at)

    def on_scan(self, event: LogisticsScan, at: int) -> None:
        """A carrier scanned a parcel."""
        order = self._order(event.order_id, at)
        if event.parcel_id is not None:
            self._note_parcel(event.order_id, order, event.parcel_id, event, at)
        if self._scanned:
            tell(self._scanned, Scanned(event.order_id, order, event), at)
        target = self._scans.get(event.scan)
        if target is not None:
            self._move(event.order_id, order, event.parcel_id, target, event, at)
        self._done(order, event, at)

    def on_timer(self, key: str, due: int) -> None:
        """Forget an order whose retention has passed: judged like a deadline, after all events of that moment."""
        order = self.states.get(key)
        if order is None or (order.stage is not None and not self._machine.is_terminal(order.stage)):
            return
        forget_at = (order.changed_at if order.stage is None else order.entered_at) + self._retention
        if due > forget_at:
            del self.states[key]
            if self._forgotten:
                tell(self._forgotten, OrderForgotten(key), due - 1)
        else:
            self.context.arm(key, forget_at + 1)

    def _done(self, order: OrderState, event: OrderEvent, at: int) -> None:
        if self._applied:
            tell(self._applied, EventApplied(event.order_id, order, event), at)

    def _order(self, order_id: str, at: int) -> OrderState:
        order = self.states.get(order_id)
        if order is None:
            order = self.states[order_id] = OrderState(changed_at=at)
            self.context.arm(order_id, at + self._retention + 1)
        elif order.stage is None:
            order.changed_at = at
        return order

    def _take_details(self, order: OrderState, event: OrderCreated) -> None:
        key = self._hash_key
        order.created = True
        order.category = event.category
        order.customer_id = event.customer_id
        order.amount = event.amount
        order.warehouse_id = event.warehouse_id
        order.promised_at = event.promised_at
        order.shop = event.shop_id or event.channel or event.source if self._shops else ""
        order.card = risk_key("card", event.card, key) if event.card else order.card
        order.phone = risk_key("phone", event.phone, key) if event.phone else ""
        order.ip = risk_key("ip", event.ip, key) if event.ip else ""
        order.device = event.device or ""
        order.address = event.address_key or (address_key(event.address, key) if event.address else "")

    def _move(self, order_id: str, order: OrderState, parcel: str | None, target: str, event: Event, at: int) -> None:
        """Judge a move of the order, one parcel, or all parcels; apply or refuse it."""
        if order.parcels is None:
            verdict = self._machine.judge(order.stage, target)
            if verdict is Verdict.APPLIED:
                self._enter(order_id, order, target, event, at)
        elif parcel is not None and parcel in order.parcels:
            verdict = self._machine.judge(order.parcels[parcel].stage, target)
            if verdict is Verdict.APPLIED:
                self._enter_parcels(order_id, order, (parcel,), target, event, at)
        else:
            verdict = self._move_all(order_id, order, target, event, at)
        if verdict is Verdict.APPLIED:
            if order.skipped:
                self._catch_up(order_id, order, event, at)
        elif verdict is not Verdict.REPEATED:
            self._refuse(order_id, order, parcel, target, verdict, event, at)

    def _merge(self, order_id: str, order: OrderState, into: str, event: Event, at: int) -> None:
        """Let another order take the place of one that has neither left nor ended."""
        if order.stage is None:
            order.merge_wanted = order.merge_wanted or into
            return
        if into in (order_id, order.merged_into):
            return
        why = self._why_not_merged(order)
        if why:
            tell(self._merge_refused, MergeRefused(order_id, order, event, into, why), at)
            return
        order.merged_into = into
        tell(self._merged, Merged(order_id, order, event, into), at)
        self._move(order_id, order, None, self._merged_stage, event, at)

    def _why_not_merged(self, order: OrderState) -> str:
        units = [unit.stage for unit in (order.parcels or {}).values()]
        if order.merged_into:
            return "merged_elsewhere"
        if any(stage is not None and self._machine.stages[stage].shipped for stage in (order.stage, *units)):
            return "shipped"
        return "ended" if self._machine.is_terminal(order.stage) else ""

    def _move_all(self, order_id: str, order: OrderState, target: str, event: Event, at: int) -> Verdict:
        """Move every parcel for which that is allowed; when none can, the order's stage says what the move is."""
        verdicts = {name: self._machine.judge(item.stage, target) for name, item in (order.parcels or {}).items()}
        movable = tuple(name for name, verdict in verdicts.items() if verdict is Verdict.APPLIED)
        if movable:
            self._enter_parcels(order_id, order, movable, target, event, at)
            return Verdict.APPLIED
        if Verdict.REPEATED in verdicts.values():
            return Verdict.REPEATED
        return self._machine.judge(order.stage, target)

    def _enter(self, order_id: str, order: OrderState, target: str, event: Event, at: int) -> None:
        """Apply a move of the order as a whole that was judged."""
        before, entered_at = order.stage, order.entered_at
        order.stage, order.entered_at, order.entered_by, order.changed_at = target, at, event.id, at
        if before is None and order.first_parcel is not None:
            order.began = _where(order)
        if self._moved:
            tell(self._moved, StageMoved(order_id, order, event, None, before, target, entered_at), at)
        if self._machine.is_terminal(target):
            self._close(order_id, order, event, at)

    def _enter_parcels(
        self, order_id: str, order: OrderState, names: tuple[str, ...], target: str, event: Event, at: int
    ) -> None:
        """Apply a move of parcels that was judged. It is one move: what is told of it is true when all have made it."""
        parcels = order.parcels or {}
        left = [(name, parcels[name].stage, parcels[name].entered_at) for name in names]
        for name in names:
            parcels[name] = Parcel(target, at, event.id)
        order.changed_at = at
        followed = self._follow_parcels(order_id, order, event, at)
        for name, before, entered_at in left:
            if self._moved:
                tell(self._moved, StageMoved(order_id, order, event, name, before, target, entered_at), at)
        self._tell_followed(followed, at)

    def _follow_parcels(
        self, order_id: str, order: OrderState, event: Event, at: int, *, split: bool = False
    ) -> StageMoved | None:
        """The order stands where its least far parcel stands; the order's move when that has changed."""
        stages = [unit.stage for unit in (order.parcels or {}).values() if unit.stage is not None]
        least = min(stages, key=self._machine.position.__getitem__)
        if least == order.stage:
            return None
        before, entered_at = order.stage, order.entered_at
        order.stage, order.entered_at, order.entered_by, order.changed_at = least, at, event.id, at
        if before is None:
            order.began = _where(order)
        return StageMoved(order_id, order, event, None, before, least, entered_at, split)

    def _tell_followed(self, move: StageMoved | None, at: int) -> None:
        if move is None:
            return
        if self._moved:
            tell(self._moved, move, at)
        if self._machine.is_terminal(move.after):
            self._close(move.order_id, move.order, move.event, at)

    def _close(self, order_id: str, order: OrderState, event: Event, at: int) -> None:
        if self._closed:
            tell(self._closed, OrderClosed(order_id, order, event), at)
        self.context.arm(order_id, at + self._retention + 1)

    def _catch_up(self, order_id: str, order: OrderState, event: Event, at: int) -> None:
        """Apply remembered moves that have become possible, and drop those that lie ahead of no unit any more."""
        while order.skipped:
            for index, (parcel, target) in enumerate(order.skipped):
                verdicts = self._verdicts(order, parcel, target)
                possible = Verdict.APPLIED in verdicts
                if not possible and Verdict.SKIPPED in verdicts:
                    continue
                del order.skipped[index]
                if possible:
                    self._apply(order_id, order, parcel, target, event, at)
                break
            else:
                return

    def _verdicts(self, order: OrderState, parcel: str, target: str) -> set[Verdict]:
        """What a remembered move is for the units that it is about: the order, the parcel that it names, or all."""
        if order.parcels is None:
            return {self._machine.judge(order.stage, target)}
        named = order.parcels.get(parcel)
        units = order.parcels.values() if named is None else (named,)
        return {self._machine.judge(unit.stage, target) for unit in units}

    def _apply(self, order_id: str, order: OrderState, parcel: str, target: str, event: Event, at: int) -> None:
        """Apply a remembered move that is possible."""
        if order.parcels is None:
            self._enter(order_id, order, target, event, at)
        elif parcel in order.parcels:
            self._enter_parcels(order_id, order, (parcel,), target, event, at)
        else:
            self._move_all(order_id, order, target, event, at)

    def _refuse(
        self,
        order_id: str,
        order: OrderState,
        parcel: str | None,
        target: str,
        verdict: Verdict,
        event: Event,
        at: int,
    ) -> None:
        if verdict is Verdict.SKIPPED:
            order.skipped = order.skipped or []
            if (parcel or "", target) not in order.skipped:
                order.skipped.append((parcel or "", target))
        unit = order.parcels.get(parcel) if order.parcels is not None and parcel is not None else None
        current = order.stage if unit is None else unit.stage
        if self._illegal:
            tell(self._illegal, IllegalMove(order_id, order, event, parcel, current, target, verdict), at)

    def _note_parcel(self, order_id: str, order: OrderState, parcel: str, event: Event, at: int) -> None:
        """A parcel id was named: the second one makes the parcels units of their own."""
        if self._machine.is_terminal(order.stage):
            return
        if order.parcels is not None:
            if parcel not in order.parcels:
                self._add_parcels(order_id, order, (parcel,), _start(order), event, at)
        elif order.first_parcel is None:
            order.first_parcel = parcel
            order.before = _where(order)
        elif parcel != order.first_parcel:
            self._add_parcels(order_id, order, (order.first_parcel,), _where(order), event, at)
            self._add_parcels(order_id, order, (parcel,), _start(order), event, at)

    def _add_parcels(
        self, order_id: str, order: OrderState, names: tuple[str, ...], start: Parcel, event: Event, at: int
    ) -> None:
        """Parcels that are units of their own from here on, standing at ``start``."""
        parcels = order.parcels = order.parcels or {}
        for name in names:
            parcels[name] = Parcel(start.stage, start.entered_at, start.entered_by)
        if self._split_up:
            tell(self._split_up, OrderSplitUp(order_id, order, event, names), at)
        if start.stage is not None and start.stage != order.stage:
            self._tell_followed(self._follow_parcels(order_id, order, event, at, split=True), at)


def _where(order: OrderState) -> Parcel:
    """Where the order stands."""
    return Parcel(order.stage, order.entered_at, order.entered_by)


def _start(order: OrderState) -> Parcel:
    """Where a parcel starts that nobody announced: where the order stood before its parcels, or began."""
    before = order.before
    if (before is None or before.stage is None) and order.began is not None:
        return order.began
    return before or _where(order)
