"""Calendar files: single dates off and at work, in a TOML file beside the configuration."""

import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from config.problems import ConfigurationError, Problem

_LISTS: Final = ("off", "work")


def with_files(values: Mapping[str, Any], beside: Path | None) -> dict[str, Any]:
    """The values of a configuration, with the dates of the files that its calendars name; raises ConfigurationError."""
    calendars = values.get("calendars")
    if not isinstance(calendars, Mapping):
        return dict(values)
    read = {
        name: _with_dates(calendar, f"calendars.{name}.file", beside)
        if isinstance(calendar, Mapping) and isinstance(calendar.get("file"), str)
        else calendar
        for name, calendar in calendars.items()
    }
    return {**values, "calendars": read}


def _with_dates(calendar: Mapping[str, Any], field: str, beside: Path | None) -> dict[str, Any]:
    path = (beside.parent if beside else Path.cwd()) / calendar["file"]
    try:
        dates = tomllib.loads(path.read_text(encoding="utf-8-sig"))
    except OSError as error:
        raise _refused(beside, field, f"{path} cannot be read: {error.strerror}") from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise _refused(beside, field, f"{path} is not TOML: {error}") from None
    for name, listed in dates.items():
        if name not in _LISTS or not isinstance(listed, list):
            raise _refused(
                beside, field, f"{path}: {name!r} is no list of dates; it may have off = [...], work = [...]"
            )
    # TOML has dates of its own: both ways of writing one are read.
    return {**calendar, **{name: [*calendar.get(name, ()), *map(str, dates.get(name, ()))] for name in _LISTS}}


def _refused(beside: Path | None, field: str, what: str) -> ConfigurationError:
    return ConfigurationError(str(beside or "the defaults"), [Problem(field, what)])
