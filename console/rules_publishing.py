"""Checks a rule document against what holds, shows what it changes, and publishes it."""

from pathlib import Path
from typing import Any

import typer
from msgspec import Struct, structs

from config.problems import ConfigurationError, Problem
from config.rulebook import effective, laid_over, version_in, warnings_of
from config.settings import Settings
from config.units import Instant
from console.errors import WRONG_USE, WrongUseError
from console.options import is_kafka
from console.output import local_time, print_json, to_stdout, warn
from console.rules_file import RuleFile, document_of, kind_of, publishing_problems
from console.rules_log import RulesLog, Standing
from console.rules_shown import Changed, InLanguage, changes_between, show_changes
from console.rules_writing import publish_document
from events.model import RulePublished

MARGIN_MS = 60_000
"""How long before now a document may take effect: clocks differ, and people need a moment."""


class Asked(Struct, frozen=True):
    """How a document is to be published. ``what`` names it in errors; ``time``: as its own, in a file."""

    what: str
    to: Path
    now: int
    time: int | None
    dry_run: bool
    language: InLanguage
    as_json: bool


def document_for(file: RuleFile, log: RulesLog, now: int, effective_at: Instant | None) -> RulePublished:
    """The event that says what a file says, with the next version unless the file names one."""
    kind = file.kind or kind_of(log.files, file.rule)
    newest = max(log.newest(kind, file.rule), version_in(log.files, kind, file.rule))
    moment = effective_at if effective_at is not None else file.effective_at
    return document_of(
        file,
        log.files,
        version=newest + 1 if file.version is None else file.version,
        now=now,
        effective_at=now if moment is None else int(moment),
    )


def signed(document: RulePublished, operator: str | None, reason: str | None) -> RulePublished:
    """The document with who publishes it and why; a reason of its own stays unless another one is given."""
    return structs.replace(document, operator=operator, reason=document.reason if reason is None else reason)


def earlier(log: RulesLog, rule: str, version: int | None) -> Standing | None:
    """The document whose settings are to hold again; None: those of the file."""
    kind = kind_of(log.files, rule)
    usable = [each for each in log.of(kind, rule) if each.status != "refused"]
    in_file = version_in(log.files, kind, rule)
    if version is None:
        now = next((each for each in usable if each.status == "in_effect"), None)
        if now is None:
            raise WrongUseError(
                f"no document of {rule} is in effect, so there is nothing to go back from",
                "see `orderpulse rules list`",
            )
        before = [each for each in usable if each.status == "replaced" and each.document.version < now.document.version]
        return before[-1] if before else None
    found = next((each for each in usable if each.document.version == version), None)
    if found is None and version != in_file:
        known = ", ".join(str(number) for number in (in_file, *(each.document.version for each in usable)))
        raise WrongUseError(f"{rule} has no version {version}", f"name one of {known}")
    return found


def publish(document: RulePublished, log: RulesLog, asked: Asked) -> None:
    """Publish a document that is in order, and show what it changes; raises ConfigurationError for any other."""
    problems = publishing_problems(log.files, document, log.newest(document.kind, document.rule))
    if is_kafka(asked.to):
        problems += _time_problems(document, log, asked)
    else:
        moment = min(asked.now, document.effective_at) if asked.time is None else asked.time
        document = structs.replace(document, time=moment)
    if problems:
        raise ConfigurationError(asked.what, problems)
    changes, doubts = _changes(document, log), _warnings(document, log)
    place = None if asked.dry_run else publish_document(document, asked.to, log.files)
    if asked.as_json:
        print_json(_value(document, [], doubts, changes) | {"published_to": place})
        return
    for doubt in doubts:
        warn(str(doubt))
    show_changes(changes, asked.language)
    at = local_time(document.effective_at, log.files.zone)
    done = "not published (--dry-run)" if place is None else f"published to {place}"
    to_stdout().print(f"\n{document.rule}, version {document.version}, effective at {at}: {done}", soft_wrap=True)


def _time_problems(document: RulePublished, log: RulesLog, asked: Asked) -> list[Problem]:
    if asked.time is not None:
        raise WrongUseError("--time with the rules topic", "leave it out: there it is published now")
    if document.effective_at >= asked.now - MARGIN_MS:
        return []
    past = f"{local_time(document.effective_at, log.files.zone)} is past: what has happened is not judged again"
    return [Problem("effective_at", f"{past}; give a moment from now on, or leave it out")]


def report(
    file: Path,
    document: RulePublished,
    problems: list[Problem],
    log: RulesLog,
    language: InLanguage,
    *,
    as_json: bool,
) -> None:
    """Say what is wrong with a document, or else what it changes."""
    if problems and not as_json:
        raise ConfigurationError(str(file), problems)
    changes = [] if problems else _changes(document, log)
    doubts = [] if problems else _warnings(document, log)
    if as_json:
        print_json(_value(document, problems, doubts, changes))
        if problems:
            raise typer.Exit(WRONG_USE)
        return
    for doubt in doubts:
        warn(str(doubt))
    show_changes(changes, language)
    to_stdout().print(f"\n{file} is in order: {document.rule}, version {document.version}", soft_wrap=True)


def _changes(document: RulePublished, log: RulesLog) -> list[Changed]:
    """Against what holds when it takes effect, as far as that is known now."""
    return changes_between(_settings_then(document, log), laid_over(log.files, document), document)


def _settings_then(document: RulePublished, log: RulesLog) -> Settings:
    before = [
        each.document
        for each in log.of(document.kind, document.rule)
        if each.status == "in_effect"
        or (each.status == "waiting" and each.document.effective_at <= document.effective_at)
    ]
    return effective(log.files, before[-1:])


def _warnings(document: RulePublished, log: RulesLog) -> list[Problem]:
    doubts = warnings_of(log.files, document)
    for each in log.of(document.kind, document.rule):
        if each.status == "waiting" and each.document.effective_at > document.effective_at:
            moment = local_time(each.document.effective_at, log.files.zone)
            what = f"version {each.document.version} waits for {moment}, and will have no effect beside this newer one"
            doubts.append(Problem("version", f"{what}: publish it again, under a larger version"))
    return doubts


def _value(
    document: RulePublished, problems: list[Problem], doubts: list[Problem], changes: list[Changed]
) -> dict[str, Any]:
    return {
        "ok": not problems,
        "rule": document.rule,
        "kind": document.kind,
        "version": document.version,
        "effective_at": document.effective_at,
        "problems": [structs.asdict(problem) for problem in problems],
        "warnings": [structs.asdict(doubt) for doubt in doubts],
        "changes": [{"setting": path, "now": before, "then": after} for path, before, after in changes],
    }
