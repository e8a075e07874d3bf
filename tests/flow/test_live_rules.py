"""Rules that change in the middle: the outputs stay a function of the events alone, and are what the rules say."""

from collections import Counter
from collections.abc import Mapping
from random import Random
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from config.loader import load_settings
from config.rulebook import laid_over
from config.settings import Settings
from dataflows.memory import MemoryDriver, MemorySnapshot
from events.batch import RawBatch
from events.model import RulePublished
from events.records import AlertRecord, DeadLetterRecord, Record
from tests.flow.test_properties import assert_same, fed, portions
from tests.oracle.changes import Opened, Rules, card_burst, resonance, stage_timeout
from tests.oracle.generate import BASE, Log, logs, moments
from tests.oracle.histories import Histories
from tests.oracle.keys import Keys
from tests.oracle.lateness import applied
from tests.oracle.ordering import in_order
from tests.support.flow import batch, driver, run, steps
from tests.support.rules import document

SETTINGS = load_settings()
SMALL_BURSTS = load_settings(
    overrides={"detectors": {"card_burst": {"any_amount": {"count": 2}, "same_amount": {"count": 2}}}}
)
LOGS = logs(SETTINGS)
CHANCE = st.randoms(use_true_random=False)
MOMENTS = moments(SETTINGS)
BEFORE = BASE - 86_400_000
CHANGES: Mapping[str, list[dict[str, Any]]] = {
    "stage_timeout": [{"norms": {"created": "2m", "paid": "1h"}}, {"factor": 2}, {"reminder_lead": "1m"}],
    "no_progress": [{"floor": "10m"}],
    "order_timeout": [{"limit": "20m"}, {"enabled": False}],
    "card_burst": [
        {"any_amount": {"count": 2}},
        {"same_amount": {"window": "1m"}},
        {"enabled": False},
        {"hold": False},
    ],
    "merge_candidate": [{"window": "10m"}],
    "resonance": [{"orange": 1}, {"window": "2m"}, {"weights": {"urgency_words": 3}}, {"season": "peak"}, {}],
    "illegal_transition": [{"enabled": False}, {}],
}
BROKEN: list[dict[str, Any]] = [{"wrong": 1}, {"enabled": "yes"}, {"norms": 5}]


@st.composite
def documents(draw: st.DrawFn) -> list[RulePublished]:
    """Some documents of few rules, so that they meet: right and wrong ones, early and late, of any version."""
    found = []
    for number in range(draw(st.integers(1, 6))):
        rule = draw(st.sampled_from([*CHANGES]))
        settings = draw(st.sampled_from([*CHANGES[rule], *CHANGES[rule], *BROKEN[: number % 4]]))
        at, effective_at = draw(MOMENTS), draw(MOMENTS)
        made = document(rule, draw(st.integers(1, 4)), at, effective_at, **settings)
        found.append(msgspec.structs.replace(made, id=f"{made.id}/{number}"))
    return found


def with_documents(chosen: Mapping[str, Log], told: list[RulePublished], chance: Random) -> dict[str, Log]:
    """The same logs with documents in them, anywhere, or in a log of their own."""
    result = {name: list(log) for name, log in chosen.items()}
    own: Log = [(each, None) for each in sorted(told, key=lambda each: each.time)]
    if chance.random() < 0.5:
        return {**result, "rules": own}
    for each in told:
        log = result[chance.choice([*result])]
        at = chance.randint(0, len(log))
        neighbours = [arrival for _, arrival in log[max(0, at - 1) : at + 1]]
        log.insert(at, (each, neighbours[0] if neighbours else None))
    return result


@given(LOGS, documents(), CHANCE)
def test_batches_interleaving_and_key_groups_do_not_matter(
    chosen: Mapping[str, Log], told: list[RulePublished], chance: Random
) -> None:
    changed = with_documents(chosen, told, chance)
    flow = driver(SETTINGS, changed, chance.choice((1, 7, 64)), live_cells=chance.choice((0, 3, 1_000)))
    assert_same(fed(flow, portions(changed, chance), chance), run(changed, SETTINGS))


@given(LOGS, documents(), CHANCE)
def test_a_run_goes_on_from_its_snapshot_with_the_rules_it_had(
    chosen: Mapping[str, Log], told: list[RulePublished], chance: Random
) -> None:
    changed = with_documents(chosen, told, chance)
    batches = portions(changed, chance)
    flow, records, start = driver(SETTINGS, changed), list[Record](), 0
    for cut in sorted(chance.choices(range(len(batches) + 1), k=2)):
        records += fed(flow, batches[start:cut])
        start = cut
        flow, again = _restarted(flow, changed)
        records += flow.feed(*again)
    records += fed(flow, batches[start:])
    assert_same(records, run(changed, SETTINGS))


def _restarted(flow: MemoryDriver, chosen: Mapping[str, Log]) -> tuple[MemoryDriver, list[RawBatch]]:
    ended = [name for name, clock in flow.intake.router.clocks.items() if clock.finished]
    stored = msgspec.msgpack.encode(flow.snapshot())
    fresh = driver(SETTINGS, chosen)
    fresh.restore(msgspec.msgpack.decode(stored, type=MemorySnapshot))
    return fresh, [batch(name, (), finished=True) for name in ended]  # as a reader says it again


@given(LOGS, documents(), CHANCE)
def test_copies_and_the_order_of_documents_change_nothing(
    chosen: Mapping[str, Log], told: list[RulePublished], chance: Random
) -> None:
    def spoken(order: list[RulePublished]) -> list[Record]:
        # With arrivals no document counts as late, wherever it stands in the log.
        log: Log = [(each, each.time) for each in order]
        records = run({**chosen, "rules": log}, SETTINGS)
        return [each for each in records if not isinstance(each, DeadLetterRecord) or each.partition != "rules"]

    again = [*told, *told]
    chance.shuffle(again)
    assert_same(spoken(again), spoken(told))


