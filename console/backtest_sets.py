"""The rule sets of a backtest: from files, with a grid over one setting."""

import shlex
import tomllib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from msgspec import Struct

from config.differences import differences
from config.loader import load_settings
from config.problems import ConfigurationError
from config.rulebook import laid_over, version_in
from config.settings import Settings
from console.errors import WrongUseError
from console.options import KAFKA
from console.rules_file import document_of, kind_of, read_rule_file
from dataflows.backtest import GridPoint
from operators.judging.comparison import Example
from sources.history import Inputs

DEFAULTS: Final = "the defaults"
_MOST_POINTS: Final = 64


class RuleSets(Struct, frozen=True):
    """What is compared. ``names`` of the first and the second for people; ``files``: as they were given.

    ``is_document``: the second is a rule document over the first.
    """

    first: Settings
    second: Settings | None
    grid: tuple[GridPoint, ...]
    field: str
    names: tuple[str, str]
    files: tuple[Path | None, Path | None]
    is_document: bool = False


def load_sets(rules: Path | None, candidate: Path | None, grid: str | None) -> RuleSets:
    """Load the settings; a rule document as candidate goes over ``rules``. With a grid alone there is no second set.

    Raises ConfigurationError with every problem of a file, and WrongUseError.
    """
    first = load_settings(rules)
    is_document = candidate is not None and _is_document(candidate)
    if candidate is None and grid is not None:
        second = None
    elif candidate is not None and is_document:
        second = _with_document(first, candidate)
    else:
        second = load_settings(candidate)
    field, points = ("", ()) if grid is None else _grid(grid, rules if is_document else candidate or rules)
    if second is not None and not differences(first, second) and not points:
        raise WrongUseError(
            f"{rules or DEFAULTS} and {candidate or DEFAULTS} are the same settings",
            "name a --candidate in which something differs, or a --grid",
        )
    names = str(rules or DEFAULTS), str(candidate or DEFAULTS)
    return RuleSets(first, second, points, field, names, (rules, candidate), is_document)


def require_known(given: Sequence[str], settings: Settings) -> dict[str, str]:
    """``RULE=NAME`` and ``NAME`` as rule -> outcome, "" for all rules; raises WrongUseError."""
    chosen: dict[str, str] = {}
    known = settings.backtest.outcomes
    for text in given:
        rule, found, name = text.rpartition("=")
        if name not in known:
            raise WrongUseError(f"--outcomes {text}: {name!r} is not defined", f"name one of {', '.join(known)}")
        if found and not rule:
            raise WrongUseError(f"--outcomes {text}: names no rule", "write RULE=NAME, or NAME for all rules")
        chosen[rule] = name
    return chosen


def _is_document(path: Path) -> bool:
    """A file of settings names no rule, and is never JSON. What cannot be read is for the loader to say."""
    try:
        return path.suffix == ".json" or "rule" in tomllib.loads(path.read_text(encoding="utf-8-sig"))
    except (OSError, ValueError):
        return False


def _with_document(settings: Settings, path: Path) -> Settings:
    file = read_rule_file(path)
    kind = file.kind or kind_of(settings, file.rule)
    version = file.version or version_in(settings, kind, file.rule) + 1
    return laid_over(settings, document_of(file, settings, version=version, now=0, effective_at=0))


def _grid(text: str, path: Path | None) -> tuple[str, tuple[GridPoint, ...]]:
    field, equals, listed = text.partition("=")
    values = [value.strip() for value in listed.split(",") if value.strip()]
    if not equals or not field or not values:
        raise WrongUseError(f"--grid {text}: names no values", "write e.g. detectors.order_timeout.limit=1h,2h,4h")
    if len(values) > _MOST_POINTS:
        raise WrongUseError(f"--grid: {len(values)} values are more than {_MOST_POINTS}", "take fewer")
    return field, tuple(GridPoint(value, _with(path, field, value)) for value in dict.fromkeys(values))


def _with(path: Path | None, field: str, value: str) -> Settings:
    try:
        return load_settings(path, _nested(field, _parsed(value)))
    except ConfigurationError as error:
        raise ConfigurationError(f"--grid {field}={value}", error.problems) from None


def _nested(field: str, value: Any) -> Mapping[str, Any]:
    name, _, rest = field.partition(".")
    return {name: _nested(rest, value) if rest else value}


def _parsed(value: str) -> Any:
    """As TOML would have it: a number, true, false, else a text."""
    if value in ("true", "false"):
        return value == "true"
    for number in (int, float):
        try:
            return number(value)
        except ValueError:
            continue
    return value


def explain_command(rule: str, example: Example, inputs: Inputs, sets: RuleSets) -> str:
    """The command that says why an order alerts, or, of what was lost, why it does not any more; "" without an order.

    Rule documents are no settings that it could be given: then today's rules say why, or why not yet.
    """
    if not example.orders:
        return ""
    of_candidate = example.change != "moved" and not sets.is_document
    why_not = example.change == ("lost" if of_candidate else "gained")
    file = sets.files[1 if of_candidate else 0]
    words = ["orderpulse", "explain", example.orders[0]]
    for path in (inputs,) if inputs == KAFKA else inputs:
        words += ["--input", str(path)]
    words += ["--config", str(file)] if file is not None else []
    return shlex.join([*words, "--why-not", rule] if why_not else words)
