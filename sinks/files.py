"""Results as files: one NDJSON file per kind of record in one directory."""

import re
from collections.abc import Sequence
from pathlib import Path
from typing import BinaryIO

from events.records import Record
from events.topics import OUTPUTS
from sinks.encoding import ENCODER
from sinks.sink import SinkError

_BUFFER_BYTES = 1 << 20
_OUTPUT = re.compile("|".join(rf"{re.escape(Path(output.file).stem)}(-\d+)?\.ndjson" for output in OUTPUTS))


def prepare_directory(directory: Path, *, overwrite: bool = False) -> None:
    """Make the directory, free of outputs of an earlier run.

    Raises SinkError when there are any, unless ``overwrite``; then they are deleted. Other files stay.
    """
    try:
        directory.mkdir(parents=True, exist_ok=True)
        earlier = sorted(path for path in directory.iterdir() if _OUTPUT.fullmatch(path.name))
        if earlier and not overwrite:
            raise SinkError(
                f"files in {directory}",
                f"the directory already holds outputs ({', '.join(path.name for path in earlier)})",
                "choose another directory, or ask for them to be overwritten",
            )
        for path in earlier:
            path.unlink()
    except OSError as error:
        raise _failure(directory, error) from error


class FileSink:
    """Appends each record as one line. The files are there after ``close``, also the empty ones.

    Several processes share a directory: ``prepare_directory`` once, then each with a ``part`` of its own, which
    writes ``alerts-<part>.ndjson`` and so on. Without ``part`` the sink prepares the directory itself.
    Flushed lines survive the end of the process; the operating system decides when they reach the disk.
    """

    def __init__(self, directory: Path, *, overwrite: bool = False, part: int | None = None) -> None:
        self._directory = directory
        if part is None:
            prepare_directory(directory, overwrite=overwrite)
        try:
            self._files = {
                output.record: _open(directory, output.file if part is None else _part_name(output.file, part))
                for output in OUTPUTS
            }
        except OSError as error:
            raise _failure(directory, error) from error

    def write(self, records: Sequence[Record]) -> None:
        """Append the records; order snapshots are left out."""
        lines: dict[type, list[Record]] = {}
        for record in records:
            lines.setdefault(type(record), []).append(record)
        try:
            for kind, of_kind in lines.items():
                if kind in self._files:
                    self._files[kind].write(ENCODER.encode_lines(of_kind))
        except OSError as error:
            raise _failure(self._directory, error) from error

    def flush(self) -> None:
        """Hand all lines over to the operating system."""
        try:
            for file in self._files.values():
                file.flush()
        except OSError as error:
            raise _failure(self._directory, error) from error

    def close(self) -> None:
        """Flush and close all files, also when one of them fails."""
        failed: OSError | None = None
        for file in self._files.values():
            try:
                file.close()
            except OSError as error:
                failed = failed or error
        if failed is not None:
            raise _failure(self._directory, failed) from failed


def _part_name(file: str, part: int) -> str:
    path = Path(file)
    return f"{path.stem}-{part}{path.suffix}"


def _open(directory: Path, name: str) -> BinaryIO:
    return (directory / name).open("ab", buffering=_BUFFER_BYTES)


def _failure(directory: Path, error: OSError) -> SinkError:
    return SinkError(
        f"files in {directory}",
        f"{error.filename or 'a file'}: {error.strerror or error}",
        "check that there is space left and that the directory may be written to; the last line of a file may be"
        " incomplete, so start again with an empty directory",
    )
