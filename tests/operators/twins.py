"""Two walkers side by side, with components that do what a message asks for and write down what they hear."""

from collections.abc import Mapping, Sequence
from typing import Any, Final, Literal

import msgspec
import pytest
from msgspec import Struct

from config.loader import load_settings
from operators.heart.built import BUILT
from operators.heart.component import GROUP_KEY, Arm, Context, Environment, Handler, StatefulComponent
from operators.heart.keys import Key, by_field
from operators.heart.messages import Late
from operators.heart.walker import Heard, PlainWalker, Walker
from operators.heart.walkers import MakeWalker, compiled_walker

ENVIRONMENT: Final = Environment(load_settings(), 4)
DAY: Final = 86_400_000
SPAN: Final = 1 << 20  # ms: timers that are further ahead are not sorted yet
DROP, FAIL = -1_000, -1_001
Cells = Mapping[str, bytes | None]

needs_both = pytest.mark.skipif(not BUILT, reason="the compiled walker was not built here")


class Act(Struct, frozen=True):
    """What the component in ``slot`` does when it hears a message."""

    slot: int
    what: Literal["say", "drop", "arm", "plan", "fail"]
    number: int = 0


class Happened(Struct, frozen=True):
    """An event."""

    id: str
    source: str
    time: int
    subject: Any
    acts: tuple[Act, ...] = ()


class OfField(Happened, frozen=True):
    """Its key is a field."""


class OfCard(Happened, frozen=True):
    """Its key is a field behind a prefix."""

    amount: int = 0


class OfWords(Happened, frozen=True):
    """Its key is made in another way."""


class Noted(Struct):
    """A note."""

    time: int
    origin: str
    key: str
    acts: tuple[Act, ...] = ()


class Unheard(Noted):
    """A note that nobody wants to hear; it touches its key all the same."""


KEYS: Final[Mapping[type, Key]] = {
    OfField: by_field("subject"),
    OfCard: by_field("subject", "card"),
    OfWords: Key(lambda event: "/".join((event.subject, event.source))),
}


class FailedError(Exception):
    """What a component raises here."""


class Memory(Struct):
    """What a component remembers of a key; ``plan``: what it does at its next timers."""

    said: list[int]
    plan: list[int]


class Part(StatefulComponent[Memory]):
    """Does what messages tell it to do, and logs what it hears."""

    name = "part"
    stage = "orders"
    state_type = Memory

    def __init__(self, slot: int, log: list[Any]) -> None:
        super().__init__(Context(ENVIRONMENT, "orders"))
        self.slot = slot
        self.log = log
        self.arms: list[Arm] = []

    def handlers(self) -> Mapping[type, Handler]:
        return {}

    def hear(self, message: Any, at: int) -> None:
        """An event or a note."""
        self.log.append(("heard", self.slot, message, at))
        key = message.key if isinstance(message, Noted) else KEYS[type(message)].of(message)
        for act in message.acts:
            if act.slot == self.slot:
                self._do(act, key, at)

    def _do(self, act: Act, key: str, at: int) -> None:
        match act.what:
            case "say":
                self._memory(key).said.append(act.number)
            case "plan":
                self._memory(key).plan.append(act.number)
            case "drop":
                self.states.pop(key, None)
            case "arm":
                self.context.arm(key, at + act.number)
            case "fail":
                raise FailedError(key, at)

    def _memory(self, key: str) -> Memory:
        return self.states.setdefault(key, Memory([], []))

    def on_timer(self, key: str, due: int) -> None:
        """It does what it has planned."""
        self.log.append(("woken", self.slot, key, due))
        memory = self.states.get(key)
        if memory is None or not memory.plan:
            return
        ahead = memory.plan.pop(0)
        if ahead == DROP:
            del self.states[key]
        elif ahead == FAIL:
            raise FailedError(key, due)
        else:
            self.arms[ahead % 2](key, due + ahead)  # its own timer, or that of the other component


class Counter(Part):
    """Counts over all keys of the group."""

    per_group = True

    def hear(self, message: Any, at: int) -> None:
        """It wants to be woken at the end of the second."""
        super().hear(message, at)
        self._memory(GROUP_KEY).said.append(at % 10)
        self.context.arm(GROUP_KEY, at // 1_000 * 1_000 + 1_000)


class Twin:
    """A walker, its components, and what they were told."""

    def __init__(self, make: MakeWalker, live_limit: int = 1_000, horizon: int = 1_000, *, group: bool = False) -> None:
        self.log: list[Any] = []
        kinds = (Part, Counter) if group else (Part, Part)
        self.parts = [kind(slot, self.log) for slot, kind in enumerate(kinds)]
        self.walker: Walker = make(self.parts, live_limit, horizon)
        for slot, part in enumerate(self.parts):
            part.context.arm = self.walker.armer(slot)
        for part in self.parts:
            part.arms = [part.context.arm for part in self.parts]
        self.hear(*(part.hear for part in self.parts))

    def hear(self, *handlers: Handler) -> None:
        """From now on these are called."""
        events = {kind: (key, handlers) for kind, key in KEYS.items()}
        self.walker.hear(Heard(events, {Noted: handlers, Unheard: ()}, self._say_late))

    def _say_late(self, event: Any, at: int) -> None:
        self.log.append(("late", event, at))

    def walked(self, ready: Sequence[Any], watermark: int) -> Any:
        """What came of a walk, and what was called."""
        self.log.clear()
        try:
            counted: Any = self.walker.walk(list(ready), watermark)
        except FailedError as failure:
            counted = failure.args
        return counted, self.log

    def states(self) -> list[list[tuple[str, Memory]]]:
        """Of the live keys, in the order in which they came to life."""
        return [list(part.states.items()) for part in self.parts]


def plainly(cells: Cells) -> dict[str, Any]:
    """What the cells say. Of a set of ids the order says nothing."""
    return {key: None if cell is None else (cell[:8], _sorted(cell[8:])) for key, cell in cells.items()}


def _sorted(content: bytes) -> Any:
    (until, *ids), *rest = msgspec.msgpack.decode(content)
    return [until, *(sorted(part) if isinstance(part, list) else part for part in ids)], *rest


def late(time: int, event: Any) -> Late:
    """An event that comes late."""
    return Late(time, event)


def both(**options: Any) -> tuple[Twin, Twin]:
    """The two walkers."""
    return Twin(PlainWalker, **options), Twin(compiled_walker, **options)


def walked(twins: tuple[Twin, Twin], ready: Sequence[Any], watermark: int) -> Any:
    """What came of a walk, and what was called: the same for both."""
    plain, compiled = (twin.walked(ready, watermark) for twin in twins)
    assert compiled == plain
    return plain


def events_of(subject: str, count: int, time: int, *, first: int = 0) -> list[Happened]:
    """Events of one key at one time."""
    return [OfField(str(number), "oms", time, subject) for number in range(first, first + count)]


def acted(subject: str, time: int, *acts: Act, number: str = "1") -> OfField:
    """An event upon which components do something."""
    return OfField(number, "oms", time, subject, acts)


def nobody(_event: Any, _at: int) -> None:
    """Hears, and does nothing."""
