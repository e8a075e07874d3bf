"""``resonance``: many weak signals of one order that add up to trouble."""

import unicodedata
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, ClassVar

from msgspec import Struct, field

from config.settings import Settings
from events.explanation import Look
from events.model import BehaviourChat, BehaviourSignal
from events.records import Severity, Step
from operators.heart.component import Alerts, Context, Environment, Handler, StatefulComponent
from operators.heart.messages import CustomerBehaviour, OrderLife, PaymentFailure, Signal
from operators.signals.weights import SeasonalWeights

SHOWN_SIGNALS = 50
SEVERITY: dict[str, Severity] = {"orange": "warning", "lock": "critical"}


class Sign(Struct, gc=False, array_like=True):
    """One occurrence of a signal; ``weight`` in thousandths."""

    time: int
    name: str
    weight: int
    event_id: str


class Resonant(Struct, gc=False, array_like=True):
    """The signals of one order. ``total`` is the sum over ``signs``; ``level`` is empty while there is no alert."""

    signs: list[Sign] = field(default_factory=list)
    total: int = 0
    level: str = ""
    opened_at: int = 0
    closed: bool = False
    device: str | None = None
    paid_at: int | None = None
    failures: list[int] = field(default_factory=list)


class Resonance(StatefulComponent[Resonant]):
    """The weighted sum of an order's signals in a closed sliding window; see docs/rules.md."""

    name: ClassVar[str] = "resonance"
    stage: ClassVar[str] = "signals"
    state_type: ClassVar[type[Any]] = Resonant
    rules: ClassVar[frozenset[str]] = frozenset({"resonance"})

    def __init__(self, context: Context) -> None:
        super().__init__(context)
        self.configure(context.environment.settings)

    def configure(self, settings: Settings) -> None:
        """Weights of signals from now on; window and thresholds also for those that were counted before."""
        own = self._settings = settings.detectors.resonance
        self._alerts = Alerts(self.context, self.name, own.version)
        self._weights = SeasonalWeights(own, settings.zone)
        self._window = int(own.window)
        self._orange, self._lock = int(own.orange), int(own.lock)
        self._words = {
            "urgency_words": tuple(_folded(word) for word in own.urgency_words),
            "rating_threat": tuple(_folded(word) for word in own.rating_threat_words),
        }

    @classmethod
    def enabled(cls, environment: Environment) -> bool:
        """As its settings say."""
        return environment.settings.detectors.resonance.enabled

    def handlers(self) -> Mapping[type, Handler]:
        """Behaviour that names the order, and what other stages hand on."""
        return {
            BehaviourSignal: self.on_signal,
            BehaviourChat: self.on_chat,
            CustomerBehaviour: self.on_customer_behaviour,
            Signal: self.on_derived,
            PaymentFailure: self.on_failure,
            OrderLife: self.on_life,
        }

    def on_signal(self, event: BehaviourSignal, at: int) -> None:
        """Behaviour that names the order."""
        if event.order_id is not None:
            self._signal(event.order_id, event, at)

    def on_chat(self, event: BehaviourChat, at: int) -> None:
        """A chat about the order."""
        if event.order_id is not None:
            self._chat(event.order_id, event, at)

    def on_customer_behaviour(self, note: CustomerBehaviour, at: int) -> None:
        """Behaviour of the order's customer."""
        if isinstance(note.event, BehaviourSignal):
            self._signal(note.key, note.event, at)
        elif isinstance(note.event, BehaviourChat):
            self._chat(note.key, note.event, at)

    def on_derived(self, note: Signal, at: int) -> None:
        """A signal that another component derived."""
        self._add(note.key, (note.name,), note.event_id, at)

    def on_failure(self, note: PaymentFailure, at: int) -> None:
        """From the configured number of failures within the closed window on, each one is a signal."""
        state = self._state(note.key)
        if state.closed:
            return
        self.context.arm(note.key, at + self._window + 1)
        state.failures = [time for time in state.failures if time >= at - self._window]
        state.failures.append(at)
        if len(state.failures) >= self._settings.payment_failures:
            self._add(note.key, ("payment_failures",), note.event_id, at)

    def on_life(self, note: OrderLife, at: int) -> None:
        """What happened to the order itself."""
        if note.what == "forgotten":
            self.states.pop(note.key, None)
            return
        state = self._state(note.key)
        if note.what == "opened":
            state.device = note.device if note.device is not None else state.device
        elif note.what == "paid":
            state.paid_at = at
        else:
            if state.level:
                self._send(note.key, state, "resolved", at, "closed")
            self.states[note.key] = Resonant(closed=True)

    def on_timer(self, key: str, due: int) -> None:
        """Signals have left the window: an open alert may fall or end, and what nobody needs is dropped."""
        state = self.states.get(key)
        if state is None:
            return
        self._forget(state, due - self._window)
        if state.level:
            self._judge(key, state, due)
        elif not state.closed and state.device is None and state.paid_at is None:
            self._keep_while_needed(key, state, due)

    def explain(self, key: str, at: int) -> Iterator[Look]:
        """The sum of the signals in the window, against both levels, and the failed payments in it."""
        state = self.states.get(key) or Resonant()
        oldest = at - self._window
        signs = [sign for sign in state.signs if sign.time >= oldest]
        parts: dict[str, int] = {}
        for sign in signs:
            parts[sign.name] = parts.get(sign.name, 0) + sign.weight
        for level, threshold in (("orange", self._orange), ("lock", self._lock)):
            if signs:
                yield Look(
                    rule=self.name,
                    subject=level,
                    value=sum(parts.values()),
                    threshold=threshold,
                    unit="thousandths",
                    due=signs[0].time + self._window + 1,
                    parts=parts,
                )
        failures = sum(time >= oldest for time in state.failures)
        if failures:
            most = self._settings.payment_failures
            name = "payment_failures"
            yield Look(rule=self.name, subject=name, value=failures, threshold=most, unit="times", condition=True)

    def _signal(self, order_id: str, event: BehaviourSignal, at: int) -> None:
        names: tuple[str, ...] = ()
        if event.device is not None:
            state = self._state(order_id)
            if state.device is not None and state.device != event.device:
                names = ("device_change",)
            state.device = event.device
        if event.signal in self._weights.at(at) and self._counts(event):
            names = (*names, event.signal)
        if names:
            self._add(order_id, names, event.id, at)

    def _counts(self, event: BehaviourSignal) -> bool:
        if event.value is None:
            return True
        least = self._settings.min_values.get(event.signal)
        most = self._settings.max_values.get(event.signal)
        if least is None and most is None:
            return True
        return (least is not None and event.value >= least) or (most is not None and event.value <= most)

    def _chat(self, order_id: str, event: BehaviourChat, at: int) -> None:
        text = _folded(event.text)
        names = [name for name, words in self._words.items() if any(word in text for word in words)]
        state = self.states.get(order_id)
        paid_at = state.paid_at if state is not None else None
        if paid_at is not None and at - paid_at <= self._settings.chat_after_payment:
            names.insert(0, "service_chat")
        if names:
            self._add(order_id, names, event.id, at)

    def _add(self, order_id: str, names: Iterable[str], event_id: str, at: int) -> None:
        """All signals of one event count together: the level is judged once."""
        state = self._state(order_id)
        if state.closed:
            return
        self._forget(state, at - self._window)
        if state.level and state.level != self._level(state.total):
            self._judge(order_id, state, at)  # timers have not brought it in line, as another rule is in force now
        if not state.level and state.device is None and state.paid_at is None:
            self.context.arm(order_id, at + self._window + 1)
        weights = self._weights.at(at)
        for name in names:
            weight = weights.get(name, 0)
            if weight:
                state.signs.append(Sign(at, name, weight, event_id))
                state.total += weight
        if state.level or state.total >= self._orange:
            self._judge(order_id, state, at)

    def _judge(self, order_id: str, state: Resonant, at: int) -> None:
        """Bring the alert's level in line with the sum."""
        level = self._level(state.total)
        if level != state.level:
            self._change(order_id, state, level, at)
        if state.level:
            self.context.arm(order_id, state.signs[0].time + self._window + 1)

    def _level(self, total: int) -> str:
        return "lock" if total >= self._lock else "orange" if total >= self._orange else ""

    def _change(self, order_id: str, state: Resonant, level: str, at: int) -> None:
        before = state.level
        if not level:
            self._send(order_id, state, "resolved", at, "quiet")
            state.level = ""
            return
        state.level = level
        if not before:
            state.opened_at = at
        rising = level == "lock" or not before
        episode = self._send(
            order_id, state, "updated" if before else "opened", at, "sum_rose" if rising else "sum_fell"
        )
        if level == "lock" and self._settings.hold:
            self._alerts.hold(order_id, episode, at, order_id, state.opened_at)

    def _state(self, order_id: str) -> Resonant:
        state = self.states.get(order_id)
        if state is None:
            state = self.states[order_id] = Resonant()
        return state

    def _keep_while_needed(self, order_id: str, state: Resonant, at: int) -> None:
        """An order that is known from its signals alone is forgotten with them; only memory depends on when."""
        state.failures = [time for time in state.failures if time >= at - self._window]
        times = [sign.time for sign in state.signs[-1:]] + state.failures[-1:]
        if times:
            self.context.arm(order_id, max(times) + self._window + 1)
        else:
            del self.states[order_id]

    def _forget(self, state: Resonant, oldest: int) -> None:
        signs = state.signs
        gone = 0
        while gone < len(signs) and signs[gone].time < oldest:
            state.total -= signs[gone].weight
            gone += 1
        if gone:
            del signs[:gone]

    def _send(self, order_id: str, state: Resonant, step: Step, at: int, reason: str) -> str:
        evidence: dict[str, Any] = {
            "sum_thousandths": state.total,
            "orange_thousandths": self._orange,
            "lock_thousandths": self._lock,
            "window_ms": self._window,
            "season": self._weights.season(at),
            "count": len(state.signs),
            "signals": [
                {"signal": sign.name, "time": sign.time, "weight_thousandths": sign.weight, "event_id": sign.event_id}
                for sign in state.signs[-SHOWN_SIGNALS:]
            ],
        }
        if state.level == "lock" and step != "resolved":
            evidence["report"] = self._report(state)
        return self._alerts.step(
            step,
            at,
            origin=order_id,
            entity=("order", order_id),
            opened_at=state.opened_at,
            severity=SEVERITY[state.level],
            level=state.level,
            reason=reason,
            orders=(order_id,),
            evidence=evidence,
        )

    def _report(self, state: Resonant) -> list[dict[str, Any]]:
        """The root causes, heaviest first, each with what the playbook advises."""
        by_signal: dict[str, list[Sign]] = {}
        for sign in state.signs:
            by_signal.setdefault(sign.name, []).append(sign)
        causes = sorted(by_signal.items(), key=lambda item: (-sum(sign.weight for sign in item[1]), item[0]))
        return [
            {
                "signal": name,
                "times": [sign.time for sign in signs[-SHOWN_SIGNALS:]],
                "weight_thousandths": sum(sign.weight for sign in signs),
                "advice": {"zh": advice.zh, "en": advice.en} if advice is not None else None,
            }
            for name, signs in causes
            for advice in (self._settings.playbook.get(name),)
        ]


def _folded(text: str) -> str:
    """One form for width and case, so that words are found however they are typed."""
    return unicodedata.normalize("NFKC", text).casefold()
