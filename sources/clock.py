"""Wall time that cannot be led astray by a jump of the host's clock.

Wall time carries the watermark of a silent partition, so a host clock that jumps by hours would make every open order
time out. Three witnesses say what time it is: the host's wall clock, its steady clock (which counts from an unknown
zero and never jumps), and the timestamps that brokers put on records, which are never later than the true time. Time
runs at the steady clock's pace, and moves away from it only as far as two of the three agree.
"""

import logging
import time
from collections.abc import Callable
from typing import Final

TOLERANCE_MS: Final = 2_000  # by which wall time may be set to rights without any witness
_NEVER: Final = -(2**62)

log = logging.getLogger("orderpulse.clock")


def host_wall_ms() -> int:
    """The host's wall clock, epoch ms."""
    return time.time_ns() // 1_000_000


def host_steady_ms() -> int:
    """The host's steady clock in ms; where there is one, the clock that also counts while the host is suspended."""
    clock = getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC)
    return time.clock_gettime_ns(clock) // 1_000_000


class SteadyClock:
    """Epoch milliseconds that never go back, and never run ahead of what two witnesses agree on.

    - Wall time within ``tolerance`` of the steady pace is followed: clocks are set to rights in small steps.
    - Wall time that is further ahead is not believed; time goes on at the steady pace. ``confirm`` lets it follow, as
      far as the broker's timestamps and wall time both reach.
    - After a jump back, time stands still until wall time has caught up, unless timestamps of records that came since
      say that the steady pace was right.

    What the wall clock says at the beginning is believed. Both clocks are given in ms.
    """

    def __init__(
        self,
        wall: Callable[[], int] = host_wall_ms,
        steady: Callable[[], int] = host_steady_ms,
        *,
        tolerance: int = TOLERANCE_MS,
    ) -> None:
        self._wall = wall
        self._steady = steady
        self._tolerance = tolerance
        self._pace = wall() - steady()  # what the steady clock lacks to the time that is believed
        self._witnessed = _NEVER  # the same by the newest broker timestamp since wall time jumped back
        self._last = _NEVER
        self.jump_ms = 0
        """How far wall time stands from the believed time, as ``now`` saw it last; 0 within the tolerance."""

    def now(self) -> int:
        """The time, in epoch ms."""
        steady = self._steady()
        self._last = max(self._last, steady + self._believed(self._wall() - steady))
        return self._last

    def confirm(self, stamp: int) -> None:
        """A broker's own timestamp (epoch ms) of a record that has just come: the true time is not earlier."""
        steady = self._steady()
        told = stamp - steady
        # A broker ahead of the host proves nothing beyond wall time, nor does wall time ahead of the broker.
        self._pace = max(self._pace, min(told, self._wall() - steady))
        self._witnessed = max(self._witnessed, told)

    def _believed(self, walled: int) -> int:
        ahead = walled - self._pace
        self._note(ahead if abs(ahead) > self._tolerance else 0)
        if ahead > self._tolerance:
            return self._pace
        if ahead >= -self._tolerance:
            self._witnessed = _NEVER
            return walled
        return max(walled, min(self._witnessed, self._pace))

    def _note(self, jump: int) -> None:
        """Keeps the jump, and logs it once: when it comes, when it turns, and when it is over."""
        if (jump > 0) != (self.jump_ms > 0) and jump > 0:
            log.warning(
                "the host's clock is %.1f s ahead of its steady clock: not believed until brokers' timestamps confirm "
                "it; if it is right, and the input topics have none (LogAppendTime), start the run again",
                jump / 1000,
            )
        elif (jump < 0) != (self.jump_ms < 0) and jump < 0:
            log.warning(
                "the host's clock was set back by %.1f s: silent partitions wait until it has caught up, or until "
                "brokers' timestamps show that it is wrong; check the host's time service",
                -jump / 1000,
            )
        elif self.jump_ms and not jump:
            log.info("the host's clock is believed again")
        self.jump_ms = jump
