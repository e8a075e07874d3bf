"""One process of a run over files that takes small bites and its time, so that there are moments to kill it at.

`python -m tests.flow.paced_run PLAN`, with a `PacedPlan` as JSON.
"""

import sys
import time
from functools import partial
from pathlib import Path

import msgspec
from msgspec import Struct

from config.loader import load_settings
from dataflows import run
from dataflows.run import RunPlan, execute
from events.batch import RawBatch
from sources.files import FileInput
from sources.reader import Reader


class PacedPlan(Struct, frozen=True):
    """What to run: ``bite`` records per read, ``pause`` seconds before each; ``mark`` is a file made at the first."""

    input: str
    output: str
    recovery: str
    settings: dict[str, object]
    process_id: int | None = None
    addresses: tuple[str, ...] = ()
    bite: int = 60
    pause: float = 0.0
    mark: str = ""

    def plan(self) -> RunPlan:
        """As the flow takes it."""
        return RunPlan(
            load_settings(overrides=self.settings),
            [Path(self.input)],
            output=Path(self.output),
            serve=False,
            process_id=self.process_id,
            addresses=self.addresses,
            recovery=Path(self.recovery),
        )


def paced(reader: Reader, given: PacedPlan) -> Reader:
    """The reader, slower."""
    read = reader.read

    def slowly(prefer: str | None) -> list[RawBatch]:
        if given.mark:
            Path(given.mark).touch()
        time.sleep(given.pause)
        return read(prefer)

    setattr(reader, "read", slowly)  # noqa: B010  # of this one object
    return reader


def main() -> None:
    """Run it; the number of events read is the last line of the output."""
    given = msgspec.json.decode(sys.argv[1], type=PacedPlan)
    setattr(run, "FileInput", partial(FileInput, batch=given.bite))  # noqa: B010
    summary = execute(given.plan(), wrap_reader=lambda reader: paced(reader, given))
    sys.stdout.write(f"{summary.events}\n")


if __name__ == "__main__":
    main()
