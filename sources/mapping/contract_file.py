"""``contract.ndjson``: what the fields of converted files looked like, one line for each field of a file."""

from collections.abc import Iterator
from pathlib import Path

import msgspec
from msgspec import Struct

from config.settings import IntakeContract
from sources.mapping.contract import ContractCounts
from sources.mapping.profile import Profile

NAME = "contract.ndjson"
_ENCODER = msgspec.json.Encoder()


class FileField(Struct, frozen=True):
    """One field. ``wrong``: deviation -> records; ``first``: deviation -> the position of the first of them."""

    source: str
    input: str
    file: str
    records: int
    field: str
    seen: int
    wrong: dict[str, int]
    first: dict[str, int]


class FileCounts:
    """The counts of a conversion, by input and file."""

    def __init__(self, profile: Profile, settings: IntakeContract) -> None:
        self._source = profile.source
        self._settings = settings
        self._counts: dict[tuple[str, str], ContractCounts] = {}

    def of(self, input_name: str, path: Path, position: int) -> ContractCounts:
        """Where to count the record at ``position``."""
        key = input_name, path.as_posix()
        counts = self._counts.get(key)
        if counts is None:
            counts = self._counts[key] = ContractCounts(self._settings)
        counts.begin(position, 0)
        return counts

    def write(self, path: Path) -> None:
        """Write the file; it appears when complete."""
        unfinished = path.with_name(path.name + ".part")
        unfinished.write_bytes(_ENCODER.encode_lines(list(self._fields())))
        unfinished.replace(path)

    def _fields(self) -> Iterator[FileField]:
        for (input_name, file), counts in sorted(self._counts.items()):
            counted = counts.take(self._source, file[-200:], 0, 0)
            for each in counted.fields:
                wrong: dict[str, int] = {deviation.what: deviation.count for deviation in each.deviations}
                first: dict[str, int] = {deviation.what: deviation.position for deviation in each.deviations}
                yield FileField(self._source, input_name, file, counted.records, each.field, each.seen, wrong, first)


def read_fields(path: Path) -> list[FileField]:
    """The lines of a file. Raises OSError, and msgspec.DecodeError for one that this is not."""
    return msgspec.json.Decoder(FileField).decode_lines(path.read_bytes())
