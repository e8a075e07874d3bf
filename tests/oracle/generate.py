"""Small, nasty event sets for property tests: few orders, keys and customers, and times that meet exactly.

All strategies take the settings, so that times fall on multiples of the limits and windows that they name, or one
millisecond beside them. Build a strategy once, outside the test function: that is what costs time.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from itertools import accumulate

import msgspec
from hypothesis import strategies as st
from hypothesis.strategies import SearchStrategy

from config.settings import Settings
from events.model import AlertAcknowledged, AnyEvent, LogisticsScan, OrderCreated, OrderStage, PaymentSucceeded
from tests.oracle.generate_events import created, moves, signs
from tests.oracle.model import AppliedEvent
from tests.oracle.ordering import name_of, owner

# 2026-05-31 23:00 in Shanghai: an hour before the peak season of the defaults begins.
BASE = 1_780_239_600_000

Log = list[tuple[bytes | AnyEvent, int | None]]
PARTITIONS = ("a", "b", "c")


def event_sets(settings: Settings) -> SearchStrategy[list[AppliedEvent]]:
    """Applied events in any order, some of them twice (at once or later)."""
    return _event_sets(events(settings), _gaps(settings))


def logs(settings: Settings) -> SearchStrategy[Mapping[str, Log]]:
    """Up to three partitions, with or without arrivals: late and out of order, doubled, from the future, broken."""
    time = settings.time
    late = (1, time.out_of_orderness, time.out_of_orderness + 1, time.idle_delay, time.idle_delay + 1, 3_600_000)
    early = (-time.future_tolerance, -time.future_tolerance - 1)
    return _logs(events(settings), st.sampled_from((0, 0, 0, 0, 0, *late, *early)))


def events(settings: Settings) -> SearchStrategy[list[AnyEvent]]:
    """Events by time, each with an id of its own; as texts the ids do not sort the way they count."""
    gaps, starts = _gaps(settings), moments(settings)
    brief = st.sampled_from((0, 0, 1, *(length for length in lengths(settings) if length <= 600_000)))
    any_event = st.one_of(moves(settings), signs(settings))
    orders = created(settings)
    clusters = st.one_of(
        _stories(orders, any_event, settings, gaps, starts),
        _stories(orders, any_event, settings, brief, starts),
        _crowds(orders, any_event, brief, starts),
        _fusses(signs(settings), brief, starts),
    )
    return _events(clusters, any_event, starts).filter(bool)


def sharing_ids(partitions: Mapping[str, Sequence[tuple[bytes | AnyEvent, int | None]]]) -> dict[str, Log]:
    """The same logs with ids that count the events of each owner: those of two orders have the same ids."""
    ids: dict[tuple[str, ...], str] = {}
    counts: Counter[tuple[str, ...]] = Counter()

    def renamed(event: bytes | AnyEvent) -> bytes | AnyEvent:
        if isinstance(event, bytes):
            return event
        name, whose = name_of(event), (*owner(event), event.source)
        if name not in ids:
            counts[whose] += 1
            ids[name] = str(counts[whose])
        return msgspec.structs.replace(event, id=ids[name])

    return {name: [(renamed(event), arrival) for event, arrival in log] for name, log in partitions.items()}


def moments(settings: Settings) -> SearchStrategy[int]:
    """Event times: sums of few lengths after ``BASE``, or a millisecond beside."""
    return st.lists(_gaps(settings), max_size=2).map(lambda gaps: BASE + sum(gaps))


def lengths(settings: Settings) -> list[int]:
    """The lengths of time that the settings name (ms), shortest first: what happens at their ends is decided there."""
    detectors = settings.detectors
    bursts = [limit.window for limit in (detectors.card_burst.any_amount, detectors.card_burst.same_amount) if limit]
    named = {
        *(stage.norm for stage in settings.stages.values() if stage.norm is not None),
        *bursts,
        detectors.order_timeout.limit,
        *detectors.order_timeout.by_category.values(),
        detectors.no_progress.floor,
        detectors.merge_candidate.window,
        detectors.resonance.window,
        detectors.resonance.address_change_window,
        detectors.resonance.chat_after_payment,
        settings.flow.closed_retention,
    }
    return sorted(int(length) for length in named)


def _gaps(settings: Settings) -> SearchStrategy[int]:
    """From one event to the next; long ones are rarer than short ones."""
    known = lengths(settings)
    short = [length for length in known if length <= 3_600_000]
    usual = st.sampled_from([0, 0, 0, 1, *short])
    exact = st.one_of(usual, usual, st.sampled_from(known))
    return st.builds(lambda gap, beside: max(0, gap + beside), exact, st.sampled_from((0, 0, 0, -1, 1)))


@st.composite
def _event_sets(
    draw: st.DrawFn, drawn_events: SearchStrategy[list[AnyEvent]], gaps: SearchStrategy[int]
) -> list[AppliedEvent]:
    drawn = draw(drawn_events)
    copies = draw(st.lists(st.tuples(st.integers(0, len(drawn) - 1), gaps), max_size=3))
    applied = [AppliedEvent(event, event.time) for event in drawn]
    applied.extend(AppliedEvent(drawn[index], drawn[index].time + gap) for index, gap in copies)
    draw(st.randoms(use_true_random=False)).shuffle(applied)
    return applied


@st.composite
def _logs(draw: st.DrawFn, drawn_events: SearchStrategy[list[AnyEvent]], delays: SearchStrategy[int]) -> dict[str, Log]:
    drawn = draw(drawn_events)
    drawn += [drawn[index] for index in draw(st.lists(st.integers(0, len(drawn) - 1), max_size=3))]
    stamped = {name: draw(st.booleans()) for name in PARTITIONS}
    arrivals = [(event, event.time + draw(delays), draw(st.sampled_from(PARTITIONS))) for event in drawn]
    partitions: dict[str, Log] = {}
    for event, arrival, name in sorted(arrivals, key=lambda item: item[1]):
        partitions.setdefault(name, []).append((event, arrival if stamped[name] else None))
    if draw(st.booleans()):
        for log in partitions.values():
            log.insert(len(log) // 2, (b"{broken", log[0][1]))
    return partitions


@st.composite
def _events(
    draw: st.DrawFn,
    clusters: SearchStrategy[list[AnyEvent]],
    any_event: SearchStrategy[AnyEvent],
    starts: SearchStrategy[int],
) -> list[AnyEvent]:
    told = [event for cluster in draw(st.lists(clusters, min_size=1, max_size=4)) for event in cluster]
    strays = draw(st.lists(st.tuples(any_event, starts), max_size=4))
    told.extend(msgspec.structs.replace(event, time=time) for event, time in strays)
    named = [msgspec.structs.replace(event, id=str(number)) for number, event in enumerate(told, start=5)]
    return sorted(named, key=lambda event: event.time)


@st.composite
def _stories(
    draw: st.DrawFn,
    orders: SearchStrategy[OrderCreated],
    any_event: SearchStrategy[AnyEvent],
    settings: Settings,
    gaps: SearchStrategy[int],
    starts: SearchStrategy[int],
) -> list[AnyEvent]:
    """One order on its way through the chain, with a step left out, doubled or turned round here and there."""
    first = draw(orders)
    path = [first, *_path(settings, first.order_id)]
    told = path[: draw(st.integers(1, len(path)))]
    twist = st.tuples(st.sampled_from(("drop", "double", "swap")), st.integers(0, len(path)))
    for what, index in draw(st.lists(twist, max_size=2)):
        _twist(told, what, index)
    extra = draw(st.lists(st.tuples(st.integers(0, len(path)), any_event), max_size=3))
    for index, event in extra:
        told.insert(index, _of_order(event, first.order_id))
    if settings.flow.from_any and draw(st.integers(0, 3)) == 0:
        stage = settings.flow.from_any[0]
        told.append(OrderStage(id="?", source="oms", time=0, order_id=first.order_id, stage=stage))
    return _timed(told, draw(starts), draw(st.lists(gaps, min_size=len(told), max_size=len(told))))


@st.composite
def _crowds(
    draw: st.DrawFn,
    orders: SearchStrategy[OrderCreated],
    any_event: SearchStrategy[AnyEvent],
    gaps: SearchStrategy[int],
    starts: SearchStrategy[int],
) -> list[AnyEvent]:
    """Orders alike soon after each other: bursts and merge candidates."""
    pattern = draw(orders)
    chosen = draw(st.lists(st.integers(0, 7), min_size=2, max_size=8))
    told: list[AnyEvent] = []
    for number in chosen:
        event = msgspec.structs.replace(pattern, order_id=f"O{number}")
        told.append(event)
        if number == 0:
            told.append(PaymentSucceeded(id="?", source="pay", time=0, order_id=event.order_id, card="card-1"))
    more = st.tuples(any_event, st.integers(0, len(told) - 1))
    told.extend(_of_order(event, f"O{chosen[at % len(chosen)]}") for event, at in draw(st.lists(more, max_size=3)))
    return _timed(told, draw(starts), draw(st.lists(gaps, min_size=len(told), max_size=len(told))))


@st.composite
def _fusses(
    draw: st.DrawFn, any_sign: SearchStrategy[AnyEvent], gaps: SearchStrategy[int], starts: SearchStrategy[int]
) -> list[AnyEvent]:
    """Signs of one order soon after each other."""
    order_id = draw(st.sampled_from(("O1", "O2")))
    told = [_of_order(event, order_id) for event in draw(st.lists(any_sign, min_size=3, max_size=10))]
    return _timed(told, draw(starts), draw(st.lists(gaps, min_size=len(told), max_size=len(told))))


def _timed(told: Sequence[AnyEvent], start: int, gaps: Sequence[int]) -> list[AnyEvent]:
    times = accumulate(gaps, initial=start)
    return [msgspec.structs.replace(event, time=time) for event, time in zip(told, times, strict=False)]


def _path(settings: Settings, order_id: str) -> list[AnyEvent]:
    """The stages after the first, each named by the event that usually brings it."""
    path: list[AnyEvent] = []
    scans = {stage: scan for scan, stage in settings.flow.scans.items()}
    stage = settings.stages[settings.flow.initial]
    while stage.next:
        name = stage.next[0]
        stage = settings.stages[name]
        if name == settings.flow.payment_stage:
            path.append(PaymentSucceeded(id="?", source="pay", time=0, order_id=order_id))
        elif name in scans:
            path.append(LogisticsScan(id="?", source="tms", time=0, order_id=order_id, scan=scans[name]))
        else:
            path.append(OrderStage(id="?", source="wms", time=0, order_id=order_id, stage=name))
    return path


def _twist(told: list[AnyEvent], what: str, index: int) -> None:
    if what == "double" and index < len(told):
        told.insert(index, told[index])
    elif what == "drop" and index < len(told):
        del told[index]
    elif what == "swap" and index + 1 < len(told):
        told[index], told[index + 1] = told[index + 1], told[index]


def _of_order(event: AnyEvent, order_id: str) -> AnyEvent:
    return event if isinstance(event, AlertAcknowledged) else msgspec.structs.replace(event, order_id=order_id)
