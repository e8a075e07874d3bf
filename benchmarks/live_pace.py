"""Whether a flow keeps pace with a stream, which rate it keeps pace with, and when it has come to rest."""

import time
from collections import deque
from collections.abc import Callable
from typing import Final

from msgspec import Struct

from benchmarks.live_flow import LiveFlow
from benchmarks.live_metrics import Samples, least, total
from benchmarks.live_sender import Sending
from benchmarks.program import Say

_LOOK_SECONDS: Final = 0.25
_CALM_LOOKS: Final = 80  # that is 20 s: a round of snapshots in which each key group sums up its changes once
_CALM_SHARE: Final = 0.9  # of these looks; the machine may be taken away for a moment
_SETTLE_SECONDS: Final = 300.0
_STEP: Final = 1.25  # from one rate that is tried to the next
_LEAST_RATE: Final = 100.0
_STEP_SECONDS: Final = 12.0
_JUDGED_SECONDS: Final = 5.0  # the end of a step: before, the flow gets used to it
_MOST_LAG_SECONDS: Final = 0.5  # of the stream that may not be read yet
_MOST_DELAY_SECONDS: Final = 1.0  # by which event time may be further behind than out-of-orderness asks for


class Pace(Struct, frozen=True):
    """How far behind a flow is: ``lag`` in records not read, ``age_s`` of its watermark in seconds."""

    lag: float
    age_s: float

    def keeps(self, rate: float, behind_s: float) -> bool:
        """Whether that is no further than a stream of ``rate`` events/s always leaves it."""
        return self.lag <= rate * _MOST_LAG_SECONDS and self.age_s <= behind_s + _MOST_DELAY_SECONDS


def pace_of(metrics: Samples, now: float) -> Pace:
    """What the metrics of all processes say at ``now`` (seconds since the epoch)."""
    return Pace(
        total(metrics, "orderpulse_source_lag_records"),
        now - least(metrics, "orderpulse_watermark_seconds"),
    )


def settle(look: Callable[[], Pace], rate: float, behind_s: float, *, pause: float = _LOOK_SECONDS) -> float:
    """Wait until the flow has kept pace at nearly all looks of a while, so that nothing is left of what happened
    before; returns the seconds that took. Raises RuntimeError when that does not come about.

    Bases that are due then are no more of a burden than at any other time: they are written one in each epoch.
    """
    began = time.monotonic()
    kept: deque[bool] = deque(maxlen=_CALM_LOOKS)
    while True:
        pace, now = look(), time.monotonic()
        kept.append(pace.keeps(rate, behind_s))
        if sum(kept) >= _CALM_SHARE * _CALM_LOOKS:
            return now - began
        if now - began > _SETTLE_SECONDS:
            raise RuntimeError(
                f"after {_SETTLE_SECONDS:.0f} s the flow does not keep pace with {rate:,.0f} events/s: "
                f"{pace.lag:,.0f} records are not read, its watermark is {pace.age_s:.1f} s old "
                f"(out-of-orderness: {behind_s:.0f} s): take a lower --rate"
            )
        time.sleep(pause)


def sustained(flow: LiveFlow, stream: Sending, first: float, behind_s: float, say: Say) -> float:
    """The largest of a row of rates with which the flow keeps pace as they come: from ``first`` events/s on upwards, or
    first down by halves until there is one.

    Raises RuntimeError when even a slow stream is too much.
    """
    rate, kept = first, 0.0
    while rate >= _LEAST_RATE:
        stream.go_on_at(rate)
        time.sleep(_STEP_SECONDS - _JUDGED_SECONDS)
        if _kept(flow, rate, behind_s):
            say(f"keeps pace with {rate:,.0f} events/s")
            rate, kept = rate * _STEP, rate
        elif kept:
            return kept
        else:
            rate /= 2  # what it could not take meanwhile comes on top
    raise RuntimeError(f"the flow does not keep pace with {_LEAST_RATE:,.0f} events/s")


def _kept(flow: LiveFlow, rate: float, behind_s: float) -> bool:
    """Whether half of the looks, at least, found the flow in pace; a snapshot may hold it up for one of them."""
    looks, until = [], time.monotonic() + _JUDGED_SECONDS
    while time.monotonic() < until:
        looks.append(pace_of(flow.metrics(), time.time()).keeps(rate, behind_s))
        time.sleep(_LOOK_SECONDS)
    return 2 * sum(looks) >= len(looks)
