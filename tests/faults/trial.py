"""One faulty run from its topics to its verdict: feeds, starts, breaks, starts again, waits for the end, compares."""

import re
import shutil
import time
import urllib.error
import urllib.request
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import AbstractContextManager, nullcontext
from http import HTTPStatus
from pathlib import Path
from types import TracebackType
from typing import Self

from confluent_kafka import Consumer
from msgspec import Struct, field

from tests.faults.comparison import compare, count, describe
from tests.faults.feeder import Feeder
from tests.faults.flow_command import FlowCommand
from tests.faults.installation import Installation
from tests.faults.outputs import Outputs, consumer_of, end_offsets, read_inputs, read_outputs
from tests.faults.servers import Servers
from tests.faults.workload import Workload
from tests.support.ports import free_port, is_free

FED_WITHIN_SECONDS = 240.0
ORPHAN_SECONDS = 10.0
STOP_SECONDS = 40.0
MOST_PROCESSES = 3
PATIENCE_SECONDS = 60.0
READY_SECONDS = 30.0
_SETTLE_SECONDS = 1.0
_TICK = 0.05
_PEERS_SECONDS = 0.3  # within that, the others of a run know that one of them is dead


class Verdict(Struct):
    """What became of a run. ``differences`` by kind, ``problems`` in words, ``recoveries`` in seconds."""

    fault: str
    seed: int
    differences: Counter[str] = field(default_factory=Counter)
    problems: list[str] = field(default_factory=list)
    recoveries: list[float] = field(default_factory=list)
    peak_bytes: int = 0
    seconds: float = 0.0
    kept: Path | None = None

    @property
    def passed(self) -> bool:
        """Whether the fault left no trace."""
        return not self.differences.total() and not self.problems

    def __str__(self) -> str:
        where = [f"its log and settings: {self.kept}"] if self.kept else []
        return "\n".join([f"{self.fault}, seed {self.seed}:", *self.problems, *where])


class Reference(Struct, frozen=True):
    """A workload, and what an undisturbed run makes of it."""

    workload: Workload
    outputs: Outputs


