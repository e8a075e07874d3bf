"""The timeline of an explanation as rows for people: moment, who, what."""

from collections.abc import Callable, Iterator, Sequence
from itertools import groupby
from typing import Any, Final, NamedTuple, TypeVar

from console.explain_words import Words
from events.explanation import (
    AlertEntry,
    AnyEntry,
    DeadLetterEntry,
    EventEntry,
    Explanation,
    FactEntry,
    HoldEntry,
    Look,
    LookEntry,
    NoteEntry,
    RuleEntry,
    TimerEntry,
)
from events.records import FieldChange

# What of a first version is worth a line; all of it is shown by --all and by `orderpulse versions`.
_FIRST: Final = ("amounts.total", "basics.channel", "basics.category", "customer.id", "fulfilment.warehouse_id")
_SILENT: Final = ("sources.", "status.business", "status.finance", "basics.created_at", "payment.paid_at")
_SHOWN_CHANGES: Final = 5
_MONEY: Final = ("amounts.total", "amounts.discount", "payment.amount")
_STYLES: Final = {"critical": "bold red", "warning": "yellow", "info": "cyan"}
T = TypeVar("T")


class Row(NamedTuple):
    """One line of the timeline; ``style`` is how a terminal shows it."""

    at: int
    who: str
    what: str
    style: str = ""


