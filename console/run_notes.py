"""When ``orderpulse run`` leaves a note beside its results."""

from pathlib import Path

from console.run_note import note_of, write_note
from dataflows.child import supervisor
from dataflows.run import KAFKA, RunPlan
from dataflows.summary import Summary


def keep_note(plan: RunPlan, summary: Summary) -> None:
    """After a run that ended in order. Its figures are those since its last start."""
    if (directory := _own_directory(plan)) is not None:
        inputs = [KAFKA] if plan.inputs == KAFKA else plan.inputs
        write_note(directory, note_of("run", plan.settings, inputs, summary))


def _own_directory(plan: RunPlan) -> Path | None:
    """The directory whose note is this process's to write; one of several processes knows its own part only."""
    alone = supervisor() is None and plan.process_id is None
    return plan.output if isinstance(plan.output, Path) and alone else None
