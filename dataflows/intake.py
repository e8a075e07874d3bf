"""From a reader to deliveries: judges and routes what was read, and puts the watermark beside what it covers."""

from collections.abc import Collection, Iterable, Mapping, Sequence

from msgspec import Struct, field

from events.batch import RawBatch
from events.records import Record
from operators.heart.inputs import Chunk, GroupInput
from operators.heart.lateness import AFTER_TIME, BEFORE_TIME, ClockSnapshot
from operators.heart.router import Router
from operators.topology import SOURCE, Topology


class Delivery(Struct, gc=False):
    """What one read gives the stages: per stage and key group its input; and records for the sinks."""

    inputs: dict[str, dict[int, GroupInput]]
    records: list[Record]
    events: dict[str, int] = field(default_factory=dict)
    late: dict[str, int] = field(default_factory=dict)
    forced: int = 0


class Intake:
    """One source of a topology: judges and sorts what it is given; see ``operators.heart.router``.

    ``until`` (epoch ms) lets time go on beyond the last event once bounded input has ended.
    """

    def __init__(self, plan: Topology, partitions: Iterable[str], *, number: int = 0, until: int | None = None) -> None:
        self._plan = plan
        self._origin = f"{SOURCE}/{number}"
        self._until = until
        self.router = Router(plan.environment.settings.time, plan.environment.groups, plan.routes, plan.copied)
        self.router.expect(partitions)
        self._sent = BEFORE_TIME

    def take(self, batches: Sequence[RawBatch]) -> Delivery:
        """Route what was read. Every key group hears of a watermark that moved, others only of what is theirs."""
        chunks: dict[str, dict[int, list[Chunk]]] = {stage: {} for stage in self._plan.stages}
        delivery = Delivery({}, [])
        for batch in batches:
            routed = self.router.route(batch)
            delivery.records.extend(routed.dead)
            delivery.forced += routed.forced
            if routed.events:
                delivery.events[batch.topic] = delivery.events.get(batch.topic, 0) + routed.events
            if routed.late:
                delivery.late[batch.topic] = delivery.late.get(batch.topic, 0) + routed.late
            for stage, by_group in routed.chunks.items():
                for group, chunk in by_group.items():
                    chunks[stage].setdefault(group, []).append(chunk)
        watermark = self.router.watermark
        moved = watermark > self._sent
        self._sent = max(self._sent, watermark)
        ended = self._ended() if self._sent == AFTER_TIME else None
        for stage, of_stage in chunks.items():
            groups: Iterable[int] = range(self._plan.environment.groups) if moved else of_stage
            delivery.inputs[stage] = {
                group: GroupInput(group, self._origin, self._sent, of_stage.get(group, ()), ended=ended)
                for group in groups
            }
        return delivery

    def leave_out(self, partitions: Collection[str]) -> None:
        """Let time go on without these partitions, and only these."""
        self.router.leave_out(partitions, self._sent)

    @property
    def watermark(self) -> int:
        """How far the stages have been told that time is."""
        return self._ended() if self._sent == AFTER_TIME else self._sent

    def _ended(self) -> int:
        """The time that the stages go to at the end of all input."""
        return self.router.last_applied if self._until is None else max(self.router.last_applied, self._until)

    def resume(self, clocks: Mapping[str, ClockSnapshot]) -> None:
        """Go on with the clocks of a snapshot; how far time is will be said again."""
        self.router.restore(clocks)
        self._sent = BEFORE_TIME
