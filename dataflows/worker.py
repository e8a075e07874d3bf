"""What one process holds of a run: its key groups, and what a recovery store gave it of them."""

import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final

from dataflows.ahead import Ahead
from dataflows.keeping import FIRST_LEVEL, Changed, GroupKeeper, Pieces, least, number_of, read_head
from dataflows.placement import groups_of
from dataflows.store_errors import RESTORE, StoreError
from operators.heart.key_group import KeyGroup
from operators.heart.snapshots import SnapshotError
from operators.topology import Topology

_PATIENCE: Final = 30.0  # seconds without another part of the store, of which the first come within a second


class Worker:
    """One of ``plan.workers`` processes, the ``index``-th; ``store``: the directory of its recovery store. ``live``:
    how long it stands still for a snapshot counts.

    Bytewax hands the parts of stored state over one by one, and does not say which is the last; a group begins once all
    of its parts are there.
    """

    def __init__(self, plan: Topology, index: int = 0, store: Path | None = None, *, live: bool = False) -> None:
        self.plan = plan
        self.index = index
        self._store = store
        self._waits_since: float | None = None
        self.numbers = groups_of(index, plan.workers, plan.environment.groups)
        self.keepers: dict[int, GroupKeeper] = {}
        self._heads_came = store is None
        self._expected: set[int] = set()
        self._begun = False
        self._pieces: dict[int, Pieces] = {}
        self._ahead = Ahead(int(plan.environment.settings.recovery.interval) / 1000, lays=live)
        self._outputs: list[Mapping[str, int]] = []

    def add_head(self, data: bytes) -> int:
        """A stored head has come; returns its group. Raises SnapshotError."""
        self._waits_since = None
        head = read_head(data)
        self._of(head.number).head = head
        self._expected.update(head.siblings)
        return head.number

    def add_part(self, place: int, data: bytes) -> int:
        """Another stored part has come; returns its group."""
        self._waits_since = None
        number = number_of(data)
        self._of(number).add(place, data)
        return number

    def heads_came(self) -> None:
        """All heads that the store has for this process are here; raises StoreError when it must have more."""
        self._heads_came = True
        lacking = sorted(self._expected.intersection(self.numbers).difference(self._pieces, self.keepers))
        if lacking:
            raise self._missing(lacking, "the head of ")

    def group(self, stage: str, number: int) -> KeyGroup:
        """The key group of a stage, once this process is ``ready``. Raises SnapshotError."""
        keeper = self._keeper(number)
        group = keeper.stages.get(stage)
        if group is None:
            group = keeper.stages[stage] = self.plan.key_group(stage)
        return group

    def begin(self) -> tuple[int, ...]:
        """Have the keepers of all groups, once this process is ``ready``; returns the groups at the first call only.

        All begin in the same epoch, so that each head can tell which others must be there.
        """
        if self._begun:
            return ()
        self._begun = True
        for number in self.numbers:
            self._keeper(number)
        return self.numbers

    def any_keeper(self) -> GroupKeeper:
        """The keeper of some group, once this process is ``ready``."""
        return self._keeper(self.numbers[0])

    def _keeper(self, number: int) -> GroupKeeper:
        keeper = self.keepers.get(number)
        if keeper is None:
            pieces = self._pieces.get(number)
            keeper = self.keepers[number] = GroupKeeper(number) if pieces is None else self._restored(number, pieces)
        return keeper

    def get_ahead(self) -> int:
        """Between two calls of ``advance`` of any group, once in a while: do a portion of the next snapshots' work.

        Returns how many groups are yet to be written whole.
        """
        self._ahead.go_on(self.keepers.values())
        return self._ahead.bases_due

    def lay_down(self, keeper: GroupKeeper, outputs: Mapping[str, int]) -> bytes:
        """The epoch has ended: the head of a group, with the rest ready for ``take``."""
        self._ahead.epoch_ended()
        return keeper.head(outputs, self.numbers if self._begun else ())

    def take(self, number: int, place: int) -> bytes:
        """What is to be stored of a group in one of its places."""
        keeper = self.keepers.get(number)
        return self._pieces[number].stored(place) if keeper is None else keeper.take(place)

    @property
    def ready(self) -> bool:
        """Whether nothing that was stored is still on its way."""
        return self._heads_came and all(pieces.complete for pieces in self._pieces.values())

    def await_parts(self) -> None:
        """To be called while something stored is awaited; raises StoreError when nothing has come for so long that
        nothing will: a file has lost what was written last, which SQLite does not notice, nor does Bytewax.
        """
        # Not since the last one came: before the first wait other processes, or the broker, may have been waited for.
        now = time.monotonic()
        if self._waits_since is None:
            self._waits_since = now
        if now - self._waits_since < _PATIENCE:
            return
        lacking = sorted(number for number, pieces in self._pieces.items() if not pieces.complete)
        raise self._missing(lacking, "")

    def _missing(self, lacking: Sequence[int], what: str) -> StoreError:
        more = f" and {len(lacking) - 1} more" if lacking[1:] else ""
        which = f"{what}key group {lacking[0]}{more}" if lacking else "heads"
        return StoreError(f"parts of the state are missing ({which})", str(self._store), RESTORE)

    def outputs(self) -> dict[str, int] | None:
        """Where the sinks stood at the snapshot that this process goes on from; None when there is none."""
        heads = [pieces.head for pieces in self._pieces.values() if pieces.head is not None]
        found = [*self._outputs, *(head.outputs for head in heads)]
        return least(found) if found else None

    def _of(self, number: int) -> Pieces:
        return self._pieces.setdefault(number, Pieces())

    def _restored(self, number: int, pieces: Pieces) -> GroupKeeper:
        head = pieces.head
        if head is None or head.number != number:
            raise SnapshotError(f"key group {number}: its place in the store holds another group; begin a new store")
        keeper = GroupKeeper(number)
        (_, base), *changes = pieces.cells()
        for stage, state in head.stages.items():
            if stage not in self.plan.stages:
                raise SnapshotError(
                    f"the store holds state of the stage {stage!r}, which these settings do not have: "
                    "use the settings it was written with, or a new store"
                )
            group = keeper.stages[stage] = self.plan.key_group(stage)
            group.resume(state, base.get(stage, {}), [cells.get(stage, {}) for _, cells in changes])
        recent: Changed = {}
        for place, cells in changes:
            if place in FIRST_LEVEL:
                for stage, changed in cells.items():
                    recent.setdefault(stage, {}).update(changed)
        keeper.resume(head, recent)
        self._outputs.append(head.outputs)
        del self._pieces[number]
        return keeper
