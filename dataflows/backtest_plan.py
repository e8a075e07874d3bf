"""What a backtest has to run: the rules whose settings differ, and what feeds them."""

from collections.abc import Mapping
from typing import Any, Final

import msgspec

from config.differences import differences
from config.settings import Settings
from dataflows.environment import environment_of
from operators.topology import topology

# No alert depends on these: where records go, what the platform watches of itself, what comes before and after.
_BESIDE: Final = frozenset(
    {
        "kafka",
        "redis",
        "metrics",
        "recovery",
        "supervisor",
        "platform",
        "intake",
        "versions",
        "diffs",
        "feedback",
        "backtest",
    }
)
_DETECTORS: Final = "detectors"
COMPOSITE: Final = "composite"
"""All composite rules together: they share what they are judged by."""
_LIMITS: Final = ("stage_timeout", "order_timeout", "no_progress")
_TABLES: Final[Mapping[str, tuple[str, ...]]] = {
    "calendars": _LIMITS,
    "lists": (COMPOSITE,),
    "baselines": (COMPOSITE,),
    "composite": (COMPOSITE,),
}
ALSO: Final[Mapping[str, tuple[str, ...]]] = {"stage_timeout": ("no_progress",), "resonance": (COMPOSITE,)}
"""Rules that look at the settings of another one too, or at the signals that it lets be derived."""
_NEEDS: Final[Mapping[str, tuple[str, ...]]] = {COMPOSITE: ("resonance",)}


def judged_rules(first: Settings, second: Settings) -> frozenset[str] | None:
    """The rules whose alerts may differ: detectors, and ``COMPOSITE``. None: any, for something that all share differs.

    A version is a number in the record and decides nothing.
    """
    judged: set[str] = set()
    detectors = frozenset(detectors_of(first))
    for difference in differences(first, second):
        table, *rest = difference.field.split(".")
        if table in _BESIDE:
            continue
        if table in _TABLES:
            judged.update(_TABLES[table])
        elif table != _DETECTORS or rest[0] not in detectors:
            return None
        elif rest[1:] != ["version"]:
            judged.update((rest[0], *ALSO.get(rest[0], ())))
    return frozenset(judged) if _time_goes_by(first) == _time_goes_by(second) else None


def _time_goes_by(settings: Settings) -> frozenset[str]:
    """The types of events by which time goes on, and lateness is judged: those that somebody wants.

    Where a rule is the only one to want some, switching it moves time for all rules.
    """
    return frozenset(topology(environment_of(settings, read_model=False)).routes)


def detectors_of(settings: Settings) -> tuple[str, ...]:
    """The detectors that settings know."""
    return settings.detectors.__struct_fields__


def reduced(settings: Settings, judged: frozenset[str] | None) -> Settings:
    """Settings that give the same alerts of the ``judged`` rules (None: of all), and as few others as can be.

    Versions, diffs and feedback go, and detectors that nobody needs: rules do not hear of each other's alerts.
    """
    tables: dict[str, Any] = {name: getattr(settings, name) for name in ("versions", "diffs", "feedback")}
    if judged is None:
        return msgspec.structs.replace(settings, **_off(tables))
    needed = judged.union(*(_NEEDS.get(rule, ()) for rule in judged))
    idle = {name: getattr(settings.detectors, name) for name in detectors_of(settings) if name not in needed}
    detectors = msgspec.structs.replace(settings.detectors, **_off(idle))
    composite = settings.composite if COMPOSITE in judged else {}
    return msgspec.structs.replace(settings, detectors=detectors, composite=composite, **_off(tables))


def passed_over(settings: Settings, judged: frozenset[str] | None) -> frozenset[str]:
    """Rules that may alert though nobody judges them, because another one needs what feeds them."""
    return frozenset() if judged is None else frozenset(detectors_of(settings)) - judged


def _off(tables: Mapping[str, Any]) -> dict[str, Any]:
    return {
        name: msgspec.structs.replace(table, enabled=False)
        for name, table in tables.items()
        if "enabled" in table.__struct_fields__
    }
