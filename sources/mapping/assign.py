"""Which file is of which kind: told by its fields, not by its name."""

from collections.abc import Sequence
from pathlib import Path

import msgspec

from sources.mapping.errors import ConversionError
from sources.mapping.profile import Profile
from sources.mapping.readers import by_lines, shows


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
            raise ConversionError(f"{path} is of no kind that profile {profile.name!r} knows.\n{_known(profile)}")
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
    if kinds or not path.name.removesuffix(".gz").removesuffix(".zst").lower().endswith(_JSON_ENDINGS):
        return kinds
    # JSON without one readable record: the first input that takes JSON reads it, and its dead letters say why
    return [name for name, spec in profile.inputs.items() if not spec.flat][:1]


def first_of_each_place(profile: Profile, kinds: Sequence[str]) -> list[str]:
    """Of several inputs that a document may be of, the first of those that find their records at the same place.

    CSV is not decided so: one table may well serve two inputs.
    """
    places = {(name if profile.inputs[name].flat else profile.inputs[name].records): name for name in reversed(kinds)}
    return [name for name in kinds if name in places.values()]


_JSON_ENDINGS = (".json", ".jsonl", ".ndjson", ".jsonocel")


def _known(profile: Profile) -> str:
    lines = [
        f"  {name}: {spec.format} with the fields {', '.join(spec.fields) or '(any)'}"
        + (f", at {spec.records!r}" if spec.records else "")
        for name, spec in profile.inputs.items()
    ]
    return "It knows\n" + "\n".join(lines)