class Trial:
    """One run. Leaves its directory behind when it did not pass."""

    def __init__(
        self,
        fault: str,
        seed: int,
        servers: Servers,
        reference: Reference,
        directory: Path,
        *,
        proxied: bool = False,
        recovery: bool = True,
        options: Iterable[str] = (),
        more: Mapping[str, str] | None = None,
    ) -> None:
        self.verdict = Verdict(fault, seed)
        self.servers = servers
        self.reference = reference
        self.installation = Installation(
            servers,
            directory / re.sub(r"\W+", "-", f"{fault}-{seed}"),
            reference.workload.partitions,
            proxied=proxied,
            more=more or {},
        )
        fixed = ["--config", str(self.installation.config), "--input", "kafka", "--output", "kafka"]
        self.metrics_port = _free_ports(MOST_PROCESSES)
        fixed += ["--redis", self.installation.redis_url, "--metrics-port", str(self.metrics_port)]
        if recovery:
            fixed += ["--recovery", str(self.installation.recovery)]
        self.flow = FlowCommand([*fixed, *options], self.installation.directory / "flow.log")
        self.feeder: Feeder | None = None
        self._processes = 1
        self._interruptions: list[tuple[float, float]] = []
        self._consumer: Consumer | None = None

    def __enter__(self) -> Self:
        self.servers.heal()
        self.installation.create_topics()
        self._consumer = consumer_of(self.installation)
        self._began = time.monotonic()
        return self

    def __exit__(
        self,
        exception_type: type[BaseException] | None,
        exception: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if self.feeder is not None:
            self.feeder.give_up()
        self.flow.end()
        self.servers.heal()
        if self._consumer is not None:
            self._consumer.close()
        self.installation.drop_topics()
        if self.verdict.passed and exception is None:
            shutil.rmtree(self.installation.directory)
        else:
            self.verdict.kept = self.installation.directory

    def feed(self, seconds: float) -> None:
        """Feeds the workload in the background over so many seconds; 0: all of it, before anything else happens."""
        self.feeder = Feeder(self.installation, self.reference.workload, seconds)
        self.feeder.start()
        if not seconds:
            self.feeder.finish(FED_WITHIN_SECONDS)

    def feeder_holds(self) -> AbstractContextManager[None]:
        """Nothing is fed meanwhile, nor is an answer for what was fed open."""
        return nullcontext() if self.feeder is None else self.feeder.holding(FED_WITHIN_SECONDS)

    def start(self, processes: int = 1, *more: str) -> None:
        """Starts the flow."""
        self._processes = processes
        self.flow.start(processes, *more)

    def await_fed(self) -> None:
        """Waits until the broker has the whole workload."""
        if self.feeder is not None:
            self.feeder.finish(FED_WITHIN_SECONDS)

    def say(self, text: str) -> None:
        """Notes in the log what is about to be done."""
        with self.flow.log.open("a", encoding="utf-8") as log:
            log.write(f"=== {text}\n")

    def problem(self, text: str) -> None:
        """Notes something that must not be."""
        self.verdict.problems.append(text)

    def kill(self, numbers: Iterable[int]) -> None:
        """Kills processes. When the one that was started is among them, all others must end by themselves."""
        killed_at = time.time()
        self.flow.kill(numbers)
        time.sleep(_PEERS_SECONDS)
        if not self.flow.running:
            self.expect_gone()
        self._interruptions.append((killed_at, time.time()))

    def measure_recovery_from(self, moment: float) -> None:
        """Wall time (epoch seconds) at which an outage ended."""
        self._interruptions.append((moment, moment))

    def expect_gone(self) -> None:
        """The run has ended: none of its processes may live on."""
        if left := self.flow.wait_gone(ORPHAN_SECONDS):
            self.problem(f"{len(left)} processes lived on for {ORPHAN_SECONDS:g} s after their supervisor")
            self.flow.kill(left)
            self.flow.wait_gone(ORPHAN_SECONDS)

    def sleep(self, seconds: float) -> None:
        """Lets the flow work on."""
        self.wait_until(lambda: False, seconds)

    def wait_until(self, ready: Callable[[], bool], seconds: float) -> bool:
        """Waits until something is the case; False when it was not within that time, or when the flow ended."""
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            if ready():
                return True
            if not self.flow.running:
                return False
            time.sleep(_TICK)
        return ready()

    def readiness(self) -> list[tuple[int, str]]:
        """What ``/readyz`` of each process says: status and text; 0 when nothing answers."""
        return [_asked(f"http://127.0.0.1:{self.metrics_port + number}/readyz") for number in range(self._processes)]

    def ready(self) -> bool:
        """Whether all processes say that they take events."""
        return all(status == HTTPStatus.OK for status, _ in self.readiness())

    def written(self) -> Counter[str]:
        """How many records each output topic holds by now."""
        if self._consumer is None:
            raise RuntimeError("use the trial as a context")
        return Counter(end_offsets(self._consumer, self.installation))

    def expected(self) -> Counter[str]:
        """How many records each output topic must hold in the end."""
        return Counter(self.reference.outputs.counts)

    def complete(self) -> bool:
        """Whether the topics hold as many records as they must in the end."""
        return self.written() >= self.expected()

    def finish(self, *, may_double: bool = False) -> Verdict:
        """Waits until everything is written, stops the flow in order, and compares.

        ``may_double``: the flow was told to begin anew, so records may stand there again, with the same bytes.
        """
        self.await_complete()
        if self.flow.running:
            # What a restart writes once more comes at once, if it comes.
            if not self.wait_until(self.ready, READY_SECONDS):
                self.problem(f"the flow was not ready within {READY_SECONDS:g} s: {self.readiness()}")
            self.sleep(_SETTLE_SECONDS)
            self.stop()
        return self.judge(may_double=may_double)

    def stop(self) -> None:
        """An orderly stop, after which nothing may be left."""
        self.flow.terminate()
        code = self.flow.wait(STOP_SECONDS)
        if code is None:
            self.problem(f"the flow did not end within {STOP_SECONDS:g} s of SIGTERM")
            self.flow.end()
        elif code:
            self.problem(f"the flow ended with exit code {code} after SIGTERM")
        self.expect_gone()

    def judge(self, *, may_double: bool = False) -> Verdict:
        """Compares what was written with what an undisturbed run writes."""
        found = read_outputs(self.installation)
        differences = compare(self.reference.outputs, found)
        if may_double:
            differences = [each for each in differences if each.kind != "doubled"]
        verdict = self.verdict
        verdict.differences = count(differences)
        if differences:
            self.problem(describe(differences))
            if read_inputs(self.installation) != self.reference.workload.logs():
                self.problem("the input topics do not hold what was fed: the trial itself has failed")
        verdict.recoveries = list(self._recoveries(found))
        verdict.peak_bytes = max(self.flow.peak_bytes.values(), default=0)
        verdict.seconds = time.monotonic() - self._began
        return verdict

    def _recoveries(self, found: Outputs) -> Iterator[float]:
        """Seconds from each interruption to the first record that was written once it was over."""
        times = sorted(each.time / 1000 for records in found.topics.values() for each in records)
        for began_at, over_at in self._interruptions:
            first = next((each for each in times if each > over_at), None)
            if first is not None:
                yield first - began_at

    def await_complete(self) -> None:
        """Waits until everything is fed and written, or nothing more has come for a long time."""
        self.await_fed()
        before, moved_at = self.written(), time.monotonic()
        while not self.complete():
            if not self.flow.running:
                self.problem(f"the flow ended by itself, exit code {self.flow.exit_code}")
                return
            if time.monotonic() - moved_at > PATIENCE_SECONDS:
                missing = self.expected() - self.written()
                self.problem(f"nothing was written for {PATIENCE_SECONDS:g} s; still missing: {dict(missing)}")
                return
            if (now := self.written()) != before:
                before, moved_at = now, time.monotonic()
            time.sleep(_TICK)


def _asked(url: str) -> tuple[int, str]:
    try:
        with urllib.request.urlopen(url, timeout=2) as answer:
            return answer.status, answer.read().decode()
    except urllib.error.HTTPError as error:
        return error.code, error.read().decode()
    except OSError as error:
        return 0, str(error)


def _free_ports(count: int) -> int:
    """The first of so many free ports in a row: each process serves at its own."""
    while True:
        first = free_port()
        if all(map(is_free, range(first, first + count))):
            return first
