"""The life of alerts: numbers their steps, renders their texts, and lets people acknowledge them."""

from collections.abc import Mapping
from typing import Any, ClassVar, Final

from msgspec import Struct, field, structs

from config.texts import load_texts
from events.model import AlertAcknowledged, ReviewConfirmed, ReviewReleased
from events.records import AlertRecord
from operators.alerts.texts import AlertTexts
from operators.heart.component import Context, Environment, Handler, StatefulComponent
from operators.heart.messages import AlertStep

REVIEWED: Final = ("review", "hold")
"""Actions of composite rules that ask for a review: its outcome ends their alerts."""


class OpenAlert(Struct, gc=False, array_like=True):
    """An alert that has not ended: its latest step. ``task``: what it said to whoever reviews the order."""

    latest: AlertRecord
    acknowledged: bool = False
    task: dict[str, Any] | None = None


class OpenAlerts(Struct, gc=False, array_like=True):
    """The open alerts of one entity by their episodes.

    ``reviewed``: those that a review has ended. Their detectors do not know; what they still say of them is left out.
    """

    episodes: dict[str, OpenAlert] = field(default_factory=dict)
    reviewed: list[str] = field(default_factory=list)


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
        """Steps, acknowledgements and reviews."""
        return {
            AlertStep: self.on_step,
            AlertAcknowledged: self.on_acknowledged,
            ReviewReleased: self.on_review,
            ReviewConfirmed: self.on_review,
        }

    def on_step(self, step: AlertStep, at: int) -> None:
        """A detector opened, updated or resolved an alert."""
        alerts = self.states.get(step.key)
        if alerts is None:
            alerts = self.states[step.key] = OpenAlerts()
        elif step.episode in alerts.reviewed:
            self._ended(step.key, alerts, step)
            return
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
            self._drop_if_empty(step.key, alerts)
        else:
            if alert is None:
                alert = alerts.episodes[step.episode] = OpenAlert(record)
            alert.latest = record
            if step.evidence.get("action") in REVIEWED:
                alert.task = step.evidence
        self.context.emit(record)

    def on_review(self, event: ReviewReleased | ReviewConfirmed, at: int) -> None:
        """A reviewer has decided: the alerts that asked for it end."""
        key = f"order:{event.order_id}"
        alerts = self.states.get(key)
        if alerts is None:
            return
        reason = "review_released" if isinstance(event, ReviewReleased) else "review_confirmed"
        for episode, alert in list(alerts.episodes.items()):
            if alert.task is not None:
                evidence = {**alert.task, "operator": event.operator, "event_id": event.id}
                self.context.emit(self._reviewed(key, alert.latest, reason, evidence, at))
                del alerts.episodes[episode]
                alerts.reviewed.append(episode)

    def _reviewed(self, key: str, latest: AlertRecord, reason: str, evidence: dict[str, Any], at: int) -> AlertRecord:
        number = latest.step_number + 1
        record = structs.replace(
            latest,
            id=f"{latest.episode}#{number}",
            step="resolved",
            step_number=number,
            time=at,
            reason=reason,
            evidence=evidence,
        )
        same = {name: getattr(record, name) for name in AlertStep.__struct_fields__ if name not in ("origin", "key")}
        return structs.replace(record, text=self._texts.of(AlertStep(origin="alerts", key=key, **same)))

    def _ended(self, key: str, alerts: OpenAlerts, step: AlertStep) -> None:
        if step.step == "resolved":
            alerts.reviewed.remove(step.episode)
            self._drop_if_empty(key, alerts)

    def _drop_if_empty(self, key: str, alerts: OpenAlerts) -> None:
        if not alerts.episodes and not alerts.reviewed:
            del self.states[key]

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
