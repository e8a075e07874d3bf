"""``no_progress``: nothing changed in an order's status for too long."""

from collections.abc import Mapping
from typing import ClassVar

from msgspec import UNSET, structs

from config.settings import Settings
from operators.detectors.limits import Clock, LimitDetector
from operators.heart.component import Environment, Handler
from operators.limits.adaptation import Base
from operators.limits.basis import Part
from operators.limits.stage_limits import StageLimits
from operators.orders.order_state import FieldsChanged, StageMoved, StatusReported, end_reason
from operators.orders.state_machine import StateMachine


class NoProgress(LimitDetector):
    """No change of status for ``max(floor, limit of the current stage)``; see docs/rules.md."""

    name: ClassVar[str] = "no_progress"
    stage: ClassVar[str] = "orders"
    rule: ClassVar[str] = "no_progress"
    breach_level: ClassVar[str] = "no_progress"
    rules: ClassVar[frozenset[str]] = frozenset({"no_progress", "stage_timeout"})

    def configure(self, settings: Settings) -> None:
        """The limit from the next change of status on; it goes by the stage limits, too."""
        own = settings.detectors.no_progress
        # It adapts as stage limits do, and gives no reminder.
        self._take(settings, own.version, structs.replace(settings.detectors.stage_timeout, reminder_lead=None))
        self._machine = StateMachine(settings)
        self._limits = StageLimits(settings)
        self._floor = Base(int(own.floor), (Part("floor", "", (int(own.floor),)),))

    @classmethod
    def enabled(cls, environment: Environment) -> bool:
        """As its settings say."""
        return environment.settings.detectors.no_progress.enabled

    def handlers(self) -> Mapping[type, Handler]:
        """Every change of status."""
        return {StageMoved: self.on_change, StatusReported: self.on_change, FieldsChanged: self.on_fields}

    def on_change(self, fact: StageMoved | StatusReported, at: int) -> None:
        """The clock starts again."""
        order = fact.order
        if order.stage is None:
            return
        stage = self._machine.stages[order.stage]
        self._end(fact.order_id, None, end_reason(order) if stage.cancels else "moved_on", at)
        if not stage.terminal:
            base = self._limits.of(order.category, order.stage)
            if base is None or base.limit < self._floor.limit:
                base = self._floor
            since = self._adaptation.start(order.stage, order.category, at, order.promised_at)
            self._start(fact.order_id, None, Clock(order.stage, at, since, base, fact.event.id, at))

    def on_fields(self, fact: FieldsChanged, at: int) -> None:
        """A promised time may have moved. Nothing else that changes in an order is progress."""
        if fact.event.fields.promised_at is not UNSET:
            self._promise_moved(fact.order_id, fact.order.category, fact.order.promised_at, at)
