"""Rules that change at one moment: what opens and grows, computed the slow and obvious way (docs/live-rules.md).

When an alert ends after a change depends on when somebody looks: that is left to the properties. What opens does not.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import groupby

from config.settings import BurstLimit, ResonanceSettings, Settings
from tests.oracle.adapting import Shops, ends, runs_of, stage_limit
from tests.oracle.bursts import Use, key_uses
from tests.oracle.histories import Histories, Life
from tests.oracle.keys import Keys
from tests.oracle.limits import clock_of
from tests.oracle.model import EVENT, AppliedEvent, ExpectedStep
from tests.oracle.signals import Signal, signals

Opened = tuple[str, str, str, int, str, frozenset[str]]
"""Step, entity type and id, time, level, orders."""


@dataclass(frozen=True)
class Rules:
    """The settings before ``moment``, and from it on."""

    before: Settings
    after: Settings
    moment: int

    def at(self, time: int) -> Settings:
        """Those that hold at a time."""
        return self.before if time < self.moment else self.after


def stage_timeout(histories: Histories, rules: Rules) -> Iterator[ExpectedStep]:
    """Each clock runs to the limit that held when it was set."""
    shops = Shops(histories, rules.before)
    for life in histories:
        for stay in life.stays:
            for run in runs_of(life, stay, rules.before):
                settings = rules.at(run.known_from)
                norm = stage_limit(settings, stay.stage, stay.category)
                if norm is not None:
                    rule = settings.detectors.stage_timeout
                    limit = shops.limit(life, stay, norm)
                    breach, reminder = ends(settings, rule, stay.stage, limit, run.started)
                    clock = clock_of("stage_timeout", life, stay)
                    yield from clock.run_to(breach, reminder, run.ending, not_before=run.known_from)


def card_burst(events: Sequence[AppliedEvent], histories: Histories, rules: Rules, keys: Keys) -> Iterator[Opened]:
    """Bursts that open or grow: at each use, who is in the window by the numbers of that moment."""
    names = rules.before.detectors.card_burst.keys
    uses = sorted(key_uses(events, histories, rules.before, keys), key=lambda use: use[5])
    for _, of_key in groupby(sorted(uses, key=lambda use: use[:2]), key=lambda use: use[:2]):
        listed = list(of_key)
        yield from _bursts(listed, rules, names, same=False)
        amounts = sorted((use for use in listed if use[3] > 0), key=lambda use: use[3])
        for _, of_amount in groupby(amounts, key=lambda use: use[3]):
            yield from _bursts(list(of_amount), rules, names, same=True)


def _bursts(uses: Sequence[Use], rules: Rules, names: Sequence[str], *, same: bool) -> Iterator[Opened]:
    last: dict[str, int] = {}
    named: set[str] = set()
    for number, key, order, _, time, _ in uses:
        limit = _limit(rules.at(time), same=same)
        if len(_inside(last, limit, time)) < limit.count:
            named.clear()
        last[order] = time
        inside = _inside(last, limit, time)
        level = "same_amount" if same else "burst"
        if named:
            if order not in named:
                named.add(order)
                yield "updated", names[number], key, time, level, frozenset(named)
        elif len(inside) >= limit.count:
            named |= inside
            yield "opened", names[number], key, time, level, frozenset(named)


def _limit(settings: Settings, *, same: bool) -> BurstLimit:
    rule = settings.detectors.card_burst
    limit = rule.same_amount if same else rule.any_amount
    assert limit is not None
    return limit


def _inside(last: Mapping[str, int], limit: BurstLimit, time: int) -> set[str]:
    return {order for order, used in last.items() if used >= time - limit.window}


@dataclass
class _Sum:
    level: str = ""
    signs: list[Signal] = field(default_factory=list)


def resonance(events: Sequence[AppliedEvent], histories: Histories, rules: Rules) -> Iterator[Opened]:
    """Alerts that open: weights are those of the signal's moment, thresholds and window those of the sum's."""
    found = [
        *(each for each in signals(events, histories, rules.before) if each.place[0] < rules.moment),
        *(each for each in signals(events, histories, rules.after) if each.place[0] >= rules.moment),
    ]
    sums: dict[Life, _Sum] = {}
    for place, together in groupby(sorted(found, key=lambda each: each.place), key=lambda each: each.place):
        for life, of_life in groupby(sorted(together, key=lambda each: id(each.life)), key=lambda each: each.life):
            if life.closed is not None and place >= (life.closed[0], EVENT, life.closed[1]):
                continue
            rule = rules.at(place[0]).detectors.resonance
            yield from _opens(sums.setdefault(life, _Sum()), list(of_life), place[0], rule)


def _opens(total: _Sum, new: list[Signal], time: int, rule: ResonanceSettings) -> Iterator[Opened]:
    total.signs = [sign for sign in total.signs if sign.place[0] >= time - rule.window]
    before = _level(total.signs, rule)
    if not total.level:
        before = ""  # nobody looks at a sum that alerts by new numbers until a signal comes
    total.signs += new
    level = total.level = _level(total.signs, rule)
    life = new[0].life
    if level and not before:
        yield "opened", "order", life.order_id, time, level, frozenset((life.order_id,))


def _level(signs: Sequence[Signal], rule: ResonanceSettings) -> str:
    total = sum(sign.weight for sign in signs)
    return "lock" if total >= rule.lock else "orange" if total >= rule.orange else ""
