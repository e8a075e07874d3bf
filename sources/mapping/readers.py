"""Records from files: CSV, JSON, JSON lines, web forms, collections inside JSON; plain, ``.gz`` or ``.zst``.

A record that cannot be read comes out as a ``Row`` with its original text and the defect, never as an exception.
A CSV is read row by row; a JSON document is held in memory as a whole.
"""

import csv
import gzip
import io
from collections import deque
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import Any, TextIO, cast
from urllib.parse import parse_qsl

import msgspec
import zstandard

from sources.mapping.paths import decode_json, parse
from sources.mapping.profile import InputSpec
from sources.mapping.values import clean

_BOM = b"\xef\xbb\xbf"
_LOOK_AT = 100  # lines of a file


class Row(msgspec.Struct, gc=False):
    """One record, or what stood in its place.

    ``line``: the line it starts in, or its number in a JSON collection, from 1. ``position``: its byte offset in the
    (unpacked) file, or its index in a JSON collection. ``raw``: its original text.
    """

    line: int
    position: int
    raw: bytes | str
    record: dict[str, Any] | None = None
    key: str | None = None
    defect: str = ""


def read(path: Path, spec: InputSpec) -> Iterator[Row]:
    """Every record of a file, in its order. Raises OSError when the file cannot be read."""
    with _opened(path) as stream:
        if spec.format == "csv":
            yield from _csv_rows(stream, spec)
        elif by_lines(path, spec):
            yield from _lines(stream, spec)
        else:
            yield from rows_of(stream.read(), spec)


def by_lines(path: Path, spec: InputSpec) -> bool:
    """Whether each line of a file is a message of its own."""
    name = path.name.removesuffix(".gz").removesuffix(".zst").lower()
    return spec.format in ("jsonl", "form") or (spec.format == "json" and name.endswith((".jsonl", ".ndjson")))


def shows(path: Path, spec: InputSpec) -> bool:
    """Whether a file is of this kind: its header, or a record near its start, has all the fields of the input.

    Lines may be of different kinds, so more of them are looked at.
    """
    with _opened(path) as stream:
        if spec.format == "csv":
            header = _header(_Lines(_text(stream, spec)), spec)
            return bool(header) and set(spec.fields) <= set(header)
        if by_lines(path, spec):
            return any(fits(line, spec) for line in islice(stream, _LOOK_AT))
        return fits(stream.read(), spec)


def fits(message: bytes, spec: InputSpec) -> bool:
    """Whether a message is of this kind: its first readable record has all the fields of the input."""
    record = next((row.record for row in rows_of(message, spec) if row.record is not None), None)
    return record is not None and set(spec.fields) <= record.keys()


def names_in(path: Path, spec: InputSpec) -> tuple[list[str], str]:
    """The columns of a file, or the names in its first record; without any, why, for a person."""
    with _opened(path) as stream:
        if spec.format == "csv":
            names = _header(_Lines(_text(stream, spec)), spec)
            if all(map(_is_text, names)):
                return names, "" if names else "it has no header"
            encoding = spec.encoding.removesuffix("-sig")
            return [], f'it is not {encoding}: set the input\'s encoding, e.g. encoding = "gb18030"'
        rows = rows_of(next(stream, b"") if by_lines(path, spec) else stream.read(), spec)
        first = next(rows, None)
    if first is None or first.record is None:
        return [], "it has no record" if first is None else first.defect
    return list(first.record), ""


def holds_json(path: Path, spec: InputSpec) -> bool:
    """Whether a file is JSON, or has a line near its start that is, whatever it says."""
    with _opened(path) as stream:
        texts = list(islice(stream, _LOOK_AT)) if by_lines(path, spec) else [stream.read()]
    return any(_is_json(text.removeprefix(_BOM)) for text in texts)


def _is_json(text: bytes) -> bool:
    try:
        decode_json(text)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return False
    return True


def rows_of(message: bytes, spec: InputSpec) -> Iterator[Row]:
    """The records of one message, or of one document: those at ``records``, or the message itself."""
    text = message.removeprefix(_BOM).strip()
    return _form(text, spec) if spec.format == "form" else _documents(text, spec)


def original(row: Row, spec: InputSpec) -> bytes:
    """The bytes that a row was read from."""
    return (
        row.raw if isinstance(row.raw, bytes) else row.raw.encode(spec.encoding.removesuffix("-sig"), "surrogateescape")
    )


def _opened(path: Path) -> io.BufferedReader:
    if path.suffix == ".gz":
        return io.BufferedReader(cast(io.RawIOBase, gzip.open(path, "rb")))
    if path.suffix == ".zst":
        return io.BufferedReader(cast(io.RawIOBase, zstandard.open(path, "rb")))
    return path.open("rb")


# CSV


class _Lines:
    """The lines of a text; keeps those that a row was made of, so that they can be read again one by one."""

    def __init__(self, stream: TextIO) -> None:
        self.stream = stream
        self.again: deque[str] = deque()
        self.taken: list[str] = []

    def __iter__(self) -> "_Lines":
        return self

    def __next__(self) -> str:
        line = self.again.popleft() if self.again else next(self.stream)
        self.taken.append(line)
        return line

    def keep_first(self) -> None:
        """Give back all lines taken but the first."""
        self.again.extendleft(reversed(self.taken[1:]))
        del self.taken[1:]


