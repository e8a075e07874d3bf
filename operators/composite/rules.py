"""Composite rules: gathers what is known of an order at one moment, and judges it once all of that moment is there."""

from collections.abc import Iterator, Mapping
from typing import Any, ClassVar

from msgspec import Struct, field

from config.settings import Settings
from events.explanation import Look
from events.model import BehaviourSignal
from events.records import Severity, Step
from operators.composite.judging import Judge, Judgement, judges_of
from operators.composite.needs import needs_of
from operators.heart.component import Alerts, Context, Environment, Handler, StatefulComponent
from operators.heart.messages import BaselineAnswer, CompositeMoment, CustomerBehaviour, Signal


class Raised(Struct, gc=False, array_like=True):
    """An open alert of one rule: what its latest step said."""

    opened_at: int
    version: int
    severity: Severity
    level: str
    total: int
    evidence: dict[str, Any]


class Gathered(Struct, gc=False, array_like=True):
    """What is known of one order. ``moments`` of time ``at`` wait to be judged; ``seen``: when something last came.

    ``known``: it was created; before that its behaviour is only counted.
    """

    seen: int
    known: bool = False
    values: dict[str, Any] = field(default_factory=dict)
    moments: list[str] = field(default_factory=list)
    at: int = 0
    event_id: str = ""
    raised: dict[str, Raised] = field(default_factory=dict)


