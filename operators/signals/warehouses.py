"""``waybill_slow``: a waybill that printed much slower than its warehouse usually prints."""

from collections.abc import Iterator, Mapping
from typing import Any, ClassVar

from msgspec import Struct, field

from config.settings import Settings
from events.explanation import Look
from operators.heart.component import Context, Environment, Handler, StatefulComponent
from operators.heart.messages import Print, Signal


class Prints(Struct, gc=False, array_like=True):
    """The durations (ms) of a warehouse's latest prints, oldest first, and their sum."""

    durations: list[int] = field(default_factory=list)
    total: int = 0


class WarehousePrints(StatefulComponent[Prints]):
    """Compares each print with the mean of the ``print_sample`` prints before it; all in integers."""

    name: ClassVar[str] = "warehouse_prints"
    stage: ClassVar[str] = "entities"
    state_type: ClassVar[type[Any]] = Prints
    rules: ClassVar[frozenset[str]] = frozenset({"resonance"})

    def __init__(self, context: Context) -> None:
        super().__init__(context)
        self.configure(context.environment.settings)

    def configure(self, settings: Settings) -> None:
        """How many prints make the mean, and what is slow."""
        own = settings.detectors.resonance
        self._sample = own.print_sample
        self._percent = 100 + own.print_slower_percent

    @classmethod
    def enabled(cls, environment: Environment) -> bool:
        """With ``resonance``."""
        return environment.settings.detectors.resonance.enabled

    def handlers(self) -> Mapping[type, Handler]:
        """Prints."""
        return {Print: self.on_print}

    def on_print(self, note: Print, at: int) -> None:
        """One more print of a warehouse."""
        state = self.states.get(note.key)
        if state is None:
            state = self.states[note.key] = Prints()
        while len(state.durations) > self._sample:  # another rule had a larger sample
            state.total -= state.durations.pop(0)
        if len(state.durations) == self._sample:
            if note.duration * 100 * self._sample >= state.total * self._percent:
                signal = Signal(at, f"entities:{note.key}", note.order_id, "waybill_slow", note.event_id)
                self.context.send("signals", signal)
            state.total -= state.durations.pop(0)
        state.durations.append(note.duration)
        state.total += note.duration

    def explain(self, key: str, at: int) -> Iterator[Look]:
        """Whether there are enough prints to compare one with; without them none is slow."""
        state = self.states.get(key) or Prints()
        if state.durations and len(state.durations) < self._sample:
            name, prints, most = "waybill_sample", len(state.durations), self._sample
            yield Look(rule="resonance", subject=name, value=prints, threshold=most, unit="times", condition=True)
