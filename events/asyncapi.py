"""The AsyncAPI 3.0 document of all topics: what OrderPulse receives and sends, by which key, with which headers."""

import json
import re
from collections.abc import Iterator
from typing import Any

from msgspec import Struct

from events.json_schemas import TOPIC_TITLES, described, file_name
from events.model import type_name
from events.topics import (
    CE_SOURCE,
    DEAD_LETTER_HEADERS,
    INPUT_TOPICS,
    OPTIONAL_DEAD_LETTER_HEADERS,
    OUTPUTS,
    InputTopic,
    Output,
    kinds_of,
)

Node = dict[str, Any]

SCHEMA_FORMAT = "application/schema+json;version=draft-2020-12"
BINDING_VERSION = "0.5.0"

_EVENT_KEYS: dict[InputTopic, str] = {
    "orders": "The order id, so that each order's events stand in one partition.",
    "behaviour": "The order id, or the customer id where no order is named.",
    "actions": "The order id, or the entity id of the alert.",
    "rules": "The rule and its version, as `kind/rule/version`, so that compaction leaves each version.",
}


def asyncapi(kafka: Node) -> Node:
    """The document, from the ``[kafka]`` table of the default configuration: names of topics, address of the broker."""
    names: dict[str, str] = kafka["topics"]
    channels = _input_channels(names) | _output_channels(names)
    return {
        "asyncapi": "3.0.0",
        "info": {
            "title": "OrderPulse",
            "version": "1.0.0",
            "description": "Events of orders in, alerts, holds, versions and diffs out. Names of topics are those of "
            "the default configuration. Generated from the message types.",
            "license": {"name": "Apache-2.0", "url": "https://www.apache.org/licenses/LICENSE-2.0"},
        },
        "defaultContentType": "application/json",
        "servers": {
            "kafka": {
                "host": kafka["bootstrap"],
                "protocol": "kafka",
                "description": "The broker of the default configuration.",
            }
        },
        "channels": channels,
        "operations": {name: _operation(name, channel) for name, channel in channels.items()},
        "components": {"messages": _event_messages() | _output_messages()},
    }


def _input_channels(names: dict[str, str]) -> Node:
    return {
        topic: _channel(names[topic], TOPIC_TITLES[topic], [type_name(kind) for kind in kinds_of(topic)])
        for topic in INPUT_TOPICS
    }


def _output_channels(names: dict[str, str]) -> Node:
    channels: Node = {}
    for output in OUTPUTS:
        description = _first_sentence(output.record)
        if output.topic != "dlq_suffix":
            about = (output.topic.capitalize(), description)
            channels[output.topic] = _channel(names[output.topic], about, [output.name], output.compacted)
            continue
        for topic in INPUT_TOPICS:
            about = (f"Dead letters of {topic}", description)
            channels[f"{topic}_dead_letters"] = _channel(names[topic] + names["dlq_suffix"], about, [output.name])
    return channels


def _channel(address: str, about: tuple[str, str], messages: list[str], compacted: bool = False) -> Node:
    title, description = about
    binding: Node = {"topic": address, "bindingVersion": BINDING_VERSION}
    if compacted:
        binding["topicConfiguration"] = {"cleanup.policy": ["compact"]}
    return {
        "address": address,
        "title": title,
        "description": description,
        "servers": [{"$ref": "#/servers/kafka"}],
        "messages": {name: {"$ref": f"#/components/messages/{name}"} for name in messages},
        "bindings": {"kafka": binding},
    }


def _operation(name: str, channel: Node) -> Node:
    received = name in INPUT_TOPICS
    return {
        "action": "receive" if received else "send",
        "channel": {"$ref": f"#/channels/{name}"},
        "summary": f"{'Reads' if received else 'Writes'} {channel['address']}.",
        "messages": [{"$ref": f"#/channels/{name}/messages/{message}"} for message in channel["messages"]],
    }


def _event_messages() -> Node:
    return {
        type_name(kind): _message(type_name(kind), kind, _EVENT_KEYS[topic])
        for topic in INPUT_TOPICS
        for kind in kinds_of(topic)
    }


