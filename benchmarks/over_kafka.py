"""``python -m benchmarks.over_kafka``: Kafka in, Kafka and Redis out, against a plain loop over Kafka.

A real broker and a real Redis. Each round runs, one after the other: the bare consume loop, the plain loop (consume,
decode, the same four detectors, produce), and ``orderpulse run --bounded`` in one and in two processes, which keeps the
read model besides. All must give the same alerts, read back from their topics, and Redis must hold open what the topic
leaves open.

Time is what a command itself reports: a loop from the first record read to the last alert acknowledged, the flow from
the opening of its input, so connections, and half a second or more of waiting for them, count for the flow. Nothing is
taken off: over a handful of events two processes now and then wait for a second that they do not wait with many. Of CPU
time that of the same command over a handful of events is taken off, in the same round. The two servers share the
machine with what is measured; what they took is told beside it.
"""

import sys
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Final

import msgspec
from msgspec import Struct

from benchmarks.answers import WrongAnswerError, answers_of, require_equal
from benchmarks.figures import FOUR_DETECTORS, Cost
from benchmarks.lines import Line, line_of
from benchmarks.program import Say, parser, positive, run_program, size
from benchmarks.rounds import Rounds
from benchmarks.runs import as_toml, beyond, spent
from benchmarks.servers import Servers, Spending, Tail, servers
from benchmarks.workload import Workload, WorkloadPlan, cached_workload
from config.loader import load_settings
from config.settings import Settings
from events.records import AlertRecord
from sources.load import load_files
from sources.topics import create_topics

CONSUME, PLAIN, ONE, TWO = "consume", "plain loop", "1 process", "2 processes"
PARTITIONS: Final = (2, 16)
_FLOWS: Final = {ONE: 1, TWO: 2}
_FEW: Final = 500  # events of the command that only starts
_AIMED: Final = 500_000  # below, much of a run is its start


class Run(Struct, frozen=True):
    """One command: what it took, CPU time without its start; what the servers took meanwhile; what the start took."""

    cost: Cost
    servers: Spending
    start: Cost


