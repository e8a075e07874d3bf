"""What is wrong with the values of a file, found along their types: every problem at once, each with its place."""

from collections.abc import Mapping
from difflib import get_close_matches
from types import NoneType, UnionType
from typing import Any, Union, get_args, get_origin

import msgspec

from config.problems import Problem
from config.units import decode_unit


def checked(kind: Any, value: Any, path: str, problems: list[Problem]) -> Any:
    """Walk a value along its type and note every problem; returns the value for the final conversion."""
    struct = struct_of(kind)
    if struct is not None:
        return _checked_table(struct, value, path, problems)
    if get_origin(kind) is dict and isinstance(value, Mapping):
        inner = get_args(kind)[1]
        return {key: checked(inner, item, f"{path}.{key}", problems) for key, item in value.items()}
    if get_origin(kind) is tuple and isinstance(value, list) and struct_of(get_args(kind)[0]) is not None:
        return [checked(get_args(kind)[0], item, f"{path}[{at}]", problems) for at, item in enumerate(value)]
    try:
        msgspec.convert(value, kind, dec_hook=decode_unit)
    except (msgspec.ValidationError, ValueError) as error:
        problems.append(Problem(path, str(error).replace(" - at `$`", "")))
    return value


def _checked_table(struct: type[msgspec.Struct], value: Any, path: str, problems: list[Problem]) -> Any:
    if not isinstance(value, Mapping):
        problems.append(Problem(path, f"must be a table, not {value!r}"))
        return value
    fields = {field.encode_name: field for field in msgspec.structs.fields(struct)}
    problems += unknown_settings(struct, value, path)
    result = {}
    for name, field in fields.items():
        if name in value:
            result[name] = checked(field.type, value[name], join(path, name), problems)
        elif field.required:
            problems.append(Problem(join(path, name), "is missing"))
    return result


def unknown_settings(struct: type[msgspec.Struct], value: Mapping[str, Any], path: str) -> list[Problem]:
    """The names in a table that its type does not have, each with the one that may be meant."""
    fields = [field.encode_name for field in msgspec.structs.fields(struct)]
    problems = []
    for key in value:
        if key not in fields:
            close = get_close_matches(key, fields, n=1)
            hint = f"did you mean {close[0]!r}?" if close else "known here: " + ", ".join(fields)
            problems.append(Problem(join(path, key), f"unknown setting; {hint}"))
    return problems


def struct_of(kind: Any) -> type[msgspec.Struct] | None:
    """The table that a type is, also where it may be left out."""
    if get_origin(kind) in (Union, UnionType):
        inner = [arg for arg in get_args(kind) if arg is not NoneType]
        kind = inner[0] if len(inner) == 1 else None
    if isinstance(kind, type) and issubclass(kind, msgspec.Struct):
        return kind
    return None


def join(path: str, key: str) -> str:
    """The path of a setting within a table."""
    return f"{path}.{key}" if path else key
