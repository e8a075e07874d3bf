"""What lies outside of a record: records of other inputs by their key, and relations learned from all records."""

from collections.abc import Callable, Iterable

from sources.mapping.paths import Getter, Scope, getter
from sources.mapping.profile import Profile, SetSpec
from sources.mapping.values import as_text

Ids = tuple[str, ...]
SetOf = Callable[[Scope], Ids]
Relation = dict[str, dict[str, None]]  # a dict as an ordered set: the order of learning is the order of the input


class Joins:
    """All that is known before the first event is made. Held in memory."""

    def __init__(self, profile: Profile) -> None:
        self.profile = profile
        self.records: dict[str, dict[str, list[Scope]]] = {
            name: {} for name, spec in profile.inputs.items() if spec.key is not None
        }
        self.used: dict[str, set[str]] = {name: set() for name in self.records}
        self.relations: dict[str, Relation] = {name: {} for name in profile.relations}
        self._keys = {
            name: self._getter(name, spec.key) for name, spec in profile.inputs.items() if spec.key is not None
        }
        self._sets = {name: self._set(name, spec) for name, spec in profile.sets.items()}

    def add(self, input_name: str, scope: Scope) -> bool:
        """Keep a record under its key; False when it has none."""
        key = self._keys[input_name](scope)
        if key is None:
            return False
        self.records[input_name].setdefault(id_text(key), []).append(scope)
        return True

    def learn(self, input_name: str, scope: Scope) -> None:
        """Take over what a record says about what belongs to what."""
        for name, spec in self.profile.relations.items():
            if spec.from_ == input_name:
                values = dict.fromkeys(self.ids(spec.value, scope))
                for key in self.ids(spec.key, scope):
                    self.relations[name].setdefault(key, {}).update(values)

    def look_up(self, input_name: str, key: object) -> list[Scope]:
        """The records of an input with that key, in the order of the input."""
        text = id_text(key)
        found = self.records[input_name].get(text, [])
        if found:
            self.used[input_name].add(text)
        return found

    def ids(self, set_name: str, scope: Scope) -> Ids:
        """The ids that a record speaks of, each once."""
        if scope.sets is None:
            scope.sets = {}
        found = scope.sets.get(set_name)
        if found is None:
            found = scope.sets[set_name] = self._sets[set_name](scope)
        return found

    def unused(self, input_name: str) -> int:
        """How many records of an input no other record asked for."""
        used = self.used[input_name]
        return sum(len(found) for key, found in self.records[input_name].items() if key not in used)

    def _getter(self, input_name: str, path: str) -> Getter:
        return getter(path, frozenset(("", *self.profile.missing)), flat=self.profile.inputs[input_name].flat)

    def _set(self, name: str, spec: SetSpec) -> SetOf:
        if spec.field is not None:
            return self._named(spec, self._getter(spec.from_, spec.field))
        ways = [tuple(step.strip() for step in way.split(">")) for way in spec.first_of]
        return lambda scope: next((ids for start, *steps in ways if (ids := self._follow(start, steps, scope))), ())

    def _named(self, spec: SetSpec, get: Getter) -> SetOf:
        keep = self._kept(spec)

        def named(scope: Scope) -> Ids:
            value = get(scope)
            values = value if isinstance(value, list) else [] if value is None else [value]
            return tuple(dict.fromkeys(text for text in map(id_text, values) if keep(text)))

        return named

    def _kept(self, spec: SetSpec) -> Callable[[str], bool]:
        test = spec.where
        if test is None:
            return bool
        field, wanted, lookup = self._getter(test.lookup, test.field), frozenset(test.is_), test.lookup

        def keep(text: str) -> bool:
            return any(
                id_text(value) in wanted for found in self.look_up(lookup, text) if (value := field(found)) is not None
            )

        return keep

    def _follow(self, start: str, steps: Iterable[str], scope: Scope) -> Ids:
        ids: Ids = self.ids(start, scope)
        for step in steps:
            relation = self.relations[step]
            ids = tuple(dict.fromkeys(value for key in ids for value in relation.get(key, ())))
        return ids


def id_text(value: object) -> str:
    """An id as text, however it was written; an id that cannot be one matches nothing."""
    try:
        return as_text(value)
    except ValueError:
        return ""
