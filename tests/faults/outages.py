"""Servers that go away for a while: the flow waits, says so, and goes on by itself."""

import time
from collections.abc import Callable
from contextlib import nullcontext
from http import HTTPStatus
from random import Random
from typing import Any

from tests.faults.ground import Ground
from tests.faults.servers import Servers
from tests.faults.trial import READY_SECONDS, Trial, Verdict
from tests.support.ports import free_port
from tests.support.tcp_proxy import TcpProxy

SHORTEST, LONGEST = 1.0, 8.0
NOTICED_SECONDS = 6.0  # after that, /readyz must say that something is away
MEMORY_LIMIT = 600 << 20
_CUTS = 12

Break = Callable[[Servers], None]


def broker_killed(ground: Ground, seed: int) -> Verdict:
    """SIGKILL to the broker; it comes back with its data."""
    kill, launch = lambda it: it.broker.kill(), lambda it: it.broker.launch()
    return _outage(ground, "broker killed", seed, kill, launch, forgets=True)


def broker_frozen(ground: Ground, seed: int) -> Verdict:
    """SIGSTOP to the broker: connections stay open, nothing is answered."""
    return _outage(ground, "broker frozen", seed, lambda it: it.broker.pause(), lambda it: it.broker.resume())


def redis_killed(ground: Ground, seed: int) -> Verdict:
    """SIGKILL to Redis; it comes back with its data."""
    return _outage(ground, "Redis killed", seed, lambda it: it.redis.kill(), lambda it: it.redis.restart())


def redis_frozen(ground: Ground, seed: int) -> Verdict:
    """SIGSTOP to Redis."""
    return _outage(ground, "Redis frozen", seed, lambda it: it.redis.pause(), lambda it: it.redis.resume())


def redis_read_only(ground: Ground, seed: int) -> Verdict:
    """Redis is made a replica of a server that is not there, as in a fail-over, and then a master again."""
    return _outage(
        ground,
        "Redis read-only",
        seed,
        lambda it: _tell_redis(it, "REPLICAOF", "127.0.0.1", free_port()),
        lambda it: _tell_redis(it, "REPLICAOF", "NO", "ONE"),
    )


def redis_full(ground: Ground, seed: int) -> Verdict:
    """Redis refuses writes for want of memory, until it is given more."""
    return _outage(
        ground,
        "Redis full",
        seed,
        lambda it: _tell_redis(it, "CONFIG", "SET", "maxmemory", 1),
        lambda it: _tell_redis(it, "CONFIG", "SET", "maxmemory", 0),
    )


def broker_unreachable(ground: Ground, seed: int) -> Verdict:
    """The network to the broker is refused for a while."""
    refuse, accept = lambda it: it.broker_proxy.refuse(), lambda it: it.broker_proxy.accept()
    return _outage(ground, "broker unreachable", seed, refuse, accept, proxied=True)


def broker_silent(ground: Ground, seed: int) -> Verdict:
    """The network to the broker hands nothing on for a while, and then all that waited."""
    stop, go_on = lambda it: it.broker_proxy.stop(), lambda it: it.broker_proxy.go_on()
    return _outage(ground, "broker silent", seed, stop, go_on, proxied=True)


def redis_unreachable(ground: Ground, seed: int) -> Verdict:
    """The network to Redis is refused for a while."""
    refuse, accept = lambda it: it.redis_proxy.refuse(), lambda it: it.redis_proxy.accept()
    return _outage(ground, "Redis unreachable", seed, refuse, accept, proxied=True)


def broker_connections_cut(ground: Ground, seed: int) -> Verdict:
    """Connections to the broker break again and again, in the middle of what they carry; the way is slow, too."""
    return _cuts(ground, "broker connections cut", seed, lambda it: it.broker_proxy)


def redis_connections_cut(ground: Ground, seed: int) -> Verdict:
    """The same to Redis."""
    return _cuts(ground, "Redis connections cut", seed, lambda it: it.redis_proxy)


def _outage(
    ground: Ground, fault: str, seed: int, begin: Break, end: Break, *, proxied: bool = False, forgets: bool = False
) -> Verdict:
    """``forgets``: the broker then knows no more what it has of the feeder; see ``Feeder.holding``."""
    rng = Random(seed)
    lasting = rng.uniform(SHORTEST, LONGEST)
    with ground.trial(fault, seed, proxied=proxied) as trial:
        processes = _start(trial, rng, ground.feed_seconds)
        trial.sleep(rng.uniform(0, ground.feed_seconds / 2))
        trial.say(f"{fault} for {lasting:.2f} s")
        with trial.feeder_holds() if forgets else nullcontext():
            begin(ground.servers)
            trial.sleep(lasting)
            if lasting > NOTICED_SECONDS:
                _expect_unready(trial)
            end(ground.servers)
        trial.measure_recovery_from(time.time())
        return _finish(trial, processes)


def _cuts(ground: Ground, fault: str, seed: int, proxy_of: Callable[[Servers], TcpProxy]) -> Verdict:
    rng = Random(seed)
    proxy = proxy_of(ground.servers)
    with ground.trial(fault, seed, proxied=True) as trial:
        processes = _start(trial, rng, ground.feed_seconds)
        proxy.delay(rng.choice([0, 0.001, 0.01]))
        for _ in range(_CUTS):
            trial.sleep(rng.uniform(0.1, 2 * ground.feed_seconds / _CUTS))
            proxy.cut_after(int(rng.expovariate(1 / 20_000)))
        proxy.delay(0)
        return _finish(trial, processes)


def _start(trial: Trial, rng: Random, feed_seconds: float) -> list[int]:
    """Feeds and starts; the processes of the run, once it is ready."""
    trial.feed(feed_seconds)
    trial.start(rng.randint(1, 2))
    trial.flow.sample_memory()
    if not trial.wait_until(trial.ready, READY_SECONDS):
        trial.problem(f"the flow was not ready within {READY_SECONDS:g} s: {trial.readiness()}")
    return trial.flow.members()


def _finish(trial: Trial, processes: list[int]) -> Verdict:
    """What is down never ends a process, nor does it fill its memory."""
    trial.await_complete()
    if trial.flow.members() != processes:
        trial.problem(f"processes {processes} became {trial.flow.members()}")
    verdict = trial.finish()
    if verdict.peak_bytes > MEMORY_LIMIT:
        trial.problem(f"a process held {verdict.peak_bytes >> 20} MB, more than {MEMORY_LIMIT >> 20} MB")
    return verdict


def _expect_unready(trial: Trial) -> None:
    """One process at least says what is away: not all need have something to write just then."""
    answers = trial.readiness()
    if all(status != HTTPStatus.SERVICE_UNAVAILABLE for status, _ in answers):
        trial.problem(f"{NOTICED_SECONDS:g} s into the outage /readyz answers {answers}")


def _tell_redis(servers: Servers, *command: Any) -> None:
    with servers.redis.client() as client:
        client.execute_command(*command)
