"""What ``orderpulse doctor`` asks Redis."""

import time
import uuid
from collections.abc import Callable, Iterator
from typing import Any

import redis
from redis.exceptions import AuthenticationError, NoPermissionError, RedisError, ResponseError

from config.environment import UnsetVariableError, expand
from config.settings import RedisSettings
from console.status import Check

_ANSWER_SECONDS = 5.0
_OLDEST = (5, 0)
_CLOCKS_APART_MS = 2_000
_RIGHTS = "give the account ~{prefix}* +@read +@write +@scripting +@connection"
# All that the read model does, to one key that is gone again when the script has ended.
_PROBE = """
local key = ARGV[1]
redis.call('HSET', key, 'a', cmsgpack.unpack(cmsgpack.pack('b')))
redis.call('PEXPIRE', key, 1000)
redis.call('DEL', key)
redis.call('ZADD', key, 1, 'a')
redis.call('ZREMRANGEBYRANK', key, 0, -2)
redis.call('DEL', key)
return 1
"""


def examine_redis(settings: RedisSettings, now: Callable[[], float] = time.time) -> Iterator[Check]:
    """Whether the read model can live there. ``now``: this host's clock, in seconds."""
    try:
        client = redis.Redis.from_url(
            expand(settings.url),
            decode_responses=True,
            protocol=2,
            socket_timeout=_ANSWER_SECONDS,
            socket_connect_timeout=_ANSWER_SECONDS,
        )
    except (ValueError, UnsetVariableError) as error:
        yield Check("Redis", "wrong", f"redis.url: {error}", "correct redis.url, e.g. redis://host:6379/0")
        return
    options = client.connection_pool.connection_kwargs
    place = f"{options.get('host') or options.get('path')}" + (f":{options['port']}" if "port" in options else "")
    with client:
        try:
            client.ping()
        except AuthenticationError as error:
            yield Check("Redis", "wrong", f"{place}: {error}", "correct the user and the password in redis.url")
            return
        except RedisError as error:
            yield Check("Redis", "wrong", f"{place}: {error}", "check redis.url and that the server runs")
            return
        yield from _server(client, place)
        yield from _rights(client, settings)
        yield from _clock(client, now)


def _server(client: redis.Redis, place: str) -> Iterator[Check]:
    try:
        info: dict[str, Any] = client.info()
    except ResponseError as error:
        what = f"{place} answers, but tells nothing of itself: {error}"
        yield Check("Redis", "warning", what, "allow INFO, or look at maxmemory-policy and role by hand")
        return
    version = str(info["redis_version"])
    if tuple(map(int, version.split(".")[:2])) < _OLDEST:
        yield Check("Redis", "warning", f"{place}: version {version}", "use Redis 5 or later")
    else:
        yield Check("Redis", "ok", f"{place}: version {version}")
    if info.get("role") == "slave":
        what = f"{place} is a replica and cannot be written to"
        yield Check("Redis role", "wrong", what, "name the master in redis.url, or promote this server")
    if info.get("cluster_enabled"):
        what = f"{place} is part of a cluster; the view's keys must live on one server"
        yield Check("Redis role", "wrong", what, "use a single server, or Sentinel")
    yield from _memory(info)


def _memory(info: dict[str, Any]) -> Iterator[Check]:
    policy, limit, used = (
        info.get("maxmemory_policy", "noeviction"),
        info.get("maxmemory", 0),
        info.get("used_memory", 0),
    )
    if policy != "noeviction":
        what = f"maxmemory-policy is {policy}: a full server would drop holds, and a held order would look free to ship"
        yield Check("Redis memory", "wrong", what, "CONFIG SET maxmemory-policy noeviction, and in redis.conf")
    elif limit and used > 0.8 * limit:
        what = f"{used >> 20} of {limit >> 20} MiB are used; the flow waits when it is full"
        yield Check("Redis memory", "warning", what, "raise maxmemory, or shorten redis.ttl")
    else:
        yield Check("Redis memory", "ok", f"{used >> 20} MiB are used, noeviction")


def _rights(client: redis.Redis, settings: RedisSettings) -> Iterator[Check]:
    try:
        client.eval(_PROBE, 0, f"{settings.prefix}doctor:{uuid.uuid4().hex}")
    except NoPermissionError as error:
        yield Check("Redis rights", "wrong", str(error), _RIGHTS.format(prefix=settings.prefix))
    except RedisError as error:
        if "NOPERM" in str(error) or "ACL" in str(error):
            yield Check("Redis rights", "wrong", str(error), _RIGHTS.format(prefix=settings.prefix))
        else:
            yield Check("Redis rights", "wrong", f"a write failed: {error}", "look into the server's log")
    else:
        yield Check("Redis rights", "ok", f"scripts may write below {settings.prefix}")


def _clock(client: redis.Redis, now: Callable[[], float]) -> Iterator[Check]:
    before = now()
    try:
        seconds, microseconds = client.time()
    except RedisError:
        return
    here = (before + now()) / 2
    off = round((seconds + microseconds / 1e6 - here) * 1000)
    if abs(off) > _CLOCKS_APART_MS:
        what = f"Redis' clock is {abs(off) / 1000:.1f} s {'ahead of' if off > 0 else 'behind'} this host's"
        yield Check("clock of Redis", "warning", what, "let both follow one time server (chrony, ntpd)")
    else:
        yield Check("clock of Redis", "ok", f"{off} ms off this host's")
