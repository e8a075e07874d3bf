"""The yardstick: four detectors as one plain loop over events in time order, and nothing else.

It has what a first version has: dicts, a heap of deadlines, an output file. It trusts its input: no late events, no
duplicates, no bad records, no parcels, no moves that the stage chain does not allow. It numbers no steps, renders no
texts, keeps no evidence, cannot be snapshotted or run in parallel.
"""

import heapq
import unicodedata
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from operator import attrgetter
from pathlib import Path
from typing import Any, Protocol

import msgspec
from msgspec import UNSET

from config.settings import Settings
from events.model import (
    AnyEvent,
    BehaviourChat,
    BehaviourSignal,
    Event,
    LogisticsScan,
    OrderChanged,
    OrderCreated,
    OrderStage,
    PaymentFailed,
    PaymentSucceeded,
    WaybillPrinted,
)
from events.normal_form import address_key, risk_key


@dataclass(slots=True)
class Order:
    customer: str | None
    amount: int
    card: str
    address: str
    warehouse: str | None
    stage: str = ""
    breached: bool = False
    deadline: int = 0


@dataclass(slots=True)
class Card:
    uses: dict[str, tuple[int, int]] = field(default_factory=dict)  # order -> latest use: time, amount; oldest first
    bursts: dict[int | None, set[str]] = field(default_factory=dict)  # amount, None for any -> orders named


@dataclass(slots=True)
class Group:
    orders: list[str]
    last_joined: int
    open: bool = False


@dataclass(slots=True)
class Signs:
    signs: list[tuple[int, int]] = field(default_factory=list)  # time, weight
    total: int = 0
    level: str = ""
    device: str | None = None
    paid_at: int | None = None
    failures: list[int] = field(default_factory=list)
    closed: bool = False


def read_in_order(directory: Path) -> Iterator[Event]:
    """The events of all partitions, merged by time."""
    decode = msgspec.json.Decoder(AnyEvent).decode
    return heapq.merge(*(map(decode, path.open("rb")) for path in sorted(directory.iterdir())), key=attrgetter("time"))


class Out(Protocol):
    """Where alerts go: a file, or what is like one."""

    def write(self, line: bytes, /) -> object:
        """One alert, with its line feed."""
        ...


