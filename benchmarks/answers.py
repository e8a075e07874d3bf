"""What a run answered: its alert steps as the rules speak of them, to be compared with another run's."""

from collections import Counter
from collections.abc import Iterable
from pathlib import Path

import msgspec
from msgspec import Struct

Answer = tuple[str, str, str, int, str]
_SHOWN = 3


class WrongAnswerError(Exception):
    """Two programs that were to give the same alerts did not: what they cost cannot be compared."""


class _AlertLine(Struct):
    rule: str
    step: str
    entity_id: str
    time: int
    level: str


def answers(alerts: Path) -> Counter[Answer]:
    """The multiset of (rule, step, entity id, time, level) of a file of alert lines."""
    return answers_of(alerts.read_bytes())


def answers_of(alerts: bytes) -> Counter[Answer]:
    """The same of the lines themselves."""
    lines = msgspec.json.Decoder(_AlertLine).decode_lines(alerts)
    return Counter((line.rule, line.step, line.entity_id, line.time, line.level) for line in lines)


def answers_in(directory: Path) -> Counter[Answer]:
    """Those of a run's output directory: one file, or one of each of its processes."""
    return sum((answers(path) for path in sorted(directory.glob("alerts*.ndjson"))), Counter())


def require_equal(one: str, answers_of_one: Counter[Answer], other: str, answers_of_other: Counter[Answer]) -> None:
    """Raises WrongAnswerError with the first few differences, or when there is nothing to compare."""
    if not answers_of_one:
        raise WrongAnswerError(f"{one} gave no alert: take more events")
    missing, more = answers_of_one - answers_of_other, answers_of_other - answers_of_one
    if missing or more:
        raise WrongAnswerError(
            f"{one} and {other} disagree.\n"
            f"  only {one} ({missing.total()}): {_some(missing)}\n"
            f"  only {other} ({more.total()}): {_some(more)}"
        )


def _some(found: Iterable[Answer]) -> str:
    return ", ".join(map(str, sorted(found)[:_SHOWN])) or "nothing"
