"""Gets ahead, while the flow runs, with what it would else stand still for when an epoch ends."""

import time
from collections.abc import Callable, Iterable, Sequence
from math import ceil
from typing import Final

from dataflows.keeping import GroupKeeper

# Of so many groups one has its turn with a base in each epoch: each comes before its places are used up.
_GROUPS: Final = 64
# The shares of an epoch between which its changes are laid down: what changes later is laid down a second time.
_FROM, _TO = 0.5, 0.95


class Ahead:
    """Asks the keepers of a process's key groups for a portion of what the next snapshots will write.

    First in an epoch the bases have their turn, of one group or a few: together they are all the state there is, and
    the epoch that writes one waits until it is written. Towards its end what it has changed is laid down, group after
    group, where ``lays`` says so: that makes pauses short and takes a little longer in all. ``interval``: seconds from
    epoch to epoch. ``clock``: seconds of a clock that never goes back.
    """

    def __init__(self, interval: float, clock: Callable[[], float] = time.monotonic, *, lays: bool = True) -> None:
        self._interval = interval
        self._lays = lays
        self._clock = clock
        self._began = clock()
        self._laid = 0
        self._turn: list[GroupKeeper] = []
        self._due: list[GroupKeeper] | None = None

    @property
    def bases_due(self) -> int:
        """How many groups are yet to write a new base."""
        return len(self._turn) + len(self._due or ())

    def epoch_ended(self) -> None:
        """Its snapshot is taken."""
        self._began = self._clock()
        self._laid = 0
        self._due = None

    def go_on(self, keepers: Iterable[GroupKeeper]) -> None:
        """Between two calls of ``advance`` of any group, when nothing that is to be written waits: a portion."""
        every = [*keepers]
        if self._due is None:
            self._take_turns(every)
        share = ((self._clock() - self._began) / self._interval - _FROM) / (_TO - _FROM)
        if share <= 0 or not self._lays:
            self._prepare_base()
            return
        upto = min(len(every), ceil(share * len(every)))
        for keeper in every[self._laid : upto]:
            keeper.lay_ahead()
        self._laid = max(self._laid, upto)

    def _take_turns(self, keepers: Sequence[GroupKeeper]) -> None:
        """Once in an epoch: as many are under way as one can write."""
        self._turn = [keeper for keeper in self._turn if keeper.prepares_base]
        due = sorted((keeper for keeper in keepers if keeper.base_due), key=lambda keeper: keeper.places_left)
        free = max(0, ceil(len(keepers) / _GROUPS) - len(self._turn))
        self._turn += due[:free]
        self._due = due[free:]

    def _prepare_base(self) -> None:
        for keeper in self._turn:
            if keeper.prepare_base():
                return
