"""Why a rule did not alert for an order."""

from collections.abc import Iterable
from typing import Final

from config.settings import Settings
from events.explanation import Nearest, WhyNot
from events.records import AlertRecord

_NOT_ABOUT_ORDERS: Final = frozenset({"silence", "contract"})


def rules_of(settings: Settings) -> tuple[str, ...]:
    """The rules that one may ask about."""
    return (*settings.detectors.__struct_fields__, "fallback_match", *settings.composite)


def why_not(rule: str, settings: Settings, nearest: Iterable[Nearest], alerts: Iterable[AlertRecord]) -> WhyNot:
    """The nearest that the rule came to alerting, in the order of ``nearest``; ``alerts`` are those of the order."""
    near = tuple(each for each in nearest if each.look.rule == rule)
    opened = tuple(dict.fromkeys(record.episode for record in alerts if record.rule == rule))
    if opened:
        return WhyNot(rule=rule, state="alerted", nearest=near, alerts=opened)
    if rule in _NOT_ABOUT_ORDERS:
        return WhyNot(rule=rule, state="elsewhere")
    if near:  # documents may switch a rule on that the files switch off
        return WhyNot(rule=rule, state="near", nearest=near)
    return WhyNot(rule=rule, state="never" if _is_enabled(rule, settings) else "disabled")


def _is_enabled(rule: str, settings: Settings) -> bool:
    if rule in settings.composite:
        return settings.composite[rule].enabled
    own = settings.fallback if rule == "fallback_match" else getattr(settings.detectors, rule)
    return bool(own.enabled)
