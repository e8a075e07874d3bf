"""``python -m benchmarks.latency``: from an event's append to its alert readable in Kafka and in Redis, live.

A real broker and a real Redis. A shop opens its orders; ``orderpulse run``, with all that is on by default and a
recovery store, catches up with them, which says how many events a second it sustains. Then a stream at half of that
goes on (``--rate`` gives another), in which now and then an order makes a move that its stage chain does not allow.
Each of these must give one alert, at the time of its event, which is when it was appended. An alert may be raised once
event time has passed its moment by ``time.out_of_orderness``: so the latency is told beyond that.

Rounds are stretches of one stream; the value is over all of it.
"""

import subprocess
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
from benchmarks.live_sender import Opening, Sender, Stream, StreamPlan, open_shop
from benchmarks.live_trade import reserved_for
from benchmarks.live_watch import Alert, RedisWatch, TopicWatch
from benchmarks.program import Say, parser, positive, run_program, size
from benchmarks.runs import ROOT, as_toml
from benchmarks.servers import Servers, servers
from config.loader import load_settings
from config.settings import Settings
from sources.topics import create_topics

_LIMITS: Final = {100_000: 150.0, 1_000_000: 400.0}  # open orders -> ms beyond out-of-orderness
_WARM_SECONDS: Final = 5.0
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
    """``rate``: events a second; None: half of what the flow sustains. ``seconds`` are measured."""

    orders: int
    seconds: float
    partitions: int
    processes: int
    rounds: int
    rate: float | None


class Course(Struct, frozen=True):
    """What a run gave. ``kafka``, ``redis``: (time of the event, latency beyond out-of-orderness), both in ms.

    ``told``: what the flow's own metrics say of the same stretch. ``busy``: CPU seconds a second, for each process.
    """

    sustained: float
    rate: float
    sent: Stream
    kafka: list[tuple[int, float]]
    redis: list[tuple[int, float]]
    told: dict[str, Histogram]
    busy: float
    resident_mb: float
    lag: float


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure and report."""
    options = parser("latency", __doc__, rounds=5)
    options.add_argument("--orders", type=positive, default=100_000, help="that are open (default 100000)")
    options.add_argument("--seconds", type=positive, default=60, help="that are measured (default 60)")
    options.add_argument("--partitions", type=positive, default=16, help="of orders and of behaviour (default 16)")
    options.add_argument("--processes", type=positive, default=1, help="of the flow (default 1)")
    options.add_argument("--rate", type=float, help="events a second (default: half of what the flow sustains)")
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
        sustained = caught_up(flow, opening, int(settings.time.out_of_orderness) / 1000)
        rate = options.rate or sustained / 2
        say(f"{sustained:,.0f} events/s sustained; the stream has {rate:,.0f}")
        course = follow(options, both, settings, flow, rate, sustained)
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

    Returns how many events a second that were, those alone that orders and behaviour share. Raises RuntimeError when
    it takes too long.
    """
    began, until = time.monotonic(), time.monotonic() + _PATIENCE_SECONDS
    while time.monotonic() < until:
        metrics = flow.metrics()
        read = total(metrics, "orderpulse_events_total")
        reached = least(metrics, "orderpulse_watermark_seconds") + behind
        if read >= opening.events and reached >= opening.until / 1000 - 1:
            return opening.mixed / (time.monotonic() - began)
        if read == 0 or reached < opening.since / 1000:
            began = time.monotonic()
        time.sleep(_LOOK_SECONDS)
    raise RuntimeError(f"the flow did not read {opening.events} events in {_PATIENCE_SECONDS:.0f} s")


