"""An explanation for people: a head, the timeline, what the rules saw, and the chain of events."""

from collections.abc import Iterable, Iterator

from rich.table import Table
from rich.text import Text

from config.settings import Settings
from console.explain_rows import Rows
from console.explain_words import Words
from console.output import number, table, to_stdout
from events.explanation import Chain, Explanation, Nearest, WhyNot
from operators.alerts.texts import Language

_SHOWN_INPUTS = 3


class ExplanationView:
    """Prints explanations in one language; ``whole``: with timers, notes, and every window and limit."""

    def __init__(self, settings: Settings, language: Language, *, whole: bool) -> None:
        self._words = Words(settings, language)
        self._whole = whole
        self._out = to_stdout()

    def show(self, explanation: Explanation, *, chain: bool) -> None:
        """All of it; the ``chain`` is that of all alerts of the order, and says little beside a single one."""
        self._head(explanation)
        self._timeline(explanation)
        if explanation.nearest:
            self._title("rules")
            self._nearest(explanation.nearest if self._whole else _first_of_each(explanation.nearest))
        if explanation.related:
            self._title("related")
            rows = [(self._words.key(each.key), self._words.orders(each.orders)) for each in explanation.related]
            self._out.print(table(("", ""), rows))
        if chain:
            self._title("chain")
            self._out.print(self._chain(explanation), soft_wrap=True)
        if chain and self._whole:
            self._out.print(self._chain_events(explanation.chain))
        if not self._whole:
            self._out.print(f"\n{self._words.say('whole')}", style="dim")

    def show_why_not(self, explanation: Explanation, why: WhyNot) -> None:
        """The answer alone."""
        self._head(explanation)
        say = self._words.say
        never = self._words.named("never", why.rule)
        if never == why.rule:
            never = self._words.named("never", "other")
        sentence = {"alerted": "why_alerted", "near": "why_near"}.get(why.state, f"why_{why.state}")
        self._out.print(f"\n{say(sentence, rule=why.rule, never=never)}", soft_wrap=True)
        for alert in why.alerts:
            self._out.print(f"  {alert}", soft_wrap=True)
        if why.nearest:
            self._out.print()
            self._nearest(why.nearest)

    def _head(self, explanation: Explanation) -> None:
        say, read = self._words.say, explanation.read
        title = [say("title", order=explanation.order_id)]
        if explanation.version:
            stage = self._words.stage(explanation.order.get("basics.stage"))
            title.append(say("standing", stage=stage, version=explanation.version))
        else:
            title.append(say("unversioned"))
        if explanation.closed:
            title.append(say("ended"))
        self._out.print(Text(self._words.joined(title), "bold"))
        inputs = self._words.listed(read.inputs[:_SHOWN_INPUTS])
        if len(read.inputs) > _SHOWN_INPUTS:
            inputs += " " + say("and_more", count=len(read.inputs) - _SHOWN_INPUTS)
        until = "-" if read.until is None else self._words.moment(read.until)
        self._out.print(say("read", events=number(read.events), inputs=inputs, until=until), soft_wrap=True)
        if read.start is not None:
            self._out.print(say("start", start=self._words.moment(read.start)), style="yellow", soft_wrap=True)

    def _timeline(self, explanation: Explanation) -> None:
        rows: list[tuple[Text, Text, Text]] = []
        date = moment = ""
        for row in Rows(explanation, self._words, whole=self._whole).rows():
            day = self._words.date(row.at) if row.at else ""
            if day and day != date:
                if date:
                    rows.append((Text(), Text(), Text()))
                rows.append((Text(day, "bold"), Text(), Text()))
                date, moment = day, ""
            clock = self._words.clock(row.at) if row.at else ""
            rows.append((Text("" if clock == moment else clock), Text(row.who, row.style), Text(row.what, row.style)))
            moment = clock
        self._out.print()
        self._out.print(table(("", "", ""), rows))

    def _title(self, name: str) -> None:
        self._out.print(Text(f"\n{self._words.say(name)}", "bold"))

    def _nearest(self, nearest: Iterable[Nearest]) -> None:
        words = self._words
        columns = [words.say(f"column_{name}") for name in ("rule", "subject", "nearest", "at", "outcome")]
        rows = [
            (
                Text(each.look.rule, "yellow" if each.met else ""),
                words.subject(each.look) + self._whose(each),
                words.share(each.look),
                words.moment(each.at),
                words.outcome(each),
            )
            for each in nearest
        ]
        self._out.print(table(columns, rows))

    def _whose(self, nearest: Nearest) -> str:
        """The key that a window is of, and who is in it."""
        if not nearest.look.orders:
            return ""
        orders = self._words.orders(nearest.look.orders)
        return f" [{self._words.key(nearest.key)}: {orders}]" if self._whole else f" [{self._words.key(nearest.key)}]"

    def _chain(self, explanation: Explanation) -> str:
        chain, say = explanation.chain, self._words.say
        steps = sum(entry.__struct_config__.tag in ("alert", "hold") for entry in explanation.timeline)
        sentence = ("proven" if steps else "proven_none") if chain.proven else "not_proven"
        told = say(sentence, events=len(chain.events), steps=steps)
        return self._words.joined([told, *self._made_of(chain)])

    def _chain_events(self, chain: Chain) -> Table:
        rows = [
            (
                self._words.moment(event.at),
                event.order,
                f"{event.source} {event.id}",
                event.type,
                f"{event.partition}, {event.position}",
            )
            for event in chain.events
        ]
        return table(("", "", "", "", ""), rows)

    def _made_of(self, chain: Chain) -> Iterator[str]:
        if chain.orders:
            others = sum(event.order in chain.orders for event in chain.events)
            yield self._words.say("chain_of", others=others, orders=self._words.orders(chain.orders))


def _first_of_each(nearest: Iterable[Nearest]) -> list[Nearest]:
    """Of each rule what came nearest."""
    found: dict[str, Nearest] = {}
    for each in nearest:
        found.setdefault(each.look.rule, each)
    return list(found.values())
