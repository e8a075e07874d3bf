"""What a detector, and every other part of a stage, is made of: settings, logic, snapshot."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, ClassVar, Final, Generic, TypeVar

from msgspec import Struct

from config.settings import Settings
from events.explanation import Look
from events.records import Record, Severity, Step
from operators.heart.built import BUILT
from operators.heart.inputs import GroupOutput
from operators.heart.messages import AlertStep, AnyNote, HoldWanted
from operators.heart.router import key_group

if BUILT:
    from operators.heart._compiled import post

GROUP_KEY: Final = ""
"""The key of what a component remembers of its whole key group; no event and no note has it."""
Handler = Callable[[Any, int], None]
Arm = Callable[[str, int], None]


class Environment(Struct, frozen=True):
    """What all components of a run share.

    ``groups`` counts the key groups of a stage; of each group at most about ``live_cells`` keys are kept as objects.
    ``compiled``: the compiled part of the heart is used where it was built.
    """

    settings: Settings
    groups: int
    hash_key: bytes = b""
    read_model: bool = False
    live_cells: int = 512
    compiled: bool = True

    @property
    def uses_compiled(self) -> bool:
        """Whether the run uses the compiled part."""
        return BUILT and self.compiled


class Context:
    """A component's way to the rest: timers, notes to other stages, facts for its own stage, records."""

    arm: Arm
    """``arm(key, due)``: wake this component for ``key``, which is the one being handled, before anything that happens
    at ``due`` or later. The earliest moment that was asked for counts. Only a stateful component has it."""

    def __init__(self, environment: Environment, stage: str) -> None:
        self.environment = environment
        self.stage = stage
        self.muted: Mapping[str, Sequence[tuple[int, int]]] = {}
        """Rule -> from when until before when (event time, ms) documents had switched it off."""
        self.subscribers: Mapping[type, tuple[Handler, ...]] = {}
        self.output = GroupOutput(0)
        self._groups = environment.groups
        self._compiled = environment.uses_compiled

    def subscribed(self, fact: type) -> tuple[Handler, ...]:
        """Who wants facts of a type; whoever publishes them asks once, and calls these for each fact."""
        return self.subscribers.get(fact, ())

    def send(self, stage: str, note: AnyNote) -> None:
        """Send a note to ``note.key`` in another stage."""
        if self._compiled:
            post(self.output.notes, stage, note, self._groups)
            return
        groups = self.output.notes.get(stage)
        if groups is None:
            groups = self.output.notes[stage] = {}
        group = key_group(note.key, self._groups)
        notes = groups.get(group)
        if notes is None:
            groups[group] = [note]
        else:
            notes.append(note)

    def emit(self, record: Record) -> None:
        """Write a record."""
        self.output.records.append(record)


def tell(hearers: tuple[Handler, ...], fact: object, at: int) -> None:
    """Publish a fact to those who want it, at once."""
    for hear in hearers:
        hear(fact, at)


class Component:
    """One part of a stage.

    ``name`` is unique, ``stage`` says where it lives. ``handlers`` maps the types it wants (events, notes, facts of its
    stage) to its methods ``(message, at) -> None``; ``at`` is the event time. One that remembers anything of a key is a
    ``StatefulComponent``. ``rules`` names the rules, or the kinds of rules, whose documents concern it.
    """

    name: ClassVar[str]
    stage: ClassVar[str]
    rules: ClassVar[frozenset[str]] = frozenset()

    def __init__(self, context: Context) -> None:
        self.context = context

    @classmethod
    def enabled(cls, environment: Environment) -> bool:
        """Whether the settings want it; a component that is not enabled is not built and costs nothing."""
        raise NotImplementedError

    def configure(self, settings: Settings) -> None:
        """Go by these settings from now on: at the beginning, and when a rule document takes effect.

        States stay as they are: a limit that runs keeps its length, and what was added up is judged by the new numbers
        at the next event or timer of its key.
        """

    def handlers(self) -> Mapping[type, Handler]:
        """What it wants to hear. It is asked once: what settings choose among these is for the methods to see."""
        raise NotImplementedError

    def connect(self) -> None:
        """All components of the stage exist: ask who wants to hear what this one publishes."""

    def on_timer(self, key: str, due: int) -> None:
        """Its timer for ``key`` fires; everything before ``due`` has happened. Timers may come when nothing is due."""

    def on_advanced(self) -> None:
        """The key group has applied all that its watermark allows; for work that is best done once for many events."""

    def explain(self, key: str, at: int) -> Iterable[Look]:
        """What its rule sees of ``key`` at ``at``, for explanations alone: it must change nothing."""
        return ()


S = TypeVar("S")


class StatefulComponent(Component, Generic[S]):
    """A component with one state per key, of type ``state_type``: a struct that msgpack can carry.

    ``states`` holds those of the keys that are live: the key that is being handled always is, and no other may be asked
    for. The keys are those of the events and notes that the component hears, and the state is all that it remembers.
    With ``per_group`` it also has a state of its key group as a whole, under ``GROUP_KEY``, which is live all the time.
    """

    state_type: ClassVar[type[Any]]
    per_group: ClassVar[bool] = False

    def __init__(self, context: Context) -> None:
        super().__init__(context)
        self.states: dict[str, S] = {}


class Alerts(Struct, frozen=True):
    """Makes the alert steps of one rule."""

    context: Context
    rule: str
    version: int

    def step(  # noqa: PLR0913 - a step of an alert has that many facts, all but two by keyword
        self,
        step: Step,
        at: int,
        *,
        origin: str,
        entity: tuple[str, str],
        opened_at: int,
        severity: Severity,
        level: str,
        reason: str,
        orders: tuple[str, ...] = (),
        evidence: Mapping[str, Any],
        variant: str = "",
    ) -> str:
        """Send one step; returns the episode. ``entity`` is (type, id); ``variant`` parts episodes of one entity.

        Of an alert that would have opened while its rule was switched off, nothing is sent.
        """
        entity_type, entity_id = entity
        episode = self.episode(entity, opened_at, variant)
        if self._is_muted(opened_at):
            return episode
        note = AlertStep(
            time=at,
            origin=f"{self.context.stage}:{origin}",
            key=f"{entity_type}:{entity_id}",
            rule=self.rule,
            rule_version=self.version,
            step=step,
            episode=episode,
            entity_type=entity_type,
            entity_id=entity_id,
            severity=severity,
            level=level,
            opened_at=opened_at,
            reason=reason,
            orders=orders,
            evidence=dict(evidence),
        )
        self.context.send("alerts", note)
        return episode

    def episode(self, entity: tuple[str, str], opened_at: int, variant: str = "") -> str:
        """The name of an alert: the same for all its steps, made from what it is about and when it opened."""
        return f"{self.rule}/{entity[0]}/{entity[1]}/{opened_at}" + (f"/{variant}" if variant else "")

    def hold(self, order_id: str, episode: str, at: int, origin: str, opened_at: int | None = None) -> None:
        """Ask for an order to be held because of an episode, which opened at ``opened_at`` (unless told: ``at``)."""
        if self._is_muted(at if opened_at is None else opened_at):
            return
        note = HoldWanted(
            at, f"{self.context.stage}:{origin}", f"order:{order_id}", order_id, self.rule, episode, self.version
        )
        self.context.send("alerts", note)

    def _is_muted(self, opened_at: int) -> bool:
        muted = self.context.muted.get(self.rule)
        return muted is not None and any(since <= opened_at < until for since, until in muted)