def follow(
    options: Options, both: Servers, settings: Settings, flow: LiveFlow, rate: float, sustained: float
) -> Course:
    """Let the stream go on and watch for the alerts; what the shop's opening left behind is over before it counts."""
    behind = int(settings.time.out_of_orderness) / 1000
    warm = behind + _WARM_SECONDS
    seconds = warm + options.seconds + behind + _SPARE_SECONDS
    reserved = reserved_for(rate, seconds)
    if reserved > options.orders // 2:
        raise RuntimeError(f"{options.orders} orders are too few for {rate:.0f} events/s: take more, or a lower rate")
    plan = StreamPlan(
        both.kafka.bootstrap, _inputs(settings), options.partitions, options.orders, reserved, rate, seconds
    )
    with both.redis.client() as client:
        topic = TopicWatch(both.kafka.bootstrap, settings.kafka.topics.alerts)
        read_model = RedisWatch(client, settings.redis.prefix)
        topic.start()
        read_model.start()
        with _sending(plan) as sending:
            # The flow's own figures are of the alerts whose events were appended in the stretch that counts.
            time.sleep(warm + behind)
            before, cpu_before, at_before = flow.metrics(), flow.cpu_seconds(), time.monotonic()
            time.sleep(options.seconds)
            after, cpu_after, at_after = flow.metrics(), flow.cpu_seconds(), time.monotonic()
            sent = _sent(sending)
        due = due_of(sent, behind * 1000)
        await_all(due, topic.seen, read_model.seen)
        resident = flow.resident_mb()
        seen = topic.end(), read_model.end()
    _require_all(sent, due, *seen, topic.doubled)
    first, last = sent.began + warm * 1000, sent.began + (warm + options.seconds) * 1000
    return Course(
        sustained,
        rate,
        sent,
        _beyond(seen[0], behind * 1000, first, last),
        _beyond(seen[1], behind * 1000, first, last),
        told=histograms(before, after),
        busy=(cpu_after - cpu_before) / (at_after - at_before) / options.processes,
        resident_mb=resident,
        lag=total(after, "orderpulse_source_lag_records"),
    )


def _sending(plan: StreamPlan) -> "subprocess.Popen[bytes]":
    command = [sys.executable, "-m", "benchmarks.live_sender", msgspec.json.encode(plan).decode()]
    return subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE)


def _sent(sending: "subprocess.Popen[bytes]") -> Stream:
    printed, _ = sending.communicate()
    if sending.returncode:
        raise subprocess.CalledProcessError(sending.returncode, sending.args)
    return msgspec.json.decode(printed, type=Stream)


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


def _beyond(seen: Mapping[Alert, float], behind_ms: float, first: float, last: float) -> list[tuple[int, float]]:
    return sorted((at, when - at - behind_ms) for (_, at), when in seen.items() if first <= at < last)


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
                Line(
                    f"{title}, append -> alert in {name} beyond out-of-orderness, {where}",
                    quantile([latency_ms for _, latency_ms in each], share),
                    "ms",
                    stretches(each, options.rounds, share),
                    target=limit if title == "p99" else None,
                    better="less",
                )
            )
    for part, title in _TOLD.items():
        mean = course.told.get(part, Histogram({}, 0.0, 0.0)).mean_ms
        found.append(Line(f"mean {title}, by the flow's own metric, {where}", mean, "ms", [mean], better="less"))
    found += [
        Line(f"rate of the stream, {where}", course.rate, "events/s", [course.rate]),
        Line(f"busy share of a process, {where}", course.busy, "x", [course.busy], better="less"),
        Line(f"RSS of the flow, {where}", course.resident_mb, "MB", [course.resident_mb], better="less"),
    ]
    return found


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


def counted(seen: Sequence[tuple[int, float]]) -> dict[str, int]:
    """How many latencies lie up to each bound (ms) and above the one before."""
    names = [f"<= {bound}" for bound in _BOUNDS_MS] + [f"> {_BOUNDS_MS[-1]}"]
    found = Counter(sum(latency_ms > bound for bound in _BOUNDS_MS) for _, latency_ms in seen)
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
    for part, each in course.told.items():
        parts.add_row(part, number(each.mean_ms), number(each.quantile_ms(0.5)), number(each.quantile_ms(0.99)))
    Console().print(table, parts)


def _now() -> int:
    return time.time_ns() // 1_000_000


if __name__ == "__main__":
    sys.exit(main())
