"""The golden events of the samples; ``python -m tests.mapping.golden`` writes them anew, to be read before use."""

import tempfile
from pathlib import Path

import msgspec

from events.records import DeadLetterRecord
from sources.mapping.convert import convert
from sources.mapping.loading import load_profile

SAMPLES = Path(__file__).parent / "samples"
GOLDEN = Path(__file__).parent / "golden"
PLATFORMS = sorted(folder.name for folder in SAMPLES.iterdir() if folder.is_dir())


def made(name: str) -> tuple[str, str]:
    """The event lines of a platform's samples, and a line per dead letter."""
    with tempfile.TemporaryDirectory() as folder:
        report = convert(load_profile(name), [SAMPLES / name], Path(folder))
        letters = [
            msgspec.json.decode(line, type=DeadLetterRecord)
            for line in report.dead_letters_file.read_bytes().splitlines()
        ]
        told = "".join(f"{letter.reason}: {letter.detail}; {letter.remedy}\n" for letter in letters)
        return report.events_file.read_text(encoding="utf-8"), told


def write() -> None:
    """Write all golden files."""
    GOLDEN.mkdir(exist_ok=True)
    for name in PLATFORMS:
        events, letters = made(name)
        (GOLDEN / f"{name}.ndjson").write_text(events, encoding="utf-8")
        (GOLDEN / f"{name}.dead.txt").write_text(letters, encoding="utf-8")


if __name__ == "__main__":
    write()
