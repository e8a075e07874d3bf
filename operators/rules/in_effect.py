"""Which rule documents are in effect in one key group, and which wait for their moment."""

from collections.abc import Callable, Iterable, Sequence
from typing import Final, Literal

from msgspec import Struct, field

from config.settings import Settings
from events.model import RulePublished
from operators.rules.documents import Announced, key_of
from operators.rules.rulebook import Rulebook

NEVER: Final = 2**63 - 1  # behind every watermark, also that of logs that have all ended


class RuleState(Struct):
    """What is known of one rule. ``heard``: version -> who said it; ``effective``: None while the files alone count.

    ``muted``: from when until before when (event time, ms) documents had switched it off.
    """

    heard: dict[int, str] = field(default_factory=dict)
    effective: RulePublished | None = None
    muted: list[tuple[int, int]] = field(default_factory=list)


class RulesHead(Struct):
    """What a key group keeps of rules: documents not heard yet, those that wait for their moment, and each rule."""

    announced: list[Announced] = field(default_factory=list)
    waiting: list[Announced] = field(default_factory=list)
    rules: dict[str, RuleState] = field(default_factory=dict)


class Verdict(Struct, frozen=True):
    """What is to be said of a document: that it was heard late, or that it has no effect beside version ``newer``."""

    what: Literal["late", "superseded"]
    announced: Announced
    newer: int = 0


class Change(Struct, frozen=True):
    """What a moment brought: the settings from now on, and the rules, or kinds of rules, that changed."""

    settings: Settings
    rules: frozenset[str]
    verdicts: Sequence[Verdict]


class RulesInEffect:
    """Hears documents at their event time, and lets each take effect at its moment, before all events of it.

    In one millisecond they are heard, and take effect, by rising version, so the largest one counts; one that is older
    than what is in effect changes nothing. Everything goes by event time, so it does not matter when a document was
    taken over.
    """

    def __init__(self, rulebook: Rulebook) -> None:
        self._rulebook = rulebook
        self.head = RulesHead()
        self.next = NEVER
        """The earliest moment (event time, ms) at which there is something to do."""
        self.muted: dict[str, Sequence[tuple[int, int]]] = {}
        """Rule -> from when until before when it is, or was, switched off."""

    def take(self, announced: Iterable[Announced]) -> None:
        """Documents that came in; nothing is heard yet."""
        self.head.announced.extend(announced)
        self._look_ahead()

    def reach(self, moment: int) -> Change:
        """All that happens at ``moment``, which is ``next``."""
        verdicts: list[Verdict] = []
        changed: set[str] = set()
        for announced in _due(self.head.announced, moment, lambda each: each.time):
            self._hear(announced, verdicts)
        for announced in _due(self.head.waiting, moment, lambda each: each.takes_effect):
            self._take_effect(announced, moment, changed, verdicts)
        self._look_ahead()
        return Change(self.settings(), frozenset(changed), verdicts)

    def settings(self) -> Settings:
        """The settings that hold now; raises ConfigurationError when a document does not fit the files any more."""
        return self._rulebook.with_documents(
            state.effective for _, state in sorted(self.head.rules.items()) if state.effective is not None
        )

    def versions(self) -> dict[str, int]:
        """Rule -> its version now, for all rules that are there."""
        said = [state.effective for state in self.head.rules.values() if state.effective is not None]
        return self._rulebook.versions() | {document.rule: document.version for document in said}

    def restore(self, head: RulesHead, watermark: int) -> None:
        """Go on from what was kept. Files that have a newer version of a rule than its document count again."""
        self.head = head
        for state in head.rules.values():
            document = state.effective
            if document is not None and document.version <= self._rulebook.version(document.kind, document.rule):
                state.effective = None
                _unmute(state, watermark + 1)
        for name, state in head.rules.items():
            self._tell_muted(name.partition("/")[2], state)
        self._look_ahead()

    def _hear(self, announced: Announced, verdicts: list[Verdict]) -> None:
        document = announced.document
        state = self.head.rules.setdefault(key_of(document), RuleState())
        said_by = f"{document.source}\0{document.id}"
        before = state.heard.setdefault(document.version, "")
        if before == said_by:
            return
        if document.time < announced.time:
            verdicts.append(Verdict("late", announced))
        if before:
            verdicts.append(Verdict("superseded", announced, document.version))
            return
        state.heard[document.version] = said_by
        self.head.waiting.append(announced)

    def _take_effect(self, announced: Announced, moment: int, changed: set[str], verdicts: list[Verdict]) -> None:
        document = announced.document
        state = self.head.rules[key_of(document)]
        newest = self._rulebook.version(document.kind, document.rule)
        if state.effective is not None:
            newest = max(newest, state.effective.version)
        if document.version <= newest:
            verdicts.append(Verdict("superseded", announced, newest))
            return
        state.effective = document
        changed.add(document.rule if document.kind == "detector" else document.kind)
        _unmute(state, moment)
        if not self._rulebook.is_on(document):
            state.muted.append((moment, NEVER))
        self._tell_muted(document.rule, state)

    def _tell_muted(self, rule: str, state: RuleState) -> None:
        if state.muted:
            self.muted[rule] = state.muted

    def _look_ahead(self) -> None:
        heard = min((each.time for each in self.head.announced), default=NEVER)
        self.next = min(heard, min((each.takes_effect for each in self.head.waiting), default=NEVER))


def _due(waiting: list[Announced], moment: int, when: Callable[[Announced], int]) -> list[Announced]:
    """Takes out those whose moment has come, in the order in which they count."""
    due = [each for each in waiting if when(each) <= moment]
    if due:
        waiting[:] = [each for each in waiting if when(each) > moment]
    return sorted(due, key=_order)


def _order(announced: Announced) -> tuple[int, str, str, bytes]:
    document = announced.document
    return (document.version, document.source, document.id, announced.line)


def _unmute(state: RuleState, moment: int) -> None:
    if state.muted and state.muted[-1][1] == NEVER:
        state.muted[-1] = (state.muted[-1][0], moment)
