"""What was published as version 1 stays true.

``released/`` holds the schemas as published. A release that adds to them copies ``docs/schemas`` there; a change that
is found here is made additive, or becomes a v2 beside the v1.
"""

import json
from pathlib import Path
from typing import Any

import pytest

from events.compatibility import Direction, breaking_changes
from events.json_schemas import file_name, json_schemas
from events.topics import OUTPUTS

RELEASED = sorted((Path(__file__).parent / "released").glob("*.json"))
OUTPUT_FILES = {file_name(output.name) for output in OUTPUTS}

Schema = dict[str, Any]


def text(**more: Any) -> Schema:
    return {"type": "string", **more}


def number(**more: Any) -> Schema:
    return {"type": "integer", **more}


def nullable(schema: Schema) -> Schema:
    return {"anyOf": [schema, {"type": "null"}]}


def message(required: tuple[str, ...] = (), **fields: Schema) -> Schema:
    return {"type": "object", "properties": fields, "required": list(required)}


def union(**kinds: Schema) -> Schema:
    tagged = {name: message((), type={"enum": [f"order.{name}"]}, **kind["properties"]) for name, kind in kinds.items()}
    return {"anyOf": [{"$ref": f"#/$defs/{name}"} for name in kinds], "$defs": tagged}


def test_there_are_released_schemas() -> None:
    assert RELEASED


@pytest.mark.parametrize("path", RELEASED, ids=lambda path: path.name)
def test_todays_schema_keeps_what_was_released(path: Path) -> None:
    today = {file_name(name): schema for name, schema in json_schemas().items()}
    assert path.name in today, f"{path.name} was published and is gone"
    direction: Direction = "output" if path.name in OUTPUT_FILES else "input"
    released = json.loads(path.read_text(encoding="utf-8"))
    assert breaking_changes(released, today[path.name], direction) == []


INPUT_BREAKS: dict[str, tuple[Schema, Schema, str]] = {
    "a field is removed": (message(a=text(), b=text()), message(a=text()), "$.b: the field is gone"),
    "a new field is required": (message(), message(("a",), a=text()), "$.a: is required now"),
    "a field becomes required": (message(a=text()), message(("a",), a=text()), "$.a: is required now"),
    "a type is replaced": (message(a=text()), message(a=number()), "$.a: string was allowed and is no longer"),
    "null is refused": (
        message(a=nullable(text())),
        message(a=text()),
        "$.a: null was allowed and is no longer",
    ),
    "fractions are refused": (
        message(a={"type": "number"}),
        message(a=number()),
        "$.a: number was allowed and is no longer",
    ),
    "anything becomes something": (message(a={}), message(a=text()), "$.a: any was allowed and is no longer"),
    "a value of an enum is removed": (
        message(a={"enum": ["x", "y"]}),
        message(a={"enum": ["x"]}),
        "$.a: the values `y` are gone",
    ),
    "a text becomes an enum": (message(a=text()), message(a={"enum": ["x"]}), "$.a: only `x` are allowed now"),
    "a text gets a limit": (
        message(a=text()),
        message(a=text(maxLength=9)),
        "$.a: maxLength was None and is 9",
    ),
    "a maximum is lowered": (
        message(a=number(maximum=9)),
        message(a=number(maximum=8)),
        "$.a: maximum was 9 and is 8",
    ),
    "a minimum is raised": (
        message(a=number(minimum=0)),
        message(a=number(minimum=1)),
        "$.a: minimum was 0 and is 1",
    ),
    "a pattern is added": (
        message(a=text()),
        message(a=text(pattern="^x")),
        "$.a: the pattern was None and is '^x'",
    ),
    "a default changes": (
        message(a=text(default="CNY")),
        message(a=text(default="USD")),
        "$.a: the default was 'CNY' and is 'USD'",
    ),
    "a list's items are narrowed": (
        message(a={"type": "array", "items": nullable(text())}),
        message(a={"type": "array", "items": text()}),
        "$.a[]: null was allowed and is no longer",
    ),
    "a fixed list gets a place": (
        message(a={"type": "array", "prefixItems": [text()]}),
        message(a={"type": "array", "prefixItems": [text(), text()]}),
        "$.a: the list had 1 places and has 2",
    ),
    "a place of a fixed list is replaced": (
        message(a={"type": "array", "prefixItems": [text()]}),
        message(a={"type": "array", "prefixItems": [number()]}),
        "$.a[0]: string was allowed and is no longer",
    ),
    "a map's values are narrowed": (
        message(a={"type": "object", "additionalProperties": nullable(text())}),
        message(a={"type": "object", "additionalProperties": text()}),
        "$.a.*: null was allowed and is no longer",
    ),
    "unknown fields are refused": (
        message(),
        message() | {"additionalProperties": False},
        "$.*: any was allowed and is no longer",
    ),
    "an event of a topic is removed": (
        union(created=message(), changed=message()),
        union(created=message()),
        "$: object order.changed was allowed and is no longer",
    ),
    "a field of an event of a topic is removed": (
        union(created=message(a=text()), changed=message(a=text())),
        union(created=message(), changed=message(a=text())),
        "$<order.created>.a: the field is gone",
    ),
}

