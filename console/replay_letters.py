"""``orderpulse dlq replay``: sends dead letters back, as they came or mended."""

from collections.abc import Iterator
from contextlib import suppress
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from msgspec import Struct

from config.loader import load_settings
from config.settings import Settings
from config.units import Instant
from console.errors import FINDING, FailedError, WrongUseError
from console.letters import Letter, Wanted, letters_and_notes
from console.options import KAFKA, Config, Json, is_kafka, parse_instant
from console.output import number, print_json, some, table, to_stdout, warn
from console.repairs import line_to_edit, repaired, unreadable
from console.replay_notes import Note, Notes, NotesInDirectory, NotesOnTopics

if TYPE_CHECKING:
    from console.resend import Destination

_AT_ONCE = 500
_SHOWN = 5
_NO_WAY = {
    "no_topic": "came from a file, and their bytes name no type of event: mend them (--repaired), or write them to a "
    "file (--output FILE)",
    "no_line": "are empty or hold a line break, so they cannot stand in a file of lines: replay them to Kafka",
}


class Report(Struct):
    """What became of the letters that were asked for."""

    letters: int = 0
    already_replayed: int = 0
    left_out_without_arrival: int = 0
    unreadable: int = 0
    failed_before: int = 0
    edited: int = 0


def replay(  # noqa: PLR0913, PLR0917  # one argument for each option
    ids: Annotated[
        list[str] | None, typer.Argument(metavar="ID", help="Only these, as listed: PARTITION@POSITION.")
    ] = None,
    input_: Annotated[
        Path, typer.Option("--input", metavar="DIR|kafka", help="A run's output directory, or the dead-letter topics.")
    ] = Path(KAFKA),
    output: Annotated[
        Path,
        typer.Option("--output", metavar="FILE|kafka", help="A new file of events, or the topics they stood in."),
    ] = Path(KAFKA),
    config: Config = None,
    reason: Annotated[str | None, typer.Option("--reason", metavar="R", help="Only of this reason.")] = None,
    source: Annotated[
        str | None, typer.Option("--source", metavar="TOPIC", help="Only from this topic, partition or file.")
    ] = None,
    since: Annotated[
        Instant | None, typer.Option("--since", metavar="T", parser=parse_instant, help="Only arrived then or later.")
    ] = None,
    until: Annotated[
        Instant | None, typer.Option("--until", metavar="T", parser=parse_instant, help="Only arrived before.")
    ] = None,
    edit: Annotated[
        Path | None,
        typer.Option("--edit", metavar="FILE", help="Replay nothing: write the letters here, to be mended."),
    ] = None,
    repaired_: Annotated[
        Path | None,
        typer.Option("--repaired", metavar="FILE", help="Replay the letters of this file, with the bytes it gives."),
    ] = None,
    again: Annotated[bool, typer.Option("--again", help="Also letters that were replayed before.")] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Look everything up, write nothing.")] = False,
    json_: Json = False,
) -> None:
    """Send dead letters back to the topics they stood in, with their original bytes, key and headers.

    A letter is replayed once: a note in the dead-letter topic (or beside the file) says so, and the events of records
    that come twice have no second effect. The replayed record says in the header op_replayed_from which letter it was.
    The exit code is 1 when a letter has no way back.

    Examples:

        orderpulse dlq replay --reason future_time --dry-run

        orderpulse dlq replay --reason invalid_field --edit mend.ndjson

        orderpulse dlq replay --repaired mend.ndjson
    """
    if edit is not None and repaired_ is not None:
        raise WrongUseError("--edit and --repaired stand together", "first --edit FILE, mend it, then --repaired FILE")
    settings = load_settings(config)
    mended = None if repaired_ is None else repaired(repaired_)
    named = {*(ids or ()), *(mended or ())} if ids or mended is not None else None
    selection = _Selection(input_, settings, Wanted(reason, source, since, until), named, again=again)
    report = selection.look()
    if edit is not None:
        _edit(selection, edit, report, dry_run=dry_run)
        _show(report, None, edit, as_json=json_, dry_run=dry_run)
        return
    destination = _destination(output, settings, dry_run=dry_run)
    notes = NotesOnTopics(settings.kafka) if is_kafka(input_) else NotesInDirectory(input_)
    try:
        _replay(selection, mended, destination, notes, report)
    finally:
        destination.close()
        notes.close()
    _show(report, destination, output, as_json=json_, dry_run=dry_run)
    if destination.sent.refused:
        raise typer.Exit(FINDING)


