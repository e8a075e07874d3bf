"""``python -m benchmarks.webhooks``: what taking a webhook in costs beside a bare handler of the same framework.

Three servers in turn, each in a process of its own, all behind the same HTTP server: a bare handler that reads the body
and says yes; intake with raw topics in memory; intake with a real broker, when ``--kafka HOST:PORT`` names one. Callers
on loopback send signed deliveries, each another body, over connections that stay open: first as fast as they are
answered, then at a steady rate, where a delivery's time counts from when it was due.
"""

import argparse
import asyncio
import base64
import hmac
import multiprocessing
import os
import sys
import time
from collections.abc import Sequence
from multiprocessing.connection import Connection
from pathlib import Path
from statistics import median
from typing import Any, cast

import msgspec
import uvloop
from msgspec import Struct
from rich.console import Console
from rich.table import Table
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from config.loader import load_settings
from config.settings import Settings
from sinks.metrics import Metrics
from sources.topics import TopicPlan, create_planned
from sources.webhooks.application import Door, Intake
from sources.webhooks.broker import KafkaRawTopics
from sources.webhooks.raw import RawRecord
from sources.webhooks.schemes.body_hmac import Shopify
from sources.webhooks.server import listen, serve

SECRET = b"benchmark"
TOPIC = "benchmark.webhooks"
BARE, MEMORY, KAFKA = "bare handler", "intake, topics in memory", "intake, real broker"
_TICKS = os.sysconf("SC_CLK_TCK")
_WARM_UP = 2_000


class Load(Struct, frozen=True):
    """One run of one server. Latencies in ms; ``cpu_us``: of the server's process for each request."""

    requests: int
    seconds: float
    cpu_us: float
    p50: float
    p99: float

    @property
    def per_core(self) -> float:
        """Requests per second that one core's time is enough for."""
        return 1e6 / self.cpu_us


# Servers


class MemoryTopics:
    """Keeps nothing, and says at once that it did."""

    waiting = None

    def keep(self, _: RawRecord) -> asyncio.Future[None]:
        outcome: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        outcome.set_result(None)
        return outcome


def run_server(name: str, kafka: str | None, told: Connection) -> None:
    """Serve until the process is ended; tells its port."""
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(_serve(name, kafka, told))


async def _serve(name: str, kafka: str | None, told: Connection) -> None:
    settings = _settings(kafka)
    topics: Any = KafkaRawTopics(settings.kafka, settings.intake, [TOPIC]) if name == KAFKA else MemoryTopics()
    doors = {"shop": Door("shop", Shopify((SECRET,)), TOPIC)}
    application = Intake(doors, topics, settings.intake, Metrics()).application()
    if name == BARE:
        application = Starlette(routes=[Route("/hooks/{route}", _bare, methods=["POST"])])
    opened = listen(settings.intake)
    told.send(opened.getsockname()[1])
    await serve(application, settings.intake, opened)


async def _bare(request: Request) -> Response:
    await request.body()
    return Response()


def _settings(kafka: str | None) -> Settings:
    return load_settings(None, {"kafka": {"bootstrap": kafka or "127.0.0.1:1"}, "intake": {"port": 0}})


# Callers


class Caller(asyncio.Protocol):
    """One connection that sends a delivery, waits for its answer, and sends the next when it is due."""

    def __init__(self, course: "Course") -> None:
        self._course = course
        self._transport: asyncio.Transport | None = None
        self._due = 0.0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)
        self._next()

    def data_received(self, data: bytes) -> None:
        if not data.startswith(b"HTTP/1.1 200"):
            self._course.failed(f"the server answers {data[:100]!r}")
            return
        self._course.latencies.append(time.perf_counter() - self._due)
        self._next()

    def _next(self) -> None:
        due = self._course.next_due()
        if due is None:
            self._course.ended()
            return
        now = time.perf_counter()
        self._due = now if due == 0.0 else due
        if self._due > now:
            asyncio.get_running_loop().call_later(self._due - now, self._send)
        else:
            self._send()

    def _send(self) -> None:
        assert self._transport is not None
        self._transport.write(self._course.request())


class Course:
    """A number of deliveries over some connections; ``rate``: a second, 0 for as fast as they are answered."""

    def __init__(self, count: int, rate: float, callers: int, size: int, first: int) -> None:
        self.latencies: list[float] = []
        self._left = count
        self._interval = 1 / rate if rate else 0.0
        self._callers = callers
        self._due = time.perf_counter() + 0.05
        self._number = first
        self._filler = "x" * max(0, size - 60)
        self._done = asyncio.get_running_loop().create_future()

    def next_due(self) -> float | None:
        """When the next delivery is due (0: now), or None when that was the last."""
        if self._left == 0:
            return None
        self._left -= 1
        if not self._interval:
            return 0.0
        self._due += self._interval
        return self._due

    def request(self) -> bytes:
        """A signed delivery with a body that no other has."""
        self._number += 1
        body = f'{{"id":{self._number},"created_at":"2026-02-02T10:40:00Z","note":"{self._filler}"}}'.encode()
        signature = base64.b64encode(hmac.digest(SECRET, body, "sha256")).decode()
        head = (
            "POST /hooks/shop HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
            f"X-Shopify-Webhook-Id: w-{self._number}\r\nX-Shopify-Topic: orders/create\r\n"
            f"X-Shopify-Hmac-Sha256: {signature}\r\nContent-Length: {len(body)}\r\n\r\n"
        )
        return head.encode() + body

    def ended(self) -> None:
        """One connection has no more to send."""
        self._callers -= 1
        if self._callers == 0:
            self._done.set_result(None)

    def failed(self, what: str) -> None:
        """One answer was no yes: the figures would mean nothing."""
        if not self._done.done():
            self._done.set_exception(RuntimeError(what))

    async def run(self, port: int) -> float:
        """Send all of them; returns the seconds that it took."""
        loop = asyncio.get_running_loop()
        started = time.perf_counter()
        pairs = [await loop.create_connection(lambda: Caller(self), "127.0.0.1", port) for _ in range(self._callers)]
        await self._done
        for transport, _ in pairs:
            transport.close()
        return time.perf_counter() - started


