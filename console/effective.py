"""Effective settings as TOML, each value with where it comes from."""

import json
import re
import tomllib
from collections.abc import Iterator, Mapping
from datetime import datetime
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit, urlunsplit

from config.loader import HERE, chain_file

_BARE_KEY = re.compile(r"[A-Za-z0-9_-]+")
_SECRET = re.compile(r"password|secret|token|key|credential", re.IGNORECASE)
_VARIABLE = re.compile(r"\$\{\w+\}")

Layer = tuple[str, Mapping[str, Any]]


def effective_toml(path: Path | None) -> str:
    """The settings of a file that was found right, as TOML."""
    lines = ["# The effective settings of OrderPulse, each with where it comes from.", ""]
    lines += _table((), layers(path))
    return "\n".join(lines).rstrip() + "\n"


def layers(path: Path | None) -> list[Layer]:
    """Names and contents of the files that settings come from; a later one goes over those before it."""
    default = _read(HERE / "default.toml")
    user = {} if path is None else _read(path)
    chain = str(user.get("chain", default["chain"]))
    found: list[Layer] = [("default", default), (f"chain {chain}", _read(chain_file(chain, path)))]
    return found if path is None else [*found, (path.name, user)]


def _read(path: Path) -> dict[str, Any]:
    return tomllib.loads(path.read_text(encoding="utf-8-sig"))


def _table(name: tuple[str, ...], over: list[Layer]) -> Iterator[str]:
    """The lines of a table: its values first, then its tables."""
    values = [key for key in _keys(over) if not isinstance(_last(over, key)[1], Mapping)]
    tables = [key for key in _keys(over) if isinstance(_last(over, key)[1], Mapping)]
    if name and (values or not tables):
        yield "[" + ".".join(map(_key, name)) + "]"
    for key in values:
        origin, value = _last(over, key)
        yield f"{_key(key)} = {_value(_unreadable((*name, key), value))}  # {origin}"
    if values or (name and not tables):
        yield ""
    for key in tables:
        inside = [(origin, content[key]) for origin, content in over if isinstance(content.get(key), Mapping)]
        yield from _table((*name, key), inside)


def _keys(over: list[Layer]) -> list[str]:
    return list(dict.fromkeys(key for _, content in over for key in content))


def _last(over: list[Layer], key: str) -> tuple[str, Any]:
    return next((origin, content[key]) for origin, content in reversed(over) if key in content)


def _unreadable(name: tuple[str, ...], value: Any) -> Any:
    """The value without a secret that it holds; a reference to an environment variable is none."""
    if not isinstance(value, str) or _VARIABLE.search(value):
        return value
    if name[:2] == ("kafka", "client") and _SECRET.search(name[-1]):
        return "***"
    if name == ("redis", "url") and (password := urlsplit(value).password):
        parts = urlsplit(value)
        return urlunsplit(parts._replace(netloc=parts.netloc.replace(f":{password}@", ":***@")))
    return value


def _key(text: str) -> str:
    return text if _BARE_KEY.fullmatch(text) else _value(text)


def _value(value: Any) -> str:
    match value:
        case bool():
            return str(value).lower()
        case str():
            return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")
        case datetime():
            return value.isoformat().replace("+00:00", "Z")
        case list():
            return "[" + ", ".join(map(_value, value)) + "]"
        case Mapping():
            return "{ " + ", ".join(f"{_key(name)} = {_value(each)}" for name, each in value.items()) + " }"
        case _:
            return str(value)
