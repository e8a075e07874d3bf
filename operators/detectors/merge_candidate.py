"""``merge_candidate``: orders of one customer to one address that could ship together."""

from collections.abc import Iterator, Mapping
from typing import Any, ClassVar

from msgspec import Struct, field

from config.settings import Settings
from events.explanation import Look
from events.records import Step
from operators.heart.component import Alerts, Context, Environment, Handler, StatefulComponent
from operators.heart.messages import CustomerOrder


class Group(Struct, gc=False, array_like=True):
    """Orders that may ship together, in order of joining. ``opened_at`` is 0 while there is no alert;
    ``opened_by`` is the event that opened it, ``event_id`` the latest.
    """

    orders: list[str]
    last_joined: int
    opened_at: int = 0
    opened_by: str = ""
    event_id: str = ""


class Customer(Struct, gc=False, array_like=True):
    """A customer's groups by address key, and the address of each order that is in one."""

    groups: dict[str, Group] = field(default_factory=dict)
    address_of: dict[str, str] = field(default_factory=dict)


class MergeCandidate(StatefulComponent[Customer]):
    """Groups of unshipped orders per customer and address; see docs/rules.md."""

    name: ClassVar[str] = "merge_candidate"
    stage: ClassVar[str] = "entities"
    state_type: ClassVar[type[Any]] = Customer
    rules: ClassVar[frozenset[str]] = frozenset({"merge_candidate"})

    def __init__(self, context: Context) -> None:
        super().__init__(context)
        self.configure(context.environment.settings)

    def configure(self, settings: Settings) -> None:
        """The window of all groups, also of those that are there."""
        own = settings.detectors.merge_candidate
        self._alerts = Alerts(self.context, self.name, own.version)
        self._window = int(own.window)

    @classmethod
    def enabled(cls, environment: Environment) -> bool:
        """As its settings say."""
        return environment.settings.detectors.merge_candidate.enabled

    def handlers(self) -> Mapping[type, Handler]:
        """What becomes of a customer's orders."""
        return {CustomerOrder: self.on_order}

    def on_order(self, note: CustomerOrder, at: int) -> None:
        """An order opens, gets another address, ships or ends."""
        if note.what == "opened":
            self._join(note, at)
        elif note.what == "readdressed":
            if self._leave(note, "address_changed", at):
                self._join(note, at)
        else:
            self._leave(note, note.what, at)

    def on_timer(self, key: str, due: int) -> None:
        """The window of a group has passed."""
        customer = self.states.get(key)
        if customer is None:
            return
        for address, group in list(customer.groups.items()):
            ends = group.last_joined + self._window + 1
            if ends > due:
                self.context.arm(key, ends)
                continue
            if group.opened_at:
                self._send(key, address, group, "resolved", due - 1, "window_closed")
            self._drop(customer, address, group)
        if not customer.groups and not customer.address_of:
            del self.states[key]

    def explain(self, key: str, at: int) -> Iterator[Look]:
        """How many orders are in each group of a customer."""
        customer = self.states.get(key) or Customer()
        for address, group in customer.groups.items():
            yield Look(
                rule=self.name,
                subject=address,
                value=len(group.orders),
                threshold=2,
                unit="orders",
                due=group.last_joined + self._window + 1,
                orders=tuple(group.orders),
            )

    def _join(self, note: CustomerOrder, at: int) -> None:
        if not note.address:
            return
        customer = self.states.get(note.key)
        if customer is None:
            customer = self.states[note.key] = Customer()
        group = customer.groups.get(note.address)
        customer.address_of[note.order_id] = note.address
        if group is None:
            customer.groups[note.address] = Group([note.order_id], at)
            self.context.arm(note.key, at + self._window + 1)
            return
        group.orders.append(note.order_id)
        group.last_joined = at
        group.event_id = note.event_id
        if group.opened_at:
            self._send(note.key, note.address, group, "updated", at, "joined")
        elif len(group.orders) > 1:
            group.opened_at, group.opened_by = at, note.event_id
            self._send(note.key, note.address, group, "opened", at, "joined")

    def _leave(self, note: CustomerOrder, reason: str, at: int) -> bool:
        """Take an order out of its group; whether it was in one."""
        customer = self.states.get(note.key)
        address = customer.address_of.pop(note.order_id, None) if customer is not None else None
        if customer is None or address is None:
            return False
        group = customer.groups[address]
        group.event_id = note.event_id
        ends = len(group.orders) < 3
        if group.opened_at and ends:
            self._send(note.key, address, group, "resolved", at, reason)
            group.opened_at = 0
        group.orders.remove(note.order_id)
        if group.opened_at:
            self._send(note.key, address, group, "updated", at, reason)
        if not group.orders:
            del customer.groups[address]
        return True

    def _drop(self, customer: Customer, address: str, group: Group) -> None:
        del customer.groups[address]
        for order in group.orders:
            customer.address_of.pop(order, None)

    def _send(self, key: str, address: str, group: Group, step: Step, at: int, reason: str) -> None:
        self._alerts.step(
            step,
            at,
            origin=key,
            entity=("customer", key.removeprefix("customer:")),
            opened_at=group.opened_at,
            severity="info",
            level="candidate",
            reason=reason,
            orders=tuple(group.orders),
            evidence={
                "address_key": address,
                "count": len(group.orders),
                "last_joined": group.last_joined,
                "window_ms": self._window,
                "event_id": group.event_id,
            },
            variant=f"{address}/{group.opened_by}",  # a group can open twice in a millisecond
        )
