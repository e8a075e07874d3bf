"""Which events of a history concern some keys, found by reading headers alone, and where they stand."""

from collections.abc import Iterator, Mapping
from typing import Any, Final

import msgspec
from msgspec import Struct

from events.batch import RawBatch
from events.model import UNREADABLE, AnyEvent, Event
from operators.heart.inputs import Chunk
from operators.heart.router import Router, key_group
from operators.topology import Topology

# So many that the few keys looked for share theirs with few others.
_GROUPS: Final = 4_096
_EVENTS: Final = msgspec.json.Decoder(AnyEvent)
Keys = Mapping[str, frozenset[str]]
"""Stage -> keys."""
RULES: Final = "rules"
"""In place of a stage: rule documents go to all of them."""


class Found(Struct, frozen=True):
    """An event that concerns one of the keys. ``at``: when it is applied; ``line``: as it stands in its log."""

    stage: str
    key: str
    at: int
    event: Any
    line: bytes
    partition: str
    position: int

    @property
    def place(self) -> tuple[str, int]:
        """Where it stands."""
        return self.partition, self.position


class Scan:
    """One reading of a history for the events of some keys. An event that goes to two stages is found in both.

    Rule documents are found always, for they concern all keys.
    """

    def __init__(self, plan: Topology, keys: Keys) -> None:
        self._keys = {stage: wanted for stage, wanted in keys.items() if stage in plan.stages}
        self._groups = {stage: {key_group(key, _GROUPS) for key in wanted} for stage, wanted in self._keys.items()}
        self._key_of = {stage: plan.keys_of(stage) for stage in self._keys}
        settings = plan.environment.settings
        topic = settings.kafka.topics.rules
        self.router = Router(settings.time, _GROUPS, plan.routes, plan.copied, plan.rulebook, topic)
        self.found: list[Found] = []

    def take(self, batch: RawBatch) -> None:
        """The next records of a partition."""
        routed = self.router.route(batch)
        for each in routed.rules:
            self.found.append(
                Found(RULES, each.document.rule, each.time, each.document, each.line, each.partition, each.position)
            )
        chunks = routed.chunks
        for stage, groups in self._groups.items():
            of_stage = chunks.get(stage, {})
            for group in groups & of_stage.keys():
                self.found.extend(self._of(of_stage[group], stage))

    def _of(self, chunk: Chunk, stage: str) -> Iterator[Found]:
        wanted, key_of = self._keys[stage], self._key_of[stage]
        late = chunk.late or {}
        for index, line in enumerate(chunk.lines):
            try:
                event: Event = _EVENTS.decode(line)
            except UNREADABLE:
                continue  # that is a dead letter, which the flow tells of
            whose = key_of.get(type(event))
            if whose is not None and (key := whose.of(event)) in wanted:
                at = late.get(index, event.time)
                yield Found(stage, key, at, event, line, chunk.partition, chunk.positions[index])