class Rows:
    """Makes the rows: the short ones, or with ``whole`` all."""

    def __init__(self, explanation: Explanation, words: Words, *, whole: bool) -> None:
        self._explanation = explanation
        self._words = words
        self._whole = whole
        self._values: dict[tuple[str, str], int] = {}

    def rows(self) -> Iterator[Row]:
        """By time. Looks of one moment are told together."""
        for _, same in groupby(self._explanation.timeline, key=lambda entry: (entry.at, entry.stage)):
            entries = list(same)
            for entry in entries:
                yield from self._row(entry)
            looks = [entry for entry in entries if isinstance(entry, LookEntry)]
            yield from self._windows(_only(looks, "orders"))
            yield from self._sums(_only(looks, "thousandths"))

    def _row(self, entry: AnyEntry) -> Iterator[Row]:
        say = self._words.say
        match entry:
            case EventEntry():
                yield Row(entry.at, self._who(entry), self._event(entry))
            case FactEntry(fact="IllegalMove"):
                yield Row(entry.at, "", self._refused(entry), "yellow")
            case AlertEntry(record=record):
                step = self._words.named("steps", record.step)
                text = record.text.zh if self._words.language == "zh" else record.text.en
                what = f"{record.rule} {record.level} {step}: {text}"
                style = "green" if record.step == "resolved" else _STYLES[record.severity]
                yield Row(entry.at, say("alert"), what, style)
            case HoldEntry(record=record):
                what = f"{self._words.named('statuses', record.status)} ({record.reason})"
                yield Row(entry.at, say("hold"), what, "bold red" if record.status != "released" else "green")
            case RuleEntry(rule=rule, version=version):
                yield Row(entry.at, say("rule"), say("rule_takes_effect", rule=rule, version=version), "cyan")
            case DeadLetterEntry(reason=reason, detail=detail, partition=partition, position=position):
                yield Row(0, say("dead_letter"), f"{reason}: {detail} ({partition}, {position})", "red")
            case _ if self._whole:
                yield from self._whole_row(entry)
            case _:
                pass

    def _whole_row(self, entry: AnyEntry) -> Iterator[Row]:
        """What only ``--all`` shows."""
        say, words = self._words.say, self._words
        match entry:
            case TimerEntry(component=component, action=action, due=due):
                what = say(f"timer_{action}", component=component, due=words.moment(due))
                yield Row(entry.at, say("timer"), f"{what} [{words.key(entry.key)}]", "dim")
            case FactEntry(fact=fact, said=said):
                yield Row(entry.at, say("fact"), _pairs(fact, said), "dim")
            case NoteEntry(note=note, to_stage=stage, to_key=key, said=said):
                yield Row(entry.at, say("note"), _pairs(say("told", note=note, to=f"{stage} {key}"), said), "dim")
            case LookEntry(change=change, look=look):
                until = "" if look.due is None else " " + say("until", due=words.moment(look.due))
                what = f"{look.rule} {words.subject(look)} {say(f'look_{change}')}: {words.share(look)}{until}"
                yield Row(entry.at, say("look"), f"{what} [{words.key(entry.key)}]", "dim")
            case _:
                pass

    def _who(self, entry: EventEntry) -> str:
        return entry.source if entry.operator is None else f"{entry.source} ({entry.operator})"

    def _event(self, entry: EventEntry) -> str:
        words, say = [entry.type], self._words.say
        if entry.order != self._explanation.order_id:
            words.append("[" + (say("of_order", order=entry.order) if entry.order else say("no_order")) + "]")
        if entry.time != entry.at:
            words.append("[" + say("late", time=self._words.moment(entry.time)) + "]")
        if entry.duplicate:
            words.append("[" + say("duplicate") + "]")
        elif entry.version is not None:
            words.append(self._version(entry.version, entry.changes))
        else:
            words.append(_pairs("", {name: value for name, value in entry.said.items() if name != "currency"}))
        if self._whole and entry.partition:
            words.append(f"({entry.partition}, {entry.position})")
        return "  ".join(word for word in words if word)

    def _version(self, version: int, changes: Sequence[FieldChange]) -> str:
        shown = list(changes)
        if not self._whole:
            shown = [change for change in changes if not change.field.startswith(_SILENT)]
            if version == 1:
                shown = [change for change in shown if change.field in _FIRST]
            shown = shown[:_SHOWN_CHANGES]
        told = [self._change(change) for change in shown]
        if len(changes) > len(shown):
            told.append(self._words.say("more_fields", count=len(changes) - len(shown)))
        return f"{self._words.say('version', version=version)}: {self._words.listed(told)}"

    def _change(self, change: FieldChange) -> str:
        if change.field == "basics.stage":
            stages = (self._words.stage(change.old), self._words.stage(change.new))
            return f"{stages[0]} → {stages[1]}" if change.old is not None else stages[1]
        name = change.field.removeprefix("basics.")
        if change.old is None:
            return f"{name} {self._value(change.field, change.new)}"
        return f"{name} {self._value(change.field, change.old)} → {self._value(change.field, change.new)}"

    def _value(self, field: str, value: Any) -> str:
        if value is None:
            return "-"
        if isinstance(value, int) and field in _MONEY:
            return f"{value // 100}.{value % 100:02d}"
        if isinstance(value, int) and field.endswith("_at"):
            return self._words.moment(value)
        return str(value)

    def _refused(self, entry: FactEntry) -> str:
        words = self._words
        return words.say(
            "refused",
            current=words.stage(entry.said.get("current")),
            target=words.stage(entry.said.get("target")),
            verdict=words.named("verdicts", str(entry.said.get("verdict", ""))),
        )

    def _windows(self, looks: Sequence[LookEntry]) -> Iterator[Row]:
        """Windows that another order has joined: those of one moment with the same orders in one line."""
        grown = [entry for entry in looks if self._grows(entry)]
        for (_, orders), same in _grouped(grown, lambda entry: (entry.look.rule, entry.look.orders)):
            words = self._words
            counts = dict.fromkeys(f"{words.subject(entry.look)} {words.share(entry.look)}" for entry in same)
            keys = dict.fromkeys(words.key(entry.key) for entry in same)
            what = words.say(
                "joint", keys=words.listed(list(keys)), counts=words.listed(list(counts)), orders=words.orders(orders)
            )
            yield Row(same[0].at, words.say("window"), what)

    def _grows(self, entry: LookEntry) -> bool:
        name = (entry.key, entry.look.subject)
        before, self._values[name] = self._values.get(name, 0), entry.look.value
        if entry.change == "ended":
            self._values[name] = 0
        return entry.look.value > max(before, 1) and entry.change != "ended"

    def _sums(self, looks: Sequence[LookEntry]) -> Iterator[Row]:
        """Sums of weights: that of the signals once for both of its thresholds, those of composite rules each."""
        levels: dict[str, Look] = {entry.look.subject: entry.look for entry in looks if entry.look.rule == "resonance"}
        words = self._words
        if {"orange", "lock"} <= levels.keys():
            look, lock = levels["orange"], words.amount(levels["lock"], levels["lock"].threshold)
            gone = all(entry.change == "ended" for entry in looks)
            what = words.say("faded") if gone else self._sum("sum", look, lock=lock)
            yield Row(looks[0].at, words.say("signals"), what)
        for entry in looks:
            if entry.look.rule != "resonance" and entry.look.value and entry.change != "ended":
                yield Row(entry.at, words.say("rule"), self._sum("weighted", entry.look, rule=entry.look.rule))

    def _sum(self, sentence: str, look: Look, **more: str) -> str:
        words = self._words
        value, threshold = words.amount(look, look.value), words.amount(look, look.threshold)
        parts = words.listed(
            [f"{words.signal(name)} {words.amount(look, weight)}" for name, weight in look.parts.items()]
        )
        return words.say(sentence, value=value, threshold=threshold, parts=parts, **more)


def _only(looks: Sequence[LookEntry], unit: str) -> list[LookEntry]:
    return [entry for entry in looks if entry.look.unit == unit]


def _grouped(entries: Sequence[T], key: Callable[[T], Any]) -> Iterator[tuple[Any, list[T]]]:
    found: dict[Any, list[T]] = {}
    for entry in entries:
        found.setdefault(key(entry), []).append(entry)
    yield from found.items()


def _pairs(name: str, said: dict[str, Any]) -> str:
    return " ".join([*([name] if name else []), *(f"{key}={value}" for key, value in said.items())])