def load(port: int, pid: int, count: int, rate: float, options: argparse.Namespace, first: int) -> Load:
    """Send deliveries to a server and weigh what that cost."""

    async def course() -> tuple[float, list[float]]:
        made = Course(count, rate, options.connections, options.size, first)
        return await made.run(port), made.latencies

    before = _cpu_seconds(pid)
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        seconds, latencies = runner.run(course())
    spent = _cpu_seconds(pid) - before
    latencies.sort()
    return Load(
        requests=count,
        seconds=seconds,
        cpu_us=spent * 1e6 / count,
        p50=latencies[len(latencies) // 2] * 1000,
        p99=latencies[len(latencies) * 99 // 100] * 1000,
    )


def _cpu_seconds(pid: int) -> float:
    """User and system time of a process with all its threads."""
    fields = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8").rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / _TICKS


# The measurement


def measure(options: argparse.Namespace, log: Console) -> dict[str, list[tuple[Load, Load]]]:
    """Name of the server -> for each round the run at full speed and the steady one."""
    names = [BARE, MEMORY, *([KAFKA] if options.kafka else [])]
    results: dict[str, list[tuple[Load, Load]]] = {name: [] for name in names}
    if options.kafka:
        settings = _settings(options.kafka)
        create_planned(settings.kafka, [TopicPlan(TOPIC, {"retention.ms": "600000"})])
    for number in range(1, options.rounds + 1):
        for name in names:
            log.print(f"round {number} of {options.rounds}: {name}")
            results[name].append(_measured(name, options, number))
    return results


def _measured(name: str, options: argparse.Namespace, round_: int) -> tuple[Load, Load]:
    ours, theirs = multiprocessing.get_context("spawn").Pipe()
    process = multiprocessing.get_context("spawn").Process(target=run_server, args=(name, options.kafka, theirs))
    process.start()
    try:
        port, pid = ours.recv(), process.pid or 0
        time.sleep(1.0)  # a broker is found, a server listens
        first = round_ * 100_000_000
        load(port, pid, _WARM_UP, 0, options, first)
        full = load(port, pid, options.requests, 0, options, first + 10_000_000)
        steady = load(port, pid, round(options.rate * options.seconds), options.rate, options, first + 20_000_000)
    finally:
        process.terminate()
        process.join(20)
        process.kill()
    return full, steady


def show(results: dict[str, list[tuple[Load, Load]]], options: argparse.Namespace) -> None:
    """The table of medians."""
    table = Table(
        title=f"bodies of {options.size} bytes, {options.connections} connections, median of {options.rounds} rounds"
    )
    table.add_column("")
    steady = f"at {options.rate:g}/s: p50, p99 ms"
    for column in ("requests/s", "CPU µs/request", "requests/s per core", "CPU : bare", "p50, p99 ms", steady):
        table.add_column(column, justify="right", no_wrap=True)
    bare = [full.cpu_us for full, _ in results[BARE]]
    for name, rounds in results.items():
        fulls, calm = [full for full, _ in rounds], [each for _, each in rounds]
        ratio = median(full.cpu_us / yardstick for full, yardstick in zip(fulls, bare, strict=True))
        table.add_row(
            name,
            f"{median(full.requests / full.seconds for full in fulls):,.0f}",
            f"{median(full.cpu_us for full in fulls):.0f}",
            f"{median(full.per_core for full in fulls):,.0f}",
            f"{ratio:.2f}",
            f"{median(full.p50 for full in fulls):.1f}, {median(full.p99 for full in fulls):.1f}",
            f"{median(each.p50 for each in calm):.1f}, {median(each.p99 for each in calm):.1f}",
        )
    Console(width=None if sys.stdout.isatty() else 150).print(table)


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure, print the table, write the JSON where it was asked for."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.webhooks", description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--kafka", metavar="HOST:PORT", help="a broker for the third server")
    parser.add_argument("--requests", type=int, default=20_000, help="at full speed (default 20000)")
    parser.add_argument("--rate", type=float, default=500, help="of the steady run, a second (default 500)")
    parser.add_argument("--seconds", type=float, default=10, help="of the steady run (default 10)")
    parser.add_argument("--connections", type=int, default=32, help="default 32")
    parser.add_argument("--size", type=int, default=2000, help="bytes of a body (default 2000)")
    parser.add_argument("--rounds", type=int, default=3, help="default 3")
    parser.add_argument("--output", type=Path, help="write all rounds as JSON here")
    options = parser.parse_args(arguments)
    results = measure(options, Console(stderr=True))
    show(results, options)
    if options.output:
        options.output.write_bytes(msgspec.json.format(msgspec.json.encode(results)) + b"\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
