"""The in-memory driver: the same stages without Bytewax, in virtual time; for tests, explanations, quick backtests."""

from collections.abc import Iterable, Iterator, Sequence

from msgspec import Struct

from dataflows.intake import Delivery, Intake
from events.batch import RawBatch
from events.records import Record
from operators.heart.inputs import GroupInput, GroupOutput
from operators.heart.key_group import KeyGroup
from operators.heart.lateness import ClockSnapshot
from operators.topology import Combiner, Topology


class MemorySnapshot(Struct, frozen=True):
    """Everything a run knows: clocks by partition, key groups by stage."""

    clocks: dict[str, ClockSnapshot]
    groups: dict[str, list[bytes]]


class MemoryDriver:
    """Feeds batches through all stages; each call returns the records that came of it."""

    def __init__(self, plan: Topology, partitions: Iterable[str], *, until: int | None = None) -> None:
        self._numbers = range(plan.environment.groups)
        self.intake = Intake(plan, partitions, until=until)
        self.groups: dict[str, list[KeyGroup]] = {
            stage: [plan.key_group(stage) for _ in self._numbers] for stage in plan.stages
        }
        self._combiners = {stage: Combiner(plan, stage, self._numbers) for stage in plan.stages}
        self.duplicates = 0

    def feed(self, *batches: RawBatch) -> list[Record]:
        """Apply batches and all that the watermark then allows."""
        return self.apply(self.intake.take(batches))

    def apply(self, delivery: Delivery) -> list[Record]:
        """Walk one delivery through all stages."""
        return [*delivery.records, *self._run(delivery)]

    def _run(self, delivery: Delivery) -> Iterator[Record]:
        waiting: dict[str, dict[int, list[GroupInput]]] = {
            stage: {group: [item] for group, item in by_group.items()} for stage, by_group in delivery.inputs.items()
        }
        for stage, groups in self.groups.items():
            outputs = []
            for number, inputs in sorted(waiting[stage].items()):
                output = _turn(groups[number], inputs)
                outputs.append((number, output))
                self.duplicates += output.counts.duplicates
                yield from output.records
            for target, by_group in self._combiners[stage].combine(outputs).items():
                for number, item in by_group.items():
                    waiting[target].setdefault(number, []).append(item)

    def snapshot(self) -> MemorySnapshot:
        """The state between two batches."""
        return MemorySnapshot(
            clocks=self.intake.router.snapshot(),
            groups={stage: [group.snapshot() for group in groups] for stage, groups in self.groups.items()},
        )

    def restore(self, snapshot: MemorySnapshot) -> None:
        """Go on from a snapshot that a driver of the same plan took."""
        self.intake.resume(snapshot.clocks)
        for stage, states in snapshot.groups.items():
            for group, state in zip(self.groups[stage], states, strict=True):
                group.restore(state)


def _turn(group: KeyGroup, inputs: Sequence[GroupInput]) -> GroupOutput:
    for item in inputs:
        group.push(item)
    return group.advance()
