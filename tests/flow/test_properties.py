"""Outputs are a function of the events alone: not of batches, interleaving, order, copies, key groups or restarts."""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from random import Random
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from config.loader import load_settings
from config.settings import Settings
from dataflows.memory import MemoryDriver, MemorySnapshot
from events.batch import RawBatch
from events.model import AnyEvent
from events.records import (
    AlertRecord,
    DeadLetterRecord,
    DiffRecord,
    HoldRecord,
    OrderSnapshot,
    ReadModelOnly,
    Record,
    VersionRecord,
)
from operators.heart.component import Environment
from operators.heart.inputs import Counts, GroupOutput
from operators.heart.key_group import KeyGroup
from operators.topology import topology
from tests.oracle.generate import Log, events, logs
from tests.oracle.lateness import applied
from tests.support.flow import batch, driver, outputs, run

SETTINGS = load_settings()
HORIZON = int(SETTINGS.time.duplicate_horizon)
Logs = Mapping[str, Log]

# Built once: that is what costs time.
LOGS = logs(SETTINGS)
EVENTS = events(SETTINGS)
CHANCE = st.randoms(use_true_random=False)


def portions(chosen: Logs, chance: Random) -> list[RawBatch]:
    """The logs cut into batches of any size, interleaved in any way; an end may come with its records or alone."""
    waiting = {name: _cut(name, log, chance) for name, log in chosen.items()}
    order = [name for name, batches in waiting.items() for _ in batches]
    chance.shuffle(order)
    return [waiting[name].pop(0) for name in order]


def _cut(name: str, log: Log, chance: Random) -> list[RawBatch]:
    batches, start = [], 0
    while start < len(log):
        size = chance.choice((1, 1, 2, 3, 10, len(log)))
        batches.append(batch(name, log[start : start + size], start))
        start += size
    if batches and chance.random() < 0.5:
        batches[-1].finished = True
    else:
        batches.append(batch(name, (), len(log), finished=True))
    return batches


def fed(flow: MemoryDriver, batches: Iterable[RawBatch], chance: Random | None = None) -> list[Record]:
    """All records; with a chance, several batches may come in one read."""
    records, waiting = [], list(batches)
    while waiting:
        count = 1 if chance is None else chance.choice((1, 1, 2, 5))
        records += flow.feed(*waiting[:count])
        del waiting[:count]
    return records


def by_entity(records: Iterable[Record]) -> dict[tuple[str, ...], list[bytes]]:
    """What a consumer of each topic sees of one entity, in the order in which it comes."""
    seen: dict[tuple[str, ...], list[bytes]] = defaultdict(list)
    for record in records:
        key: tuple[str, ...]
        match record:
            case AlertRecord():
                key = ("alert", record.entity_type, record.entity_id)
            case HoldRecord() | VersionRecord() | DiffRecord():
                key = (type(record).__name__, record.order_id)
            case _:
                continue
        seen[key].append(msgspec.json.encode(record, order="deterministic"))
    return dict(seen)


def assert_same(found: Sequence[Record], expected: Sequence[Record]) -> None:
    """The same records, and each entity's in the same order."""
    assert outputs(found) == outputs(expected)
    assert by_entity(found) == by_entity(expected)


@given(LOGS, CHANCE)
def test_batches_and_their_interleaving_do_not_matter(chosen: Logs, chance: Random) -> None:
    expected = run(chosen, SETTINGS)
    assert_same(fed(driver(SETTINGS, chosen), portions(chosen, chance), chance), expected)


@given(LOGS, st.sampled_from((1, 2, 7, 64)), CHANCE)
def test_the_number_of_key_groups_does_not_matter(chosen: Logs, groups: int, chance: Random) -> None:
    expected = run(chosen, SETTINGS, groups=8)
    assert_same(fed(driver(SETTINGS, chosen, groups), portions(chosen, chance), chance), expected)


@given(LOGS, st.sampled_from((0, 1, 2, 3, 10, 1_000_000)), st.sampled_from((1, 8)), CHANCE)
def test_how_many_keys_are_kept_as_objects_does_not_matter(
    chosen: Logs, live_cells: int, groups: int, chance: Random
) -> None:
    expected = run(chosen, SETTINGS)
    flow = driver(SETTINGS, chosen, groups, live_cells=live_cells)
    assert_same(fed(flow, portions(chosen, chance), chance), expected)


@given(LOGS, st.sampled_from((1, 3, 1_000_000)), CHANCE)
def test_laying_the_state_to_rest_at_any_moment_does_not_matter(chosen: Logs, live_cells: int, chance: Random) -> None:
    expected = run(chosen, SETTINGS)
    flow = driver(SETTINGS, chosen, live_cells=live_cells)
    records: list[Record] = []
    for part in portions(chosen, chance):
        records += flow.feed(part)
        for group in chance.choices([group for groups in flow.groups.values() for group in groups], k=10):
            group.changes()
    assert_same(records, expected)


