"""docs/configuration.md has every setting there is, with the default that it really has."""

import re
import tomllib
from collections.abc import Iterator
from pathlib import Path
from types import NoneType, UnionType
from typing import Any, Union, get_args, get_origin

import msgspec
import pytest

from config.loader import HERE, load_settings
from config.settings import Settings
from tests.docs.pages import ROOT, blocks_of

PAGE = ROOT / "docs/configuration.md"
# What a table with names of the user's own is shown with.
NAMES = {
    "stages": "<stage>",
    "status.systems": "<system>",
    "status.systems.<system>": "<STATUS>",
    "calendars": "<calendar>",
    "detectors.stage_timeout.hours": "<hours>",
    "detectors.stage_timeout.seasons": "<season>",
    "detectors.order_timeout.hours": "<hours>",
    "detectors.order_timeout.seasons": "<season>",
    "detectors.resonance.seasons": "<season>",
    "detectors.resonance.playbook": "<signal>",
    "detectors.silence.sources": "<source>",
    "detectors.silence.jobs": "<job>",
    "intake.routes": "<route>",
    "intake.polls": "<poll>",
    "lists": "<list>",
    "composite": "<rule>",
    "backtest.outcomes": "<outcome>",
}
_ROW = re.compile(r"^\| `([^`]+)` \| (?:`(.*)`|–) \| (.+) \|$", re.MULTILINE)


def struct_of(kind: Any) -> type[msgspec.Struct] | None:
    """The struct that a type stands for, optional or not."""
    if get_origin(kind) in (Union, UnionType):
        kind = next(iter(arg for arg in get_args(kind) if arg is not NoneType))
    return kind if isinstance(kind, type) and issubclass(kind, msgspec.Struct) else None


def settings_in(kind: Any, path: str = "") -> Iterator[str]:
    """Every setting by its path; tables of structs go on with a name such as ``<stage>``."""
    struct = struct_of(kind)
    if struct is not None:
        for field in msgspec.structs.fields(struct):
            yield from settings_in(field.type, f"{path}.{field.name}" if path else field.name)
    elif path in NAMES:
        yield from settings_in(get_args(kind)[1], f"{path}.{NAMES[path]}")
    else:
        yield path


def defaults() -> dict[str, Any]:
    """The defaults as they stand in their files, by path; tables of the user's own names are left out."""
    default = tomllib.loads((HERE / "default.toml").read_text(encoding="utf-8"))
    chain = tomllib.loads((HERE / "chains" / f"{default['chain']}.toml").read_text(encoding="utf-8"))
    return dict(_leaves(default | chain, set(settings_in(Settings))))


def _leaves(table: dict[str, Any], known: set[str], path: str = "") -> Iterator[tuple[str, Any]]:
    for name, value in table.items():
        here = f"{path}.{name}" if path else name
        if isinstance(value, dict):
            yield from _leaves(value, known, here)
        elif here in known:
            yield here, value


@pytest.fixture(scope="module")
def rows() -> dict[str, str]:
    """Setting -> default, as the page has them; an empty text stands for a dash."""
    return {name: default for name, default, _ in _ROW.findall(PAGE.read_text(encoding="utf-8"))}


def test_every_setting_is_on_the_page_and_no_other(rows: dict[str, str]) -> None:
    assert rows.keys() - {*settings_in(Settings)} == set()
    assert {*settings_in(Settings)} - rows.keys() == set()


def test_the_page_has_the_defaults_that_the_files_have(rows: dict[str, str]) -> None:
    shown = {name: tomllib.loads(f"it = {text}")["it"] for name, text in rows.items() if text and "<" not in name}
    assert shown == defaults()


def test_the_page_says_what_a_stage_has_unless_it_says_otherwise(rows: dict[str, str]) -> None:
    own = {field.name: field.default for field in msgspec.structs.fields(struct_of_stage())}
    for name, default in own.items():
        text = rows[f"stages.<stage>.{name}"]
        expected = "" if default in (None, msgspec.NODEFAULT) else str(default).lower().replace("()", "[]")
        assert text == expected, name


def struct_of_stage() -> type[msgspec.Struct]:
    """The settings of one stage."""
    struct = struct_of(get_args(Settings.__annotations__["stages"])[1])
    assert struct is not None
    return struct


def test_the_worked_example_of_another_trade_is_a_configuration(tmp_path: Path) -> None:
    files = {block.values["file"]: block.text for block in blocks_of(PAGE) if "file" in block.values}
    for name in ("repair_chain.toml", "repair.toml"):
        (tmp_path / name).write_text(files[name], encoding="utf-8")
    settings = load_settings(tmp_path / "repair.toml")
    assert [*settings.stages] == ["booked", "paid", "assigned", "on_the_way", "at_work", "done", "cancelled"]
    assert settings.detectors.order_timeout.limit == 30 * 60_000


def test_a_setting_that_the_page_lacks_is_found() -> None:
    class More(Settings, frozen=True, kw_only=True):
        colour: str

    assert {*settings_in(More)} - {*settings_in(Settings)} == {"colour"}