class PlainLoop:
    """State of all four detectors, and what happens at each kind of event."""

    def __init__(self, settings: Settings, out: Out) -> None:
        self.stages, self.flow, self.detectors = settings.stages, settings.flow, settings.detectors
        factor = self.detectors.stage_timeout.factor
        self.limits = {name: s.norm * factor // 1000 for name, s in self.stages.items() if s.norm and not s.terminal}
        rules = self.detectors.resonance
        self.words = {
            "urgency_words": [_folded(word) for word in rules.urgency_words],
            "rating_threat": [_folded(word) for word in rules.rating_threat_words],
        }
        self.out = out
        self.timers: list[tuple[int, int, Any, Callable[[Any, int], None]]] = []
        self.armed = 0
        self.orders: dict[str, Order] = {}
        self.cards: dict[str, Card] = {}
        self.groups: dict[tuple[str, str], Group] = {}
        self.group_of: dict[str, tuple[str, str]] = {}
        self.signs: dict[str, Signs] = {}
        self.open_orders: dict[str, list[str]] = {}
        self.address_changes: dict[str, list[int]] = {}
        self.prints: dict[str, list[int]] = {}

    def run(self, events: Iterable[Event]) -> int:
        """Apply all events, with the deadlines between them; returns how many there were."""
        on: dict[type[Event], Callable[[Any], None]] = {
            OrderCreated: self.created,
            PaymentSucceeded: self.paid,
            PaymentFailed: self.refused,
            OrderStage: self.staged,
            OrderChanged: self.changed,
            LogisticsScan: self.scanned,
            WaybillPrinted: self.printed,
            BehaviourSignal: self.signal,
            BehaviourChat: self.chat,
        }
        count = now = 0
        for event in events:
            count += 1
            now = event.time
            self.fire(now)
            handle = on.get(type(event))
            if handle is not None:
                handle(event)
        self.fire(now + 1)
        return count

    def fire(self, now: int) -> None:
        timers = self.timers
        while timers and timers[0][0] <= now:
            due, _, key, wake = heapq.heappop(timers)
            wake(key, due)

    def arm(self, due: int, key: Any, wake: Callable[[Any, int], None]) -> None:
        self.armed += 1  # keeps the heap from comparing functions
        heapq.heappush(self.timers, (due, self.armed, key, wake))

    def alert(
        self, rule: str, step: str, entity: str, time: int, level: str, reason: str, orders: Iterable[str]
    ) -> None:
        line = {"rule": rule, "step": step, "entity_id": entity, "time": time, "level": level}
        self.out.write(msgspec.json.encode(line | {"reason": reason, "orders": list(orders)}) + b"\n")

    # Events.

    def created(self, event: OrderCreated) -> None:
        name = event.order_id
        order = self.orders[name] = Order(
            customer=event.customer_id,
            amount=event.amount,
            card=risk_key("card", event.card, b"") if event.card else "",
            address=event.address_key or (address_key(event.address, b"") if event.address else ""),
            warehouse=event.warehouse_id,
        )
        self.use_card(name, order, event.time)
        self.join(name, order, event.time)
        if order.customer is not None:
            self.open_orders.setdefault(order.customer, []).append(name)
        signs = self.signs.setdefault(name, Signs())
        signs.device = event.device or signs.device
        self.move(name, order, self.flow.initial, event.time)

    def paid(self, event: PaymentSucceeded) -> None:
        order = self.orders[event.order_id]
        if event.card:
            order.card = risk_key("card", event.card, b"")
        self.use_card(event.order_id, order, event.time)
        self.signs.setdefault(event.order_id, Signs()).paid_at = event.time
        self.move(event.order_id, order, self.flow.payment_stage, event.time)

    def staged(self, event: OrderStage) -> None:
        self.move(event.order_id, self.orders[event.order_id], event.stage, event.time)

    def scanned(self, event: LogisticsScan) -> None:
        if event.scan in self.flow.exception_scans:
            self.add_signs(event.order_id, ["courier_exception"], event.time)
        target = self.flow.scans.get(event.scan)
        if target is not None:
            self.move(event.order_id, self.orders[event.order_id], target, event.time)

    def changed(self, event: OrderChanged) -> None:
        name, order, fields, now = event.order_id, self.orders[event.order_id], event.fields, event.time
        if fields.warehouse_id is not UNSET:
            order.warehouse = fields.warehouse_id
        if fields.address is UNSET and fields.address_key is UNSET:
            return
        before = order.address
        if fields.address_key is not UNSET:
            order.address = fields.address_key
        elif fields.address is not UNSET:
            order.address = address_key(fields.address, b"")
        if order.address != before and self.leave(name, "address_changed", now):
            self.join(name, order, now)
        if event.customer_id is not None:
            oldest = now - self.detectors.resonance.address_change_window
            changes = [time for time in self.address_changes.get(event.customer_id, ()) if time >= oldest]
            self.address_changes[event.customer_id] = [*changes, now]
            if len(changes) + 1 >= self.detectors.resonance.address_changes:
                self.add_signs(name, ["address_changed"], now)

    def printed(self, event: WaybillPrinted) -> None:
        rules = self.detectors.resonance
        warehouse = event.warehouse_id or self.orders[event.order_id].warehouse
        if warehouse is None:
            return
        prints = self.prints.setdefault(warehouse, [])
        if len(prints) == rules.print_sample:
            mean_of_all = sum(prints) * (100 + rules.print_slower_percent)
            if event.duration_ms * 100 * rules.print_sample >= mean_of_all:
                self.add_signs(event.order_id, ["waybill_slow"], event.time)
            del prints[0]
        prints.append(event.duration_ms)

    def refused(self, event: PaymentFailed) -> None:
        rules, signs = self.detectors.resonance, self.signs.setdefault(event.order_id, Signs())
        signs.failures = [*(time for time in signs.failures if time >= event.time - rules.window), event.time]
        if len(signs.failures) >= rules.payment_failures:
            self.add_signs(event.order_id, ["payment_failures"], event.time)

    def signal(self, event: BehaviourSignal) -> None:
        for name in self.concerned(event):
            found = []
            if event.device is not None:
                signs = self.signs.setdefault(name, Signs())
                if signs.device is not None and signs.device != event.device:
                    found.append("device_change")
                signs.device = event.device
            if event.signal in self.detectors.resonance.weights and self.counts(event):
                found.append(event.signal)
            if found:
                self.add_signs(name, found, event.time)

    def chat(self, event: BehaviourChat) -> None:
        for name in self.concerned(event):
            text = _folded(event.text)
            found = [signal for signal, words in self.words.items() if any(word in text for word in words)]
            paid_at = self.signs[name].paid_at if name in self.signs else None
            if paid_at is not None and event.time - paid_at <= self.detectors.resonance.chat_after_payment:
                found.append("service_chat")
            if found:
                self.add_signs(name, found, event.time)

    def concerned(self, event: BehaviourSignal | BehaviourChat) -> Iterable[str]:
        """The order that behaviour names, else its customer's open orders."""
        if event.order_id is not None:
            return (event.order_id,)
        return self.open_orders.get(event.customer_id or "", ())

    def counts(self, event: BehaviourSignal) -> bool:
        rules = self.detectors.resonance
        least, most = rules.min_values.get(event.signal), rules.max_values.get(event.signal)
        if event.value is None or (least is None and most is None):
            return True
        return (least is not None and event.value >= least) or (most is not None and event.value <= most)

    # stage_timeout

    def move(self, name: str, order: Order, target: str, now: int) -> None:
        if order.stage and target not in self.stages[order.stage].next and target not in self.flow.from_any:
            return
        before, after = self.stages.get(order.stage), self.stages[target]
        if order.breached:
            late = after.paid and before is not None and not before.paid
            reason = "cancelled" if after.cancels else "paid_late" if late else "moved_on"
            self.alert("stage_timeout", "resolved", name, now, "breach", reason, [name])
        order.stage, order.breached = target, False
        limit = self.limits.get(target)
        order.deadline = 0 if limit is None else now + limit
        if limit is not None:
            self.arm(order.deadline + 1, name, self.breach)
        if after.shipped and before is not None and not before.shipped:
            self.leave(name, "shipped", now)
        if after.terminal:
            self.close(name, order, "cancelled" if after.cancels else "closed", now)

    def breach(self, name: str, due: int) -> None:
        order = self.orders[name]
        if order.deadline == due - 1:
            order.breached = True
            self.alert("stage_timeout", "opened", name, due - 1, "breach", "limit_exceeded", [name])

    def close(self, name: str, order: Order, reason: str, now: int) -> None:
        self.leave(name, reason, now)
        if order.customer is not None:
            self.open_orders[order.customer].remove(name)
        signs = self.signs.pop(name, None)
        if signs is not None and signs.level:
            self.alert("resonance", "resolved", name, now, signs.level, "closed", [name])
        self.signs[name] = Signs(closed=True)

    # card_burst

    def use_card(self, name: str, order: Order, now: int) -> None:
        if not order.card:
            return
        card = self.cards.setdefault(order.card, Card())
        card.uses.pop(name, None)
        card.uses[name] = (now, order.amount)
        self.judge_burst(order.card, card, name, None, now)
        if order.amount > 0:
            self.judge_burst(order.card, card, name, order.amount, now)

    def judge_burst(self, key: str, card: Card, name: str, amount: int | None, now: int) -> None:
        named = card.bursts.get(amount)
        level = "burst" if amount is None else "same_amount"
        if named is not None:
            if name not in named:
                named.add(name)
                self.alert("card_burst", "updated", key, now, level, "joined", named)
            return
        ends = self.burst_ends(card, amount)
        if ends > now:
            window = self.burst_limit(amount)[1]
            named = card.bursts[amount] = {
                order for order, (time, of) in card.uses.items() if time >= now - window and amount in (None, of)
            }
            self.alert("card_burst", "opened", key, now, level, "completed", named)
            self.arm(ends, key, self.end_bursts)

    def end_bursts(self, key: str, due: int) -> None:
        card = self.cards[key]
        for amount, named in list(card.bursts.items()):
            ends = self.burst_ends(card, amount)
            if ends > due:
                self.arm(ends, key, self.end_bursts)
            else:
                del card.bursts[amount]
                level = "burst" if amount is None else "same_amount"
                self.alert("card_burst", "resolved", key, due, level, "window_passed", named)

    def burst_ends(self, card: Card, amount: int | None) -> int:
        count, window = self.burst_limit(amount)
        times = [time for time, of in card.uses.values() if amount in (None, of)]
        return times[-count] + window + 1 if len(times) >= count else 0

    def burst_limit(self, amount: int | None) -> tuple[int, int]:
        rules = self.detectors.card_burst
        limit = rules.any_amount if amount is None else rules.same_amount
        assert limit is not None, "both variants are measured"
        return limit.count, limit.window

    # merge_candidate

    def join(self, name: str, order: Order, now: int) -> None:
        if order.customer is None or not order.address:
            return
        key = (order.customer, order.address)
        self.group_of[name] = key
        self.arm(now + self.detectors.merge_candidate.window + 1, key, self.close_window)
        group = self.groups.get(key)
        if group is None:
            self.groups[key] = Group([name], now)
            return
        group.orders.append(name)
        group.last_joined = now
        self.alert(
            "merge_candidate", "updated" if group.open else "opened", key[0], now, "candidate", "joined", group.orders
        )
        group.open = True

    def leave(self, name: str, reason: str, now: int) -> bool:
        key = self.group_of.pop(name, None)
        if key is None:
            return False
        group = self.groups[key]
        if group.open and len(group.orders) < 3:
            self.alert("merge_candidate", "resolved", key[0], now, "candidate", reason, group.orders)
            group.open = False
        group.orders.remove(name)
        if group.open:
            self.alert("merge_candidate", "updated", key[0], now, "candidate", reason, group.orders)
        if not group.orders:
            del self.groups[key]
        return True

    def close_window(self, key: tuple[str, str], due: int) -> None:
        group = self.groups.get(key)
        if group is None or group.last_joined + self.detectors.merge_candidate.window + 1 > due:
            return
        if group.open:
            self.alert("merge_candidate", "resolved", key[0], due - 1, "candidate", "window_closed", group.orders)
        for order in group.orders:
            del self.group_of[order]
        del self.groups[key]

    # resonance

    def add_signs(self, name: str, found: list[str], now: int) -> None:
        signs = self.signs.setdefault(name, Signs())
        if signs.closed:
            return
        if not signs.level:
            self.forget(signs, now)
        for signal in found:
            weight = self.detectors.resonance.weights.get(signal, 0)
            if weight:
                signs.signs.append((now, weight))
                signs.total += weight
        self.judge_signs(name, signs, now)

    def wake_signs(self, name: str, due: int) -> None:
        signs = self.signs[name]
        if signs.level:
            self.forget(signs, due)
            self.judge_signs(name, signs, due)

    def judge_signs(self, name: str, signs: Signs, now: int) -> None:
        rules, before = self.detectors.resonance, signs.level
        level = "lock" if signs.total >= rules.lock else "orange" if signs.total >= rules.orange else ""
        if level != before:
            step = "opened" if not before else "updated" if level else "resolved"
            self.alert("resonance", step, name, now, level or before, "sum_changed", [name])
            signs.level = level
        if level:
            self.arm(signs.signs[0][0] + rules.window + 1, name, self.wake_signs)

    def forget(self, signs: Signs, now: int) -> None:
        oldest = now - self.detectors.resonance.window
        while signs.signs and signs.signs[0][0] < oldest:
            signs.total -= signs.signs.pop(0)[1]


def _folded(text: str) -> str:
    return unicodedata.normalize("NFKC", text).casefold()
