"""``orderpulse dlq``: looks into the dead letters; ``console.replay_letters`` sends them back."""

import base64
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any

import typer

from config.loader import load_settings
from config.units import Instant
from console.errors import FailedError
from console.letters import Letter, Wanted, letters_and_notes
from console.options import KAFKA, Config, Json, parse_instant
from console.output import local_time, number, print_json, some, table, to_stdout, warn
from console.replay_letters import replay
from console.replay_notes import Note

app = typer.Typer(
    help="Look into the dead letters, records that could not be used, and replay them.", no_args_is_help=True
)

Input = Annotated[
    Path, typer.Option("--input", metavar="DIR|kafka", help="A run's output directory, or the dead-letter topics.")
]
_BYTES_A_LINE = 16


@app.command("list")
def list_(
    input_: Input = Path(KAFKA),
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
    limit: Annotated[int, typer.Option("--limit", metavar="N", min=0, help="List at most so many.")] = 20,
    json_: Json = False,
) -> None:
    """List dead letters: how many for each reason, and the first ones with where they stood."""
    settings = load_settings(config)
    wanted = Wanted(reason, source, since, until)
    counts: Counter[str] = Counter()
    listed: list[Letter] = []
    replayed: dict[str, str] = {}
    timeless = 0
    for letter in letters_and_notes(input_, settings):
        if isinstance(letter, Note):
            replayed[letter.id] = letter.to
            continue
        timeless += letter.arrival is None
        if wanted.takes(letter):
            counts[letter.reason] += 1
            if len(listed) < limit:
                listed.append(letter)
    if timeless and (since is not None or until is not None):
        warn(f"{some(timeless, 'dead letter')} without an arrival left out: files keep none")
    if json_:
        values = [_values(letter, payload=False) | {"replayed_to": replayed.get(letter.id)} for letter in listed]
        print_json({"count": counts.total(), "by_reason": dict(sorted(counts.items())), "letters": values})
        return
    _show_list(counts, listed, replayed, settings.zone)


@app.command()
def show(
    id_: Annotated[str, typer.Argument(metavar="ID", help="As listed: PARTITION@POSITION.")],
    input_: Input = Path(KAFKA),
    config: Config = None,
    json_: Json = False,
) -> None:
    """Show one dead letter: why, what to do, where it stood, its headers and its original bytes."""
    settings = load_settings(config)
    found = next(
        (each for each in letters_and_notes(input_, settings) if isinstance(each, Letter) and each.id == id_), None
    )
    if found is None:
        raise FailedError(f"{input_}: no dead letter {id_!r}", "take an id from `orderpulse dlq list`")
    if json_:
        print_json(_values(found, payload=True))
        return
    out = to_stdout()
    rows = [
        ("id", found.id),
        ("reason", f"{found.reason}: {found.detail}"),
        ("to do", found.remedy),
        ("stood in", f"{found.partition} at {found.position}"),
        ("arrived", "not known" if found.arrival is None else local_time(found.arrival, settings.zone)),
        *(("failed before", f"as {each}") for each in found.replayed_from),
        *(("header", f"{name}: {'(none)' if value is None else _one_line(value)}") for name, value in found.headers),
    ]
    out.print(table(("", ""), rows))
    out.print(f"\n{some(len(found.payload), 'byte')}:")
    out.print(_bytes_for_people(found.payload), soft_wrap=True)


app.command()(replay)


def _history(letter: Letter, replayed: dict[str, str]) -> Iterator[str]:
    if letter.replayed_from:
        yield f"failed again, was {letter.replayed_from[-1]}"
    if letter.id in replayed:
        yield f"replayed to {replayed[letter.id]}"


def _show_list(counts: Counter[str], listed: list[Letter], replayed: dict[str, str], zone: str) -> None:
    out = to_stdout()
    if not counts:
        out.print("No dead letters")
        return
    out.print(f"{some(counts.total(), 'dead letter')}\n")
    out.print(table(("reason", ""), [(name, number(count)) for name, count in counts.most_common()], numbers=("",)))
    if not listed:
        return
    out.print()
    rows = [
        (
            letter.id,
            "" if letter.arrival is None else local_time(letter.arrival, zone),
            letter.reason,
            "; ".join([letter.detail, *_history(letter, replayed)]),
        )
        for letter in listed
    ]
    out.print(table(("id", "arrived", "reason", "detail"), rows))
    if counts.total() > len(listed):
        out.print(f"... and {number(counts.total() - len(listed))} more: --limit {counts.total()}")


def _values(letter: Letter, *, payload: bool) -> dict[str, Any]:
    values: dict[str, Any] = {
        name: getattr(letter, name)
        for name in ("id", "topic", "partition", "position", "reason", "detail", "remedy", "arrival")
    }
    values["replayed_from"] = list(letter.replayed_from)
    if payload:
        values["headers"] = [
            [name, None if value is None else base64.b64encode(value).decode()] for name, value in letter.headers
        ]
        values["payload"] = base64.b64encode(letter.payload).decode()
        values["text"] = _text_of(letter.payload)
    return values


def _text_of(payload: bytes) -> str | None:
    """The bytes as a text that a terminal can show; None when they are none."""
    try:
        text = payload.decode()
    except UnicodeDecodeError:
        return None
    return text if all(sign.isprintable() or sign in "\t\r\n" for sign in text) else None


def _one_line(value: bytes) -> str:
    text = _text_of(value)
    return value.hex(" ") if text is None else text


def _bytes_for_people(payload: bytes) -> str:
    text = _text_of(payload)
    return hex_dump(payload) if text is None else text


def hex_dump(payload: bytes) -> str:
    """16 bytes a line: where they stand, their hexadecimal digits, and what of them is ASCII."""
    lines = []
    for start in range(0, len(payload), _BYTES_A_LINE):
        row = payload[start : start + _BYTES_A_LINE]
        ascii_text = "".join(chr(byte) if 32 <= byte < 127 else "." for byte in row)
        lines.append(f"{start:08x}  {row.hex(' '):<47}  {ascii_text}")
    return "\n".join(lines)
