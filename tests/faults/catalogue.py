"""All faults by name, and how often the long form repeats each."""

from collections.abc import Callable

from msgspec import Struct

from tests.faults.file_kills import killed_over_files
from tests.faults.ground import Ground
from tests.faults.kills import Whom, kill_plan, run_kills
from tests.faults.outages import (
    broker_connections_cut,
    broker_frozen,
    broker_killed,
    broker_silent,
    broker_unreachable,
    redis_connections_cut,
    redis_frozen,
    redis_full,
    redis_killed,
    redis_read_only,
    redis_unreachable,
)
from tests.faults.poison import poisoned
from tests.faults.stops import stopped_and_started, stopped_twice
from tests.faults.stores import (
    store_corrupted,
    store_file_lost,
    store_lost,
    store_truncated,
    view_lost,
)
from tests.faults.trial import Verdict


class Fault(Struct, frozen=True):
    """``run`` does it once, as the seed says."""

    name: str
    runs: int
    run: Callable[[Ground, int], Verdict]


def killed(ground: Ground, seed: int, whom: Whom | None = None) -> Verdict:
    """Kills while events come at a steady rate; with every fourth seed, while a backlog is read as fast as it goes."""
    with ground.trial(f"killed {whom or 'anybody'}", seed) as trial:
        return run_kills(trial, kill_plan(seed, whom=whom), 0 if seed % 4 == 3 else ground.feed_seconds)


FAULTS = (
    Fault("killed", 100, killed),
    Fault("supervisor-killed", 5, lambda ground, seed: killed(ground, seed, "the supervisor")),
    Fault("killed-over-files", 10, killed_over_files),
    Fault("stopped", 5, stopped_and_started),
    Fault("stopped-twice", 5, stopped_twice),
    Fault("broker-killed", 4, broker_killed),
    Fault("broker-frozen", 3, broker_frozen),
    Fault("broker-unreachable", 3, broker_unreachable),
    Fault("broker-silent", 3, broker_silent),
    Fault("broker-connections-cut", 4, broker_connections_cut),
    Fault("redis-killed", 3, redis_killed),
    Fault("redis-frozen", 3, redis_frozen),
    Fault("redis-unreachable", 3, redis_unreachable),
    Fault("redis-connections-cut", 4, redis_connections_cut),
    Fault("redis-read-only", 3, redis_read_only),
    Fault("redis-full", 3, redis_full),
    Fault("store-truncated", 4, store_truncated),
    Fault("store-corrupted", 4, store_corrupted),
    Fault("store-file-lost", 3, store_file_lost),
    Fault("store-lost", 2, store_lost),
    Fault("read-model-lost", 2, view_lost),
    Fault("poison", 2, poisoned),
)
BY_NAME = {fault.name: fault for fault in FAULTS}
