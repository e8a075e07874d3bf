"""The twelve signals of ``resonance``: which fact is one, for which order, and what it weighs (docs/rules.md)."""

from collections import defaultdict, deque
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from typing import NamedTuple
from zoneinfo import ZoneInfo

from msgspec import UNSET

from config.settings import ResonanceSettings, Season, Settings
from events.model import (
    BehaviourChat,
    BehaviourSignal,
    LogisticsScan,
    OrderChanged,
    OrderCreated,
    PaymentFailed,
    PaymentSucceeded,
    WaybillPrinted,
)
from tests.oracle.histories import Histories, Life
from tests.oracle.model import DEFERRED_SIGNAL, EVENT, AppliedEvent, Place

# Full-width ASCII and the ideographic space, to their ordinary forms.
_WIDTH = {**{code: code - 0xFEE0 for code in range(0xFF01, 0xFF5F)}, 0x3000: 0x20}


class Signal(NamedTuple):
    """An occurrence; ``weight`` in thousandths."""

    life: Life
    place: Place
    weight: int


def signals(events: Sequence[AppliedEvent], histories: Histories, settings: Settings) -> Iterator[Signal]:
    """All occurrences that weigh something, in the order of the events that give them; also those of orders that
    are terminal by then.
    """
    reader = _Reader(histories, settings)
    weights = _Weights(settings)
    for position, applied in enumerate(events):
        for phase, life, name in reader.read(applied, position):
            weight = weights.of(name, applied.time)
            if weight:
                yield Signal(life, (applied.time, phase, position), weight)


def derived(events: Sequence[AppliedEvent], histories: Histories, settings: Settings) -> Iterator[tuple[int, Life]]:
    """Position and order of the signals that composite rules hear of though nobody reported them."""
    if settings.detectors.resonance.enabled:
        reader = _Reader(histories, settings)
        for position, applied in enumerate(events):
            for _, life, name in reader.read(applied, position):
                if name in ("address_changed", "courier_exception", "waybill_slow"):
                    yield position, life


