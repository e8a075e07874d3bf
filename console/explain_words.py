"""Says in Chinese or English what an explanation holds: moments, values, names."""

from collections.abc import Sequence
from datetime import datetime
from zoneinfo import ZoneInfo

from config.explain_texts import load_explain_texts
from config.settings import Settings
from config.texts import Pair, load_texts
from config.units import Duration, Thousandths
from events.explanation import Look, Nearest
from operators.alerts.texts import Language

_LONG = 24
_SHOWN_ORDERS = 6


class Words:
    """The words of one language, with the names and the zone of some settings."""

    def __init__(self, settings: Settings, language: Language) -> None:
        self._texts = load_explain_texts()
        self._common = load_texts()
        self.language = language
        self._zone = ZoneInfo(settings.zone)
        self._stages = {name: Pair(stage.label_zh, stage.label_en) for name, stage in settings.stages.items()}

    def say(self, name: str, **values: object) -> str:
        """A sentence."""
        return self._pick(self._texts.words[name]).format(**values)

    def named(self, table: str, name: str) -> str:
        """What a table of the texts calls something; its own name where there is no other."""
        found: dict[str, Pair] = getattr(self._texts, table)
        return self._pick(found.get(name)) or name

    def stage(self, name: str | None) -> str:
        """The label of a stage."""
        return self._pick(self._stages.get(name or "")) or name or "-"

    def signal(self, name: str) -> str:
        """The label of a signal."""
        return self._pick(self._common.signals.get(name)) or name

    def reason(self, name: str) -> str:
        """The words for a reason."""
        return self._pick(self._common.reasons.get(name)) or name

    def date(self, moment: int) -> str:
        """The local date, with the offset of the zone."""
        return self._local(moment).strftime("%Y-%m-%d (%z)").replace("00)", ":00)")

    def clock(self, moment: int) -> str:
        """The local time of day; milliseconds only where there are any."""
        local = self._local(moment)
        return local.strftime("%H:%M:%S") + (f".{moment % 1000:03d}" if moment % 1000 else "")

    def moment(self, moment: int) -> str:
        """Local date and time of day."""
        return f"{self._local(moment):%Y-%m-%d} {self.clock(moment)}"

    def key(self, key: str) -> str:
        """A key as people read it: ``card:h:838e42...`` is long and says nothing more than its beginning."""
        kind, separator, name = key.partition(":")
        label = self._pick(self._common.kinds.get(kind))
        if not separator or not label:
            return _short(key)
        return f"{label} {_short(name)}"

    def subject(self, look: Look) -> str:
        """What a rule looked at."""
        if look.rule == "merge_candidate":
            return self.named("subjects", "same_address")
        if look.rule == "illegal_transition":
            return " → ".join(map(self.stage, look.subject.split(" -> ")))
        name, separator, rest = look.subject.partition("/")
        if name == "same_amount":
            return f"{self.named('subjects', name)} {int(rest) // 100}.{int(rest) % 100:02d}"
        label = self._pick(self._stages.get(name)) or self.named("subjects", name)
        return label + separator + rest

    def amount(self, look: Look, value: int) -> str:
        """A number in the unit of a look."""
        text: object = value
        if look.unit == "ms":
            text = Duration(value - value % 1000 if value > 60_000 else value)
        elif look.unit == "thousandths":
            text = Thousandths(value)
        told = self.named("units", look.unit).format(value=text)
        return told.removesuffix("s") if value == 1 and self.language == "en" and look.unit != "ms" else told

    def share(self, look: Look) -> str:
        """``22m of 30m (73 %)``."""
        bare = look.unit in ("ms", "thousandths")
        value = self.amount(look, look.value) if bare else str(look.value)
        percent = look.value * 100 // look.threshold if look.threshold else 100
        return self.say("share", value=value, threshold=self.amount(look, look.threshold), percent=percent)

    def outcome(self, nearest: Nearest) -> str:
        """Reached, or what was missing; and whether it goes on."""
        look, spare = nearest.look, self.amount(nearest.look, nearest.spare)
        if nearest.met:
            return self.joined([self.say("reached"), *([self.say("still_open")] if nearest.open else [])])
        if look.unit != "ms":
            return self.say("missing", spare=spare)
        return (
            self.say("still_running", due=self.moment(look.due or 0)) if nearest.open else self.say("kept", spare=spare)
        )

    def orders(self, orders: Sequence[str]) -> str:
        """Some orders, the first of many."""
        shown = self.listed(orders[:_SHOWN_ORDERS])
        rest = len(orders) - _SHOWN_ORDERS
        return shown if rest <= 0 else f"{shown} {self.say('and_more', count=rest)}"

    def listed(self, words: Sequence[str]) -> str:
        """Words one after another."""
        return ("、" if self.language == "zh" else ", ").join(words)

    def joined(self, clauses: Sequence[str]) -> str:
        """Clauses one after another."""
        return ",".join(clauses) if self.language == "zh" else ", ".join(clauses)

    def _pick(self, pair: Pair | None) -> str:
        if pair is None:
            return ""
        return pair.zh if self.language == "zh" else pair.en

    def _local(self, moment: int) -> datetime:
        return datetime.fromtimestamp(moment / 1000, tz=self._zone)


def _short(name: str) -> str:
    return name if len(name) <= _LONG else f"{name[:12]}..."
