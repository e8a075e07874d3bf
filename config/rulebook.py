"""Rule documents: settings of one rule that take effect at a stated event time, laid over those of the files.

Everything here is a function of a document and the files' settings alone, so whoever asks gets the same answer: the
command line before it publishes, the flow where the document comes in, and each key group where it takes effect.
"""

from collections.abc import Iterable, Iterator, Mapping
from difflib import get_close_matches
from typing import Any, Final, get_args, get_origin

import msgspec
from msgspec import Struct

from config.checks import contradictions, references
from config.overlay import overlaid
from config.problems import ConfigurationError, Problem
from config.settings import Settings, StageTimeoutSettings
from config.typed import struct_of
from config.units import Duration
from events.model import RulePublished

MOST_BYTES: Final = 64 << 10
"""Of the settings in one document, as JSON: each key group keeps them."""
_MOST_NUMBER: Final = 2**53
_DEEPEST: Final = 12


class Kind(Struct, frozen=True):
    """Where the rules of one kind stand in the settings. ``new``: a document may bring one that the files lack."""

    path: tuple[str, ...]
    new: bool = False


class Fixed(Struct, frozen=True):
    """A setting that documents cannot change, and why."""

    rule: str
    name: str
    why: str


KINDS: Final[Mapping[str, Kind]] = {
    "detector": Kind(("detectors",)),
    "composite": Kind(("composite",), new=True),
    "list": Kind(("lists",)),  # a rule can name only lists of the file, so a new one would serve nobody
}
_NORMS: Final = ("detector", "stage_timeout", "norms")
_FIXED: Final = (
    Fixed("silence", "step", "what is being counted is counted in such steps"),
    Fixed("silence", "jobs", "the list of jobs is read when the line begins"),
)
_IN_THE_FILE: Final = "set it in the file and start the run again"


def laid_over(settings: Settings, document: RulePublished) -> Settings:
    """The settings of the files with a document over them.

    Raises ConfigurationError with every problem, each by its field in the document.
    """
    problems: list[Problem] = []
    result = _laid(settings, document, problems)
    if not problems:
        problems += [_named(problem, document) for problem in references(result)]
    if problems:
        raise ConfigurationError(f"rule {document.rule}, version {document.version}", problems)
    return result


def effective(settings: Settings, documents: Iterable[RulePublished]) -> Settings:
    """The settings of the files with the documents in effect, at most one of each rule.

    Raises ConfigurationError for one that does not fit these files.
    """
    result = settings
    for document in sorted(documents, key=lambda each: (each.kind, each.rule)):
        laid_over(settings, document)  # each fits by itself, whatever else is in effect
        result = _laid(result, document, [])
    return result


def problems_of(settings: Settings, document: RulePublished) -> list[Problem]:
    """All that is wrong with a document; nothing when it can be published."""
    try:
        laid_over(settings, document)
    except ConfigurationError as error:
        return error.problems
    return []


def warnings_of(settings: Settings, document: RulePublished) -> list[Problem]:
    """What works against each other only with the document, which is right by itself."""
    before = set(contradictions(settings))
    return [problem for problem in contradictions(laid_over(settings, document)) if problem not in before]


def version_in(settings: Settings, kind: str, rule: str) -> int:
    """The version of a rule in the files; 0 for one that they do not have."""
    section = section_of(settings, kind, rule)
    return 0 if section is None else int(section.version)


def is_on(settings: Settings, kind: str, rule: str) -> bool:
    """Whether a rule is switched on."""
    section = section_of(settings, kind, rule)
    return section is not None and bool(getattr(section, "enabled", True))


def section_of(settings: Settings, kind: str, rule: str) -> Any:
    """The settings of a rule; None for one that is not there."""
    known = KINDS.get(kind)
    chain = None if known is None else _chain(settings, (*known.path, rule))
    return None if chain is None else chain[-1][1]


def rules_of(settings: Settings) -> Iterator[tuple[str, str]]:
    """Kind and name of each rule in the settings that documents may change."""
    for name, kind in KINDS.items():
        container: Any = settings
        for part in kind.path:
            container = getattr(container, part)
        names = container.__struct_fields__ if isinstance(container, Struct) else container
        yield from ((name, rule) for rule in names)


def _laid(settings: Settings, document: RulePublished, problems: list[Problem]) -> Settings:
    kind = KINDS.get(document.kind)
    if kind is None:
        known = ", ".join(KINDS)
        problems.append(Problem("kind", f"{document.kind!r} is no kind of rule; there are {known}"))
        return settings
    problems += _size_problems(document)
    chain = _chain(settings, (*kind.path, document.rule))
    if chain is None and not kind.new:
        problems.append(_unknown_rule(settings, document))
    if chain is None and kind.new and not any(name == document.kind for name, _ in rules_of(settings)):
        what = f"the file has no {document.kind} rule, so nothing is there to judge this one: name one there, which may"
        problems.append(Problem("rule", what + " be switched off, and start the run again"))
    if problems:
        return settings
    table = dict(document.settings)
    problems += _fixed_problems(settings, document, table)
    result = settings
    if (document.kind, document.rule) == _NORMS[:2] and _NORMS[2] in table:
        result = _with_norms(settings, table.pop(_NORMS[2]), problems)
    base = None if chain is None else chain[-1][1]
    section_type = _type_at((*kind.path, document.rule))
    if base is None:
        table["version"] = document.version
    section = overlaid(section_type, base, table, "settings", problems)
    if problems:
        return settings
    problems += _not_built(base, section)
    if problems:
        return settings
    if base is not None:
        section = msgspec.structs.replace(section, version=document.version)
    laid: Settings = _with(result, (*kind.path, document.rule), section)
    return laid


