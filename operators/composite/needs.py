"""What the enabled composite rules read: only that is computed, kept and sent."""

from collections.abc import Iterator, Mapping

from msgspec import Struct

from config.composite import CompositeRule
from config.expressions.engine import Expression, compile_expression
from config.expressions.variables import window_of
from config.settings import Settings


class Needs(Struct, frozen=True):
    """``moments``: when orders are judged. ``windows``: kind of key -> variable -> length (ms).

    ``signs``: names of behaviour signals that are counted.
    """

    moments: frozenset[str]
    variables: frozenset[str]
    windows: Mapping[str, Mapping[str, int]]
    signs: frozenset[str]

    def of(self, room: str) -> tuple[str, ...]:
        """The variables of one room, e.g. ``order``."""
        return tuple(sorted(name for name in self.variables if name.startswith(f"{room}.")))


def needs_of(settings: Settings) -> Needs:
    """The needs of all rules that are enabled."""
    rules = [rule for rule in settings.composite.values() if rule.enabled]
    variables = {name for rule in rules for part in expressions_of(rule, settings) for name in part.variables}
    windows: dict[str, dict[str, int]] = {}
    for name in sorted(variables):
        if name.startswith("windows."):
            kind, length = window_of(name)
            windows.setdefault(kind, {})[name] = length
    signs = {name.partition(".")[2] for name in variables if name.startswith(("signals.", "values."))}
    moments = frozenset(moment for rule in rules for moment in rule.when)
    return Needs(moments, frozenset(variables), windows, frozenset(signs))


def expressions_of(rule: CompositeRule, settings: Settings) -> Iterator[Expression]:
    """The compiled conditions of a rule in their order, and what excuses it where there is something."""
    for condition in rule.conditions:
        yield compile_expression(condition.expression, settings.lists)
    if rule.unless is not None:
        yield compile_expression(rule.unless, settings.lists)
