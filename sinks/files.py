"""Results as files: one NDJSON file per kind of record in one directory."""

import os
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import BinaryIO

from events.records import ReadModelOnly, Record
from events.topics import OUTPUTS
from sinks.earlier import Earlier, Stored, trace_of
from sinks.encoding import ENCODER
from sinks.output_file import OutputFile
from sinks.patience import Patience, never
from sinks.sink import Sink, SinkError, Waiting

_CHUNK_BYTES = 1 << 16
_KINDS: dict[str, type] = {Path(output.file).stem: output.record for output in OUTPUTS}
_OUTPUT = re.compile(rf"({'|'.join(map(re.escape, _KINDS))})(-\d+)?\.ndjson")


def prepare_directory(directory: Path, *, overwrite: bool = False) -> None:
    """Make the directory, free of outputs of an earlier run.

    Raises SinkError when there are any, unless ``overwrite``; then they are deleted. Other files stay.
    """
    try:
        directory.mkdir(parents=True, exist_ok=True)
        earlier = _outputs(directory)
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


def mend(directory: Path) -> dict[str, int]:
    """Cut the last line of each output off where a crash left it unfinished; the flow writes it again.

    Once, before the processes that go on with the directory start. Returns the bytes cut off, by file name. Raises
    SinkError.
    """
    try:
        directory.mkdir(parents=True, exist_ok=True)
        cut = {path.name: _cut_torn_line(path) for path in _outputs(directory)}
    except OSError as error:
        raise _failure(directory, error) from error
    return {name: length for name, length in cut.items() if length}


class FileSink(Sink):
    """Appends each record as one line. The files are there from the start, also those that stay empty.

    Several processes share a directory: ``prepare_directory`` or ``mend`` once, then each with a ``part`` of its own,
    which writes ``alerts-<part>.ndjson`` and so on. Without ``part`` the sink prepares the directory itself.
    ``resume``: go on with the outputs of a run that was interrupted; ``overwrite``: delete them.

    Flushed lines survive the end of the process, lines before ``positions`` the end of the machine. A full disk holds
    the flow back until there is space; ``give_up`` ends that (see Patience).
    """

    def __init__(
        self,
        directory: Path,
        *,
        overwrite: bool = False,
        resume: bool = False,
        part: int | None = None,
        give_up: Callable[[], bool] = never,
    ) -> None:
        self._directory = directory
        self._patience = Patience(f"files in {directory}", give_up)
        self._earlier: dict[type, Earlier] = {}
        self._resumed_at: dict[str, int] = {}
        self._positions: dict[str, int] = {}
        if part is None and resume:
            mend(directory)
        elif part is None:
            prepare_directory(directory, overwrite=overwrite)
        try:
            self._files = {
                output.record: OutputFile(directory / _part_name(output.file, part), self._patience)
                for output in OUTPUTS
            }
        except OSError as error:
            raise _failure(directory, error) from error

    def write(self, records: Sequence[Record]) -> None:
        """Append the records; what is for the read model is left out, and what stands there already."""
        lines: dict[type, list[Stored]] = {}
        for record in records:
            if not isinstance(record, ReadModelOnly) and not self._stands_there(record):
                lines.setdefault(type(record), []).append(record)
        try:
            for kind, of_kind in lines.items():
                self._files[kind].write(ENCODER.encode_lines(of_kind))
        except OSError as error:
            raise _failure(self._directory, error) from error
        if lines:
            self._positions = {}

    def flush(self) -> None:
        """Hand all lines over to the operating system."""
        try:
            for file in self._files.values():
                file.flush()
        except OSError as error:
            raise _failure(self._directory, error) from error

    def positions(self) -> dict[str, int]:
        """The length in bytes of every output in the directory; what this sink wrote of it is on the disk.

        The files of other processes are in it too: where they stop for good, after a restart with fewer, nobody else
        would remember that they were read. So of several processes' positions the least one of each file counts.
        """
        if not self._positions:
            self.flush()
            try:
                for file in self._files.values():
                    file.sync()
                self._positions = {path.name: path.stat().st_size for path in _outputs(self._directory)}
            except OSError as error:
                raise _failure(self._directory, error) from error
        held_back = {name: at for name, at in self._resumed_at.items() if self._earlier[_kind(name)]}
        return self._positions | held_back

    def resume(self, positions: Mapping[str, int]) -> None:
        """Read back what stands behind the positions, in the files of all parts."""
        try:
            for path in _outputs(self._directory):
                self._resumed_at[path.name] = positions.get(path.name, 0)
                earlier = self._earlier.setdefault(_kind(path.name), Earlier())
                for line in _lines_behind(path, positions.get(path.name, 0)):
                    if (trace := trace_of(line)) is not None:
                        earlier.add(trace)
        except OSError as error:
            raise _failure(self._directory, error) from error

    def passed(self, watermark_ms: int) -> None:
        """Forget what was read back and cannot come again."""
        for earlier in self._earlier.values():
            earlier.passed(watermark_ms)

    @property
    def waiting(self) -> Waiting | None:
        """Set while the disk is full."""
        return self._patience.waiting

    def close(self) -> None:
        """Flush and close all files, also when one of them fails."""
        failed: SinkError | None = None
        for file in self._files.values():
            try:
                file.close()
            except SinkError as error:
                failed = failed or error
            except OSError as error:
                failed = failed or _failure(self._directory, error)
        if failed is not None:
            raise failed

    def _stands_there(self, record: Stored) -> bool:
        earlier = self._earlier.get(type(record))
        return earlier is not None and earlier.met(record)


def _part_name(file: str, part: int | None) -> str:
    path = Path(file)
    return file if part is None else f"{path.stem}-{part}{path.suffix}"


def _outputs(directory: Path) -> list[Path]:
    return sorted(path for path in directory.iterdir() if _OUTPUT.fullmatch(path.name))


def _kind(name: str) -> type:
    match = _OUTPUT.fullmatch(name)
    assert match is not None, name
    return _KINDS[match[1]]


def _cut_torn_line(path: Path) -> int:
    """Returns how many bytes were cut off."""
    with path.open("r+b") as file:
        length = file.seek(0, os.SEEK_END)
        end = _end_of_line_before(file, length)
        if end < length:
            file.truncate(end)
        return length - end


def _lines_behind(path: Path, position: int) -> Iterator[bytes]:
    """The lines from a position on. One that the file does not reach means another file: all of its lines."""
    with path.open("rb") as file:
        length = file.seek(0, os.SEEK_END)
        # Another process may have been amid a line when its length was taken.
        file.seek(_end_of_line_before(file, position) if position <= length else 0)
        yield from file


def _end_of_line_before(file: BinaryIO, position: int) -> int:
    """The last place at or before ``position`` at which a line ends or the file begins."""
    while position > 0:
        start = max(position - _CHUNK_BYTES, 0)
        file.seek(start)
        found = file.read(position - start).rfind(b"\n")
        if found >= 0:
            return start + found + 1
        position = start
    return 0


def _failure(directory: Path, error: OSError) -> SinkError:
    return SinkError(
        f"files in {directory}",
        f"{error.filename or 'a file'}: {error.strerror or error}",
        "check that the disk is sound and that the directory may be written to, and start again",
    )
