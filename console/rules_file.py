"""A rule document as people write it: a TOML file, checked field by field."""

import json
import tomllib
from pathlib import Path
from typing import Annotated, Any

import msgspec
from msgspec import Meta, Struct

from config.problems import ConfigurationError, Problem
from config.rulebook import KINDS, problems_of, rules_of, version_in
from config.settings import Settings
from config.typed import checked
from config.units import Instant, decode_unit
from events.model import RulePublished, Text

SOURCE = "rules"


class RuleFile(Struct, frozen=True):
    """What a file says. ``version``: unless told the next one; ``effective_at``: unless told at once."""

    rule: Annotated[str, Meta(min_length=1, max_length=64)]
    settings: dict[str, Any]
    version: Annotated[int, Meta(ge=1, le=10**9)] | None = None
    effective_at: Instant | None = None
    kind: Annotated[str, Meta(min_length=1, max_length=64)] | None = None
    reason: Text | None = None


def read_rule_file(path: Path) -> RuleFile:
    """A rule document in TOML, or in JSON (``.json``); raises ConfigurationError with every problem."""
    problems: list[Problem] = []
    values = checked(RuleFile, _table(path), "", problems)
    if problems:
        raise ConfigurationError(str(path), problems)
    try:
        return msgspec.convert(values, RuleFile, dec_hook=decode_unit)
    except msgspec.ValidationError as error:
        raise ConfigurationError(str(path), [Problem("(file)", str(error))]) from None


def document_of(file: RuleFile, settings: Settings, *, version: int, now: int, effective_at: int) -> RulePublished:
    """The event that publishes it. ``now`` and ``effective_at`` in epoch ms."""
    kind = file.kind or kind_of(settings, file.rule)
    return RulePublished(
        id=f"{kind}/{file.rule}/{version}@{now}",
        source=SOURCE,
        time=now,
        rule=file.rule,
        version=version,
        effective_at=effective_at,
        kind=kind,
        settings=file.settings,
        reason=file.reason,
    )


def kind_of(settings: Settings, rule: str) -> str:
    """What kind of rule a name is; of a name that is unknown, the first kind."""
    return next((kind for kind, name in rules_of(settings) if name == rule), next(iter(KINDS)))


def publishing_problems(settings: Settings, document: RulePublished, newest: int) -> list[Problem]:
    """All that keeps a document from being published: what is wrong with it, and its version.

    ``newest``: the largest version of the rule that was published.
    """
    problems = problems_of(settings, document)
    least = max(newest, version_in(settings, document.kind, document.rule))
    if document.version <= least:
        what = f"{document.version} is not larger than {least}, which {document.rule} has had"
        problems.append(Problem("version", f"{what}: leave it out, or write {least + 1}"))
    return problems


def _table(path: Path) -> Any:
    try:
        text = path.read_text(encoding="utf-8-sig")
        return json.loads(text) if path.suffix == ".json" else tomllib.loads(text)
    except OSError as error:
        what = f"cannot be read: {error.strerror}"
    except UnicodeDecodeError as error:
        what = f"is not UTF-8: {error.reason}"
    except tomllib.TOMLDecodeError as error:
        what = f"is not TOML: {error}"
    except ValueError as error:
        what = f"is not JSON: {error}"
    raise ConfigurationError(str(path), [Problem("(file)", what)])