def _size_problems(document: RulePublished) -> Iterator[Problem]:
    for path, value in _leaves(document.settings, "settings", 0):
        if value is ...:
            yield Problem(path, f"is nested deeper than {_DEEPEST} tables")
            return
        if isinstance(value, int) and abs(value) > _MOST_NUMBER:
            yield Problem(path, f"{value} is too large")
    size = len(msgspec.json.encode(document.settings))
    if size > MOST_BYTES:
        yield Problem("settings", f"{size:,} bytes; at most {MOST_BYTES:,}: keep long lists in the file")


def _leaves(value: Any, path: str, depth: int) -> Iterator[tuple[str, Any]]:
    if depth > _DEEPEST:
        yield path, ...
    elif isinstance(value, Mapping):
        for key, item in value.items():
            yield from _leaves(item, f"{path}.{key}", depth + 1)
    elif isinstance(value, list):
        for item in value:
            yield from _leaves(item, path, depth + 1)
    else:
        yield path, value


def _unknown_rule(settings: Settings, document: RulePublished) -> Problem:
    names = [name for kind, name in rules_of(settings) if kind == document.kind]
    close = get_close_matches(document.rule, names, n=1)
    hint = f"did you mean {close[0]!r}?" if close else "rules that documents change: " + ", ".join(names)
    return Problem("rule", f"{document.rule!r} is not a rule; {hint}")


def _fixed_problems(settings: Settings, document: RulePublished, table: Mapping[str, Any]) -> Iterator[Problem]:
    if not is_on(settings, document.kind, document.rule) and document.kind == "detector":
        at = f"detectors.{document.rule}.enabled"
        what = f"{document.rule} is switched off in the file, so it is not there to change: set {at} = true there, and"
        yield Problem("rule", what + " start the run again")
    if "version" in table:
        yield Problem("settings.version", "is said by the document itself: leave it out of its settings")
    for fixed in _FIXED:
        if fixed.rule == document.rule and fixed.name in table:
            yield Problem(f"settings.{fixed.name}", f"cannot change while the flow runs ({fixed.why}): {_IN_THE_FILE}")


def _not_built(base: Any, section: Any) -> Iterator[Problem]:
    """Limits from history need the past, which nobody has kept where the file switches them off."""
    if isinstance(base, StageTimeoutSettings) and section.history.enabled and not base.history.enabled:
        yield Problem("settings.history.enabled", f"is off in the file, so no history is kept: {_IN_THE_FILE}")


def _with_norms(settings: Settings, norms: Any, problems: list[Problem]) -> Settings:
    """The norms of stages, which stand apart from the rule in the file."""
    at = f"settings.{_NORMS[2]}"
    if not isinstance(norms, Mapping):
        problems.append(Problem(at, 'must be a table of stages, e.g. { paid = "20m" }'))
        return settings
    stages = dict(settings.stages)
    for name, norm in norms.items():
        stage = stages.get(name)
        if stage is None:
            close = get_close_matches(name, stages, n=1)
            hint = f"did you mean {close[0]!r}?" if close else f"the stages are {', '.join(stages)}"
            problems.append(Problem(f"{at}.{name}", f"is not a stage; {hint}"))
            continue
        length = overlaid(Duration, stage.norm, norm, f"{at}.{name}", problems)
        stages[name] = msgspec.structs.replace(stage, norm=length)
    return msgspec.structs.replace(settings, stages=stages)


def _named(problem: Problem, document: RulePublished) -> Problem:
    """A problem of settings by its place in the document."""
    own = ".".join((*KINDS[document.kind].path, document.rule, ""))
    if problem.field.startswith(own):
        return Problem("settings." + problem.field.removeprefix(own), problem.what)
    stage, _, name = problem.field.removeprefix("stages.").rpartition(".")
    if problem.field.startswith("stages.") and name == "norm":
        return Problem(f"settings.{_NORMS[2]}.{stage}", problem.what)
    return problem


def _chain(settings: Settings, path: tuple[str, ...]) -> list[tuple[str, Any]] | None:
    """The values on a path, None where it leads nowhere."""
    found: list[tuple[str, Any]] = []
    value: Any = settings
    for part in path:
        if isinstance(value, Struct):
            value = getattr(value, part) if part in value.__struct_fields__ else None
        else:
            value = value.get(part)
        if value is None:
            return None
        found.append((part, value))
    return found


def _type_at(path: tuple[str, ...]) -> Any:
    kind: Any = Settings
    for part in path:
        struct = struct_of(kind)
        if struct is not None:
            kind = next(field.type for field in msgspec.structs.fields(struct) if field.name == part)
        else:
            assert get_origin(kind) is dict, "rules stand in tables"
            kind = get_args(kind)[1]
    return kind


def _with(value: Any, path: tuple[str, ...], new: Any) -> Any:
    """A copy of settings in which one value is another."""
    if not path:
        return new
    if isinstance(value, Struct):
        return msgspec.structs.replace(value, **{path[0]: _with(getattr(value, path[0]), path[1:], new)})
    return dict(value) | {path[0]: _with(value.get(path[0]), path[1:], new)}
