"""The three-layer status: each system's raw status (base), what customers see (business), what finance sees."""

from collections.abc import Mapping
from typing import Final

from config.settings import Settings

_FIELDS = {"business": "status.business", "finance": "status.finance"}
BY_STAGES = "stages"

Statuses = Mapping[str, str]
"""Field -> status, e.g. ``{"status.business": "paid"}``."""
_NOTHING: Final[tuple[Statuses, tuple[str, ...]]] = ({}, ())


class StatusLayers:
    """What a stage or a raw status means in the business and the finance layer, where its system owns the layer."""

    def __init__(self, settings: Settings) -> None:
        self._owners = settings.status.owners
        self._by_stage = {
            name: self._owned(BY_STAGES, stage.business, stage.finance) for name, stage in settings.stages.items()
        }
        self._by_status = {
            (system, status): (self._owned(system, rule.business, rule.finance), rule.actions)
            for system, rules in settings.status.systems.items()
            for status, rule in rules.items()
        }

    def of_stage(self, stage: str) -> Statuses:
        """The fields when an order enters a stage."""
        return self._by_stage[stage]

    def of_status(self, system: str, status: str) -> tuple[Statuses, tuple[str, ...]]:
        """The fields, and the actions, when a system reports a raw status."""
        return self._by_status.get((system, status), _NOTHING)

    def _owned(self, system: str, business: str | None, finance: str | None) -> Statuses:
        said = {"business": business, "finance": finance}
        return {
            field: status
            for layer, field in _FIELDS.items()
            if (status := said[layer]) is not None and system in self._owners.get(layer, ())
        }