@given(LOGS, st.sampled_from((0, 2, 1_000_000)), st.sampled_from((1, 8)), CHANCE)
def test_whether_the_walk_is_compiled_does_not_matter(
    chosen: Logs, live_cells: int, groups: int, chance: Random
) -> None:
    batches = portions(chosen, chance)
    in_python, compiled = (
        fed(driver(SETTINGS, chosen, groups, live_cells=live_cells, compiled=each), batches) for each in (False, True)
    )
    assert_same(compiled, in_python)


@given(EVENTS, CHANCE)
def test_the_order_within_the_allowed_out_of_orderness_does_not_matter(told: list[AnyEvent], chance: Random) -> None:
    def log(key: Mapping[str, int]) -> Log:
        return [(event, None) for event in sorted(told, key=lambda event: event.time + key[event.id])]

    straight = {"a": log({event.id: 0 for event in told})}
    # Nobody is overtaken by an event that is more than the out-of-orderness younger.
    shuffled = {"a": log({event.id: chance.randint(0, SETTINGS.time.out_of_orderness) for event in told})}
    records = fed(driver(SETTINGS, shuffled), portions(shuffled, chance))
    assert_same(_without_positions(records), _without_positions(run(straight, SETTINGS)))


@given(EVENTS, CHANCE)
def test_how_events_are_spread_over_partitions_does_not_matter(told: list[AnyEvent], chance: Random) -> None:
    spread: dict[str, list[tuple[bytes | AnyEvent, int | None]]] = {name: [] for name in ("a", "b", "c")}
    for event in told:
        spread[chance.choice("abc")].append((event, None))
    records = fed(driver(SETTINGS, spread), portions(spread, chance))
    in_one = {"a": [(event, None) for event in told]}
    assert_same(_without_positions(records), _without_positions(run(in_one, SETTINGS)))


@given(LOGS, CHANCE)
def test_copies_of_events_change_nothing(chosen: Logs, chance: Random) -> None:
    copied = {name: _with_copies(name, log, chance) for name, log in chosen.items()}
    records = fed(driver(SETTINGS, copied), portions(copied, chance))
    assert_same(_without_positions(records), _without_positions(run(chosen, SETTINGS)))


def _with_copies(name: str, log: Log, chance: Random) -> Log:
    """Some valid events again, at once or later in their log, within the horizon in which they are remembered."""
    dead = {letter.index for letter in applied({name: log}, SETTINGS.time)[1]}
    result = list(log)
    for index, record in enumerate(log):
        event, _ = record
        if index in dead or isinstance(event, bytes) or chance.random() < 0.5:
            continue
        places = [
            at
            for at in range(result.index(record) + 1, len(result) + 1)
            if _newest(result[:at]) - event.time <= HORIZON
        ]
        for _ in range(chance.randint(1, 2) if places else 0):
            result.insert(chance.choice(places), record)
    return result


def _newest(log: Log) -> int:
    return max((event.time for event, _ in log if not isinstance(event, bytes)), default=0)


def _without_positions(records: Iterable[Record]) -> list[Record]:
    """Dead letters without the place where they stood: that is another one in another log."""
    return [
        msgspec.structs.replace(record, id="", partition="", position=0)
        if isinstance(record, DeadLetterRecord)
        else record
        for record in records
    ]


@given(LOGS, st.integers(1, 3), st.sampled_from((1, 8)), CHANCE)
def test_a_run_goes_on_from_its_snapshot_as_if_nothing_had_happened(
    chosen: Logs, restarts: int, groups: int, chance: Random
) -> None:
    batches = portions(chosen, chance)
    records, start = [], 0
    flow = driver(SETTINGS, chosen, groups, compiled=chance.random() < 0.5)
    for cut in sorted(chance.choices(range(len(batches) + 1), k=restarts)):
        records += fed(flow, batches[start:cut])
        start = cut
        ended = [name for name, clock in flow.intake.router.clocks.items() if clock.finished]
        flow = _restarted(flow, driver(SETTINGS, chosen, groups, compiled=chance.random() < 0.5))
        records += flow.feed(*(batch(name, (), finished=True) for name in ended))  # as a reader says it again
    records += fed(flow, batches[start:])
    assert_same(records, run(chosen, SETTINGS, groups))


def _restarted(flow: MemoryDriver, fresh: MemoryDriver) -> MemoryDriver:
    stored = msgspec.msgpack.encode(flow.snapshot())
    fresh.restore(msgspec.msgpack.decode(stored, type=MemorySnapshot))
    return fresh


@given(LOGS, CHANCE)
def test_every_record_is_applied_once_or_a_duplicate_or_a_dead_letter(chosen: Logs, chance: Random) -> None:
    flow = driver(SETTINGS, chosen)
    total = _counted(flow)
    records = fed(flow, portions(chosen, chance))

    unique, dead, _ = applied(chosen, SETTINGS.time)
    letters = [record for record in records if isinstance(record, DeadLetterRecord)]
    assert sorted((letter.partition, letter.position) for letter in letters) == sorted(
        (letter.partition, letter.index) for letter in dead
    )
    assert total.applied == len(unique)
    assert total.duplicates == sum(map(len, chosen.values())) - len(dead) - len(unique)


