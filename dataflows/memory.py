"""The in-memory driver: the same stages without Bytewax, in virtual time. For tests, explanations and quick backtests."""

from collections.abc import Iterable, Iterator

from msgspec import Struct

from events.batch import RawBatch
from events.records import Record
from operators.inputs import GroupInput
from operators.key_group import KeyGroup
from operators.lateness import ClockSnapshot
from operators.router import Router
from operators.topology import SOURCE, Combiner, Topology


class MemorySnapshot(Struct, frozen=True):
    """Everything a run knows: clocks by partition, key groups by stage."""

    clocks: dict[str, ClockSnapshot]
    groups: dict[str, list[bytes]]


class MemoryDriver:
    """Feeds batches through all stages; each call returns the records that came of it."""

    def __init__(self, plan: Topology, partitions: Iterable[str]) -> None:
        number = plan.environment.groups
        self._plan = plan
        self.router = Router(plan.environment.settings.time, number, plan.routes)
        self.router.expect(partitions)
        self.groups: dict[str, list[KeyGroup]] = {
            stage: [plan.key_group(stage) for _ in range(number)] for stage in plan.stages
        }
        self._combiners = {stage: Combiner(plan, stage, range(number)) for stage in plan.stages}
        self._sent = self.router.watermark

    def feed(self, batch: RawBatch) -> list[Record]:
        """Apply one batch and all that the watermark then allows."""
        routed = self.router.route(batch)
        deliveries: dict[str, dict[int, list[GroupInput]]] = {stage: {} for stage in self._plan.stages}
        watermark = self.router.watermark
        for stage, chunks in routed.chunks.items():
            for group, chunk in chunks.items():
                deliveries[stage][group] = [GroupInput(f"{SOURCE}/0", watermark, chunks=(chunk,))]
        return [*routed.dead, *self._run(deliveries, watermark)]

    def advance_to(self, watermark: int) -> list[Record]:
        """Let time go on without events."""
        return list(self._run({stage: {} for stage in self._plan.stages}, watermark))

    def _run(self, deliveries: dict[str, dict[int, list[GroupInput]]], watermark: int) -> Iterator[Record]:
        if watermark > self._sent:
            self._sent = watermark
            for by_group in deliveries.values():
                for group in range(self._plan.environment.groups):
                    by_group.setdefault(group, [GroupInput(f"{SOURCE}/0", watermark)])
        for stage, groups in self.groups.items():
            outputs = []
            for group, inputs in sorted(deliveries[stage].items()):
                for delivery in inputs:
                    groups[group].push(delivery)
                output = groups[group].advance()
                outputs.append((group, output))
                yield from output.records
            for target, by_group in self._combiners[stage].combine(outputs).items():
                for group, delivery in by_group.items():
                    deliveries[target].setdefault(group, []).append(delivery)

    def snapshot(self) -> MemorySnapshot:
        """The state between two batches."""
        return MemorySnapshot(
            clocks=self.router.snapshot(),
            groups={stage: [group.snapshot() for group in groups] for stage, groups in self.groups.items()},
        )

    def restore(self, snapshot: MemorySnapshot) -> None:
        """Go on from a snapshot that a driver of the same plan took."""
        self.router.restore(snapshot.clocks)
        self._sent = self.router.watermark
        for stage, states in snapshot.groups.items():
            for group, state in zip(self.groups[stage], states, strict=True):
                group.restore(state)
