"""The limit of each stage, before it adapts."""

from config.settings import Settings
from operators.limits.adaptation import Base
from operators.limits.basis import Part


class StageLimits:
    """The limit of each stage: its norm, or the category's, times the factor, rounded down to milliseconds."""

    def __init__(self, settings: Settings) -> None:
        rule = settings.detectors.stage_timeout
        self._factor = int(rule.factor)
        stages = settings.stages
        self._common = {
            name: None if stage.terminal or stage.norm is None else self._base("", int(stage.norm))
            for name, stage in stages.items()
        }
        own: dict[str, dict[str, Base | None]] = {
            category: {
                name: self._base(category, int(norm)) for name, norm in norms.items() if not stages[name].terminal
            }
            for category, norms in rule.by_category.items()
        }
        self._by_category = {category: self._common | of_category for category, of_category in own.items()}
        self._own = {category: frozenset(of_category) for category, of_category in own.items()}

    def of(self, category: str, stage: str) -> Base | None:
        """The limit of a stage for orders of a category, None where it has none."""
        return self._by_category.get(category, self._common)[stage]

    def anywhere(self, stage: str) -> bool:
        """Whether a stage has a limit for orders of any category."""
        return self._common[stage] is not None or any(stage in own for own in self._own.values())

    def has_own(self, category: str, stage: str) -> bool:
        """Whether a category has a limit of its own in a stage."""
        return stage in self._own.get(category, ())

    def _base(self, category: str, norm: int) -> Base:
        told = bool(category) or self._factor != 1000
        return Base(norm * self._factor // 1000, (Part("norm", category, (norm, self._factor)),), told)
