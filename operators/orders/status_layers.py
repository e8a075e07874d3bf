"""The three-layer status: each system's raw status (base), what customers see (business), what finance sees."""

from config.settings import Settings, StatusRule

LAYERS = ("business", "finance")
BY_STAGES = "stages"


class StatusLayers:
    """What a stage or a raw status means in the business and the finance layer, where its system owns the layer."""

    def __init__(self, settings: Settings) -> None:
        self._owners = {layer: settings.status.owners.get(layer, ()) for layer in LAYERS}
        self._systems = settings.status.systems
        self._by_stage = {
            name: self._owned(BY_STAGES, {"business": stage.business, "finance": stage.finance})
            for name, stage in settings.stages.items()
        }

    def of_stage(self, stage: str) -> dict[str, str]:
        """Layer -> status when an order enters a stage."""
        return self._by_stage[stage]

    def of_status(self, system: str, status: str) -> tuple[dict[str, str], tuple[str, ...]]:
        """Layer -> status, and the actions, when a system reports a raw status."""
        rule = self._systems.get(system, {}).get(status, StatusRule())
        return self._owned(system, {"business": rule.business, "finance": rule.finance}), rule.actions

    def _owned(self, system: str, statuses: dict[str, str | None]) -> dict[str, str]:
        return {
            layer: status for layer, status in statuses.items() if status is not None and system in self._owners[layer]
        }
