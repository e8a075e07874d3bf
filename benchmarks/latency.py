"""``python -m benchmarks.latency``: from an event's append to its alert readable in Kafka and in Redis, live.

A real broker and a real Redis. A shop opens its orders; ``orderpulse run``, with all that is on by default and a
recovery store, catches up with them. Then a stream goes on, in which now and then an order makes a move that its stage
chain does not allow. Each of these must give one alert, at the time of its event, which is when it was appended. An
alert may be raised once event time has passed its moment by ``time.out_of_orderness``: so the latency is told beyond
that. Part of it is not the flow's: the partition in which the next event comes last lets time pass.

How many events a second the flow sustains live is tried out: the rate grows until the flow no longer keeps pace. That
is less than while catching up, when batches are large. The stream then has half of it (``--rate`` gives another), and
only once the flow has come to rest the measured stretch begins.

Rounds are stretches of that stream; the value is over all of it.
"""

import sys
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Final

import msgspec
from msgspec import Struct
from rich.console import Console
from rich.table import Table

from benchmarks.answers import WrongAnswerError
from benchmarks.lines import Line, number
from benchmarks.live_flow import LiveFlow, live_flow
from benchmarks.live_metrics import Histogram, histograms, least, total
from benchmarks.live_pace import pace_of, settle, sustained
from benchmarks.live_sender import Opening, Sender, Sending, Stream, StreamPlan, open_shop, sending
from benchmarks.live_trade import reserved_for
from benchmarks.live_watch import Alert, RedisWatch, TopicWatch
from benchmarks.program import Say, parser, positive, run_program, size
from benchmarks.runs import ROOT, as_toml
from benchmarks.servers import Servers, servers
from config.loader import load_settings
from config.settings import Settings
from sources.topics import create_topics

_LIMITS: Final = {100_000: 150.0, 1_000_000: 400.0}  # open orders -> ms beyond out-of-orderness
_MOST_SECONDS: Final = 500.0  # that the stream goes on before the stretch that counts
_FIRST_SHARE: Final = 0.2  # of the rate of catching up: the first that is tried
_SPARE_SECONDS: Final = 3.0
_PATIENCE_SECONDS: Final = 600.0
_LATEST_SECONDS: Final = 90.0
_LOOK_SECONDS: Final = 0.05
_BOUNDS_MS: Final = (5, 10, 15, 20, 30, 40, 50, 75, 100, 150, 250, 400, 1_000, 2_500)
_TOLD: Final = {
    "read": "append -> read",
    "stages": "in the stages",
    "sinks": "until both sinks have acknowledged",
    "snapshot": "pause for a snapshot",
}


class Options(Struct, frozen=True):
    """``rate``: events a second; None: half of what the flow sustains live. ``seconds`` are measured."""

    orders: int
    seconds: float
    partitions: int
    processes: int
    rounds: int
    rate: float | None


class Latency(Struct, frozen=True):
    """Of one alert, in ms: its event's time; from there to the alert, less out-of-orderness; what of it went by until
    event time allowed it.
    """

    at: int
    beyond: float
    waited: float


class Stretch(Struct, frozen=True):
    """What the flow's own metrics say of the stretch that counts. ``busy``: CPU seconds a second, of each process."""

    first: int
    last: int
    told: dict[str, Histogram]
    busy: float
    lag: float


