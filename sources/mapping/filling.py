"""The fields of an event, or of a part of it, filled in one after the other."""

from collections.abc import Callable
from typing import Any, NamedTuple

from sources.mapping.errors import bad_value
from sources.mapping.forms import Read
from sources.mapping.paths import Scope, numbers_are_values
from sources.mapping.values import AROUND_TEXTS, as_text

Fill = Callable[[Scope], Any]  # a scope to a canonical value, or None
Lacking = Callable[[str, bool, Scope], None]  # a field that has no value, and whether the event needs it


class Plain(NamedTuple):
    """Where a field's value stands in most records, and what reads it there; without ``read`` it comes out as text."""

    outer: str | None
    name: str
    read: Read | None


class Slot(NamedTuple):
    """What fills one field: ``fill`` in any case, the shorter ``plain`` where it fits.

    ``others``: the further choices where the first, which is ``plain``, has no value.
    """

    name: str
    plain: Plain | None
    fill: Fill
    others: Fill | None
    required: bool
    origin: str = ""  # where the value comes from, for a person


_NOWHERE = Plain("", "", None)
_OTHER = object()  # what has no plain place, or stands in a text that has to be opened first


class Filling:
    """Fills the slots of one message."""

    def __init__(self, slots: list[Slot], missing: frozenset[str], path: str = "") -> None:
        """``missing``: the words that stand for no value at the plain places.

        ``path``: what stands before the names of the slots where a person is told of them, with its dot.
        """
        self.names = [slot.name for slot in slots]
        self._slots = [(slot.name, *(slot.plain or _NOWHERE), slot.fill, slot.others, slot.required) for slot in slots]
        self._origins = {slot.name: slot.origin for slot in slots}
        self._missing = missing
        self._number_is_value = numbers_are_values(missing)
        self._path = path

    def fill(
        self, values: dict[str, Any], scope: Scope, cleaned: list[str] | None = None, lacking: Lacking | None = None
    ) -> None:
        """Add what has a value to ``values``; raises MappingError that names the field.

        ``cleaned`` gets what rules had to decide about each field; ``lacking`` is told of fields without a value.
        """
        record, each, told = scope.record, scope.each, scope.told
        missing, number_is_value = self._missing, self._number_is_value
        name = ""
        try:
            for name, outer, key, read, fill, others, required in self._slots:
                # Most fields are plain, and a call for each would cost more than to look right here.
                holder = (record.get(outer) if outer else each if outer is None else record) if key else None
                value = holder.get(key) if type(holder) is dict else _OTHER
                if type(value) is str and value not in missing and value.strip(AROUND_TEXTS) == value:
                    if read is not None:
                        value = read(value, scope)
                    elif "+" in value:
                        value = as_text(value)
                elif type(value) is int and number_is_value:
                    value = str(value) if read is None else read(value, scope)
                elif value is not None:
                    value = fill(scope)
                elif others is not None:
                    value = others(scope)
                if value is not None:
                    values[name] = value
                    if told and cleaned is not None:
                        cleaned += [f"{name}: {word}" for word in dict.fromkeys(told)]
                        told.clear()
                elif lacking is not None:
                    lacking(name, required, scope)
        except (ValueError, ArithmeticError) as error:
            raise bad_value(error, self._origins.get(name, ""), f"{self._path}{name}") from None
