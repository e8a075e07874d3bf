"""What a profile may fill: the fields of the canonical events, each with the kind of value it takes."""

from functools import cache
from types import NoneType, UnionType
from typing import Any, Literal, Union, get_args, get_origin, get_type_hints

from msgspec import NODEFAULT, Struct, UnsetType
from msgspec.structs import fields as struct_fields

from events import model
from events.currency import Currency

Kind = Literal["text", "money", "time", "integer", "currency", "texts", "items", "table"]

# The counts of the intake are about platforms' records, not in them; rules are published by people of the shop alone.
_OF_NO_PLATFORM = (model.ContractCounted, model.RulePublished)
EVENTS: dict[str, type[model.Event]] = {
    model.type_name(event): event for event in model.EVENT_TYPES if event not in _OF_NO_PLATFORM
}

_KINDS: tuple[tuple[Any, Kind], ...] = (
    (model.Money, "money"),
    (model.EpochMs, "time"),
    (model.Quantity, "integer"),
    (model.Milliseconds, "integer"),
    (int, "integer"),
    (Currency, "currency"),
    (tuple[model.Item, ...], "items"),
)


class Target(Struct, frozen=True):
    """One field of a canonical message. ``table`` holds its own fields where it has parts (address, changed fields)."""

    kind: Kind
    required: bool
    table: dict[str, "Target"] | None = None


@cache
def targets_of(message: type[Struct]) -> dict[str, Target]:
    """The fields of a canonical message that a profile may fill, by name."""
    hints = get_type_hints(message, include_extras=True)
    return {
        field.name: _target(
            hints[field.name], required=field.default is NODEFAULT and field.default_factory is NODEFAULT
        )
        for field in struct_fields(message)
        if field.name != "cleaned"
    }


@cache
def targets_of_rule(event_type: str) -> dict[str, Target]:
    """What a rule for events of a type may fill: their fields, and the currency of amounts that stand deeper inside."""
    targets = targets_of(EVENTS[event_type])
    inner = [target for outer in targets.values() for target in (outer.table or {}).values()]
    if "currency" not in targets and any(target.kind == "money" for target in inner):
        return {**targets, "currency": Target("currency", required=False)}
    return targets


def _target(hint: Any, *, required: bool) -> Target:
    if get_origin(hint) in (Union, UnionType):
        hint = next(arg for arg in get_args(hint) if arg not in (NoneType, UnsetType))
    if isinstance(hint, type) and issubclass(hint, Struct):
        return Target("table", required, targets_of(hint))
    for known, kind in _KINDS:
        if hint == known:
            return Target(kind, required)
    inner = get_args(hint)[0] if hasattr(hint, "__metadata__") else hint
    return Target("texts" if get_origin(inner) is tuple else "text", required)