class _Selection:
    """The letters that are asked for, read twice: first to know which were replayed before, then to replay."""

    def __init__(self, where: Path, settings: Settings, wanted: Wanted, named: set[str] | None, *, again: bool) -> None:
        self.where = where
        self._settings = settings
        self._wanted = wanted
        self._named = named
        self._again = again
        self._replayed: set[str] = set()

    def look(self) -> Report:
        """Count, and raise FailedError when a letter that was named is not there."""
        report = Report()
        missing = set(self._named or ())
        timeless = self._wanted.since is not None or self._wanted.until is not None
        for each in letters_and_notes(self.where, self._settings):
            if isinstance(each, Note):
                self._replayed.add(each.id)
                continue
            missing.discard(each.id)
            report.left_out_without_arrival += timeless and each.arrival is None
        if missing:
            shown = ", ".join(sorted(missing)[:_SHOWN])
            raise FailedError(
                f"{self.where}: no dead letter {shown}" + (" ..." if len(missing) > _SHOWN else ""),
                "take ids from `orderpulse dlq list`; nothing was replayed",
            )
        return report

    def letters(self, report: Report) -> Iterator[Letter]:
        """Those to replay, in the order in which they stand, each once."""
        done = set() if self._again else set(self._replayed)
        seen: set[str] = set()
        for each in letters_and_notes(self.where, self._settings):
            if isinstance(each, Note) or each.id in seen or not self._asked_for(each):
                continue
            seen.add(each.id)
            report.letters += 1
            if each.id in done:
                report.already_replayed += 1
            else:
                report.failed_before += bool(each.replayed_from)
                yield each

    def _asked_for(self, letter: Letter) -> bool:
        return (self._named is None or letter.id in self._named) and self._wanted.takes(letter)


def _destination(output: Path, settings: Settings, *, dry_run: bool) -> "Destination":
    from console.resend import EventFile, InputTopics

    if is_kafka(output):
        return InputTopics(settings.kafka, dry_run=dry_run)
    return EventFile(output, dry_run=dry_run)


def _replay(
    selection: _Selection, mended: dict[str, bytes] | None, destination: "Destination", notes: Notes, report: Report
) -> None:
    from console.progress import counted
    from console.resend import Outgoing

    with counted("replaying", "letters") as advance:
        letters = selection.letters(report)
        while some_of_them := list(islice(letters, _AT_ONCE)):
            outgoing = []
            for letter in some_of_them:
                payload = letter.payload if mended is None else mended.get(letter.id, letter.payload)
                report.unreadable += unreadable(payload) is not None
                outgoing.append(Outgoing(letter, payload))
            notes.add(destination.send(outgoing))
            destination.check()
            advance(len(outgoing))


def _edit(selection: _Selection, path: Path, report: Report, *, dry_run: bool) -> None:
    if path.exists():
        raise WrongUseError(f"{path}: is there already", "name a file that does not exist")
    lines = (line_to_edit(letter) for letter in selection.letters(report))
    if dry_run:
        report.edited = sum(1 for _ in lines)
        return
    try:
        with path.open("xb") as file:
            for line in lines:
                file.write(line)
                report.edited += 1
    except OSError as error:
        with suppress(OSError):
            path.unlink()
        raise WrongUseError(f"{path}: cannot be written: {error.strerror}", "name another file") from None


def _show(report: Report, destination: "Destination | None", output: Path, *, as_json: bool, dry_run: bool) -> None:
    if as_json:
        print_json(_values(report, destination, dry_run=dry_run))
        return
    _warn(report, destination)
    would = "would be " if dry_run else ""
    rows = [("letters asked for", number(report.letters)), ("replayed before", number(report.already_replayed))]
    if destination is None:
        rows.append((f"{would}written to {output}", number(report.edited)))
    else:
        rows += [(f"{would}replayed to {place}", number(count)) for place, count in destination.sent.places.items()]
        rows += [(f"left: {reason}", number(len(ids))) for reason, ids in destination.sent.refused.items()]
    to_stdout().print(table(("", ""), rows))


def _warn(report: Report, destination: "Destination | None") -> None:
    if report.left_out_without_arrival:
        warn(f"{some(report.left_out_without_arrival, 'dead letter')} without an arrival left out: files keep none")
    if destination is None:
        return
    if report.unreadable:
        warn(f"{some(report.unreadable, 'record')} can still not be read and will fail again: mend them with --edit")
    if report.failed_before:
        warn(f"{some(report.failed_before, 'letter')} had been replayed before under another id, and failed again")
    made = {name: count for name, count in destination.sent.keys.items() if name != "kept"}
    if made:
        warn(
            f"{some(sum(made.values()), 'record')} stand in their logs no more, or came from files: "
            f"{number(made.get('made', 0))} got the key of their order, {number(made.get('none', 0))} have none"
        )
    for reason, ids in destination.sent.refused.items():
        warn(
            f"{some(len(ids), 'letter')} ({', '.join(ids[:_SHOWN])}{' ...' if ids[_SHOWN:] else ''}) {_NO_WAY[reason]}"
        )


def _values(report: Report, destination: "Destination | None", *, dry_run: bool) -> dict[str, Any]:
    values: dict[str, Any] = {
        "dry_run": dry_run,
        "letters": report.letters,
        "already_replayed": report.already_replayed,
        "without_arrival": report.left_out_without_arrival,
        "failed_before": report.failed_before,
    }
    if destination is None:
        return values | {"edited": report.edited}
    return values | {
        "replayed": destination.sent.count,
        "to": dict(sorted(destination.sent.places.items())),
        "keys": dict(sorted(destination.sent.keys.items())),
        "refused": destination.sent.refused,
        "unreadable": report.unreadable,
    }