@given(LOGS, documents())
def test_each_document_takes_effect_or_is_told_of_once(chosen: Mapping[str, Log], told: list[RulePublished]) -> None:
    last = max(each.time for each in told)
    log: Log = [(each, None) for each in sorted(told, key=lambda each: each.time)]
    end = max(applied(chosen, SETTINGS.time)[2], last, *(each.effective_at for each in told))
    flow = driver(SETTINGS, {**chosen, "rules": log}, until=end)
    records = flow.feed(*(batch(name, part, finished=True) for name, part in {**chosen, "rules": log}.items()))
    letters = Counter(
        record.position for record in records if isinstance(record, DeadLetterRecord) and record.partition == "rules"
    )
    assert set(letters.values()) <= {1}
    good = [each for place, (each, _) in enumerate(log) if place not in letters]
    newest = {each.rule: each.version for each in sorted(good, key=lambda each: each.version)}  # type: ignore[union-attr]
    versions = SETTINGS.detectors
    expected = {rule: newest.get(rule, getattr(versions, rule).version) for rule in CHANGES}
    found = flow.groups["orders"][0]._rules.versions()
    assert {rule: found[rule] for rule in CHANGES} == expected


def moments_in(chosen: Mapping[str, Log], rule: str, files: Settings = SETTINGS) -> st.SearchStrategy[int]:
    """Moments at which something happens, or right after it, rather after an alert opened: there a change shows."""
    times = {event.time for log in chosen.values() for event, _ in log if not isinstance(event, bytes)}
    found = [each for each in run(chosen, files) if isinstance(each, AlertRecord) and each.rule == rule]
    after_alerts = sorted({each.time + 1 for each in found if each.step == "opened"})
    usual = st.builds(
        lambda time, after: time + after, st.sampled_from(sorted(times) or [BASE]), st.sampled_from((0, 1))
    )
    return st.sampled_from(after_alerts) | usual if after_alerts else usual


def _played(
    chosen: Mapping[str, Log], change: RulePublished, files: Settings = SETTINGS
) -> tuple[list[Record], list[Any], Histories, Rules, int]:
    events, _, end = applied(chosen, files.time)
    ordered = in_order(events, files, end)
    rules = Rules(files, laid_over(files, change), change.effective_at)
    records = run({**chosen, "rules": [(change, None)]}, files)
    return records, ordered, Histories(ordered, files, Keys(b"")), rules, end


@given(st.data(), LOGS, st.sampled_from([{"norms": {"created": "2m", "paid": "1h", "queued": "1m"}}, {"factor": 2}]))
def test_stage_limits_change_as_the_rules_say(
    data: st.DataObject, chosen: Mapping[str, Log], settings: dict[str, Any]
) -> None:
    change = document("stage_timeout", 2, BEFORE, data.draw(moments_in(chosen, "stage_timeout")), **settings)
    records, _, histories, rules, end = _played(chosen, change)

    def told(found: list[Any]) -> Counter[tuple[Any, ...]]:
        return Counter(
            (step.step, step.entity_type, step.entity_id, step.time, step.reason if step.step == "resolved" else None)
            for step in found
            if step.rule == "stage_timeout" and step.time <= end
        )

    assert told(steps(records, end)) == told(list(stage_timeout(histories, rules)))


def _opened(records: list[Record], rule: str, end: int) -> Counter[Opened]:
    return Counter(
        (
            record.step,
            record.entity_type,
            record.entity_id,
            record.time,
            record.level,
            frozenset(record.orders),
        )
        for record in records
        if isinstance(record, AlertRecord)
        and record.rule == rule
        and record.time <= end
        and (record.step == "opened" or record.reason == "joined")
    )


@given(
    st.data(),
    LOGS,
    st.sampled_from(
        [
            {"any_amount": {"count": 4}, "same_amount": {"count": 5}},
            {"any_amount": {"count": 5, "window": "1m"}},
            {"any_amount": {"window": "2m"}, "same_amount": {"window": "1m"}},
        ]
    ),
)
def test_bursts_change_as_the_rules_say(
    data: st.DataObject, chosen: Mapping[str, Log], settings: dict[str, Any]
) -> None:
    change = document("card_burst", 2, BEFORE, data.draw(moments_in(chosen, "card_burst", SMALL_BURSTS)), **settings)
    records, ordered, histories, rules, end = _played(chosen, change, SMALL_BURSTS)
    expected = Counter(each for each in card_burst(ordered, histories, rules, Keys(b"")) if each[3] <= end)
    assert _opened(records, "card_burst", end) == expected


@given(
    st.data(),
    LOGS,
    st.sampled_from(
        [
            {"orange": 1, "lock": 1.5},
            {"orange": 3.5, "lock": 5},
            {"weights": {"urgency_words": 3, "device_change": 0}, "season": "peak"},
            {"window": "1m"},
        ]
    ),
)
def test_resonance_changes_as_the_rules_say(
    data: st.DataObject, chosen: Mapping[str, Log], settings: dict[str, Any]
) -> None:
    records, ordered, histories, rules, end = _played(
        chosen, document("resonance", 2, BEFORE, data.draw(moments_in(chosen, "resonance")), **settings)
    )
    expected = Counter(each for each in resonance(ordered, histories, rules) if each[3] <= end)
    assert _opened(records, "resonance", end) == expected


@pytest.mark.parametrize("rule", [*CHANGES])
def test_what_is_drawn_is_right_by_itself(rule: str) -> None:
    for settings in CHANGES[rule]:
        laid_over(SETTINGS, document(rule, 2, BASE, **settings))
