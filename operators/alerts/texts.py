"""Texts of alerts in Chinese and English, from the templates of ``config/texts.toml``."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any, Literal
from zoneinfo import ZoneInfo

from config.settings import Settings
from config.texts import Pair, Texts
from config.units import Duration, Thousandths
from events.records import LocalText
from operators.alerts.limit_texts import LimitTexts
from operators.heart.messages import AlertStep

SHOWN_ORDERS = 10
Language = Literal["zh", "en"]


class AlertTexts:
    """Fills the templates. The same alert step gives the same text, whatever the run."""

    def __init__(self, texts: Texts, settings: Settings) -> None:
        self._texts = texts
        self._zone = ZoneInfo(settings.zone)
        self._limits = LimitTexts(texts, self._zone)
        self._composite = texts.rules["composite"]
        self._stages = {name: Pair(stage.label_zh, stage.label_en) for name, stage in settings.stages.items()}

    def of(self, step: AlertStep) -> LocalText:
        """The text of a step that a detector sent."""
        name = "resolved" if step.step == "resolved" else step.level
        template = self._texts.rules.get(step.rule, self._composite)[name]
        return LocalText(
            zh=template.zh.format_map(self._values(step, "zh")), en=template.en.format_map(self._values(step, "en"))
        )

    def acknowledged(self, operator: str | None) -> LocalText:
        """The text of an acknowledgement."""
        template = self._texts.acknowledged
        return LocalText(
            zh=template.zh.format(operator=operator or "?"), en=template.en.format(operator=operator or "?")
        )

    def _values(self, step: AlertStep, language: Language) -> "_Values":
        evidence = step.evidence
        values: dict[str, object] = {
            "entity_id": step.entity_id,
            "entity": f"{_say(self._texts.kinds, step.entity_type, language)} {step.entity_id} ",
            f"kind_{language}": _say(self._texts.kinds, step.entity_type, language),
            f"reason_{language}": _say(self._texts.reasons, step.reason, language),
            "orders": _listed(step.orders),
            "count": evidence.get("count", len(step.orders)),
            "reported_by": evidence.get("reported_by", ""),
        }
        if language == "en":
            values["entity"] = str(values["entity"]).strip()
        for name, field in (("stage", "subject"), ("from", "from"), ("to", "to")):
            if field in evidence:
                values[f"{name}_{language}"] = _say(self._stages, str(evidence[field] or "-"), language)
        for name in ("expected", "other"):
            values[name] = "?" if evidence.get(name) is None else evidence[name]
        if "limit_from" in evidence:
            values[f"because_{language}"] = self._limits.of(evidence["limit_from"], language)
        values |= self._times(step)
        values |= self._sums(evidence, language)
        if "conditions" in evidence:
            values |= _conditions(evidence, language)
        if step.rule == "contract":
            values |= self._contract(step)
        return _Values(values)

    def _contract(self, step: AlertStep) -> dict[str, object]:
        evidence = step.evidence
        source, _, field = step.entity_id.partition("/")
        since = datetime.fromtimestamp(evidence["since"] / 1000, tz=self._zone)
        return {
            "source": source,
            "field": field,
            "since": since.isoformat(sep=" ", timespec="seconds"),
            "example": evidence["example"],
            "seen": evidence.get("seen", ""),
            "affected": evidence.get("affected", ""),
            "value": evidence.get("value", ""),
            "before": ", ".join(evidence.get("before", ())),
        }

    def _times(self, step: AlertStep) -> dict[str, object]:
        evidence = step.evidence
        values: dict[str, object] = {}
        if "limit_ms" in evidence:
            values["limit"] = Duration(evidence["limit_ms"])
            values["waited"] = Duration(max(0, step.time - evidence["since"]))
            for name in ("since", "deadline"):
                moment = datetime.fromtimestamp(evidence[name] / 1000, tz=self._zone)
                values[name] = moment.isoformat(sep=" ", timespec="seconds")
        if "window_ms" in evidence:
            values["window"] = Duration(evidence["window_ms"])
        return values

    def _sums(self, evidence: Mapping[str, Any], language: Language) -> dict[str, object]:
        values: dict[str, object] = {}
        if "amount" in evidence:
            values["amount"] = f"{evidence['amount'] // 100}.{evidence['amount'] % 100:02d}"
        if "sum_thousandths" in evidence:
            names = dict.fromkeys(sign["signal"] for sign in evidence["signals"])
            separator = "、" if language == "zh" else ", "
            values["signals"] = separator.join(_say(self._texts.signals, name, language) for name in names)
            for name in ("sum", "orange", "lock"):
                values[name] = Thousandths(evidence[f"{name}_thousandths"])
        return values


def _conditions(evidence: Mapping[str, Any], language: Language) -> dict[str, object]:
    """What a composite rule says of itself: its name, the conditions that are met, and the sum."""
    met = [condition[language] for condition in evidence["conditions"] if condition["met"]]
    return {
        f"name_{language}": evidence["name"][language],
        f"met_{language}": ("、" if language == "zh" else ", ").join(met),
        "total": Thousandths(evidence["total_thousandths"]),
        "threshold": Thousandths(evidence["threshold_thousandths"]),
    }


class _Values(dict[str, object]):
    """What a template may name; what an alert does not have stays empty."""

    def __missing__(self, key: str) -> str:
        return ""


def _say(table: Mapping[str, Pair], name: str, language: Language) -> str:
    pair = table.get(name)
    if pair is None:
        return name
    return pair.zh if language == "zh" else pair.en


def _listed(orders: tuple[str, ...]) -> str:
    shown = ", ".join(orders[:SHOWN_ORDERS])
    return shown if len(orders) <= SHOWN_ORDERS else f"{shown}, ... ({len(orders)})"