def _output_messages() -> Node:
    messages: Node = {}
    for output in OUTPUTS:
        key = f"The record's `{output.key}`."
        message = _message(output.name, output.record, key)
        messages[output.name] = message | (_original(output) if output.original else _cloud_event(output))
    return messages


def _message(name: str, kind: type[Struct], key: str) -> Node:
    return {
        "name": name,
        "title": kind.__name__,
        "summary": _first_sentence(kind),
        "contentType": "application/json",
        "payload": {"schemaFormat": SCHEMA_FORMAT, "schema": {"$ref": f"./schemas/{file_name(name)}"}},
        "bindings": {
            "kafka": {"key": {"type": "string", "description": key}, "bindingVersion": BINDING_VERSION},
        },
    }


def _cloud_event(output: Output) -> Node:
    """CloudEvents 1.0 in binary mode: the attributes are Kafka headers, the payload is the record."""
    properties: Node = {
        "ce_specversion": {"type": "string", "const": "1.0"},
        "ce_id": {"type": "string", "description": "The record's `id`: a record written twice has it twice."},
        "ce_source": {"type": "string", "const": CE_SOURCE},
        "ce_type": {"type": "string", "const": output.ce_type},
        "ce_subject": {"type": "string", "description": f"The record's `{output.key}`, also the Kafka key."},
        "ce_time": {
            "type": "string",
            "format": "date-time",
            "description": "The record's `time`, event time, as RFC 3339 in UTC.",
        },
        "content-type": {"type": "string", "const": "application/json"},
    }
    return {"headers": {"type": "object", "required": list(properties), "properties": properties}}


def _original(output: Output) -> Node:
    """The bytes and headers that came in; what was wrong with them stands in headers behind those."""
    key = f"The `op_{output.key}` header, so that one partition's dead letters keep their order."
    return {
        "summary": "An input record that could not be used: its original bytes, and no CloudEvent.",
        "description": "The headers that the record came with stand first, untouched. Where a name comes more than "
        f"once, the last one counts. The record of the same name, with the schema {file_name(output.name)}, is written "
        "to files only.",
        "contentType": "application/octet-stream",
        "payload": {"description": "The bytes as they came; what they are is not known."},
        "bindings": {"kafka": {"key": {"type": "string", "description": key}, "bindingVersion": BINDING_VERSION}},
        "headers": {
            "type": "object",
            "required": [name for name in DEAD_LETTER_HEADERS if name not in OPTIONAL_DEAD_LETTER_HEADERS],
            "properties": {name: {"type": "string", "description": said} for name, said in DEAD_LETTER_HEADERS.items()},
        },
    }


def _first_sentence(kind: type[Struct]) -> str:
    text = described(kind.__doc__ or "").partition("\n\n")[0]
    return " ".join(text.split())


# YAML is a superset of JSON: with texts written as JSON, indentation is all that is left to do, and no library is
# needed for it.
_PLAIN_KEY = re.compile(r"[A-Za-z$][\w.$-]*")


def yaml_text(document: Node) -> str:
    """The document as YAML 1.2; the same document always gives the same text."""
    return "\n".join(_yaml_lines(document)) + "\n"


def _yaml_lines(node: Any) -> Iterator[str]:
    if isinstance(node, dict):
        for key, value in node.items():
            head = key if _PLAIN_KEY.fullmatch(key) else json.dumps(key)
            yield from _yaml_entry(f"{head}:", value, opens_line=True)
    else:
        for value in node:
            yield from _yaml_entry("-", value, opens_line=False)


def _yaml_entry(head: str, value: Any, *, opens_line: bool) -> Iterator[str]:
    """``head`` and its value. A key's children start on a line of their own, a list item's stand beside its dash."""
    if not isinstance(value, dict | list) or not value:
        yield f"{head} {json.dumps(value, ensure_ascii=False)}"
        return
    lines = _yaml_lines(value)
    yield head if opens_line else f"{head} {next(lines)}"
    yield from (f"  {line}" for line in lines)
