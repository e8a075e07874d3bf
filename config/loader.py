"""Effective settings: ``default.toml``, then the stage chain's file, then the user's file, each over the one before."""

import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import msgspec

from config.calendar_file import with_files
from config.checks import contradictions, references
from config.intake import with_profiles
from config.problems import ConfigurationError, Problem
from config.settings import Settings
from config.typed import checked
from config.units import decode_unit

HERE = Path(__file__).parent
CHAINS = HERE / "chains"


def load_settings(path: Path | None = None, overrides: Mapping[str, object] | None = None) -> Settings:
    """The effective settings; raises ConfigurationError with every problem when they are refused.

    ``overrides`` is a nested mapping that goes over the file, for flags of the command line and for tests.
    """
    where = str(path) if path else "the defaults"
    user = _read(path) if path else {}
    user = with_profiles(with_files(_merged(user, overrides or {}), path), path)
    default = _read(HERE / "default.toml")
    chain = user.get("chain", default["chain"])
    base = _merged(default, _read(chain_file(chain, path)))
    problems: list[Problem] = []
    values = checked(Settings, _merged(base, user), "", problems)
    if problems:
        raise ConfigurationError(where, problems)
    settings: Settings = msgspec.convert(values, Settings, dec_hook=decode_unit)
    problems = references(settings)
    if problems:
        raise ConfigurationError(where, problems)
    return settings


def warnings(settings: Settings) -> list[Problem]:
    """Settings that are allowed but contradict each other."""
    return contradictions(settings)


def chain_file(chain: object, beside: Path | None) -> Path:
    """Where a stage chain stands: a name of a shipped one, or a file beside the configuration."""
    name = str(chain)
    shipped = CHAINS / f"{name}.toml"
    if shipped.is_file():
        return shipped
    own = (beside.parent if beside else Path.cwd()) / name
    if own.is_file():
        return own
    known = ", ".join(sorted(file.stem for file in CHAINS.glob("*.toml")))
    what = f"no stage chain {name!r}: name one of {known}, or a .toml file beside the configuration"
    raise ConfigurationError(str(beside or "the defaults"), [Problem("chain", what)])


def _read(path: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(path.read_text(encoding="utf-8-sig"))
    except FileNotFoundError:
        raise ConfigurationError(str(path), [Problem("(file)", "does not exist: check the path")]) from None
    except OSError as error:
        raise ConfigurationError(str(path), [Problem("(file)", f"cannot be read: {error.strerror}")]) from None
    except UnicodeDecodeError as error:
        raise ConfigurationError(str(path), [Problem("(file)", f"is not UTF-8: {error.reason}")]) from None
    except tomllib.TOMLDecodeError as error:
        raise ConfigurationError(str(path), [Problem("(file)", f"is not TOML: {error}")]) from None


def _merged(base: Mapping[str, Any], over: Mapping[str, Any]) -> dict[str, Any]:
    result = dict(base)
    for key, value in over.items():
        old = result.get(key)
        result[key] = _merged(old, value) if isinstance(old, Mapping) and isinstance(value, Mapping) else value
    return result
