"""The registry: every component, whatever it does, keeps the same promises."""

from collections import defaultdict
from typing import Any

import msgspec
import pytest

from dataflows.memory import MemoryDriver
from operators.heart.component import Component, Environment, StatefulComponent
from operators.heart.inputs import GroupInput
from operators.heart.key_group import KeyGroup
from operators.heart.snapshots import GroupSnapshot, SnapshotError
from operators.registry import COMPONENTS, components_of
from operators.topology import STAGES, topology
from tests.operators.test_texts import REMINDING, RICH
from tests.operators.timeline import SETTINGS, event, settings
from tests.support.flow import batch

OFF = {"enabled": False}
QUIET = settings(
    stage_timeout=OFF,
    order_timeout=OFF,
    no_progress=OFF,
    illegal_transition=OFF,
    card_burst=OFF,
    merge_candidate=OFF,
    resonance=OFF,
    contract=OFF,
    versions=OFF,
    diffs=OFF,
)
EVERYTHING = Environment(REMINDING, 4, read_model=True)
# What takes another part's place, or is off unless it is wanted.
OTHERWISE = Environment(
    settings(
        stage_timeout={"history": {"enabled": True}},
        feedback={"enabled": True},
        composite={
            "dear": {
                "zh": "贵",
                "en": "dear",
                "threshold": 1,
                "when": ["created", "behaviour"],
                "conditions": [{"name": "dear", "expression": "customer.orders > 2", "weight": 1}],
            }
        },
    ),
    4,
)


MORNING = [text for text in RICH if int(text.split(":")[0]) < 12]


def after_a_rich_morning() -> MemoryDriver:
    flow = MemoryDriver(topology(EVERYTHING), ["day"])
    flow.feed(batch("day", [(event(text, number), None) for number, text in enumerate(MORNING)]))
    return flow


def test_names_are_unique_and_stages_exist() -> None:
    names = [component.name for component in COMPONENTS]
    assert len(names) == len(set(names))
    assert {component.stage for component in COMPONENTS} == set(STAGES)


@pytest.mark.parametrize("kind", COMPONENTS, ids=lambda kind: kind.name)
def test_a_component_says_what_it_is_and_hears_something_that_somebody_sends(kind: type[Component]) -> None:
    groups = [group for environment in (EVERYTHING, OTHERWISE) for _, group in _groups(environment)]
    part = next(part for group in groups for part in group._components if isinstance(part, kind))
    assert part.context.stage == kind.stage
    handlers = part.handlers()
    assert handlers
    assert all(callable(handler) for handler in handlers.values())
    assert all(getattr(part, handler.__name__, None) is not None for handler in handlers.values())
    assert kind.__doc__


def _groups(environment: Environment) -> list[tuple[str, KeyGroup]]:
    plan = topology(environment)
    return [(stage, plan.key_group(stage)) for stage in plan.stages]


def test_what_is_not_wanted_is_not_built() -> None:
    built = {kind.name for stage in STAGES for kind in components_of(stage, Environment(QUIET, 4))}
    assert built == {"order_truth", "alert_lifecycle"}


@pytest.mark.parametrize(
    ("detector", "gone"),
    [
        ("stage_timeout", {"stage_timeout"}),
        ("order_timeout", {"order_timeout"}),
        ("no_progress", {"no_progress"}),
        ("illegal_transition", {"illegal_transition"}),
        ("card_burst", {"card_burst", "key_uses"}),
        ("merge_candidate", {"merge_candidate"}),
        ("contract", {"contract"}),
        ("resonance", {"resonance", "order_signals", "customer_signals", "warehouse_prints"}),
    ],
)
def test_a_detector_that_is_off_costs_nothing(detector: str, gone: set[str]) -> None:
    def built(environment: Environment) -> set[str]:
        return {kind.name for stage in STAGES for kind in components_of(stage, environment)}

    without = settings(**{detector: OFF})
    assert built(Environment(SETTINGS, 4)) - built(Environment(without, 4)) == gone


def test_a_snapshot_restored_is_the_same_snapshot() -> None:
    flow = after_a_rich_morning()
    stored = flow.snapshot()
    fresh = MemoryDriver(topology(EVERYTHING), ["day"])
    fresh.restore(stored)
    for stage, groups in fresh.groups.items():
        for number, group in enumerate(groups):
            again = msgspec.msgpack.decode(group.snapshot(), type=GroupSnapshot)
            assert again == msgspec.msgpack.decode(stored.groups[stage][number], type=GroupSnapshot)


def states_in_the_course_of_a_day() -> dict[str, list[msgspec.Struct]]:
    """By component: the states that it had after each event."""
    found: dict[str, list[msgspec.Struct]] = defaultdict(list)
    for environment in (EVERYTHING, OTHERWISE):
        flow = MemoryDriver(topology(environment), ["day"])
        for number, text in enumerate(RICH):
            flow.feed(batch("day", [(event(text, number), None)], number))
            for groups in flow.groups.values():
                for part in [part for group in groups for part in group._stateful]:
                    found[part.name] += part.states.values()
    return found


@pytest.fixture(scope="module")
def states() -> dict[str, list[msgspec.Struct]]:
    return states_in_the_course_of_a_day()


@pytest.mark.parametrize("kind", [kind for kind in COMPONENTS if issubclass(kind, StatefulComponent)])
def test_every_stateful_component_remembers_something_on_a_rich_day_and_it_rests_and_wakes_unchanged(
    kind: type[StatefulComponent[Any]], states: dict[str, list[msgspec.Struct]]
) -> None:
    assert states[kind.name]
    for state in states[kind.name]:
        assert msgspec.msgpack.decode(msgspec.msgpack.encode(state), type=kind.state_type) == state


def test_key_groups_share_no_state() -> None:
    environment = Environment(SETTINGS, 2)
    plan = topology(environment)
    first, second = plan.key_group("orders"), plan.key_group("orders")
    untouched = second.snapshot()
    first.push(GroupInput("source/0", event("11:00 created").time))
    first._buffer.extend([event("10:00 created")])
    first.advance()
    assert second.snapshot() == untouched
    mutable = (dict, list, set)
    for kind in COMPONENTS:
        shared = {name for base in kind.__mro__ for name, value in vars(base).items() if isinstance(value, mutable)}
        assert not {name for name in shared if not name.startswith("__")}, kind.name


def test_a_snapshot_of_other_settings_is_refused_with_both_lists() -> None:
    plan = topology(Environment(SETTINGS, 2))
    other = topology(Environment(settings(no_progress=OFF), 2))
    with pytest.raises(SnapshotError, match=r"no_progress.*use the settings it was written with, or a new store"):
        other.key_group("orders").restore(plan.key_group("orders").snapshot())


def test_a_damaged_snapshot_is_refused() -> None:
    plan = topology(Environment(SETTINGS, 2))
    with pytest.raises(SnapshotError, match="cannot be read"):
        plan.key_group("orders").restore(b"\x93 not a snapshot")
