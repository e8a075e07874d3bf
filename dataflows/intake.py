"""From a reader to deliveries: judges and routes what was read, and puts the watermark beside what it covers."""

from collections.abc import Collection, Iterable, Mapping, Sequence

from msgspec import Struct, field, structs

from events.batch import RawBatch
from events.records import Record
from operators.heart.inputs import Chunk, GroupInput
from operators.heart.lateness import AFTER_TIME, BEFORE_TIME, ClockSnapshot
from operators.heart.router import Router, key_group
from operators.heart.walkers import loops_for
from operators.rules.documents import Announced, key_of
from operators.topology import SOURCE, Topology


class Delivery(Struct, gc=False):
    """What one read gives the stages: per stage and key group its input; and records for the sinks.

    ``first``: nothing was read yet, it only says that there is a source.
    """

    inputs: dict[str, dict[int, GroupInput]]
    records: list[Record]
    events: dict[str, int] = field(default_factory=dict)
    late: dict[str, int] = field(default_factory=dict)
    forced: int = 0
    rules: list[Announced] = field(default_factory=list)
    first: bool = False


class Intake:
    """One source of a topology: judges and sorts what it is given; see ``operators.heart.router``.

    ``until`` (epoch ms) lets time go on beyond the last event once bounded input has ended.
    """

    def __init__(self, plan: Topology, partitions: Iterable[str], *, number: int = 0, until: int | None = None) -> None:
        self._plan = plan
        self._origin = f"{SOURCE}/{number}"
        self._until = until
        settings, groups = plan.environment.settings, plan.environment.groups
        rules_topic = settings.kafka.topics.rules
        # Only lines travel cheaply between processes.
        whole = plan.workers == 1
        self.router = Router(
            settings.time,
            groups,
            plan.routes,
            plan.copied,
            plan.rulebook,
            rules_topic,
            whole=whole,
            loops=loops_for(plan.environment),
        )
        self._ruled = plan.ruled
        self.router.expect(partitions)
        self._sent = BEFORE_TIME
        self.withholds = False

    def take(self, batches: Sequence[RawBatch], *, tell: bool = True) -> Delivery:
        """Route what was read. Every key group hears of a watermark that moved, others only of what is theirs.

        ``tell``: False keeps a watermark that has moved from them, until a later call.
        """
        chunks: dict[str, dict[int, list[Chunk]]] = {stage: {} for stage in self._plan.stages}
        delivery = Delivery({}, [])
        rules: list[Announced] = []
        for batch in batches:
            routed = self.router.route(batch)
            delivery.records.extend(routed.dead)
            rules += routed.rules
            delivery.forced += routed.forced
            if routed.events:
                delivery.events[batch.topic] = delivery.events.get(batch.topic, 0) + routed.events
            if routed.late:
                delivery.late[batch.topic] = delivery.late.get(batch.topic, 0) + routed.late
            for stage, by_group in routed.chunks.items():
                for group, chunk in by_group.items():
                    chunks[stage].setdefault(group, []).append(chunk)
        moved = tell and self._moved()
        self.withholds = not tell
        ended = self._ended() if self._sent == AFTER_TIME else None
        time_alone = GroupInput(self._origin, self._sent, ended=ended)
        for stage, of_stage in chunks.items():
            inputs = dict.fromkeys(range(self._plan.environment.groups), time_alone) if moved else {}
            for group, some in of_stage.items():
                inputs[group] = GroupInput(self._origin, self._sent, some, ended=ended)
            delivery.inputs[stage] = inputs
        if rules:
            self._broadcast(rules, delivery, time_alone)
        return delivery

    def _moved(self) -> bool:
        """Whether there is a new watermark to tell; from here on it is told."""
        watermark = self.router.watermark
        moved = watermark > self._sent
        self._sent = max(self._sent, watermark)
        return moved

    def _broadcast(self, rules: Sequence[Announced], delivery: Delivery, time_alone: GroupInput) -> None:
        """Every key group of every stage with rules hears of a document; one of them tells what becomes of it."""
        delivery.rules.extend(rules)
        count = self._plan.environment.groups
        tellers = [key_group(key_of(each.document), count) for each in rules]
        for stage in self._ruled:
            inputs = delivery.inputs[stage]
            for group in range(count):
                told = [
                    structs.replace(each, tells=True) if group == teller and stage == self._ruled[0] else each
                    for each, teller in zip(rules, tellers, strict=True)
                ]
                inputs[group] = structs.replace(inputs.get(group, time_alone), rules=told)

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
