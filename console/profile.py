"""``orderpulse profile``: looks at mapping profiles, checks them, tries them on samples."""

import base64
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from config.problems import ConfigurationError, Problem
from console.errors import FINDING, WRONG_USE
from console.health import health
from console.options import Json
from console.output import complain, number, print_json, some, table, to_stdout

if TYPE_CHECKING:
    from sources.mapping.convert import ConvertReport
    from sources.mapping.profile import Profile

app = typer.Typer(help="List, show, check and try the profiles that map a platform's records.", no_args_is_help=True)
app.command()(health)

Name = Annotated[
    str, typer.Argument(metavar="PROFILE", help="A shipped profile's name, or a profile file of your own.")
]

_SHOWN = 12  # unmapped fields of an input


@app.command("list")
def list_profiles(json_: Json = False) -> None:
    """List the shipped profiles: what each reads, and which events it gives."""
    from sources.mapping.loading import load_profile, shipped_profiles

    profiles = [load_profile(name) for name in shipped_profiles()]
    if json_:
        print_json([_summary(profile) for profile in profiles])
        return
    rows = [(profile.name, profile.description, ", ".join(_types(profile))) for profile in profiles]
    to_stdout().print(table(("profile", "reads", "gives"), rows))


@app.command()
def show(profile: Name) -> None:
    """Show a profile as it is written: where its names come from, its rules, what could not be confirmed.

    Copy one as a start: orderpulse profile show shopify > my_shop.toml
    """
    from sources.mapping.loading import profile_file

    print(profile_file(profile).read_text(encoding="utf-8"), end="")


@app.command()
def check(
    profile: Name,
    sample: Annotated[
        list[Path] | None,
        typer.Option("--sample", metavar="FILE", help="A file or folder of the platform's records; may be repeated."),
    ] = None,
    json_: Json = False,
) -> None:
    """Check a profile: every problem at once, each with its path and what to do.

    With samples also: what they give, fields of theirs that nothing maps, and canonical fields that nothing
    fills. The exit code is 2 when the profile is refused, 1 when a sample has records that become dead letters.
    """
    from sources.mapping.coverage import coverage, stages, unfilled
    from sources.mapping.loading import load_profile

    try:
        loaded = load_profile(profile)
    except ConfigurationError as error:
        if not json_:
            raise
        print_json({"ok": False, "problems": _values(error.problems)})
        raise typer.Exit(WRONG_USE) from None
    hints = _stage_hints(stages(loaded))
    if not sample:
        if json_:
            print_json({"ok": True, "problems": [], "unfilled": unfilled(loaded), "notes": hints})
        else:
            _print_order(profile, loaded, hints)
        return
    report, letters, _ = _tried(loaded, sample)
    found = coverage(loaded, sample)
    if json_:
        print_json(
            {"ok": True, "problems": [], "events": report.by_type, "dead_letters": letters}
            | {"unmapped": found.unmapped, "unfilled": found.unfilled, "notes": [*hints, *report.notes]}
        )
    else:
        _print_order(profile, loaded, hints)
        _print_report(report)
        _print_kinds_of(letters)
        _print_unmapped(found.unmapped)
        _print_unfilled(found.unfilled)
    if letters:
        raise typer.Exit(FINDING)


@app.command("try")
def try_profile(
    profile: Name,
    samples: Annotated[list[Path], typer.Argument(metavar="SAMPLE", help="The platform's files, or folders of them.")],
    json_: Json = False,
) -> None:
    """Try a profile on samples and show the events, one a line; nothing is written.

    The exit code is 1 when some records become dead letters; each is shown with its reason.
    """
    from sources.mapping.loading import load_profile

    report, letters, lines = _tried(load_profile(profile), samples)
    if json_:
        import orjson

        print_json(
            {"events": [orjson.loads(line) for line in lines], "dead_letters": letters, "notes": list(report.notes)}
        )
    else:
        for line in lines:
            print(line)
        _print_report(report)
        _print_letters(letters)
    if letters:
        raise typer.Exit(FINDING)


