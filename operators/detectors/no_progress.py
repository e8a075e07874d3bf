"""``no_progress``: nothing changed in an order's status for too long."""

from collections.abc import Mapping
from typing import ClassVar

from operators.detectors.limits import LimitDetector, StageLimits
from operators.heart.component import Context, Environment, Handler
from operators.orders.order_state import StageMoved, StatusReported, end_reason
from operators.orders.state_machine import StateMachine


class NoProgress(LimitDetector):
    """No change of status for ``max(floor, limit of the current stage)``; see docs/rules.md."""

    name: ClassVar[str] = "no_progress"
    stage: ClassVar[str] = "orders"
    rule: ClassVar[str] = "no_progress"
    breach_level: ClassVar[str] = "no_progress"

    def __init__(self, context: Context) -> None:
        settings = context.environment.settings
        own = settings.detectors.no_progress
        super().__init__(context, own.version, None)
        self._machine = StateMachine(settings)
        self._limits = StageLimits(settings)
        self._floor = int(own.floor)

    @classmethod
    def enabled(cls, environment: Environment) -> bool:
        """As its settings say."""
        return environment.settings.detectors.no_progress.enabled

    def handlers(self) -> Mapping[type, Handler]:
        """Every change of status."""
        return {StageMoved: self.on_change, StatusReported: self.on_change}

    def on_change(self, fact: StageMoved | StatusReported, at: int) -> None:
        """The clock starts again."""
        order = fact.order
        if order.stage is None:
            return
        stage = self._machine.stages[order.stage]
        self._end(fact.order_id, None, end_reason(order) if stage.cancels else "moved_on", at)
        if not stage.terminal:
            limit = max(self._floor, self._limits.of(order.category, order.stage) or 0)
            self._start(fact.order_id, None, order.stage, at, limit, fact.event.id, at)
