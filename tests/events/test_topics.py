"""Every event has its topic, every record its way out."""

import tomllib
from pathlib import Path

import pytest
from msgspec import Struct

from events import model, records
from events.model import EVENT_TYPES, Event, OrderCreated, type_name
from events.topics import INPUT_TOPICS, OUTPUTS, Output, kinds_of, topic_of

DEFAULTS = Path(__file__).resolve().parents[2] / "config" / "default.toml"


@pytest.mark.parametrize(
    ("topic", "families"),
    [
        ("orders", {"order", "payment", "system", "logistics", "waybill"}),
        ("behaviour", {"behaviour"}),
        ("actions", {"review", "alert", "contract", "job", "fallback", "buyer"}),
        ("rules", {"rule"}),
    ],
)
def test_a_topic_carries_its_families_of_events(topic: str, families: set[str]) -> None:
    of_topic = {type_name(kind) for kind in EVENT_TYPES if topic_of(kind) == topic}
    assert of_topic == {name for name in map(type_name, EVENT_TYPES) if name.partition(".")[0] in families}
    assert of_topic


def test_every_event_stands_in_exactly_one_topic() -> None:
    carried = [kind for topic in INPUT_TOPICS for kind in kinds_of(topic)]
    assert sorted(carried, key=type_name) == sorted(EVENT_TYPES, key=type_name)


def test_a_class_that_is_no_input_event_has_no_topic() -> None:
    with pytest.raises(ValueError, match=r"OrderEvent is not in events\.model\.EVENT_TYPES"):
        topic_of(model.OrderEvent)


def test_every_event_class_with_a_name_on_the_wire_is_read() -> None:
    """A class that is written but not listed would end in the dead letters."""
    tagged = {
        value
        for value in vars(model).values()
        if isinstance(value, type) and issubclass(value, Event) and "." in type_name(value)
    }
    assert tagged == set(EVENT_TYPES)
    assert OrderCreated in tagged


def test_names_on_the_wire_are_unique() -> None:
    names = [type_name(kind) for kind in EVENT_TYPES]
    assert len(set(names)) == len(names)


def test_every_record_but_the_read_model_has_a_topic() -> None:
    written: set[type[Struct]] = {*records.Record.__args__} - {*records.ReadModelOnly.__args__}
    assert {output.record for output in OUTPUTS} == written


@pytest.mark.parametrize("output", OUTPUTS, ids=lambda output: output.name)
def test_an_output_names_a_configured_topic_and_real_fields(output: Output) -> None:
    topics = tomllib.loads(DEFAULTS.read_text(encoding="utf-8"))["kafka"]["topics"]
    assert output.topic in topics
    assert output.key in output.record.__struct_fields__
    assert output.ce_type == f"orderpulse.{output.name}.v1"
