"""Whether a run opened the alerts that the simulator says it must."""

from collections import Counter
from pathlib import Path

import msgspec
from msgspec import Struct

from console.results import damaged, lines_of
from operators.platform.open_alerts import ENTITY_TYPE as PLATFORM

FILE = "truth.ndjson"
Opening = tuple[str, str, int]
"""Rule, entity id, event time (epoch ms)."""


class _Alert(Struct, gc=False):
    rule: str
    entity_id: str
    time: int
    step: str = "opened"
    entity_type: str = ""


class TruthReport(Struct, frozen=True):
    """Openings that the truth asks for, those that are missing and those that are too many."""

    expected: Counter[str]
    missing: list[Opening]
    extra: list[Opening]

    @property
    def matched(self) -> int:
        """How many are as the truth asks."""
        return self.expected.total() - len(self.missing)

    @property
    def right(self) -> bool:
        """Whether the run opened exactly these."""
        return not self.missing and not self.extra

    def by_rule(self) -> dict[str, tuple[int, int, int]]:
        """Rule -> asked for, missing, too many."""
        missing, extra = (Counter(rule for rule, _, _ in openings) for openings in (self.missing, self.extra))
        rules = sorted(self.expected.keys() | missing.keys() | extra.keys())
        return {rule: (self.expected[rule], missing[rule], extra[rule]) for rule in rules}


def check_truth(truth: Path, run: Path, until: int | None = None) -> TruthReport:
    """The opened alerts of a run's directory against ``truth.ndjson`` of another.

    ``until`` (epoch ms): only alerts up to then, for a run that was stopped at this watermark. Raises FailedError for
    a line that is no record.
    """
    expected = _openings(truth, "truth", until)
    opened = _openings(run, "alerts", until)
    return TruthReport(
        expected=Counter(rule for rule, _, _ in expected.elements()),
        missing=sorted((expected - opened).elements(), key=lambda opening: opening[2]),
        extra=sorted((opened - expected).elements(), key=lambda opening: opening[2]),
    )


def hashes_differ(report: TruthReport) -> bool:
    """Whether all that differs are entities named by keyed hashes: most likely the keys differ."""
    openings = [*report.missing, *report.extra]
    return len(report.missing) == len(report.extra) > 0 and all(entity.startswith("h:") for _, entity, _ in openings)


def _openings(directory: Path, kind: str, until: int | None) -> Counter[Opening]:
    decoder = msgspec.json.Decoder(_Alert)
    found: Counter[Opening] = Counter()
    for count, line in enumerate(lines_of(directory, kind), start=1):
        try:
            alert = decoder.decode(line)
        except msgspec.DecodeError as error:
            raise damaged(f"{directory / kind}.ndjson, line {count}", str(error)) from error
        if alert.step != "opened" or alert.entity_type == PLATFORM:
            continue
        if until is None or alert.time <= until:
            found[alert.rule, alert.entity_id, alert.time] += 1
    return found
