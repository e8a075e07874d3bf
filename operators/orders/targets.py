"""Which target system wants which of an order's changes."""

from collections.abc import Iterable

from config.settings import DiffSettings
from events.records import FieldChange


class Targets:
    """Target systems and the fields that each of them wants: a field, or a module such as ``address``."""

    def __init__(self, settings: DiffSettings) -> None:
        self._echo = settings.echo
        self._targets = settings.targets
        self._known: dict[str, tuple[str, ...]] = {}

    def wanted(self, changes: Iterable[FieldChange], source: str) -> dict[str, tuple[FieldChange, ...]]:
        """Target -> the changes for it; a system is not told what it reported itself, unless ``echo`` is set."""
        by_target: dict[str, list[FieldChange]] = {}
        for change in changes:
            for target in self._wanting(change.field):
                if self._echo or target != source:
                    by_target.setdefault(target, []).append(change)
        return {target: tuple(wanted) for target, wanted in by_target.items()}

    def _wanting(self, name: str) -> tuple[str, ...]:
        # Parcel ids are part of their fields' names: all parcels' fields of one module are wanted alike.
        key = "parcels" if name.startswith("parcels.") else name
        known = self._known.get(key)
        if known is None:
            known = self._known[key] = tuple(
                target
                for target, fields in self._targets.items()
                if any(key == wanted or key.startswith(wanted + ".") for wanted in fields)
            )
        return known


def compare(first: dict[str, object], second: dict[str, object]) -> tuple[FieldChange, ...]:
    """The changes that lead from one version's fields to another's, in the order of their names."""
    names = sorted(first.keys() | second.keys())
    return tuple(
        FieldChange(name, first.get(name), second.get(name)) for name in names if first.get(name) != second.get(name)
    )
