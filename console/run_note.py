"""``run.json`` beside a run's results: what it was made from, so that two runs can be told apart."""

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any, Final, Literal

import msgspec
from msgspec import Struct

from config.settings import Settings
from console.results import KINDS, damaged, files_of
from dataflows.environment import environment_of
from dataflows.summary import Summary
from operators.heart.lateness import BEFORE_TIME

FILE: Final = "run.json"
# What is read, written and watched, and how: none of it decides what the results say.
_OUTSIDE: Final = frozenset({"backtest", "kafka", "redis", "metrics", "recovery", "supervisor", "platform", "intake"})
_DIGEST_BYTES: Final = 8


class Part(Struct, frozen=True):
    """Which part of history results cover; times in epoch ms. ``start``, ``start_offsets``: what
    stands before was not read.
    """

    since: int | None = None
    until: int | None = None
    start: int | None = None
    start_offsets: str | None = None
    order: str | None = None


class RunNote(Struct, frozen=True):
    """What a run was made from, and how far it came.

    ``settings``: those that decide about results, as flat names and texts. ``hash_key``: a digest of the key of hashed
    entities. ``first``: where reading began, by partition, if known. ``watermark``: epoch ms, None without any event.
    """

    command: Literal["run", "replay"]
    version: str
    inputs: Sequence[str]
    fingerprint: str
    hash_key: str
    settings: Mapping[str, str]
    part: Part
    first: Mapping[str, int]
    events: int
    late: int
    forced: int
    duplicates: int
    watermark: int | None
    sizes: Mapping[str, int] = {}
    """Length in bytes of each file of results: the note speaks of these, and not of what another run writes there."""


def note_of(
    command: Literal["run", "replay"],
    settings: Settings,
    inputs: Sequence[object],
    summary: Summary,
    *,
    part: Part | None = None,
    first: Mapping[str, int] | None = None,
) -> RunNote:
    """The note of a run that has ended in order."""
    deciding = deciding_settings(settings)
    return RunNote(
        command=command,
        version=version("orderpulse"),
        inputs=[str(each) for each in inputs],
        fingerprint=_digest(msgspec.json.encode(deciding, order="deterministic")),
        hash_key=_digest(environment_of(settings, read_model=False).hash_key),
        settings=deciding,
        part=part or Part(),
        first=first or {},
        events=summary.events,
        late=summary.late,
        forced=summary.forced,
        duplicates=summary.duplicates,
        watermark=summary.watermark if summary.watermark > BEFORE_TIME else None,
    )


def write_note(directory: Path, note: RunNote) -> None:
    """Put it beside the results, which are complete by now."""
    note = msgspec.structs.replace(note, sizes=_sizes(directory))
    (directory / FILE).write_bytes(msgspec.json.format(msgspec.json.encode(note, enc_hook=int), indent=2) + b"\n")


def read_note(directory: Path) -> RunNote | None:
    """The note on a directory's results; None where a run was killed or is under way, or they were changed since.

    Raises FailedError for a damaged one.
    """
    path = directory / FILE
    try:
        note = msgspec.json.decode(path.read_bytes(), type=RunNote)
    except FileNotFoundError:
        return None
    except msgspec.DecodeError as error:
        raise damaged(str(path), str(error)) from error
    return note if note.sizes == _sizes(directory) else None


def _sizes(directory: Path) -> dict[str, int]:
    return {path.name: path.stat().st_size for kind in KINDS for path in files_of(directory, kind)}


def deciding_settings(settings: Settings) -> dict[str, str]:
    """The settings that decide about results, each as its flat name and a text."""
    values = {
        field.name: getattr(settings, field.name)
        for field in msgspec.structs.fields(settings)
        if field.name not in _OUTSIDE
    }
    return dict(_flat("", values))


def _flat(name: str, value: Any) -> Iterator[tuple[str, str]]:
    if isinstance(value, Struct):
        value = {field.name: getattr(value, field.name) for field in msgspec.structs.fields(value)}
    if isinstance(value, Mapping) and value:
        for key, inner in sorted(value.items()):
            yield from _flat(f"{name}.{key}" if name else str(key), inner)
    elif isinstance(value, list | tuple):
        yield name, ", ".join(map(str, value))
    else:
        yield name, "none" if value is None else str(value)


def _digest(content: bytes) -> str:
    return hashlib.blake2b(content, digest_size=_DIGEST_BYTES).hexdigest()
