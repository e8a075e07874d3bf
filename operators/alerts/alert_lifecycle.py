"""The life of alerts: numbers their steps, renders their texts, and lets people acknowledge them."""

from collections.abc import Mapping
from typing import Any, ClassVar

from msgspec import Struct, field, structs

from config.texts import load_texts
from events.model import AlertAcknowledged
from events.records import AlertRecord
from operators.alerts.texts import AlertTexts
from operators.heart.component import Context, Environment, Handler, StatefulComponent
from operators.heart.messages import AlertStep


class OpenAlert(Struct, gc=False, array_like=True):
    """An alert that has not ended: its latest step."""

    latest: AlertRecord
    acknowledged: bool = False


class OpenAlerts(Struct, gc=False, array_like=True):
    """The open alerts of one entity by their episodes."""

    episodes: dict[str, OpenAlert] = field(default_factory=dict)


class AlertLifecycle(StatefulComponent[OpenAlerts]):
    """Turns the steps that detectors decide into records; state per entity, from opened until resolved."""

    name: ClassVar[str] = "alert_lifecycle"
    stage: ClassVar[str] = "alerts"
    state_type: ClassVar[type[Any]] = OpenAlerts

    def __init__(self, context: Context) -> None:
        super().__init__(context)
        self._texts = AlertTexts(load_texts(), context.environment.settings)

    @classmethod
    def enabled(cls, environment: Environment) -> bool:
        """Always."""
        return True

    def handlers(self) -> Mapping[type, Handler]:
        """Steps and acknowledgements."""
        return {AlertStep: self.on_step, AlertAcknowledged: self.on_acknowledged}

    def on_step(self, step: AlertStep, at: int) -> None:
        """A detector opened, updated or resolved an alert."""
        alerts = self.states.get(step.key)
        if alerts is None:
            alerts = self.states[step.key] = OpenAlerts()
        alert = alerts.episodes.get(step.episode)
        number = 1 if alert is None else alert.latest.step_number + 1
        record = AlertRecord(
            id=f"{step.episode}#{number}",
            rule=step.rule,
            rule_version=step.rule_version,
            step=step.step,
            step_number=number,
            episode=step.episode,
            entity_type=step.entity_type,
            entity_id=step.entity_id,
            severity=step.severity,
            level=step.level,
            time=step.time,
            opened_at=step.opened_at,
            reason=step.reason,
            orders=step.orders,
            evidence=step.evidence,
            text=self._texts.of(step),
        )
        if step.step == "resolved":
            alerts.episodes.pop(step.episode, None)
            if not alerts.episodes:
                del self.states[step.key]
        elif alert is None:
            alerts.episodes[step.episode] = OpenAlert(record)
        else:
            alert.latest = record
        self.context.emit(record)

    def on_acknowledged(self, event: AlertAcknowledged, at: int) -> None:
        """A person has read it. Twice is once; an alert that has ended needs nobody any more."""
        alerts = self.states.get(f"{event.entity_type}:{event.entity_id}")
        alert = alerts.episodes.get(event.episode) if alerts is not None else None
        if alert is None or alert.acknowledged:
            return
        alert.acknowledged = True
        number = alert.latest.step_number + 1
        alert.latest = structs.replace(
            alert.latest,
            id=f"{event.episode}#{number}",
            step="acknowledged",
            step_number=number,
            time=at,
            reason="acknowledged",
            evidence={"operator": event.operator, "event_id": event.id},
            text=self._texts.acknowledged(event.operator),
        )
        self.context.emit(alert.latest)