def _text(stream: io.BufferedReader, spec: InputSpec) -> TextIO:
    return io.TextIOWrapper(stream, spec.encoding, errors="surrogateescape", newline="")


def _header(lines: _Lines, spec: InputSpec) -> list[str]:
    for _ in range(spec.skip_lines):
        next(lines, None)
    try:
        return [clean(name) for name in next(csv.reader(lines, delimiter=spec.delimiter), [])]
    except csv.Error:
        return []


def _csv_rows(stream: io.BufferedReader, spec: InputSpec) -> Iterator[Row]:
    position = len(_BOM) if spec.encoding == "utf-8-sig" and stream.peek(3)[:3] == _BOM else 0
    with _text(stream, spec) as text:
        lines = _Lines(text)
        header = _header(lines, spec)
        line = 1
        reader = csv.reader(lines, delimiter=spec.delimiter, strict=True)
        while True:
            position += _length(lines.taken, spec)
            line += len(lines.taken)
            lines.taken.clear()
            try:
                cells, defect = next(reader), ""
            except StopIteration:
                return
            except csv.Error as error:
                cells, defect = [], f"the quotes of this row do not match ({error})"
            if cells or defect:
                yield _csv_row(cells, defect, header, lines, line, position)


def _csv_row(cells: list[str], defect: str, header: list[str], lines: _Lines, line: int, position: int) -> Row:
    if len(cells) != len(header) and not defect:
        if len(cells) > len(header) and not any(cells[len(header) :]):
            del cells[len(header) :]
        else:
            defect = f"this row has {len(cells)} columns, the header {len(header)}"
    if defect:
        lines.keep_first()  # one stray quote must not swallow the rows after it
        return Row(line, position, lines.taken[0], defect=defect)
    raw = lines.taken[0] if len(lines.taken) == 1 else "".join(lines.taken)
    if not raw.isascii() and not _is_text(raw):
        return Row(line, position, raw, defect="this row is not in the declared encoding")
    return Row(line, position, raw, dict(zip(header, map(clean, cells), strict=True)))


def _is_text(raw: str) -> bool:
    try:
        raw.encode("utf-8")
    except UnicodeEncodeError:  # bytes that could not be decoded
        return False
    return True


def _length(taken: list[str], spec: InputSpec) -> int:
    if len(taken) == 1 and taken[0].isascii():
        return len(taken[0])
    return sum(
        len(line) if line.isascii() else len(line.encode(spec.encoding.removesuffix("-sig"), "surrogateescape"))
        for line in taken
    )


# Messages: JSON and web forms


def _lines(stream: io.BufferedReader, spec: InputSpec) -> Iterator[Row]:
    position = 0
    for number, line in enumerate(stream, start=1):
        if line.removeprefix(_BOM).strip():
            for row in rows_of(line, spec):
                yield Row(number, position, row.raw, row.record, row.key, row.defect)
        position += len(line)


def _form(text: bytes, spec: InputSpec) -> Iterator[Row]:
    try:
        pairs = parse_qsl(
            text.decode("ascii"),
            keep_blank_values=True,
            strict_parsing=True,
            encoding=spec.encoding.removesuffix("-sig"),
            errors="strict",
        )
    except (ValueError, LookupError) as error:
        what = f"this is not a web form in {spec.encoding.removesuffix('-sig')}: {error}"
        yield Row(1, 0, text, defect=what)
        return
    yield Row(1, 0, text, dict(pairs))


def _documents(text: bytes, spec: InputSpec) -> Iterator[Row]:
    try:
        members = _members(msgspec.Raw(text), spec)
    except msgspec.DecodeError as error:
        yield Row(1, 0, text, defect=f"this is not JSON: {error}")
        return
    except LookupError as error:
        yield Row(1, 0, text, defect=str(error.args[0]))
        return
    for index, (key, raw) in enumerate(members):
        yield _json_row(index, key, bytes(raw))


def _json_row(index: int, key: str | None, raw: bytes) -> Row:
    try:
        record = decode_json(raw)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        return Row(index + 1, index, raw, key=key, defect=f"this is not JSON: {error}")
    if not isinstance(record, dict):
        return Row(index + 1, index, raw, key=key, defect="this record is not a JSON object")
    return Row(index + 1, index, raw, record, key)


def _members(value: msgspec.Raw, spec: InputSpec) -> list[tuple[str | None, msgspec.Raw]]:
    """The records as they stand in the text, with their names where the collection is an object."""
    for step in parse(spec.records):
        inner = _table(value)
        if not isinstance(step, str) or step not in inner:
            raise LookupError(f"there is nothing at {spec.records!r} in this document")
        value = inner[step]
    if spec.keyed:
        return list(_table(value).items())
    if _starts_with(value, b"["):
        return [(None, item) for item in msgspec.json.decode(value, type=list[msgspec.Raw])]
    return [(None, value)]


def _table(value: msgspec.Raw) -> dict[str, msgspec.Raw]:
    if not _starts_with(value, b"{"):
        raise LookupError("there is no JSON object where the profile expects one")
    return msgspec.json.decode(value, type=dict[str, msgspec.Raw])


def _starts_with(value: msgspec.Raw, mark: bytes) -> bool:
    return bytes(memoryview(value)[:1]) == mark
