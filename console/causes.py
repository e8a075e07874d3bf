"""The likely cause of each line in which two runs differ, from what the lines say and from the runs' notes."""

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, Final, Literal

from msgspec import Struct

from console.digests import SHAPES
from console.run_note import RunNote

Cause = Literal[
    "twice", "range", "order", "end", "hash_key", "settings", "rules", "start", "forced", "program", "unknown"
]
WORDS: Final[Mapping[Cause, str]] = {
    "twice": "an effect that happened twice: the same line stands more often in one of them",
    "range": "outside of the range that the other run was limited to",
    "order": "of another order than the one that the other run was limited to",
    "end": "later than the other run has judged",
    "hash_key": "entities are hashed with another key: set the same ORDERPULSE_HASH_KEY for both",
    "settings": "other settings",
    "rules": "other rules: the alerts name other versions of the rule",
    "start": "another start: one of the runs did not read what came before its warm-up",
    "forced": "late by force: an event was applied at another time, because the live run could not wait for it",
    "program": "the same id with another content: another version of OrderPulse, or settings that no run.json tells",
    "unknown": "no likely cause: were both runs given the same input and, where no run.json tells, settings?",
}
_SHOWN: Final = 5
_Notes = tuple[RunNote | None, RunNote | None]


class Difference(Struct, frozen=True):
    """A line that one run has and the other has not, or not as often. ``side``: 0 or 1, who has it."""

    kind: str
    side: int
    key: Any
    text: bytes
    twice: bool = False

    @property
    def moment(self) -> int | None:
        """When it counts, epoch ms."""
        return SHAPES[self.kind].moment(self.key)

    @property
    def orders(self) -> tuple[str, ...]:
        """Whom it is about."""
        return SHAPES[self.kind].orders(self.key)

    @property
    def rules(self) -> tuple[str, ...]:
        """The rules that it speaks of."""
        if self.kind == "alerts":
            return (self.key.rule,)
        return tuple(cause.rule for cause in self.key.causes) if self.kind == "holds" else ()


class Explained(Struct, frozen=True):
    """A likely cause: lines only in the one and in the other run, the first moment, what is known of it, an example."""

    cause: Cause
    lines: tuple[int, int]
    first: int | None
    details: list[str]
    example: str


