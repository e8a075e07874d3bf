"""A stage as Bytewax runs it: under one key per process, with all key groups that live there."""

from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from typing import Final

from bytewax.operators import StatefulBatchLogic
from msgspec import Struct

from dataflows.deliveries import Inputs, from_store, to_store
from dataflows.run_parts import Run
from dataflows.store_steps import Keep
from events.records import Record
from operators.heart.inputs import GroupOutput
from operators.heart.key_group import KeyGroup
from operators.heart.snapshots import SnapshotError
from operators.topology import Combiner

_RETRY: Final = timedelta(milliseconds=5)


class Combined(Struct, frozen=True, gc=False):
    """How far all key groups of a stage are here, and by stage what they send on."""

    watermark: int
    deliveries: dict[str, Inputs]


Told = list[Record] | Keep | Combined


class Stage:
    """The key groups of one stage in this process."""

    def __init__(self, name: str, run: Run) -> None:
        self._name = name
        self._run = run
        self._groups: dict[int, KeyGroup] = {}
        self._combiner = Combiner(run.worker.plan, name, run.worker.numbers, run.worker.index)
        self._spoken: set[int] = set()

    def take(self, deliveries: Iterable[Inputs]) -> list[Told] | None:
        """Take all deliveries, then apply what the watermark allows; None while stored parts are awaited."""
        worker = self._run.worker
        if not worker.ready:
            worker.await_parts()
            return None
        touched = set[int]()
        for inputs in deliveries:
            for number, item in inputs.items():
                group = self._groups.get(number)
                if group is None:
                    group = self._groups[number] = worker.group(self._name, number)
                group.push(item)
            touched.update(inputs)
        return [*self._advance(sorted(touched)), *self._keeps(touched)]

    def require_own(self, deliveries: Iterable[Inputs]) -> None:
        """Raise SnapshotError where deliveries from a store are for another process."""
        if not all(inputs.keys() <= {*self._run.worker.numbers} for inputs in deliveries):
            raise SnapshotError(
                "the last run on this store was interrupted while it started: start once with as many processes as then"
            )

    def _advance(self, numbers: Iterable[int]) -> Iterable[Told]:
        outputs: list[tuple[int, GroupOutput]] = []
        records: list[Record] = []
        for number in numbers:
            group = self._groups[number]
            # Most that is only pushed has nothing to say before time goes on: then nobody behind is woken.
            if group.idle and number in self._spoken:
                continue
            self._spoken.add(number)
            output = group.advance()
            outputs.append((number, output))
            records += output.records
        if records:
            yield records
        if outputs:
            deliveries = self._combiner.combine(outputs)
            yield Combined(self._combiner.watermark, deliveries)
            self._run.observer.stage(self._name, outputs, self._combiner.watermark)

    def _keeps(self, touched: Iterable[int]) -> Iterable[Keep]:
        if not self._run.keeps:
            return
        worker = self._run.worker
        begun = worker.begin()
        for number in begun or touched:
            yield from (Keep(number, place) for place in worker.keepers[number].announce())


class StageLogic(StatefulBatchLogic[Inputs, Told, bytes | None]):
    """A stage under the key of this process. What it knows is kept by ``store_steps``."""

    def __init__(self, stage: Stage, run: Run, stored: object) -> None:
        self._stage = stage
        self._run = run
        self._early = from_store(stored)
        stage.require_own(self._early)

    def on_batch(self, values: list[Inputs]) -> tuple[Iterable[Told], bool]:
        """Deliveries from the source and from other stages."""
        self._early += values
        return self.on_notify()

    def on_notify(self) -> tuple[Iterable[Told], bool]:
        """Stored parts may have come in the meantime."""
        with self._run.control.guarded():
            told = self._stage.take(self._early) if self._early else []
        if told is None:
            return (), StatefulBatchLogic.RETAIN
        self._early = []
        return told, StatefulBatchLogic.RETAIN

    def notify_at(self) -> datetime | None:
        """Soon, while stored parts are awaited."""
        return datetime.now(UTC) + _RETRY if self._early else None

    def snapshot(self) -> bytes | None:
        """What came before this process had all that was stored."""
        return to_store(self._early)