class _Reader:
    """Facts of one event after the other, with what must be remembered to tell a signal from an ordinary fact."""

    def __init__(self, histories: Histories, settings: Settings) -> None:
        self._histories = histories
        self._rule = settings.detectors.resonance
        self._exceptions = settings.flow.exception_scans
        self._urgency = _folded_words(self._rule.urgency_words)
        self._threats = _folded_words(self._rule.rating_threat_words)
        self._paid: dict[Life, int] = {}
        self._failures: dict[Life, list[int]] = defaultdict(list)
        self._devices: dict[Life, str] = {}
        self._address_changes: dict[str, list[int]] = defaultdict(list)
        sample = self._rule.print_sample
        self._prints: dict[str, deque[int]] = defaultdict(lambda: deque(maxlen=sample))

    def read(self, applied: AppliedEvent, position: int) -> Iterator[tuple[int, Life, str]]:
        """Phase, order and name of each signal that the event gives."""
        event, time = applied.event, applied.time
        match event:
            case BehaviourSignal() | BehaviourChat():
                for life in self._meant(event, position):
                    for name in self._of_behaviour(event, life, time):
                        yield EVENT, life, name
            case OrderCreated():
                self._learn_device(event, position)
            case PaymentSucceeded():
                self._paid[self._life(event.order_id, position)] = time
            case PaymentFailed() | OrderChanged() | LogisticsScan() | WaybillPrinted():
                life = self._life(event.order_id, position)
                fact = self._of_fact(event, life, time, position)
                if fact is not None:
                    yield DEFERRED_SIGNAL, life, fact
            case _:
                pass

    def _life(self, order_id: str, position: int) -> Life:
        return self._histories.at(order_id, position)

    def _meant(self, event: BehaviourSignal | BehaviourChat, position: int) -> list[Life]:
        if event.order_id is not None:
            return [self._life(event.order_id, position)]
        if event.customer_id is not None:
            return self._histories.open_orders(event.customer_id, position)
        return []

    def _learn_device(self, event: OrderCreated, position: int) -> None:
        life = self._life(event.order_id, position)
        details = life.details_at(position)
        if event.device is not None and details is not None and details.position == position:
            self._devices[life] = event.device

    def _of_behaviour(self, event: BehaviourSignal | BehaviourChat, life: Life, time: int) -> Iterator[str]:
        if isinstance(event, BehaviourChat):
            yield from self._of_chat(event, life, time)
            return
        if _measured_enough(event, self._rule):
            yield event.signal
        if event.device is not None:
            if self._devices.get(life, event.device) != event.device:
                yield "device_change"
            self._devices[life] = event.device

    def _of_chat(self, event: BehaviourChat, life: Life, time: int) -> Iterator[str]:
        paid = self._paid.get(life)
        if paid is not None and time - paid <= self._rule.chat_after_payment:
            yield "service_chat"
        text = _folded(event.text)
        if any(word in text for word in self._urgency):
            yield "urgency_words"
        if any(word in text for word in self._threats):
            yield "rating_threat"

    def _of_fact(
        self,
        event: PaymentFailed | OrderChanged | LogisticsScan | WaybillPrinted,
        life: Life,
        time: int,
        position: int,
    ) -> str | None:
        match event:
            case PaymentFailed():
                failures = self._failures[life]
                failures.append(time)
                often = _within(failures, time, self._rule.window) >= self._rule.payment_failures
                return "payment_failures" if often else None
            case OrderChanged():
                return "address_changed" if self._changes_address_often(event, time) else None
            case LogisticsScan():
                return "courier_exception" if event.scan in self._exceptions else None
            case WaybillPrinted():
                return "waybill_slow" if self._prints_slowly(event, life, position) else None

    def _changes_address_often(self, event: OrderChanged, time: int) -> bool:
        fields = event.fields
        if event.customer_id is None or (fields.address is UNSET and fields.address_key is UNSET):
            return False
        changes = self._address_changes[event.customer_id]
        changes.append(time)
        return _within(changes, time, self._rule.address_change_window) >= self._rule.address_changes

    def _prints_slowly(self, event: WaybillPrinted, life: Life, position: int) -> bool:
        details = life.details_at(position)
        warehouse = event.warehouse_id or (details.warehouse_id if details is not None else None)
        if warehouse is None:
            return False
        before = self._prints[warehouse]
        # duration x 100 >= mean x (100 + percent), both sides times the number of prints
        slow = len(before) == self._rule.print_sample and event.duration_ms * 100 * len(before) >= sum(before) * (
            100 + self._rule.print_slower_percent
        )
        before.append(event.duration_ms)
        return slow


class _Weights:
    """Weights by local day: those of the season in force, else the standing ones."""

    def __init__(self, settings: Settings) -> None:
        self._rule = settings.detectors.resonance
        self._zone = ZoneInfo(settings.zone)
        self._of_hour: dict[int, dict[str, int]] = {}

    def of(self, name: str, time: int) -> int:
        hour = time // 900_000  # no zone changes its date within a quarter of an hour
        if hour not in self._of_hour:
            day = datetime.fromtimestamp(time / 1000, tz=UTC).astimezone(self._zone).strftime("%m-%d")
            season = self._season(day)
            self._of_hour[hour] = {**self._rule.weights, **(season.weights if season is not None else {})}
        return self._of_hour[hour].get(name, 0)

    def _season(self, day: str) -> Season | None:
        if self._rule.season != "auto":
            return self._rule.seasons.get(self._rule.season)
        return next((s for s in self._rule.seasons.values() if any(_covers(span, day) for span in s.dates)), None)


def _covers(span: str, day: str) -> bool:
    first, last = span.split("/")
    return first <= day <= last if first <= last else day >= first or day <= last


def _measured_enough(event: BehaviourSignal, rule: ResonanceSettings) -> bool:
    low, high = rule.min_values.get(event.signal), rule.max_values.get(event.signal)
    if event.value is None or (low is None and high is None):
        return True
    return (low is not None and event.value >= low) or (high is not None and event.value <= high)


def _within(times: Sequence[int], time: int, window: int) -> int:
    """How many of the times, which rise, lie in the closed window before ``time``."""
    count = 0
    for earlier in reversed(times):
        if earlier < time - window:
            break
        count += 1
    return count


def _folded(text: str) -> str:
    return text.translate(_WIDTH).casefold()


def _folded_words(words: Sequence[str]) -> list[str]:
    return [_folded(word) for word in words]