class Causes:
    """Knows what can make runs differ. ``learn`` from all kinds first, then ``explain``."""

    def __init__(self, notes: _Notes, say_time: Callable[[int], str] = str) -> None:
        self._notes = notes
        self._say_time = say_time
        self._changed_settings = _changed_settings(notes)
        self._rules: dict[str, tuple[set[int], set[int]]] = {}
        self._forced: dict[str, list[Difference]] = {}
        self._forced_since: int | None = None
        self._ids: tuple[set[str], set[str]] = (set(), set())
        self._tests: Sequence[tuple[Cause, Callable[[Difference], bool]]] = (
            ("twice", lambda each: each.twice),
            ("range", self._out_of_range),
            ("order", self._of_another_order),
            ("end", self._not_judged),
            ("hash_key", self._is_hashed_otherwise),
            ("settings", self._is_touched_by_settings),
            ("rules", self._has_other_rules),
            ("start", self._is_begun_otherwise),
            ("forced", self._is_forced),
            ("forced", self._follows_forced),
            ("settings", lambda _: bool(self._changed_settings)),
            ("program", self._says_something_else),
        )

    def learn(self, differences: Iterable[Difference], rules: tuple[dict[str, set[int]], dict[str, set[int]]]) -> None:
        """The differing lines of one kind, and the versions of the rules that spoke in it."""
        for name in rules[0].keys() & rules[1].keys():
            self._rules[name] = (rules[0][name], rules[1][name])
        for each in differences:
            self._ids[each.side].add(each.key.id)
            if each.kind == "late" and not each.twice:
                for order in each.orders:
                    self._forced.setdefault(order, []).append(each)
        moments = [each.moment for late in self._forced.values() for each in late if each.moment is not None]
        self._forced_since = min(moments, default=None)

    def explain(self, differences: Iterable[Difference]) -> list[Explained]:
        """The likely causes, the most frequent one first."""
        by_cause: dict[Cause, list[Difference]] = {}
        for each in differences:
            by_cause.setdefault(self.of(each), []).append(each)
        explained = [self._explained(cause, lines) for cause, lines in by_cause.items()]
        return sorted(explained, key=lambda each: -sum(each.lines))

    def of(self, difference: Difference) -> Cause:
        """The likely cause of one line."""
        return next((cause for cause, applies in self._tests if applies(difference)), "unknown")

    def _explained(self, cause: Cause, lines: Sequence[Difference]) -> Explained:
        sides = Counter(each.side for each in lines)
        moments = [each.moment for each in lines if each.moment is not None]
        return Explained(
            cause=cause,
            lines=(sides[0], sides[1]),
            first=min(moments, default=None),
            details=self._details(cause, lines),
            example=lines[0].text.decode(),
        )

    def _details(self, cause: Cause, lines: Sequence[Difference]) -> list[str]:
        details: dict[Cause, Callable[[], list[str]]] = {
            "settings": self._settings_in_words,
            "rules": lambda: self._rules_in_words(lines),
            "forced": lambda: [self._forced_in_words(late) for late in self._forced.values()],
            "start": lambda: self._of_notes(self._start_in_words),
            "end": lambda: self._of_notes(self._end_in_words),
            "program": lambda: self._of_notes(lambda note: f"was made by version {note.version}"),
        }
        found = details[cause]() if cause in details else []
        more = len(found) - _SHOWN
        return [*found[:_SHOWN], f"... and {more} more"] if more > 0 else found

    def _settings_in_words(self) -> list[str]:
        return [f"{name}: {one} in A, {other} in B" for name, (one, other) in self._changed_settings.items()]

    def _rules_in_words(self, lines: Sequence[Difference]) -> list[str]:
        names = sorted({rule for each in lines for rule in each.rules if rule in self._rules})
        versions = {name: [", ".join(map(str, sorted(side))) for side in self._rules[name]] for name in names}
        return [f"{name}: version {one} in A, {other} in B" for name, (one, other) in versions.items()]

    def _of_notes(self, say: Callable[[RunNote], str]) -> list[str]:
        return [f"{name} {say(note)}" for name, note in zip("AB", self._notes, strict=True) if note is not None]

    def _start_in_words(self, note: RunNote) -> str:
        if note.part.start_offsets is not None:
            return f"begins at {note.part.start_offsets}"
        return "begins with its input" if note.part.start is None else f"begins at {self._say_time(note.part.start)}"

    def _end_in_words(self, note: RunNote) -> str:
        return "has judged nothing" if note.watermark is None else f"is judged up to {self._say_time(note.watermark)}"

    def _forced_in_words(self, late: Sequence[Difference]) -> str:
        """Of the first event of an order that stands in both runs at different times."""
        key = late[0].key
        times = {each.side: each.key.applied_at for each in late if each.key.id == key.id}
        where = [
            f"at {self._say_time(times[side])} in {name}" if side in times else f"at its own time in {name}"
            for side, name in enumerate("AB")
        ]
        return f"{key.event_type} {key.event_id} of {key.entity_id} was applied {', '.join(where)}"

    def _other(self, difference: Difference) -> RunNote | None:
        """The note of the run that lacks the line."""
        return self._notes[1 - difference.side]

    def _out_of_range(self, difference: Difference) -> bool:
        other, moment = self._other(difference), difference.moment
        if other is None:
            return False
        since, until = other.part.since, other.part.until
        if moment is None:
            return since is not None or until is not None
        return (since is not None and moment < since) or (until is not None and moment >= until)

    def _of_another_order(self, difference: Difference) -> bool:
        other = self._other(difference)
        return other is not None and other.part.order is not None and other.part.order not in difference.orders

    def _not_judged(self, difference: Difference) -> bool:
        other, moment = self._other(difference), difference.moment
        return other is not None and other.watermark is not None and moment is not None and moment > other.watermark

    def _is_hashed_otherwise(self, difference: Difference) -> bool:
        one, other = self._notes
        return one is not None and other is not None and one.hash_key != other.hash_key and b'"h:' in difference.text

    def _is_touched_by_settings(self, difference: Difference) -> bool:
        return any(_concerns(name, difference) for name in self._changed_settings)

    def _has_other_rules(self, difference: Difference) -> bool:
        return any(one != other for rule in difference.rules for one, other in (self._rules.get(rule, (0, 0)),))

    def _is_begun_otherwise(self, _: Difference) -> bool:
        starts = [None if note is None else (note.part.start, note.part.start_offsets) for note in self._notes]
        begun_later = [each not in (None, (None, None)) for each in starts]
        return any(begun_later) and starts[0] != starts[1]

    def _is_forced(self, difference: Difference) -> bool:
        return any(order in self._forced for order in difference.orders)

    def _follows_forced(self, difference: Difference) -> bool:
        """Cards, customers and the line as a whole hear of a forced event too."""
        since, moment = self._forced_since, difference.moment
        return since is not None and moment is not None and moment >= since and difference.kind != "dead_letters"

    def _says_something_else(self, difference: Difference) -> bool:
        one, other = self._notes
        same = all(difference.key.id in ids for ids in self._ids)
        return same and (one is None or other is None or one.version != other.version)


def _changed_settings(notes: _Notes) -> dict[str, tuple[str, str]]:
    one, other = notes
    if one is None or other is None or one.fingerprint == other.fingerprint:
        return {}
    names = sorted(one.settings.keys() | other.settings.keys())
    values = {name: (one.settings.get(name, "none"), other.settings.get(name, "none")) for name in names}
    return {name: pair for name, pair in values.items() if pair[0] != pair[1]}


def _concerns(setting: str, difference: Difference) -> bool:
    """Whether a setting most likely made the difference: those of a rule in what that rule says, others anywhere."""
    if setting.startswith("detectors."):
        return any(setting.startswith(f"detectors.{rule}.") for rule in difference.rules)
    return True
