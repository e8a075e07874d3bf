"""Settings with a partial table over them: tables merge, any other value takes the place of the one before."""

from collections.abc import Mapping
from typing import Any, get_args, get_origin

import msgspec
from msgspec import Struct

from config.problems import Problem
from config.typed import checked, join, struct_of, unknown_settings
from config.units import decode_unit


def overlaid(kind: Any, base: Any, value: Any, path: str, problems: list[Problem]) -> Any:
    """``base``, a value of the type ``kind``, with ``value``, as it stands in a file, over it; notes every problem.

    ``base`` is None where there is nothing yet: then ``value`` must be whole. With problems the result means nothing.
    """
    if value is None:
        problems.append(Problem(path, "null takes nothing away: leave it out, and what the file says holds"))
        return base
    struct = struct_of(kind)
    if struct is not None and base is not None and isinstance(value, Mapping):
        return _over_table(struct, base, value, path, problems)
    if get_origin(kind) is dict and isinstance(value, Mapping):
        inner, old = get_args(kind)[1], base or {}
        return dict(old) | {
            key: overlaid(inner, old.get(key), item, join(path, key), problems) for key, item in value.items()
        }
    return _taken(kind, value, path, problems)


def _over_table(
    struct: type[Struct], base: Struct, value: Mapping[str, Any], path: str, problems: list[Problem]
) -> Struct:
    problems += unknown_settings(struct, value, path)
    changed = {
        field.name: overlaid(field.type, getattr(base, field.name), value[field.encode_name], known, problems)
        for field in msgspec.structs.fields(struct)
        if field.encode_name in value
        for known in (join(path, field.encode_name),)
    }
    return msgspec.structs.replace(base, **changed)


def _taken(kind: Any, value: Any, path: str, problems: list[Problem]) -> Any:
    found: list[Problem] = []
    values = checked(kind, value, path, found)
    problems += found
    return None if found else msgspec.convert(values, kind, dec_hook=decode_unit)
