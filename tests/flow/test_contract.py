"""The rule `contract` in the flow: equal to the oracle, whatever the batches, the partitions, a restart in between."""

from collections import Counter
from collections.abc import Mapping, Sequence

from hypothesis import given
from hypothesis import strategies as st

from config.loader import load_settings
from dataflows.memory import MemoryDriver
from events.model import ContractCounted, Deviation, DeviationCount, FieldCount, NameCount, TraitCount
from events.records import AlertRecord, Record
from operators.heart.component import Environment
from operators.topology import topology
from tests.oracle.contracts import contract
from tests.oracle.model import ExpectedStep
from tests.support.flow import Log, batch, outputs, run

SLICE = 15_000
BASE = 1_780_239_600_000
SETTINGS = load_settings(
    overrides={
        "detectors": {
            "contract": {
                "past": 20,
                "memory": 120,
                "learning": 30,
                "gone_after": "2m",
                "usual_after": "4m",
                "names_at_once": 2,
            }
        }
    }
)
RULE = SETTINGS.detectors.contract
WHAT: tuple[Deviation, ...] = ("missing", "lacking", "unparsable", "unknown_status", "decrypt_failed", "time_offset")


@st.composite
def _looks(draw: st.DrawFn, name: str) -> FieldCount:
    seen = draw(st.sampled_from((1, 3, 10, 20)))
    wrong = draw(st.dictionaries(st.sampled_from(WHAT), st.sampled_from((1, seen // 2 or 1, seen)), max_size=2))
    return FieldCount(name, seen, tuple(DeviationCount(what, count, 5, BASE) for what, count in sorted(wrong.items())))


@st.composite
def _counts(draw: st.DrawFn) -> list[ContractCounted]:
    """A few sources and partitions, slice by slice, with stretches of the same behaviour."""
    found = []
    for source in ("pay", "shop"):
        number = 0
        for _ in range(draw(st.integers(1, 5))):
            fields = tuple(draw(_looks(name)) for name in draw(st.sampled_from(((), ("a",), ("a", "b")))))
            names = draw(st.lists(st.sampled_from(("x", "y", "z", "id")), unique=True, max_size=3))
            traits = draw(st.lists(st.sampled_from(("1", "2")), unique=True, max_size=2))
            logs = draw(st.sampled_from((("raw/0",), ("raw/0", "raw/1"))))
            for _ in range(draw(st.integers(1, 8))):
                number += draw(st.sampled_from((1, 1, 1, 2, 9)))
                found += [_event(source, log, number, fields, names, traits) for log in logs]
    return sorted(found, key=lambda event: event.time)


def _event(
    source: str, log: str, number: int, fields: tuple[FieldCount, ...], names: Sequence[str], traits: Sequence[str]
) -> ContractCounted:
    start = BASE + number * SLICE
    return ContractCounted(
        id=f"{log}/{start}",
        source=source,
        time=start + SLICE,
        entity_type="source",
        entity_id=source,
        partition=log,
        start=start,
        records=10,
        fields=fields,
        names=tuple(NameCount("field", name, 1, 3) for name in names),
        traits=tuple(TraitCount("version", value, 1, 3) for value in traits),
    )


def _log(events: Sequence[ContractCounted]) -> Log:
    return [(event, None) for event in events]


def steps(records: Sequence[Record]) -> Counter[ExpectedStep]:
    """The steps of the rule in the oracle's words."""
    return Counter(
        ExpectedStep(
            "contract",
            each.step,  # type: ignore[arg-type]
            each.entity_type,
            each.entity_id,
            each.time,
            each.level,
            each.reason,
        )
        for each in records
        if isinstance(each, AlertRecord) and each.rule == "contract"
    )


@given(_counts())
def test_counts_alert_as_the_rules_say(events: list[ContractCounted]) -> None:
    assert steps(run({"log": _log(events)}, SETTINGS)) == Counter(contract(events, RULE))


@given(_counts(), st.integers(1, 9), st.randoms(use_true_random=False))
def test_batches_partitions_and_copies_change_nothing(events: list[ContractCounted], size: int, chance: object) -> None:
    shuffle: Mapping[str, Log] = {
        "a": _log([event for event in events if event.partition == "raw/0"]),
        "b": _log([event for event in [*events, *events[:3]] if event.partition == "raw/1"]),
    }
    patient = load_settings(overrides={"time": {"out_of_orderness": "1d", "idle_delay": "1d"}, **_own()})
    assert outputs(_alerts(run(shuffle, patient, size=size))) == outputs(
        _alerts(run({"log": _log(events)}, patient, size=1_000))
    )


def _own() -> dict[str, object]:
    return {"detectors": {"contract": {"past": 20, "memory": 120, "learning": 30}}}


def _alerts(records: Sequence[Record]) -> list[Record]:
    return [record for record in records if isinstance(record, AlertRecord)]


@given(_counts(), st.integers(0, 60))
def test_a_restart_in_between_changes_nothing(events: list[ContractCounted], cut: int) -> None:
    log = _log(events)
    plan = topology(Environment(SETTINGS, 4))
    first = MemoryDriver(plan, ["log"])
    records = first.feed(batch("log", log[:cut]))
    second = MemoryDriver(plan, ["log"])
    second.restore(first.snapshot())
    records += second.feed(batch("log", log[cut:], cut, finished=True))
    assert outputs(records) == outputs(run({"log": log}, SETTINGS, groups=4))