def _tried(profile: "Profile", samples: list[Path]) -> "tuple[ConvertReport, list[dict[str, str]], list[str]]":
    """A conversion into nowhere: its report, dead letters as a person reads them, event lines."""
    import msgspec

    from events.records import DeadLetterRecord
    from sources.mapping.convert import convert

    with tempfile.TemporaryDirectory() as folder:
        report = convert(profile, samples, Path(folder))
        lines = report.events_file.read_text(encoding="utf-8").splitlines()
        dead = [
            msgspec.json.decode(line, type=DeadLetterRecord)
            for line in report.dead_letters_file.read_bytes().splitlines()
        ]
    letters = [
        {"reason": letter.reason, "detail": letter.detail, "remedy": letter.remedy, "payload": _text(letter.payload)}
        for letter in dead
    ]
    return report, letters, lines


def _text(payload: str) -> str:
    return base64.b64decode(payload).decode("utf-8", "replace")


def _stage_hints(named: list[str]) -> list[str]:
    """Stages that the chain of the defaults does not have: right only for who runs another chain."""
    from config.loader import load_settings

    settings = load_settings()
    known = ", ".join(settings.stages)
    return [
        f"stage {stage!r} is not in the chain {settings.chain} ({known}): it moves no order, unless yours has it"
        for stage in named
        if stage not in settings.stages
    ]


def _print_order(name: str, profile: "Profile", hints: list[str]) -> None:
    out = to_stdout()
    out.print(f"{name} is in order: {some(len(profile.events), 'rule')}")
    for hint in hints:
        out.print(f"note: {hint}")


def _print_report(report: "ConvertReport") -> None:
    out = to_stdout()
    gave = ", ".join(f"{number(count)} {name}" for name, count in report.by_type.items())
    out.print(f"{some(report.records, 'record')} gave {some(report.events, 'event')}" + (f": {gave}" if gave else ""))
    for note in report.notes:
        out.print(f"note: {note}")


def _print_letters(letters: list[dict[str, str]]) -> None:
    for letter in letters:
        complain(f"{letter['reason']}: {letter['detail']}", letter["remedy"])


def _print_kinds_of(letters: list[dict[str, str]]) -> None:
    """The first dead letter of each reason and field: a whole export may have one mistake a thousand times."""
    kinds: dict[tuple[str, str], list[dict[str, str]]] = {}
    for letter in letters:
        field = letter["detail"].partition(", field ")[2].partition(": ")[0]
        kinds.setdefault((letter["reason"], field), []).append(letter)
    for same in kinds.values():
        more = f" (and {number(len(same) - 1)} more like it)" if len(same) > 1 else ""
        complain(f"{same[0]['reason']}: {same[0]['detail']}{more}", same[0]["remedy"])


def _print_unmapped(unmapped: dict[str, dict[str, int]]) -> None:
    out = to_stdout()
    for name, paths in unmapped.items():
        out.print(f"\nfields of {name!r} that nothing maps (records that have a value there):")
        most = sorted(paths.items(), key=lambda item: -item[1])
        for path, count in most[:_SHOWN]:
            out.print(f"  {path} ({number(count)})")
        if len(most) > _SHOWN:
            out.print(f"  and {len(most) - _SHOWN} more; --json lists them all")


def _print_unfilled(unfilled: dict[str, list[str]]) -> None:
    out = to_stdout()
    if unfilled:
        out.print("\ncanonical fields that nothing fills:")
    for kind, names in unfilled.items():
        out.print(f"  {kind}: {', '.join(names)}")


def _types(profile: "Profile") -> list[str]:
    return sorted({rule.type for rule in profile.events})


def _summary(profile: "Profile") -> dict[str, Any]:
    return {
        "name": profile.name,
        "description": profile.description,
        "formats": sorted({spec.format for spec in profile.inputs.values()}),
        "gives": _types(profile),
    }


def _values(problems: list[Problem]) -> list[dict[str, str]]:
    return [{"field": problem.field, "what": problem.what} for problem in problems]