class CompositeRules(StatefulComponent[Gathered]):
    """Judges orders by the rules of the settings; see docs/composite-rules.md.

    What happens in one millisecond is judged together, after all of it: at the next one, under its own time.
    """

    name: ClassVar[str] = "composite"
    stage: ClassVar[str] = "signals"
    state_type: ClassVar[type[Any]] = Gathered
    rules: ClassVar[frozenset[str]] = frozenset({"composite", "list"})

    def __init__(self, context: Context) -> None:
        super().__init__(context)
        self._hash_key = context.environment.hash_key
        self.configure(context.environment.settings)

    def configure(self, settings: Settings) -> None:
        """Take settings over, also while it runs: open alerts stay as they are, the next moment is judged anew."""
        needs = needs_of(settings)
        self._judges = judges_of(settings, self._hash_key)
        self._signs = needs.signs
        self._no_signs = {f"signals.{name}": 0 for name in needs.signs if f"signals.{name}" in needs.variables}
        self._on_behaviour = "behaviour" in needs.moments
        self._once = needs.moments <= {"created"}
        self._retention = int(settings.flow.closed_retention)

    @classmethod
    def enabled(cls, environment: Environment) -> bool:
        """With a composite rule in the files, also one that is switched off: documents may bring others."""
        return bool(environment.settings.composite)

    def handlers(self) -> Mapping[type, Handler]:
        """Moments of orders, what baselines answer, and behaviour."""
        return {
            CompositeMoment: self.on_moment,
            BaselineAnswer: self.on_answer,
            BehaviourSignal: self.on_signal,
            CustomerBehaviour: self.on_customer_behaviour,
            Signal: self.on_derived,
        }

    def on_moment(self, note: CompositeMoment, at: int) -> None:
        """The order was created or paid, which is to be judged, or it has ended."""
        if note.what == "ended":
            state = self.states.pop(note.key, None)
            for rule, raised in (state.raised if state is not None else {}).items():
                self._send(note.key, rule, raised, "resolved", at, note.reason)
            return
        state = self._state(note.key, at)
        state.known = state.known or note.what == "created"
        state.values.update(note.values)
        self._ask(note.key, state, note.what, note.event_id, at)

    def on_answer(self, note: BaselineAnswer, at: int) -> None:
        """What a baseline knows; it comes in the same millisecond as the moment that asked, before or after it."""
        self._state(note.key, at).values.update(note.values)

    def on_signal(self, event: BehaviourSignal, at: int) -> None:
        """Behaviour that names the order."""
        if event.order_id is not None:
            self._sign(event.order_id, event.signal, event.value, event.id, at)

    def on_customer_behaviour(self, note: CustomerBehaviour, at: int) -> None:
        """Behaviour of the order's customer."""
        if isinstance(note.event, BehaviourSignal):
            self._sign(note.key, note.event.signal, note.event.value, note.event.id, at)

    def on_derived(self, note: Signal, at: int) -> None:
        """A signal that was derived from something else."""
        self._sign(note.key, note.name, None, note.event_id, at)

    def on_timer(self, key: str, due: int) -> None:
        """All of a moment is there, or an order that was never created is forgotten."""
        state = self.states.get(key)
        if state is None:
            return
        if state.moments and state.at < due:
            moments, state.moments = state.moments, []
            if state.known:
                self._judge(key, state, moments)
        if state.known and self._once and not state.raised:
            del self.states[key]
        elif not state.known:
            if state.seen + self._retention < due:
                del self.states[key]
            else:
                self.context.arm(key, state.seen + self._retention + 1)

    def explain(self, key: str, at: int) -> Iterator[Look]:
        """The sum of each rule that is about to judge the order; an order that a rule excuses has none."""
        state = self.states.get(key)
        if state is None or not state.known:
            return
        for judge in self._judges_of(state.moments):
            judgement = judge.judge(state.values)
            total = 0 if judgement.excused else judgement.total
            threshold, parts = int(judge.rule.threshold), judge.parts(judgement)
            yield Look(
                rule=judge.name, subject="sum", value=total, threshold=threshold, unit="thousandths", parts=parts
            )

    def _judges_of(self, moments: list[str]) -> Iterator[Judge]:
        return (judge for judge in self._judges if any(moment in moments for moment in judge.rule.when))

    def _state(self, order_id: str, at: int) -> Gathered:
        state = self.states.get(order_id)
        if state is None:
            state = self.states[order_id] = Gathered(at, values=dict(self._no_signs))
        state.seen = at
        return state

    def _sign(self, order_id: str, name: str, value: int | None, event_id: str, at: int) -> None:
        counted = name in self._signs
        if not counted and not (self._on_behaviour and order_id in self.states):
            return
        state = self._state(order_id, at)
        if counted:
            state.values[f"signals.{name}"] = (state.values.get(f"signals.{name}") or 0) + 1
            if value is not None:
                state.values[f"values.{name}"] = value
        if self._on_behaviour and state.known:
            self._ask(order_id, state, "behaviour", event_id, at)
        elif not state.known:
            self.context.arm(order_id, at + self._retention + 1)

    def _ask(self, order_id: str, state: Gathered, moment: str, event_id: str, at: int) -> None:
        """Judge the order when all of this millisecond is there."""
        if moment not in state.moments:
            state.moments.append(moment)
        state.at, state.event_id = at, event_id
        self.context.arm(order_id, at + 1)

    def _judge(self, order_id: str, state: Gathered, moments: list[str]) -> None:
        for judge in self._judges_of(moments):
            judgement = judge.judge(state.values)
            self._count(judge, judgement)
            raised = state.raised.get(judge.name)
            if judgement.total >= judge.rule.threshold and not judgement.excused:
                if raised is None:
                    self._raise(order_id, state, judge, judgement)
                elif judgement.total > raised.total:
                    self._rise(order_id, state, judge, judgement, raised)

    def _raise(self, order_id: str, state: Gathered, judge: Judge, judgement: Judgement) -> None:
        rule = judge.rule
        evidence = self._evidence(judge, judgement, state)
        raised = Raised(state.at, rule.version, rule.severity, rule.action, judgement.total, evidence)
        state.raised[judge.name] = raised
        episode = self._send(order_id, judge.name, raised, "opened", state.at, "threshold_reached")
        if rule.action == "hold":
            Alerts(self.context, judge.name, rule.version).hold(order_id, episode, state.at, order_id)

    def _rise(self, order_id: str, state: Gathered, judge: Judge, judgement: Judgement, raised: Raised) -> None:
        raised.version, raised.total = judge.rule.version, judgement.total
        raised.evidence = self._evidence(judge, judgement, state)
        self._send(order_id, judge.name, raised, "updated", state.at, "sum_rose")

    def _evidence(self, judge: Judge, judgement: Judgement, state: Gathered) -> dict[str, Any]:
        return {**judge.evidence(judgement, state.values), "event_id": state.event_id}

    def _count(self, judge: Judge, judgement: Judgement) -> None:
        if judgement.failures:
            counts = self.context.output.counts
            failed = counts.failed_conditions = counts.failed_conditions or {}
            for failure in judgement.failures:
                failed[judge.name, failure] = failed.get((judge.name, failure), 0) + 1

    def _send(self, order_id: str, rule: str, raised: Raised, step: Step, at: int, reason: str) -> str:
        return Alerts(self.context, rule, raised.version).step(
            step,
            at,
            origin=order_id,
            entity=("order", order_id),
            opened_at=raised.opened_at,
            severity=raised.severity,
            level=raised.level,
            reason=reason,
            orders=(order_id,),
            evidence=raised.evidence,
        )
