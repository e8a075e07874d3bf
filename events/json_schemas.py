"""JSON Schemas (2020-12) of all that goes in and out, made from the message types.

Each schema is a file of its own with everything it refers to inside, so a team can take the one it needs.
"""

import inspect
import json
from collections.abc import Iterable
from typing import Any

import msgspec
from msgspec import Struct

from events import model, records
from events.meanings import meaning
from events.model import EVENT_TYPES, type_name
from events.topics import INPUT_TOPICS, OUTPUTS, InputTopic, kinds_of

Schema = dict[str, Any]

DIALECT = "https://json-schema.org/draft/2020-12/schema"
VERSION = "v1"

MESSAGE_CLASSES: dict[str, type[Struct]] = {
    name: value
    for module in (model, records)
    for name, value in vars(module).items()
    if isinstance(value, type) and issubclass(value, Struct)
}

TOPIC_TITLES: dict[InputTopic, tuple[str, str]] = {
    "orders": ("Order events", "What happened to orders, their payments and their parcels."),
    "behaviour": ("Behaviour events", "What customers did, in the shop and in chat."),
    "actions": ("Actions", "What people decided about holds and alerts, and what the intake counted."),
    "rules": ("Rules", "Settings of rules that take effect at a stated moment; all that was ever published is kept."),
}


def file_name(name: str) -> str:
    """The file of a schema, e.g. ``order.created.v1.json``; also its ``$id``."""
    return f"{name}.{VERSION}.json"


def json_schemas() -> dict[str, Schema]:
    """All schemas by name: one per input topic, per event type (its wire name) and per output record."""
    schemas: dict[str, Schema] = {}
    for topic in INPUT_TOPICS:
        title, description = TOPIC_TITLES[topic]
        schemas[topic] = _union(topic, title, description, kinds_of(topic))
    for kind in EVENT_TYPES:
        schemas[type_name(kind)] = _single(type_name(kind), kind)
    for output in OUTPUTS:
        schemas[output.name] = _single(output.name, output.record)
    return schemas


def report_schema(name: str, kind: type[Struct]) -> Schema:
    """The schema of what a command prints with ``--json``; its classes say in their descriptions what fields mean."""
    _, components = msgspec.json.schema_components([kind], ref_template="#/$defs/{name}")
    definitions: dict[str, Schema] = msgspec.json.decode(msgspec.json.encode(components))
    for definition in definitions.values():
        definition["description"] = described(definition["description"])
    return _head(name) | definitions.pop(kind.__name__) | {"$defs": definitions}


def schema_text(schema: Schema) -> str:
    """The bytes of a schema file: the same types always give the same text."""
    return json.dumps(schema, ensure_ascii=False, indent=2) + "\n"


def described(text: str) -> str:
    """A docstring as Markdown without its indentation."""
    return inspect.cleandoc(text).replace("``", "`")


def _head(name: str) -> Schema:
    return {"$schema": DIALECT, "$id": file_name(name)}


def _single(name: str, kind: type[Struct]) -> Schema:
    definitions = _definitions([kind])
    schema = _head(name) | definitions.pop(kind.__name__)
    return schema | {"$defs": definitions} if definitions else schema


def _union(name: str, title: str, description: str, kinds: Iterable[type[Struct]]) -> Schema:
    definitions = _definitions(kinds)
    references = [{"$ref": f"#/$defs/{kind.__name__}"} for kind in kinds]
    return _head(name) | {
        "title": title,
        "description": description,
        "anyOf": references,
        "$defs": definitions,
    }


def _definitions(kinds: Iterable[type[Struct]]) -> dict[str, Schema]:
    """The schemas of these classes and of all that they refer to, by class name, with every field's meaning."""
    _, components = msgspec.json.schema_components(kinds, ref_template="#/$defs/{name}")
    components = msgspec.json.decode(msgspec.json.encode(components))  # defaults as JSON: lists, not tuples
    return {name: _with_meanings(MESSAGE_CLASSES[name], schema) for name, schema in components.items()}


def _with_meanings(kind: type[Struct], schema: Schema) -> Schema:
    config = kind.__struct_config__
    properties: dict[str, Schema] = {}
    for name, found in schema["properties"].items():
        said = "Selects the message." if name == config.tag_field else meaning(kind, name)
        properties[name] = _with_meaning(said, found)
    # a class that does not omit defaults writes every field, so its readers may count on each
    required = schema.get("required", []) if config.omit_defaults else list(properties)
    described_schema = schema | {"description": described(schema["description"]), "properties": properties}
    return described_schema | {"required": required} if required else described_schema


def _with_meaning(said: str | None, schema: Schema) -> Schema:
    """The field's schema with one description: what the field means, then what its type says about the unit."""
    rest = {key: value for key, value in schema.items() if key != "description"}
    unit = schema.get("description")
    if unit is None and "anyOf" in schema:
        unit = next((option["description"] for option in schema["anyOf"] if "description" in option), None)
        rest["anyOf"] = [_without_description(option) for option in schema["anyOf"]]
    description = " ".join(part for part in (said, unit) if part)
    return {"description": description} | rest


def _without_description(schema: Schema) -> Schema:
    return {key: value for key, value in schema.items() if key != "description"}
