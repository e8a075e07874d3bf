"""docs/asyncapi.yaml is an AsyncAPI 3.0 document, and says what the topics carry."""

import json
import tomllib
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import yaml
from jsonschema import Draft7Validator

from events.asyncapi import asyncapi, yaml_text
from events.model import EVENT_TYPES, type_name
from events.topics import INPUT_TOPICS, OUTPUTS, Output, topic_of

ROOT = Path(__file__).resolve().parents[2]
DOCS = ROOT / "docs"
DOCUMENT: dict[str, Any] = yaml.safe_load((DOCS / "asyncapi.yaml").read_text(encoding="utf-8"))
KAFKA: dict[str, Any] = tomllib.loads((ROOT / "config" / "default.toml").read_text(encoding="utf-8"))["kafka"]


@cache
def specification() -> Draft7Validator:
    path = ROOT / "tests" / "support" / "asyncapi-3.0.0.json"
    return Draft7Validator(json.loads(path.read_text(encoding="utf-8")))


def references(node: Any) -> list[str]:
    if isinstance(node, dict):
        own = [node["$ref"]] if "$ref" in node else []
        return own + [found for value in node.values() for found in references(value)]
    if isinstance(node, list):
        return [found for value in node for found in references(value)]
    return []


def resolved(reference: str) -> Any:
    node: Any = DOCUMENT
    for step in reference.removeprefix("#/").split("/"):
        node = node[step]
    return node


def test_the_document_follows_the_specification() -> None:
    specification().validate(DOCUMENT)


@pytest.mark.parametrize("broken", [{"action": "publish"}, {"channel": "orders"}])
def test_the_specification_notices_a_broken_operation(broken: dict[str, str]) -> None:
    operations = DOCUMENT["operations"] | {"orders": DOCUMENT["operations"]["orders"] | broken}
    assert not specification().is_valid(DOCUMENT | {"operations": operations})


def test_yaml_says_the_same_as_the_document() -> None:
    assert asyncapi(KAFKA) == DOCUMENT


@pytest.mark.parametrize(
    "document",
    [
        {"empty": {}, "none": [], "list": [[1, [2]], [{"a": {"b": [None, True]}}]]},
        {
            "text": 'a: "b" # c\n  - d\t\\',
            "chinese": "订单",
            "number-like": "1.0",
            "no-like": "no",
            "null-like": "null",
        },
        {"/odd key: ": 1, "12": 2, "$ref": "#/a/b"},
    ],
)
def test_yaml_keeps_every_value(document: dict[str, Any]) -> None:
    assert yaml.safe_load(yaml_text(document)) == document


def test_every_reference_leads_somewhere() -> None:
    for reference in references(DOCUMENT):
        if reference.startswith("#/"):
            assert resolved(reference), reference
        else:
            assert (DOCS / reference).is_file(), reference


def test_every_topic_of_the_default_configuration_has_a_channel() -> None:
    topics = dict(KAFKA["topics"])
    suffix = topics.pop("dlq_suffix")
    expected = {*topics.values(), *(topics[topic] + suffix for topic in INPUT_TOPICS)}
    assert {channel["address"] for channel in DOCUMENT["channels"].values()} == expected


def test_orderpulse_receives_the_inputs_and_sends_the_rest() -> None:
    received = {name for name, operation in DOCUMENT["operations"].items() if operation["action"] == "receive"}
    assert received == set(INPUT_TOPICS)
    assert DOCUMENT["operations"].keys() == DOCUMENT["channels"].keys()


def test_an_input_channel_carries_the_events_of_its_topic() -> None:
    for topic in INPUT_TOPICS:
        expected = {type_name(kind) for kind in EVENT_TYPES if topic_of(kind) == topic}
        assert DOCUMENT["channels"][topic]["messages"].keys() == expected


def test_a_message_has_the_schema_of_its_name_and_a_key() -> None:
    for name, message in DOCUMENT["components"]["messages"].items():
        if name != "dead_letter":
            assert message["payload"]["schema"] == {"$ref": f"./schemas/{name}.v1.json"}
        assert message["bindings"]["kafka"]["key"]["description"]


@pytest.mark.parametrize("output", [each for each in OUTPUTS if not each.original], ids=lambda output: output.name)
def test_an_output_carries_the_attributes_of_cloudevents(output: Output) -> None:
    headers = DOCUMENT["components"]["messages"][output.name]["headers"]
    attributes = {"ce_specversion", "ce_id", "ce_source", "ce_type", "ce_subject", "ce_time", "content-type"}
    assert set(headers["required"]) == headers["properties"].keys() == attributes
    assert headers["properties"]["ce_type"]["const"] == f"orderpulse.{output.name}.v1"
    assert headers["properties"]["ce_source"]["const"] == "/orderpulse"
    assert headers["properties"]["ce_specversion"]["const"] == "1.0"


def test_a_dead_letter_is_no_cloudevent_but_what_came_in() -> None:
    message = DOCUMENT["components"]["messages"]["dead_letter"]
    assert message["contentType"] == "application/octet-stream"
    assert "schema" not in message["payload"]
    assert all(name.startswith("op_") for name in message["headers"]["properties"])


def test_the_arrival_of_a_dead_letter_may_be_unknown() -> None:
    headers = DOCUMENT["components"]["messages"]["dead_letter"]["headers"]
    assert headers["properties"].keys() - set(headers["required"]) == {"op_arrival"}


def test_holds_alone_are_compacted() -> None:
    compacted = {
        name for name, channel in DOCUMENT["channels"].items() if "topicConfiguration" in channel["bindings"]["kafka"]
    }
    assert compacted == {"holds"}