def _counted(flow: MemoryDriver) -> Counts:
    total = Counts()

    def counting(group: KeyGroup) -> Any:
        advance = group.advance

        def advance_and_count() -> GroupOutput:
            output = advance()
            total.applied += output.counts.applied
            total.duplicates += output.counts.duplicates
            return output

        return advance_and_count

    for groups in flow.groups.values():
        for group in groups:
            setattr(group, "advance", counting(group))  # noqa: B010
    return total


@given(LOGS, CHANCE)
def test_the_read_model_ends_with_the_same_orders(chosen: Logs, chance: Random) -> None:
    def newest(batches: Iterable[RawBatch]) -> dict[str, OrderSnapshot]:
        plan = topology(Environment(SETTINGS, 8, read_model=True))
        records = fed(MemoryDriver(plan, chosen), batches)
        return {record.order_id: record for record in records if isinstance(record, OrderSnapshot)}

    at_once = [batch(name, log, finished=True) for name, log in chosen.items()]
    assert newest(portions(chosen, chance)) == newest(at_once)


@given(LOGS, CHANCE)
def test_the_read_model_is_the_same_where_nobody_wants_versions(chosen: Logs, chance: Random) -> None:
    def snapshots(settings: Settings) -> list[OrderSnapshot]:
        plan = topology(Environment(settings, 2, read_model=True))
        records = fed(MemoryDriver(plan, chosen), batches)
        return [record for record in records if isinstance(record, OrderSnapshot)]

    batches = portions(chosen, chance)
    without = msgspec.structs.replace(
        SETTINGS,
        versions=msgspec.structs.replace(SETTINGS.versions, enabled=False),
        diffs=msgspec.structs.replace(SETTINGS.diffs, enabled=False),
    )
    assert snapshots(without) == snapshots(SETTINGS)


@given(LOGS)
def test_record_ids_are_unique_and_steps_are_numbered_without_a_gap(chosen: Logs) -> None:
    records = [record for record in run(chosen, SETTINGS) if not isinstance(record, ReadModelOnly)]
    ids = [(type(record).__name__, record.id) for record in records]
    assert len(ids) == len(set(ids))

    alerts: dict[str, list[AlertRecord]] = defaultdict(list)
    versions: dict[str, int] = {}
    for record in records:
        if isinstance(record, AlertRecord):
            alerts[record.episode].append(record)
        elif isinstance(record, VersionRecord):
            # A forgotten order starts again at version 1.
            assert record.version in (versions.get(record.order_id, 0) + 1, 1)
            versions[record.order_id] = record.version
    for steps in alerts.values():
        assert [step.step_number for step in steps] == list(range(1, len(steps) + 1))
        assert [step.step == "opened" for step in steps] == [True] + [False] * (len(steps) - 1)
        assert all(step.step != "resolved" for step in steps[:-1])
        assert [step.time for step in steps] == sorted(step.time for step in steps)


@given(LOGS, st.sampled_from((0, 1, 300_000, 7_200_000, 8 * 86_400_000)), CHANCE)
def test_the_end_that_until_sets_is_the_same_however_it_is_reached(chosen: Logs, more: int, chance: Random) -> None:
    end = applied(chosen, SETTINGS.time)[2] + more
    at_once = driver(SETTINGS, chosen, until=end)
    expected = at_once.feed(*(batch(name, log, finished=True) for name, log in chosen.items()))
    flow = driver(SETTINGS, chosen, until=end)
    assert_same(fed(flow, portions(chosen, chance)), expected)
    assert flow.intake.watermark == at_once.intake.watermark >= end


OTHER_RULES: dict[str, Any] = {
    "chain": "fulfilment",
    "time": {"out_of_orderness": "1m", "idle_delay": "2m", "arrival": "ignore"},
    "detectors": {
        "stage_timeout": {"reminder_lead": "2m", "factor": 0.5},
        "order_timeout": {"reminder_lead": "10m"},
        "card_burst": {"any_amount": {"count": 2, "window": "5m"}, "judged_on": ["paid"]},
        "merge_candidate": {"window": "30m"},
        "resonance": {"orange": 1, "lock": 1.5, "season": "peak", "address_changes": 1, "payment_failures": 1},
    },
    "diffs": {"echo": True},
}


@pytest.fixture(scope="module")
def other_rules() -> tuple[Settings, st.SearchStrategy[Logs]]:
    settings = load_settings(overrides=OTHER_RULES)
    return settings, logs(settings)


@given(data=st.data(), chance=CHANCE)
def test_none_of_it_depends_on_the_rules(
    other_rules: tuple[Settings, st.SearchStrategy[Logs]], data: st.DataObject, chance: Random
) -> None:
    settings, of_these = other_rules
    chosen = data.draw(of_these)
    assert_same(fed(driver(settings, chosen, 5), portions(chosen, chance), chance), run(chosen, settings))
