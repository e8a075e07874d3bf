"""Signals that are known at the customer: behaviour that names no order, and repeated changes of address."""

from collections.abc import Iterator, Mapping
from typing import Any, ClassVar

from msgspec import Struct, field

from config.settings import Settings
from events.explanation import Look
from events.model import BehaviourChat, BehaviourSignal
from operators.heart.component import Context, Environment, Handler, StatefulComponent
from operators.heart.messages import AddressChange, CustomerBehaviour, CustomerOrder, Signal


class CustomerState(Struct, gc=False, array_like=True):
    """A customer's open orders in order of opening, and the times of recent changes of address."""

    open: list[str] = field(default_factory=list)
    changes: list[int] = field(default_factory=list)


class CustomerSignals(StatefulComponent[CustomerState]):
    """Hands behaviour on to each open order of its customer, and counts changes of address."""

    name: ClassVar[str] = "customer_signals"
    stage: ClassVar[str] = "entities"
    state_type: ClassVar[type[Any]] = CustomerState
    rules: ClassVar[frozenset[str]] = frozenset({"resonance"})

    def __init__(self, context: Context) -> None:
        super().__init__(context)
        self.configure(context.environment.settings)

    def configure(self, settings: Settings) -> None:
        """How many changes of address, and within which time."""
        own = settings.detectors.resonance
        self._changes = own.address_changes
        self._window = int(own.address_change_window)

    @classmethod
    def enabled(cls, environment: Environment) -> bool:
        """With ``resonance``."""
        return environment.settings.detectors.resonance.enabled

    def handlers(self) -> Mapping[type, Handler]:
        """Customers' orders, changes and behaviour."""
        return {
            CustomerOrder: self.on_order,
            AddressChange: self.on_address_change,
            BehaviourSignal: self.on_behaviour,
            BehaviourChat: self.on_behaviour,
        }

    def on_order(self, note: CustomerOrder, at: int) -> None:
        """Keep the list of open orders."""
        if note.what == "opened":
            self._state(note.key).open.append(note.order_id)
        elif note.what in ("cancelled", "closed"):
            state = self._state(note.key)
            if note.order_id in state.open:
                state.open.remove(note.order_id)
            self._drop_if_empty(note.key, state)

    def on_address_change(self, note: AddressChange, at: int) -> None:
        """From the configured number of changes within the closed window on, each one is a signal."""
        state = self._state(note.key)
        state.changes = [time for time in state.changes if time >= at - self._window]
        state.changes.append(at)
        if len(state.changes) >= self._changes:
            signal = Signal(at, f"entities:{note.key}", note.order_id, "address_changed", note.event_id)
            self.context.send("signals", signal)
        self.context.arm(note.key, at + self._window + 1)

    def on_behaviour(self, event: BehaviourSignal | BehaviourChat, at: int) -> None:
        """Behaviour that names only the customer counts for each of the customer's open orders."""
        key = f"customer:{event.customer_id}"
        state = self.states.get(key)
        for order_id in state.open if state is not None else ():
            self.context.send("signals", CustomerBehaviour(at, f"entities:{key}", order_id, event))

    def on_timer(self, key: str, due: int) -> None:
        """Old changes need not be kept; only memory depends on it."""
        state = self.states.get(key)
        if state is not None:
            state.changes = [time for time in state.changes if time >= due - self._window]
            if state.changes:
                self.context.arm(key, state.changes[0] + self._window + 1)
            self._drop_if_empty(key, state)

    def explain(self, key: str, at: int) -> Iterator[Look]:
        """How many changes of address are in the window."""
        state = self.states.get(key) or CustomerState()
        changes = sum(time >= at - self._window for time in state.changes)
        if changes:
            name, most = "address_changed", self._changes
            yield Look(rule="resonance", subject=name, value=changes, threshold=most, unit="times", condition=True)

    def _state(self, key: str) -> CustomerState:
        state = self.states.get(key)
        if state is None:
            state = self.states[key] = CustomerState()
        return state

    def _drop_if_empty(self, key: str, state: CustomerState) -> None:
        if not state.open and not state.changes:
            del self.states[key]
