"""``contract`` of docs/rules.md for shares and novelties: all counts at hand, moment by moment, in fractions."""

from collections import defaultdict
from collections.abc import Iterator, Sequence
from fractions import Fraction

from config.settings import ContractSettings
from events.model import ContractCounted
from tests.oracle.model import ExpectedStep

LEVELS = {
    "vanished": ({"lacking"}, {"missing", "lacking"}),
    "unparsable": ({"unparsable"}, set()),
    "unknown_status": ({"unknown_status"}, set()),
    "decrypt_failed": ({"decrypt_failed"}, set()),
    "time_offset": (set(), {"time_offset"}),
}


def contract(events: Sequence[ContractCounted], rule: ContractSettings) -> Iterator[ExpectedStep]:
    """The steps of all sources, in no particular order."""
    for source in {event.entity_id for event in events}:
        mine = [event for event in events if event.entity_id == source]
        yield from _shares(source, mine, rule)
        yield from _novelties(source, mine, rule)


def _step(source: str, field: str, step: str, time: int, level: str, reason: str) -> ExpectedStep:
    return ExpectedStep("contract", step, "source_field", f"{source}/{field}", time, level, reason)  # type: ignore[arg-type]


def _shares(source: str, events: list[ContractCounted], rule: ContractSettings) -> Iterator[ExpectedStep]:
    for field in {each.field for event in events for each in event.fields}:
        looks: dict[int, list[tuple[int, str]]] = defaultdict(list)
        for event in events:
            for each in (each for each in event.fields if each.field == field):
                looks[event.time] += [(each.seen, "")] + [(one.count, one.what) for one in each.deviations]
        yield from _of_field(source, field, sorted({event.time for event in events}), looks, rule)


def _of_field(
    source: str, field: str, moments: list[int], looks: dict[int, list[tuple[int, str]]], rule: ContractSettings
) -> Iterator[ExpectedStep]:
    past: dict[str, int] = defaultdict(int)
    left: set[int] = set()
    open_: dict[str, tuple[set[str], Fraction]] = {}
    for now in moments:
        for then in [then for then in sorted(looks) if then <= now - rule.window and then not in left]:
            left.add(then)
            if not open_:
                for count, what in looks[then]:
                    past[what] += count
                if past[""] > rule.memory:
                    past = defaultdict(int, {what: count // 2 for what, count in past.items()})
        window = _window(looks, now - rule.window, now)
        seen, before = window[""], dict(open_)
        for level, (counted, limit) in before.items():
            if seen >= rule.at_least and _sum(window, counted) * 2 <= seen * limit:
                yield _step(source, field, "resolved", now, level, "below_limit")
                del open_[level]
        for level, (absolute, relative) in LEVELS.items():
            limit_of_level = Fraction(int(getattr(rule.limits, level)), 1000)
            found = _over(window, past, absolute, relative, limit_of_level, rule)
            if window[""] and level not in open_ and found is not None:
                open_[level] = found
                yield _step(source, field, "opened", now, level, "share_exceeded")


def _window(looks: dict[int, list[tuple[int, str]]], after: int, until: int) -> dict[str, int]:
    found: dict[str, int] = defaultdict(int)
    for then, counts in looks.items():
        for count, what in counts:
            found[what] += count * (after < then <= until)
    return found


def _over(
    window: dict[str, int],
    past: dict[str, int],
    absolute: set[str],
    relative: set[str],
    limit: Fraction,
    rule: ContractSettings,
) -> tuple[set[str], Fraction] | None:
    seen, rise = window[""], Fraction(int(rule.rise), 1000)
    known = past[""] >= rule.past
    count = _sum(window, absolute)
    if absolute and count >= rule.at_least:
        before = _thousandths(past, absolute) if known else Fraction(0)
        needed = before + rise if known and before >= limit else limit
        if count >= seen * needed:
            return absolute, needed
    count = _sum(window, relative)
    if relative and known and count >= rule.at_least:
        before = _thousandths(past, relative)
        needed = max(limit, before + rise)
        share = min(max(before, Fraction(1, 100)), Fraction(99, 100))
        if count >= seen * needed and (count - seen * share) ** 2 >= 64 * seen * share * (1 - share):
            return relative, needed
    return None


def _thousandths(past: dict[str, int], counted: set[str]) -> Fraction:
    return Fraction(_sum(past, counted) * 1000 // past[""], 1000)


def _sum(counts: dict[str, int], wanted: set[str]) -> int:
    return sum(count for what, count in counts.items() if what in wanted)


def _novelties(source: str, events: list[ContractCounted], rule: ContractSettings) -> Iterator[ExpectedStep]:
    last: dict[tuple[str, str, str], int] = {}
    open_: dict[tuple[str, str, str], int] = {}
    records = 0
    for now in sorted({event.time for event in events}):
        here = sorted((event for event in events if event.time == now), key=lambda event: event.partition)
        learned = records >= rule.learning
        seen = [(f"new_{each.kind}", each.name, "") for event in here for each in event.names]
        traits = [("scheme_changed", each.name, each.value) for event in here for each in event.traits]
        for key in [*seen, *traits]:
            is_new = key not in last
            others = {known for known in last if known[:2] == key[:2]}
            room = sum(level == key[0] for level, _, _ in open_) < rule.names_at_once
            last[key] = now
            if is_new and learned and (bool(others) if key in traits else room):
                open_[key] = now
                yield _step(source, key[1], "opened", now, key[0], "appeared")
        for key in list(open_):
            if now - last[key] >= rule.gone_after:
                del last[key]
                yield _step(source, key[1], "resolved", now, key[0], "gone")
                del open_[key]
            elif now - open_[key] >= rule.usual_after:
                yield _step(source, key[1], "resolved", now, key[0], "usual")
                del open_[key]
        records += sum(event.records for event in here)
