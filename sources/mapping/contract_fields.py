"""What the fields that a profile reads are called where they are counted: as the source calls them."""

from collections import Counter
from collections.abc import Iterable, Mapping

from sources.mapping.profile import Condition, Field, Parts, ValueSpec
from sources.mapping.template import placeholders

_INSIDE = ("$each.", "$record.")


def labels_of(fields: Mapping[str, Field]) -> tuple[dict[str, str], dict[str, str]]:
    """The source's name of each canonical field, and of those alone that are the first with theirs.

    Fields that come from around a record (its arrival, its line) have none.
    """
    labels = {name: label for name, field in fields.items() if (label := _label(name, field))}
    first = {label: name for name, label in reversed(labels.items())}
    return labels, {name: label for label, name in first.items()}


def asked_for(conditions: Iterable[Condition]) -> list[str]:
    """The fields that rules ask to be there: without them a rule says nothing at all."""
    found = {
        path: None
        for condition in conditions
        for group in condition
        for path, test in group.items()
        if test.present is not None and not path.startswith("$")
    }
    return list(found)


def word_of(conditions: Iterable[Condition]) -> str:
    """The field whose word decides which rule takes a record; empty where there is none."""
    counts = Counter(
        path for condition in conditions for group in condition for path, test in group.items() if test.is_ is not None
    )
    return counts.most_common(1)[0][0] if counts else ""


def _label(name: str, field: Field) -> str:
    if isinstance(field, Parts):
        return name
    for value in field.values:
        paths = [path for path in _paths(value) if not path.startswith("$")]
        if paths:
            return "+".join(dict.fromkeys(paths))
    return ""


def _paths(value: ValueSpec) -> list[str]:
    paths = [path for path in (value.field, value.set) if path is not None]
    paths += [*value.sum, *value.latest, *value.digest]
    if value.template is not None:
        paths += placeholders(value.template)
    before = f"{value.lookup}: " if value.lookup else ""
    return [before + _plain(path) for path in paths]


def _plain(path: str) -> str:
    for prefix in _INSIDE:
        path = path.removeprefix(prefix)
    return path