OUTPUT_BREAKS: dict[str, tuple[Schema, Schema, str]] = {
    "a field is removed": (message(a=text()), message(), "$.a: the field is gone"),
    "a required field becomes optional": (
        message(("a",), a=text()),
        message(a=text()),
        "$.a: may be absent now",
    ),
    "a type is replaced": (
        message(a=text()),
        message(a=number()),
        "$.a: integer is new, readers do not expect it",
    ),
    "null may come": (
        message(a=text()),
        message(a=nullable(text())),
        "$.a: null is new, readers do not expect it",
    ),
    "fractions may come": (
        message(a=number()),
        message(a={"type": "number"}),
        "$.a: number is new, readers do not expect it",
    ),
    "a value of an enum is removed": (
        message(a={"enum": ["x", "y"]}),
        message(a={"enum": ["x"]}),
        "$.a: the values `y` are gone",
    ),
    "a value of an enum is added": (
        message(a={"enum": ["x"]}),
        message(a={"enum": ["x", "y"]}),
        "$.a: the values `y` are new, readers do not expect them",
    ),
    "an enum becomes free": (
        message(a={"enum": ["x"]}),
        message(a=text()),
        "$.a: was one of `x` and is now free",
    ),
    "a limit is lifted": (
        message(a=text(maxLength=9)),
        message(a=text()),
        "$.a: maxLength was 9 and is None",
    ),
    "a minimum is lowered": (
        message(a=number(minimum=1)),
        message(a=number(minimum=0)),
        "$.a: minimum was 1 and is 0",
    ),
    "a list's items are widened": (
        message(a={"type": "array", "items": text()}),
        message(a={"type": "array", "items": nullable(text())}),
        "$.a[]: null is new, readers do not expect it",
    ),
}

ADDITIONS: dict[str, tuple[Direction, Schema, Schema]] = {
    "an input gets a field that is not required": ("input", message(), message(a=text(default="x"))),
    "an input's field is no longer required": ("input", message(("a",), a=text()), message(a=text())),
    "an input takes null too": ("input", message(a=text()), message(a=nullable(text()))),
    "an input takes fractions too": ("input", message(a=number()), message(a={"type": "number"})),
    "an input's enum gets a value": ("input", message(a={"enum": ["x"]}), message(a={"enum": ["x", "y"]})),
    "an input's enum becomes free": ("input", message(a={"enum": ["x"]}), message(a=text())),
    "an input's limit is lifted": ("input", message(a=text(maxLength=9)), message(a=text())),
    "a topic gets an event": (
        "input",
        union(created=message()),
        union(created=message(), changed=message(a=text())),
    ),
    "an output gets a field": ("output", message(("a",), a=text()), message(("a", "b"), a=text(), b=number())),
    "an output's field comes always": ("output", message(a=text()), message(("a",), a=text())),
    "an output's field is never null again": ("output", message(a=nullable(text())), message(a=text())),
    "an output's text becomes an enum": ("output", message(a=text()), message(a={"enum": ["x"]})),
    "a description is reworded": ("output", message(a=text(description="x")), message(a=text(description="y"))),
}


@pytest.mark.parametrize("what", INPUT_BREAKS)
def test_a_change_that_breaks_a_source_is_found(what: str) -> None:
    old, new, finding = INPUT_BREAKS[what]
    assert breaking_changes(old, new, "input") == [finding]


@pytest.mark.parametrize("what", OUTPUT_BREAKS)
def test_a_change_that_breaks_a_reader_is_found(what: str) -> None:
    old, new, finding = OUTPUT_BREAKS[what]
    found = breaking_changes(old, new, "output")
    assert found == [finding]


@pytest.mark.parametrize("what", ADDITIONS)
def test_an_addition_breaks_nobody(what: str) -> None:
    direction, old, new = ADDITIONS[what]
    assert breaking_changes(old, new, direction) == []


def test_a_type_that_holds_itself_is_compared_once() -> None:
    def tree(**fields: Schema) -> Schema:
        branch = message((), branches={"type": "array", "items": {"$ref": "#/$defs/Tree"}}, **fields)
        return {"$ref": "#/$defs/Tree", "$defs": {"Tree": branch}}

    assert breaking_changes(tree(a=text()), tree(), "input") == ["$.a: the field is gone"]


def test_all_breaks_are_reported_at_once() -> None:
    old, new = message(a=text(), b=text(maxLength=9)), message(("c",), b=text(maxLength=8), c=text())
    assert len(breaking_changes(old, new, "input")) == 3
