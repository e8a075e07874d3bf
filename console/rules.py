"""``orderpulse rules``: looks at the rules in effect, and changes them while the flow runs."""

import time
from pathlib import Path
from typing import Annotated

import typer

from config.loader import load_settings
from config.rulebook import rules_of, version_in
from config.units import Instant
from console.errors import WrongUseError
from console.options import KAFKA, Config, Json, parse_instant
from console.rules_file import RuleFile, kind_of, publishing_problems, read_rule_file
from console.rules_log import read_rules
from console.rules_publishing import Asked, document_for, earlier, report, signed
from console.rules_publishing import publish as publish_checked
from console.rules_shown import InLanguage, show_documents, show_rules

app = typer.Typer(
    help="Look at the rules in effect, and change them while the flow runs: docs/live-rules.md.", no_args_is_help=True
)

Input = Annotated[
    Path, typer.Option("--input", metavar="FILE|kafka", help="Where rule documents stand: a file, or the rules topic.")
]
To = Annotated[
    Path,
    typer.Option(
        "--to", metavar="FILE|kafka", help="Where they stand and are written: a file of events, or the topic."
    ),
]
Language = Annotated[InLanguage, typer.Option("--language", metavar="zh|en", help="The language.")]
EffectiveAt = Annotated[
    Instant | None,
    typer.Option(
        "--effective-at",
        metavar="T",
        parser=parse_instant,
        help="From when on it holds, in event time. [default: the file's effective_at, else now]",
        show_default=False,
    ),
]
Operator = Annotated[str | None, typer.Option("--operator", metavar="NAME", help="Who publishes it.")]
Reason = Annotated[str | None, typer.Option("--reason", metavar="TEXT", help="Why.")]
DryRun = Annotated[bool, typer.Option("--dry-run", help="Check and show everything, write nothing.")]
Published = Annotated[
    Instant | None,
    typer.Option(
        "--time",
        metavar="T",
        parser=parse_instant,
        help="With --to FILE: its own event time. [default: now, or when it takes effect if that is past]",
        show_default=False,
    ),
]


@app.command("list")
def list_(
    input_: Input = Path(KAFKA), config: Config = None, language: Language = InLanguage.EN, json_: Json = False
) -> None:
    """List all rules: the version in effect, whether the file or a document says it, and what waits."""
    settings = load_settings(config)
    show_rules(read_rules(input_, settings, _now()), settings.zone, language, as_json=json_)


@app.command()
def show(
    rule: Annotated[str, typer.Argument(metavar="RULE", help="Its name, e.g. card_burst.")],
    version: Annotated[int | None, typer.Option("--version", metavar="N", help="Only this version.")] = None,
    input_: Input = Path(KAFKA),
    config: Config = None,
    language: Language = InLanguage.EN,
    json_: Json = False,
) -> None:
    """Show the documents of a rule, each with its settings and what became of it."""
    settings = load_settings(config)
    log = read_rules(input_, settings, _now())
    known = {name for _, name in rules_of(settings)} | {each.document.rule for each in log.standings}
    if rule not in known:
        raise WrongUseError(f"{rule} is not a rule", f"name one of {', '.join(sorted(known))}")
    found = [each for each in log.standings if each.document.rule == rule]
    if version is not None:
        found = [each for each in found if each.document.version == version]
    show_documents(log, found, language, as_json=json_)


@app.command()
def check(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="A rule document (TOML).")],
    input_: Input = Path(KAFKA),
    config: Config = None,
    effective_at: EffectiveAt = None,
    language: Language = InLanguage.EN,
    json_: Json = False,
) -> None:
    """Check a rule document: every problem at once with its field, warnings, and what it changes."""
    settings, now = load_settings(config), _now()
    log = read_rules(input_, settings, now)
    document = document_for(read_rule_file(file), log, now, effective_at)
    problems = publishing_problems(settings, document, log.newest(document.kind, document.rule))
    report(file, document, problems, log, language, as_json=json_)


@app.command()
def publish(  # noqa: PLR0913, PLR0917  # one argument for each option
    file: Annotated[Path, typer.Argument(metavar="FILE", help="A rule document (TOML).")],
    to: To = Path(KAFKA),
    config: Config = None,
    effective_at: EffectiveAt = None,
    time_: Published = None,
    operator: Operator = None,
    reason: Reason = None,
    dry_run: DryRun = False,
    language: Language = InLanguage.EN,
    json_: Json = False,
) -> None:
    """Publish a rule document, if it is in order; from its effective time on all alerts go by it."""
    settings, now = load_settings(config), _now()
    log = read_rules(to, settings, now)
    document = document_for(read_rule_file(file), log, now, effective_at)
    asked = Asked(str(file), to, now, time_, dry_run, language, json_)
    publish_checked(signed(document, operator, reason), log, asked)


@app.command()
def rollback(  # noqa: PLR0913, PLR0917  # one argument for each option
    rule: Annotated[str, typer.Argument(metavar="RULE", help="Its name, e.g. card_burst.")],
    version: Annotated[
        int | None,
        typer.Option("--version", metavar="N", help="Whose settings; the file's too. [default: the one before]"),
    ] = None,
    to: To = Path(KAFKA),
    config: Config = None,
    effective_at: EffectiveAt = None,
    time_: Published = None,
    operator: Operator = None,
    reason: Reason = None,
    dry_run: DryRun = False,
    language: Language = InLanguage.EN,
    json_: Json = False,
) -> None:
    """Publish the settings of an earlier version once more, under a new one; nothing that was published is undone."""
    settings, now = load_settings(config), _now()
    log = read_rules(to, settings, now)
    older = earlier(log, rule, version)
    kind = kind_of(settings, rule)
    said = RuleFile(rule, {} if older is None else older.document.settings, kind=kind)
    document = document_for(said, log, now, effective_at)
    source = version_in(settings, kind, rule) if older is None else older.document.version
    asked = Asked(f"rollback of {rule}", to, now, time_, dry_run, language, json_)
    publish_checked(signed(document, operator, reason or f"as version {source}"), log, asked)


def _now() -> int:
    return time.time_ns() // 1_000_000
