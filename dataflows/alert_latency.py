"""How long alerts take in a live run, from the record that let time pass their moment to their acknowledgement.

An alert speaks of a moment: an event's time, or a deadline. It can be raised once the watermark has passed that moment,
which some record brings about that is later by ``out_of_orderness``. Everything from the append of that record on is
the flow's own doing. One alert of each write is counted, the one with the earliest moment; nothing is done per event.
"""

from collections import deque
from collections.abc import Callable, Sequence
from typing import Final, NamedTuple

from events.batch import RawBatch
from operators.heart.lateness import BEFORE_TIME
from sinks.metrics import Metrics
from sinks.sink import Sink

# While another process holds time back here, steps wait for it. The oldest of so many are forgotten then: the alerts
# that wait with them count as those of the next.
_MOST_STEPS: Final = 10_000


class _Step(NamedTuple):
    """The stages heard at ``told`` of a watermark that came with what was appended at ``arrived``; epoch ms."""

    watermark: int
    arrived: int
    told: int


class _Written(NamedTuple):
    """A write with alerts, the earliest of ``moment``. ``upto``: how much each sink has to acknowledge until then."""

    moment: int
    step: _Step
    began: int
    upto: tuple[int, ...]


class AlertLatency:
    """Told by the source what is read and by the outlet when alerts are written; ``now`` is in epoch ms.

    A sink is taken to acknowledge in the order in which it was written to. Acknowledgements are noticed when somebody
    calls ``look``: the source does, each time it is asked for something new.
    """

    def __init__(self, metrics: Metrics, now: Callable[[], int], sinks: Sequence[Sink]) -> None:
        self._metrics = metrics
        self._sinks = sinks
        self._steps: deque[_Step] = deque(maxlen=_MOST_STEPS)
        self._waiting: deque[_Written] = deque()
        self._watermark = BEFORE_TIME
        self._arrived: int | None = None
        self.now = now

    def read(self, batch: RawBatch) -> None:
        """A batch goes to the stages."""
        # Without records it is the confirmed end of the log that lets time pass.
        arrived = batch.arrivals[-1] if batch.arrivals else batch.end_confirmed_at
        if arrived:
            # The watermark is that of the partition furthest behind, which the oldest of these is of.
            self._arrived = arrived if self._arrived is None else min(self._arrived, arrived)

    def told(self, watermark: int) -> None:
        """The stages hear how far the watermark is with all that was read."""
        if watermark > self._watermark and self._arrived is not None:
            self._watermark = watermark
            self._steps.append(_Step(watermark, self._arrived, self.now()))
            self._arrived = None

    def written(self, moment: int, began: int) -> None:
        """Alerts were handed to all sinks, from ``began`` on; ``moment`` is the earliest that they speak of."""
        step = next((step for step in self._steps if step.watermark >= moment), None)
        if step is not None:  # otherwise an alert about the flow itself, for which no time had to pass
            self._waiting.append(_Written(moment, step, began, tuple(sink.progress()[0] for sink in self._sinks)))
            self.look()

    def passed(self, watermark: int) -> None:
        """All records up to this watermark were handed over."""
        steps = self._steps
        while steps and steps[0].watermark <= watermark:
            steps.popleft()
        self.look()

    def look(self) -> None:
        """Count what has been acknowledged by now."""
        while self._waiting and self._is_acknowledged(self._waiting[0].upto):
            self._count(self._waiting.popleft(), self.now())

    def _is_acknowledged(self, upto: tuple[int, ...]) -> bool:
        return all(sink.progress()[1] >= count for sink, count in zip(self._sinks, upto, strict=True))

    def _count(self, written: _Written, acknowledged: int) -> None:
        step = written.step
        parts = {
            "time": step.arrived - written.moment,
            "read": step.told - step.arrived,
            "stages": written.began - step.told,
            "sinks": acknowledged - written.began,
        }
        # A producer whose clock is ahead has its record read before it was appended.
        for part, passed in parts.items():
            self._metrics.observe("orderpulse_alert_latency_part_seconds", max(0, passed) / 1000, part=part)
        self._metrics.observe("orderpulse_alert_latency_seconds", max(0, acknowledged - step.arrived) / 1000)