class Stand(Struct, frozen=True):
    """Topics with a workload, others with a few events, and the configurations that name them."""

    servers: Servers
    workload: Workload
    whole: Path
    few: Path

    @property
    def settings(self) -> Settings:
        """Those over the whole workload."""
        return load_settings(self.whole)


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure and report."""
    options = parser("over_kafka", __doc__, rounds=5)
    options.add_argument("--events", type=positive, default=500_000, help="size of the workload (default 500000)")
    options.add_argument("--seed", type=int, default=1, help="another seed, another workload (default 1)")
    options.add_argument(
        "--partitions", type=positive, nargs="+", default=PARTITIONS, help="of each topic, one after the other (2 16)"
    )
    given = options.parse_args(arguments)
    return run_program(
        "over_kafka",
        f"over Kafka, {size(given.events)} events, Kafka in, Kafka and Redis out",
        given.json,
        lambda say: measured(given.events, given.seed, given.partitions, given.rounds, say),
    )


def measured(events: int, seed: int, partitions: Sequence[int], rounds: int, say: Say) -> tuple[list[Line], Any]:
    """The lines for each number of partitions, and each run by itself."""
    found: list[Line] = []
    detail: dict[int, list[Mapping[str, Run]]] = {}
    for count in partitions:
        with TemporaryDirectory(prefix="orderpulse-benchmark-") as scratch, servers(Path(scratch)) as both:
            say(f"{count} partitions: loading {events:,} events")
            stand = made(both, Path(scratch), events, seed, count)
            detail[count] = []
            for number in range(1, rounds + 1):
                say(f"{count} partitions, round {number} of {rounds}")
                detail[count].append(one_round(stand))
        found += lines(events, count, detail[count])
    return found, detail


def made(both: Servers, place: Path, events: int, seed: int, partitions: int) -> Stand:
    """Make the topics and fill them."""
    workloads = [cached_workload(WorkloadPlan(count, seed, partitions)) for count in (events, _FEW)]
    configs = []
    for name, workload in zip(("whole", "few"), workloads, strict=True):
        config = place / f"{name}.toml"
        config.write_text(as_toml(_settings(both, name, partitions)) + "\n", encoding="utf-8")
        settings = load_settings(config)
        create_topics(settings.kafka)
        load_files([Path(workload.directory)], settings.kafka, settings.time, progress=lambda _: None)
        configs.append(config)
    both.kafka.create_topic(_of_loop("whole"), partitions)
    both.kafka.create_topic(_of_loop("few"), partitions)
    return Stand(both, workloads[0], *configs)


def _settings(both: Servers, name: str, partitions: int) -> Mapping[str, Any]:
    kinds = ("orders", "behaviour", "actions", "rules", "alerts", "diffs", "versions", "holds", "late")
    topics = {kind: f"{name}.{kind}" for kind in kinds}
    kafka = {"bootstrap": both.kafka.bootstrap, "partitions": partitions, "replication": 1, "topics": topics}
    return {**FOUR_DETECTORS, "kafka": kafka}


def _of_loop(name: str) -> str:
    return f"{name}.loop"


def one_round(stand: Stand) -> Mapping[str, Run]:
    """All commands once. Raises WrongAnswerError when two of them disagree."""
    runs, given = {CONSUME: _measured(stand, CONSUME)}, {}
    for name in (PLAIN, *_FLOWS):
        topic = _of_loop("whole") if name == PLAIN else stand.settings.kafka.topics.alerts
        tail = Tail(stand.servers.kafka.bootstrap, topic)
        runs[name] = _measured(stand, name)
        lines_given = tail.values()
        given[name] = answers_of(b"\n".join(lines_given))
        require_equal(PLAIN, given[PLAIN], name, given[name])
        if name != PLAIN:
            require_read_model(stand, name, lines_given)
    return runs


def require_read_model(stand: Stand, name: str, lines: Sequence[bytes]) -> None:
    """Raises WrongAnswerError when the alerts that are open in Redis are not those that the topic leaves open."""
    decoder = msgspec.json.Decoder(AlertRecord)
    steps = sorted(map(decoder.decode, lines), key=lambda record: record.step_number)
    newest = {record.episode: record.step for record in steps}
    wanted = Counter(episode for episode, step in newest.items() if step != "resolved")
    with stand.servers.redis.client() as client:
        found = client.zrange(f"{stand.settings.redis.prefix}alerts:open", 0, -1)
    assert isinstance(found, list)
    if wanted != Counter(found):
        raise WrongAnswerError(f"{name}: {len(found)} alerts are open in Redis, {len(wanted)} on the topic")


def _measured(stand: Stand, name: str) -> Run:
    """A command over all events, without the CPU time that the same command takes over a few.

    Raises RuntimeError when it read too few events.
    """
    start, _ = _spent(stand, name, stand.few, _of_loop("few"))
    whole, servers_too = _spent(stand, name, stand.whole, _of_loop("whole"))
    if whole.events != stand.workload.events:
        raise RuntimeError(f"{name} read {whole.events} of {stand.workload.events} events")
    cpu_s = beyond(whole.cpu_s, start.cpu_s)
    return Run(msgspec.structs.replace(whole, cpu_s=cpu_s), servers_too, start)


def _spent(stand: Stand, name: str, config: Path, topic: str) -> tuple[Cost, Spending]:
    stand.servers.redis.flush()
    before = stand.servers.spent()
    took = spent(_command(stand, name, config, topic))
    return Cost(took.events, took.flow_s, took.cpu_s, took.peak_rss_mb), stand.servers.spent().since(before)


def _command(stand: Stand, name: str, config: Path, topic: str) -> list[str]:
    if name == CONSUME:
        return [sys.executable, "-m", "benchmarks.kafka_loop", "consume", str(config)]
    if name == PLAIN:
        return [sys.executable, "-m", "benchmarks.kafka_loop", "plain", str(config), topic]
    where = ["--config", str(config), "--input", "kafka", "--output", "kafka", "--redis", stand.servers.redis.url]
    how = ["--bounded", "--processes", str(_FLOWS[name]), "--metrics-port", "0", "--json"]
    return [sys.executable, "-m", "console.main", "run", *where, *how]


def lines(events: int, partitions: int, runs: Sequence[Mapping[str, Run]]) -> list[Line]:
    """What the rounds say about one number of partitions."""
    rounds = Rounds([{name: run.cost for name, run in each.items()} for each in runs])
    where, aimed = f"over Kafka, {partitions} partitions, {size(events)}", events >= _AIMED
    found = [
        line_of(f"flow, {ONE} : {PLAIN}, events/s, {where}", rounds.faster(ONE, PLAIN), target=1 if aimed else None),
        line_of(f"flow, {TWO} : {PLAIN}, events/s, {where}", rounds.faster(TWO, PLAIN), target=1.7 if aimed else None),
        line_of(f"flow, {TWO} : {ONE}, events/s, {where}", rounds.faster(TWO, ONE)),
        line_of(f"flow, {ONE} : {PLAIN}, CPU per event, {where}", rounds.dearer(ONE, PLAIN), better="less"),
        line_of(f"bare consume loop : {PLAIN}, events/s, {where}", rounds.faster(CONSUME, PLAIN)),
    ]
    for name, title in ((CONSUME, "bare consume loop"), (PLAIN, PLAIN), (ONE, f"flow, {ONE}"), (TWO, f"flow, {TWO}")):
        costs = [each[name].cost for each in runs]
        own = [cost.cpu_s * 1e6 / cost.events for cost in costs]
        found.append(line_of(f"{title}, {where}", rounds.rate(name), "events/s"))
        found.append(line_of(f"CPU, {title}, {where}", own, "µs/event", better="less", note=_of_servers(runs, name)))
        found.append(line_of(f"peak RSS, {title}, {where}", rounds.peak_mb(name), "MB", better="less"))
    return found


def _of_servers(runs: Sequence[Mapping[str, Run]], name: str) -> str:
    """What the servers, which share the cores, took per event meanwhile; their share of the start is not taken off."""
    kafka, redis = (
        line_of("", [each[name].servers.kafka_s * 1e6 / each[name].cost.events for each in runs]).value,
        line_of("", [each[name].servers.redis_s * 1e6 / each[name].cost.events for each in runs]).value,
    )
    return f"beside it the broker took {kafka:.2f} and Redis {redis:.2f} µs/event"


if __name__ == "__main__":
    sys.exit(main())
