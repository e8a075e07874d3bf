"""The stage chain as data: which moves an order may make."""

from enum import Enum

from config.settings import Settings, StageSettings


class Verdict(Enum):
    """What a move is."""

    APPLIED = "applied"
    REPEATED = "repeated"
    UNKNOWN = "unknown"
    BACKWARDS = "backwards"
    SKIPPED = "skipped"


class StateMachine:
    """Judges moves; every pair of stages is judged once, at the start."""

    def __init__(self, settings: Settings) -> None:
        self.stages: dict[str, StageSettings] = settings.stages
        self.position = {name: index for index, name in enumerate(self.stages)}
        self.initial = settings.flow.initial
        self._from_any = frozenset(settings.flow.from_any)
        self._terminal = frozenset(name for name, stage in self.stages.items() if stage.terminal)
        self._paid = frozenset(name for name, stage in self.stages.items() if stage.paid)
        self._shipped = frozenset(name for name, stage in self.stages.items() if stage.shipped)
        self._verdicts = {
            current: {target: self._judged(current, target) for target in self.stages}
            for current in (None, *self.stages)
        }

    def judge(self, current: str | None, target: str) -> Verdict:
        """What the move from ``current`` (None: a new order) to ``target`` is."""
        return self._verdicts[current].get(target, Verdict.UNKNOWN)

    def _judged(self, current: str | None, target: str) -> Verdict:
        if current is None:
            return Verdict.APPLIED if target == self.initial else Verdict.SKIPPED
        if current == target:
            return Verdict.REPEATED
        stage = self.stages[current]
        if stage.terminal:
            return Verdict.BACKWARDS
        if target in stage.next or target in self._from_any:
            return Verdict.APPLIED
        return Verdict.BACKWARDS if self.position[target] < self.position[current] else Verdict.SKIPPED

    def is_terminal(self, stage: str | None) -> bool:
        """Whether nothing follows."""
        return stage in self._terminal

    def pays(self, before: str | None, after: str) -> bool:
        """Whether a move is the one in which money arrives."""
        return after in self._paid and before not in self._paid

    def ships(self, before: str | None, after: str) -> bool:
        """Whether a move is the one in which goods leave."""
        return after in self._shipped and before not in self._shipped
