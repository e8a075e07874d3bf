"""Which file is of which kind: told by its fields, not by its name."""

from collections.abc import Callable, Sequence
from pathlib import Path

import msgspec

from sources.mapping.errors import ConversionError
from sources.mapping.profile import InputSpec, Profile
from sources.mapping.readers import Row, by_lines, fits, holds_json, names_in, original, shows


class Assigned(msgspec.Struct, frozen=True):
    """The files of each input, in the order given; ``notes`` says what was left aside."""

    files: dict[str, list[Path]]
    notes: list[str]


def assign(profile: Profile, inputs: Sequence[Path]) -> Assigned:
    """Sort files, and the files of folders, by input.

    Raises ConversionError when a file does not exist or is of no known kind, or an input that gives events has none.
    """
    files: dict[str, list[Path]] = {name: [] for name in profile.inputs}
    notes = []
    for path, named in _expanded(inputs):
        kinds = _kinds(profile, path)
        for kind in kinds:
            files[kind].append(path)
        if not kinds and named:
            what = f"{path} is of no kind that profile {profile.name!r} knows."
            raise ConversionError(f"{what}\n{_known(profile)}\n{_holds(profile, path)}")
        if not kinds:
            notes.append(f"{path}: left aside, of no kind that profile {profile.name!r} knows")
    giving = dict.fromkeys(rule.input for rule in profile.events)
    if giving and not any(files[name] for name in giving):
        wanted = " or ".join(repr(name) for name in giving)
        raise ConversionError(f"none of the files holds {wanted}.\n{_known(profile)}")
    notes += [
        f"no file holds {name!r}: what comes from there stays empty"
        for name, found in files.items()
        if not found and name not in giving
    ]
    return Assigned(files, notes)


def _expanded(inputs: Sequence[Path]) -> list[tuple[Path, bool]]:
    """Each file, and whether it was named itself."""
    found: list[tuple[Path, bool]] = []
    for path in inputs:
        if path.is_dir():
            found += [(file, False) for file in sorted(path.iterdir()) if file.is_file()]
        elif path.is_file():
            found.append((path, True))
        else:
            raise ConversionError(f"{path} does not exist: check the path")
    return found


def _kinds(profile: Profile, path: Path) -> list[str]:
    try:
        kinds = [name for name, spec in profile.inputs.items() if shows(path, spec)]
        if len(kinds) > 1 and not by_lines(path, profile.inputs[kinds[0]]):
            kinds = first_of_each_place(profile, kinds)
    except OSError as error:
        raise ConversionError(f"{path} cannot be read: {error.strerror or error}") from None
    takes_json = [name for name, spec in profile.inputs.items() if not spec.flat]
    if kinds or not takes_json or not _claims_to_be_json(path):
        return kinds
    # The only one, or of JSON that cannot be read at all the first: its dead letters say what is wrong.
    unclear = len(takes_json) > 1 and holds_json(path, profile.inputs[takes_json[0]])
    return [] if unclear else takes_json[:1]


def _claims_to_be_json(path: Path) -> bool:
    return path.name.removesuffix(".gz").removesuffix(".zst").lower().endswith(_JSON_ENDINGS)


def rows_of_input(profile: Profile, assigned: Assigned, input_name: str, path: Path) -> Callable[[Row], bool]:
    """Which rows of a file are of this input: all, or of a file whose lines are of several kinds those of its kind."""
    inputs = profile.inputs
    kinds = [name for name, files in assigned.files.items() if path in files]
    if len(kinds) == 1 or not by_lines(path, inputs[input_name]):
        return lambda _row: True

    def mine(row: Row) -> bool:
        raw = original(row, inputs[input_name])
        fitting = first_of_each_place(profile, [name for name in kinds if fits(raw, inputs[name])])
        return input_name in fitting or (not fitting and input_name == kinds[0])

    return mine


def first_of_each_place(profile: Profile, kinds: Sequence[str]) -> list[str]:
    """Of several inputs that a document may be of, the first of those that find their records at the same place.

    CSV is not decided so: one table may well serve two inputs.
    """
    places = {(name if profile.inputs[name].flat else profile.inputs[name].records): name for name in reversed(kinds)}
    return [name for name in kinds if name in places.values()]


_SHOWN = 12  # names of a file
_JSON_ENDINGS = (".json", ".jsonl", ".ndjson", ".jsonocel")


def _holds(profile: Profile, path: Path) -> str:
    """What stands in a file where the inputs look for their fields."""
    return "What the file is to them\n" + "\n".join(
        f"  {name}: {_found(path, spec)}" for name, spec in profile.inputs.items()
    )


def _found(path: Path, spec: InputSpec) -> str:
    names, defect = names_in(path, spec)
    if defect:
        return defect
    what = "its header has" if spec.flat else "its first record has"
    return f"{what} {', '.join(names[:_SHOWN])}" + (", ..." if len(names) > _SHOWN else "")


def _known(profile: Profile) -> str:
    lines = [
        f"  {name}: {spec.format} with the fields {', '.join(spec.fields) or '(any)'}"
        + (f", at {spec.records!r}" if spec.records else "")
        for name, spec in profile.inputs.items()
    ]
    return "It knows\n" + "\n".join(lines)
