"""The published files say what the code says, and examples, generated events and schemas agree."""

import json
import re
from functools import cache
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from jsonschema import Draft202012Validator

from events import schemas
from events.examples import EXAMPLES
from events.json_schemas import MESSAGE_CLASSES, json_schemas
from events.meanings import MEANINGS
from events.model import EVENT_TYPES, AnyEvent, Event, type_name
from events.topics import OUTPUTS, topic_of
from tests.events.strategies import INT64, events, messages

STALE = "run `make schemas` and commit what it writes"
SCHEMAS = json_schemas()
MESSAGES = {type_name(kind): kind for kind in EVENT_TYPES} | {output.name: output.record for output in OUTPUTS}

thorough = settings(max_examples=60, deadline=None)


@cache
def validator(name: str) -> Draft202012Validator:
    return Draft202012Validator(SCHEMAS[name])


@cache
def documented_examples() -> dict[str, str]:
    """The JSON of each section of docs/events.md, by the section's heading."""
    page = (schemas.ROOT / "docs" / "events.md").read_text(encoding="utf-8")
    sections = re.split(r"^### `(.+)`$", page, flags=re.MULTILINE)[1:]
    return {
        heading: text.split("```json\n")[1].split("```")[0]
        for heading, text in zip(sections[::2], sections[1::2], strict=True)
    }


@pytest.mark.parametrize("path", sorted(schemas.generated()))
def test_the_committed_file_is_what_the_types_give(path: str) -> None:
    file = schemas.ROOT / path
    assert file.is_file(), f"{path} is missing: {STALE}"
    assert file.read_bytes() == schemas.generated()[path].encode(), f"{path} is not up to date: {STALE}"


def test_no_schema_file_is_left_of_a_type_that_is_gone() -> None:
    there = {f"{schemas.SCHEMAS}/{file.name}" for file in (schemas.ROOT / schemas.SCHEMAS).iterdir()}
    assert there <= schemas.generated().keys(), STALE


def test_writing_makes_all_files_and_removes_a_schema_without_a_type(tmp_path: Path) -> None:
    (tmp_path / "config").mkdir()
    defaults = (schemas.ROOT / "config" / "default.toml").read_bytes()
    (tmp_path / "config" / "default.toml").write_bytes(defaults)
    gone = tmp_path / schemas.SCHEMAS / "order.lost.v1.json"
    gone.parent.mkdir(parents=True)
    gone.write_text("{}", encoding="utf-8")

    written = schemas.write(tmp_path)

    there = {str(file.relative_to(tmp_path)) for file in (tmp_path / "docs").rglob("*") if file.is_file()}
    assert set(written) == there == schemas.generated().keys()


def test_outside_a_source_tree_the_generator_says_where_to_run_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(schemas, "ROOT", tmp_path)
    assert schemas.main() == 1
    assert "in a source tree" in capsys.readouterr().err


@pytest.mark.parametrize("name", SCHEMAS)
def test_each_schema_is_valid_json_schema_and_needs_no_other_file(name: str) -> None:
    schema = SCHEMAS[name]
    Draft202012Validator.check_schema(schema)
    assert schema["$id"] == f"{name}.v1.json"
    references = set(re.findall(r'"\$ref": "([^"]*)"', json.dumps(schema)))
    assert references == {f"#/$defs/{part}" for part in schema.get("$defs", {})}


def test_every_topic_event_and_record_has_a_schema() -> None:
    assert SCHEMAS.keys() == {"orders", "behaviour", "actions", "rules", *MESSAGES}


def test_a_topic_takes_its_own_events_and_no_others() -> None:
    for kind in EVENT_TYPES:
        event = json.loads(msgspec.json.encode(EXAMPLES[kind]))
        taken_by = {topic for topic in ("orders", "behaviour", "actions", "rules") if validator(topic).is_valid(event)}
        assert taken_by == {topic_of(kind)}


def test_every_field_says_what_it_means() -> None:
    silent = [
        f"{name}.{field}"
        for schema in SCHEMAS.values()
        for name, part in {schema["title"]: schema, **schema.get("$defs", {})}.items()
        for field, found in part.get("properties", {}).items()
        if not found["description"]
    ]
    assert silent == [], "give these fields a meaning in events/meanings.py"


def test_no_meaning_is_left_of_a_field_that_is_gone() -> None:
    known = {kind: set(kind.__annotations__) for kind in MESSAGE_CLASSES.values()}
    gone = [f"{kind.__name__}.{field}" for kind, said in MEANINGS.items() for field in said.keys() - known[kind]]
    assert gone == [], "remove these fields from events/meanings.py"


def test_every_record_that_is_written_promises_all_its_fields() -> None:
    for output in OUTPUTS:
        schema = SCHEMAS[output.name]
        assert schema["required"] == list(schema["properties"])


def test_the_page_has_an_example_of_every_event_and_record() -> None:
    assert documented_examples().keys() == MESSAGES.keys()


@pytest.mark.parametrize("name", MESSAGES)
def test_a_documented_example_is_valid_and_can_be_read(name: str) -> None:
    text = documented_examples()[name]
    validator(name).validate(json.loads(text))
    assert msgspec.json.decode(text, type=MESSAGES[name]) == EXAMPLES[MESSAGES[name]]


@thorough
@given(events())
def test_an_event_that_is_written_and_read_again_is_the_same_and_valid(event: Event) -> None:
    written = msgspec.json.encode(event)
    assert msgspec.json.decode(written, type=AnyEvent) == event
    validator(type_name(type(event))).validate(json.loads(written))
    validator(topic_of(type(event))).validate(json.loads(written))


@thorough
@given(st.sampled_from(OUTPUTS).flatmap(lambda output: st.tuples(st.just(output.name), messages(output.record))))
def test_a_record_that_is_written_is_valid(named: tuple[str, Any]) -> None:
    name, record = named
    validator(name).validate(json.loads(msgspec.json.encode(record)))


@thorough
@given(
    st.sampled_from(EVENT_TYPES),
    st.data(),
    st.none() | st.booleans() | st.integers(*INT64) | st.text(max_size=3) | st.just([]) | st.just({}),
)
def test_schema_and_decoder_refuse_the_same_values(kind: type[Event], data: st.DataObject, value: Any) -> None:
    name = type_name(kind)
    fields = [field for field in SCHEMAS[name]["properties"] if field != "type"]
    event = json.loads(msgspec.json.encode(EXAMPLES[kind])) | {data.draw(st.sampled_from(fields)): value}
    assert validator(name).is_valid(event) == _is_readable(event)


def _is_readable(event: dict[str, Any]) -> bool:
    try:
        msgspec.json.decode(msgspec.json.encode(event), type=AnyEvent)
    except msgspec.ValidationError:
        return False
    return True