class Course(Struct, frozen=True):
    """What a run gave. ``catching_up``, ``rate``: events a second; ``sustained``: None where the rate was given.

    ``settled_s``: how long it took the flow to come to rest.
    """

    catching_up: float
    sustained: float | None
    rate: float
    settled_s: float
    sent: Stream
    kafka: list[Latency]
    redis: list[Latency]
    stretch: Stretch
    resident_mb: float


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure and report."""
    options = parser("latency", __doc__, rounds=5)
    options.add_argument("--orders", type=positive, default=100_000, help="that are open (default 100000)")
    options.add_argument("--seconds", type=positive, default=60, help="that are measured (default 60)")
    options.add_argument("--partitions", type=positive, default=16, help="of orders and of behaviour (default 16)")
    options.add_argument("--processes", type=positive, default=1, help="of the flow (default 1)")
    options.add_argument("--rate", type=float, help="events a second (default: half of what the flow sustains live)")
    given = options.parse_args(arguments)
    what = msgspec.convert({name: getattr(given, name) for name in Options.__struct_fields__}, Options)
    title = f"append -> alert, {size(what.orders)} open orders, {what.partitions} partitions, snapshots on"
    return run_program("latency", title, given.json, lambda say: measured(what, say))


def measured(options: Options, say: Say) -> tuple[list[Line], Any]:
    """The lines, and all that was seen. Raises WrongAnswerError when an alert is missing, or one too many came."""
    with TemporaryDirectory(prefix="orderpulse-benchmark-") as scratch, servers(Path(scratch)) as both:
        course = run(options, both, Path(scratch), say)
    found = lines(options, course)
    show_histogram(course)
    histogram = {"kafka": counted(course.kafka), "redis": counted(course.redis)}
    return found, {"options": options, "histogram": histogram, "course": course}


def run(options: Options, both: Servers, place: Path, say: Say) -> Course:
    """Open the shop, catch up, measure."""
    config = place / "config.toml"
    config.write_text(as_toml(_settings(both, options)) + "\n", encoding="utf-8")
    settings = load_settings(config)
    both.kafka.create_topic(settings.kafka.topics.actions)
    create_topics(settings.kafka)
    say(f"{options.orders:,} orders open")
    sender = Sender(both.kafka.bootstrap, _inputs(settings))
    opening = open_shop(sender, options.orders, options.partitions, _now())
    with live_flow(place, config, both.redis.url, options.processes) as flow:
        catching_up = caught_up(flow, opening, int(settings.time.out_of_orderness) / 1000)
        say(f"{catching_up:,.0f} events/s while catching up")
        course = follow(options, both, settings, flow, catching_up, say)
        flow.stop()
    return course


def _settings(both: Servers, options: Options) -> Mapping[str, Any]:
    kafka = {"bootstrap": both.kafka.bootstrap, "partitions": options.partitions, "replication": 1}
    # No limit runs out meanwhile: all alerts come from illegal moves.
    return {"kafka": kafka, "detectors": {"stage_timeout": {"factor": 1000}}}


def _inputs(settings: Settings) -> dict[str, str]:
    topics = settings.kafka.topics
    return {"orders": topics.orders, "behaviour": topics.behaviour, "actions": topics.actions}


def caught_up(flow: LiveFlow, opening: Opening, behind: float) -> float:
    """Wait until the flow has read what opened the shop and all its stages have come to its end, less ``behind`` (s).

    Returns how many events a second that were. Raises RuntimeError when it takes too long.
    """
    course, until = CatchingUp(opening, behind), time.monotonic() + _PATIENCE_SECONDS
    while time.monotonic() < until:
        metrics = flow.metrics()
        read, reached = total(metrics, "orderpulse_events_total"), least(metrics, "orderpulse_watermark_seconds")
        rate = course.look(read, reached, time.monotonic())
        if rate is not None:
            return rate
        time.sleep(_LOOK_SECONDS)
    raise RuntimeError(f"the flow did not read {opening.events} events in {_PATIENCE_SECONDS:.0f} s")


class CatchingUp:
    """How fast a flow takes in what opened a shop.

    What waits when a run begins is applied in one step: the stages may stand still until nearly all is read, and come
    to the end, less ``behind`` (s), long after that.
    """

    def __init__(self, opening: Opening, behind: float) -> None:
        self._events = opening.events
        self._reaches = opening.until / 1000 - 1 - behind
        self._began: float | None = None

    def look(self, read: float, reached: float, now: float) -> float | None:
        """Events a second, once all are read and the watermark has ``reached`` (s) the end; at ``now`` (s)."""
        if self._began is None or not read:
            self._began = now
        elif read >= self._events and reached >= self._reaches:
            return self._events / (now - self._began)
        return None


def follow(options: Options, both: Servers, settings: Settings, flow: LiveFlow, catching_up: float, say: Say) -> Course:
    """Let the stream go on, find out how fast it may be, wait until the flow has come to rest, watch for the alerts."""
    behind_ms = int(settings.time.out_of_orderness)
    plan = _plan(options, both, settings, options.rate or catching_up * _FIRST_SHARE, catching_up)
    with both.redis.client() as client:
        topic = TopicWatch(both.kafka.bootstrap, settings.kafka.topics.alerts)
        read_model = RedisWatch(client, settings.redis.prefix)
        topic.start()
        read_model.start()
        with sending(plan, ROOT) as stream:
            found = None
            if options.rate is None:
                _settled(flow, stream, plan.rate, behind_ms / 1000, say)  # after catching up, it lays all of it down
                found = sustained(flow, stream, plan.rate, behind_ms / 1000, say)
            rate = options.rate or (found or 0.0) / 2
            settled_s = _settled(flow, stream, rate, behind_ms / 1000, say)
            stretch = _stretch(options, flow, behind_ms / 1000)
            sent = stream.end()
        due = due_of(sent, behind_ms)
        await_all(due, topic.seen, read_model.seen)
        resident = flow.resident_mb()
        seen = topic.end(), read_model.end()
    _require_all(sent, due, *seen, topic.doubled)
    kafka, redis = (_latencies(sent, each, behind_ms, stretch) for each in seen)
    return Course(catching_up, found, rate, settled_s, sent, kafka, redis, stretch, resident)


def _plan(options: Options, both: Servers, settings: Settings, rate: float, most: float) -> StreamPlan:
    behind_ms = int(settings.time.out_of_orderness)
    seconds = _MOST_SECONDS + options.seconds + behind_ms / 1000 + _SPARE_SECONDS
    reserved = min(reserved_for(options.rate or most, seconds), options.orders // 2)
    return StreamPlan(
        both.kafka.bootstrap, _inputs(settings), options.partitions, options.orders, reserved, behind_ms, rate, seconds
    )


def _settled(flow: LiveFlow, stream: Sending, rate: float, behind: float, say: Say) -> float:
    stream.go_on_at(rate)
    seconds = settle(lambda: pace_of(flow.metrics(), time.time()), rate, behind)
    say(f"at rest with {rate:,.0f} events/s after {seconds:.0f} s")
    return seconds


def _stretch(options: Options, flow: LiveFlow, behind: float) -> Stretch:
    """Let the stretch that counts go by, and what its alerts take."""
    first = _now()
    # The flow's own figures are of the alerts whose events were appended in the stretch that counts.
    time.sleep(behind)
    before, cpu_before, at_before = flow.metrics(), flow.cpu_seconds(), time.monotonic()
    time.sleep(options.seconds)
    after, cpu_after, at_after = flow.metrics(), flow.cpu_seconds(), time.monotonic()
    time.sleep(_SPARE_SECONDS)
    return Stretch(
        first,
        first + int(options.seconds * 1000),
        histograms(before, after),
        (cpu_after - cpu_before) / (at_after - at_before) / options.processes,
        total(after, "orderpulse_source_lag_records"),
    )


def due_of(sent: Stream, behind_ms: float) -> set[Alert]:
    """The alerts whose moments the stream itself has let time pass."""
    newest = max((at for _, at in sent.expected), default=0)
    return {(order, at) for order, at in sent.expected if at <= newest - behind_ms - _SPARE_SECONDS * 500}


def await_all(due: set[Alert], *seen: Mapping[Alert, float]) -> None:
    """Wait until all have come, or for so long that they will not."""
    until = time.monotonic() + _LATEST_SECONDS
    while time.monotonic() < until and not all(due <= each.keys() for each in seen):
        time.sleep(_LOOK_SECONDS)


def _require_all(
    sent: Stream, due: set[Alert], topic: Mapping[Alert, float], read_model: Mapping[Alert, float], doubled: int
) -> None:
    """Every illegal move that is due must have given its alert, once, and no other may have come."""
    for name, seen in (("topic", topic), ("read model", read_model)):
        missing, strange = due - seen.keys(), seen.keys() - set(map(tuple, sent.expected))
        if missing or strange or not due:
            raise WrongAnswerError(
                f"of {len(due)} alerts {len(missing)} are missing in the {name}, {len(strange)} others came: "
                f"{sorted(missing)[:3]}, {sorted(strange)[:3]}"
            )
    if doubled:
        raise WrongAnswerError(f"{doubled} alerts stand on the topic twice")


def _latencies(sent: Stream, seen: Mapping[Alert, float], behind_ms: int, stretch: Stretch) -> list[Latency]:
    allowed = dict(zip(sent.expected, sent.allowed, strict=False))
    return sorted(
        (
            Latency(at, when - at - behind_ms, allowed[order, at] - at - behind_ms)
            for (order, at), when in seen.items()
            if stretch.first <= at < stretch.last
        ),
        key=lambda each: each.at,
    )


def lines(options: Options, course: Course) -> list[Line]:
    """What the course says."""
    where = f"{size(options.orders)} open orders"
    if options.processes > 1:
        where += f", {options.processes} processes"
    limit = next((ms for orders, ms in _LIMITS.items() if options.orders <= orders), None)
    found = []
    for name, each in (("Kafka", course.kafka), ("Redis", course.redis)):
        for title, share in (("p99", 0.99), ("p90", 0.9), ("p50", 0.5), ("longest", 1.0)):
            found.append(
                _line(
                    f"{title}, append -> alert in {name} beyond out-of-orderness, {where}",
                    [(one.at, one.beyond) for one in each],
                    options.rounds,
                    share,
                    target=limit if title == "p99" else None,
                )
            )
        flows_own = [(one.at, one.beyond - one.waited) for one in each]
        what = f"of that the flow's own (event time allowed the alert -> in {name})"
        found.append(_line(f"p99, {what}, {where}", flows_own, options.rounds, 0.99))
    stretch = course.stretch
    for part, title in _TOLD.items():
        mean = stretch.told.get(part, Histogram({}, 0.0, 0.0)).mean_ms
        found.append(Line(f"mean {title}, by the flow's own metric, {where}", mean, "ms", [mean], better="less"))
    if course.sustained is not None:
        found.append(Line(f"sustained live, {where}", course.sustained, "events/s", [course.sustained]))
    found += [
        Line(f"while catching up, {where}", course.catching_up, "events/s", [course.catching_up]),
        Line(f"rate of the stream, {where}", course.rate, "events/s", [course.rate]),
        Line(f"busy share of a process, {where}", stretch.busy, "x", [stretch.busy], better="less"),
        Line(f"RSS of the flow, {where}", course.resident_mb, "MB", [course.resident_mb], better="less"),
    ]
    return found


def _line(
    name: str, seen: Sequence[tuple[int, float]], rounds: int, share: float, *, target: float | None = None
) -> Line:
    value = quantile([latency_ms for _, latency_ms in seen], share)
    return Line(name, value, "ms", stretches(seen, rounds, share), target=target, better="less")


def stretches(seen: Sequence[tuple[int, float]], rounds: int, share: float) -> list[float]:
    """The quantile of each of so many parts of equal length, those without an alert left out."""
    first, last = seen[0][0], seen[-1][0] + 1
    parts: list[list[float]] = [[] for _ in range(rounds)]
    for at, latency_ms in seen:
        parts[(at - first) * rounds // (last - first)].append(latency_ms)
    return [quantile(part, share) for part in parts if part]


def quantile(values: Sequence[float], share: float) -> float:
    """The value below which that share of them lies; 1: the greatest. Raises RuntimeError when there is none."""
    if not values:
        raise RuntimeError("no alert came in the stretch that counts: take more seconds or a higher rate")
    return sorted(values)[min(len(values) - 1, int(len(values) * share))]


def counted(seen: Sequence[Latency]) -> dict[str, int]:
    """How many latencies lie up to each bound (ms) and above the one before."""
    names = [f"<= {bound}" for bound in _BOUNDS_MS] + [f"> {_BOUNDS_MS[-1]}"]
    found = Counter(sum(one.beyond > bound for bound in _BOUNDS_MS) for one in seen)
    return {name: found[index] for index, name in enumerate(names)}


def show_histogram(course: Course) -> None:
    """Print how the latencies lie, and what the flow itself says of their parts."""
    table = Table(title="append -> alert beyond out-of-orderness: how many alerts")
    for column in ("ms", "Kafka", "Redis"):
        table.add_column(column, justify="right")
    kafka, redis = counted(course.kafka), counted(course.redis)
    for name in kafka:
        if kafka[name] or redis[name]:
            table.add_row(name, f"{kafka[name]:,}", f"{redis[name]:,}")
    parts = Table(title="by the flow's own metrics, ms")
    for column in ("part", "mean", "p50", "p99"):
        parts.add_column(column, justify="right")
    for part, each in course.stretch.told.items():
        parts.add_row(part, number(each.mean_ms), number(each.quantile_ms(0.5)), number(each.quantile_ms(0.99)))
    Console().print(table, parts)


def _now() -> int:
    return time.time_ns() // 1_000_000


if __name__ == "__main__":
    sys.exit(main())
