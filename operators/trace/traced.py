"""The same key groups and components, with somebody who writes down what they do."""

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any

from msgspec.structs import replace

from config.settings import Settings
from operators.heart.component import GROUP_KEY, Component, Context, Environment, Handler
from operators.heart.duplicates import Duplicates, Ids
from operators.heart.key_group import KeyGroup
from operators.heart.keys import Key, KeyOf
from operators.heart.lateness import BEFORE_TIME
from operators.heart.messages import AnyNote
from operators.heart.walker import Heard, PlainWalker
from operators.topology import Topology
from operators.trace.trace import Trace


class TracedTopology(Topology, frozen=True, kw_only=True):
    """A topology whose key groups write down what they do about an order."""

    trace: Trace

    def key_group(self, stage: str, make: Callable[..., KeyGroup] | None = None) -> KeyGroup:
        """A new key group of a stage, watched."""
        return super().key_group(stage, make or partial(TracedKeyGroup, trace=self.trace))


def traced(plan: Topology, trace: Trace) -> TracedTopology:
    """A topology like another one, watched."""
    return TracedTopology(**{name: getattr(plan, name) for name in plan.__struct_fields__}, trace=trace)


class TracedContext(Context):
    """Tells what a component sends."""

    def __init__(self, environment: Environment, stage: str, trace: Trace) -> None:
        super().__init__(environment, stage)
        self._trace = trace

    def send(self, stage: str, note: AnyNote) -> None:
        """Send a note."""
        self._trace.sent(stage, note)
        super().send(stage, note)


class TracedDuplicates(Duplicates):
    """Tells of the events that are applied, and of those that are not."""

    def __init__(self, horizon: int, trace: Trace) -> None:
        super().__init__(horizon)
        self._trace = trace

    def seen(self, ids: Ids, source: str, event_id: str, at: int) -> bool:
        """Whether the event was seen before."""
        found = super().seen(ids, source, event_id, at)
        if self._trace.active:
            self._trace.seen(at, duplicate=found)
        return found


class TracedKeyGroup(KeyGroup):
    """Hands every handler, timer and note of the components through a trace. What comes of them stays the same."""

    def __init__(
        self,
        stage: str,
        components: Sequence[type[Component]],
        environment: Environment,
        *rest: Any,
        trace: Trace,
        **more: Any,
    ) -> None:
        self._stage, self._trace = stage, trace
        self._walked = BEFORE_TIME
        super().__init__(stage, components, environment, *rest, **more)
        trace.versions.update(self._rules.versions().items())
        for slot, part in enumerate(self._stateful):
            part.context.arm = partial(self._arm, slot)
            setattr(part, "on_timer", partial(self._wake, part, part.on_timer))  # noqa: B010 - instead of the method

    def _made_walker(self, environment: Environment) -> PlainWalker:
        horizon = int(environment.settings.time.duplicate_horizon)
        watched = TracedDuplicates(horizon, self._trace)
        walker = PlainWalker(self._stateful, environment.live_cells, horizon, watched)
        self._cells = walker.cells
        return walker

    def _hear(self, heard: Heard) -> None:
        events = {kind: (Key(self._entering(key.of)), hearers) for kind, (key, hearers) in heard.events.items()}
        super()._hear(replace(heard, events=events))

    def stands(self, at: int) -> None:
        """Have the trace told how things stand with the watched keys of this group, once all is read."""
        for key in sorted(self._trace.watched[self._stage]):
            self._cells.touch(key)
            for component in self._components:
                self._trace.stands(component, key, at)

    def _context(self, environment: Environment, stage: str) -> Context:
        return TracedContext(environment, stage, self._trace)

    def _handlers_of(self, component: Component) -> Mapping[type, Handler]:
        return {kind: self._hearing(component, kind, handler) for kind, handler in component.handlers().items()}

    def _hearing(self, component: Component, kind: type, handler: Handler) -> Handler:
        stage, trace = self._stage, self._trace

        def hear(message: Any, at: int) -> None:
            if trace.active:
                trace.handled(component, handler, message, at)
            else:
                handler(message, at)

        def hear_note(message: Any, at: int) -> None:
            trace.enter(stage, message.key)
            hear(message, at)

        return hear_note if issubclass(kind, AnyNote) else hear

    def _entering(self, key_of: KeyOf) -> KeyOf:
        stage, trace, copies = self._stage, self._trace, self._copies

        def enter(event: Any) -> str:
            key = key_of(event)
            trace.enter_event(stage, key, event, copies=copies)
            return key

        return enter

    def _arm(self, slot: int, key: str, due: int) -> None:
        before = self._due(slot, key)
        self._cells.arm(slot, key, due)
        if self._trace.active and self._due(slot, key) != before:
            self._trace.armed(self._stateful[slot].name, due)

    def _due(self, slot: int, key: str) -> int:
        dues = self._cells.live[key].dues
        return 0 if dues is None else dues[slot]

    def _wake(self, component: Component, wake: Handler, key: str, due: int) -> None:
        self._trace.enter(self._stage, key)
        if self._trace.active:
            self._trace.fired(component, wake, due)
        else:
            wake(key, due)

    def _walk(self, ready: list[Any], watermark: int) -> None:
        super()._walk(ready, watermark)
        self._walked = watermark
        self._trace.enter(self._stage, GROUP_KEY)

    def _configure(self, settings: Settings, rules: frozenset[str]) -> None:
        super()._configure(settings, rules)
        self._trace.ruled(self._walked + 1, self._stage, self._rules.versions())
