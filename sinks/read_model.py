"""The read model: what dashboards, the console and the shipping gate ask, in Redis. docs/redis.md has its keys."""

import time
from collections.abc import Mapping, Sequence
from typing import Any
from urllib.parse import urlsplit

import msgspec
import redis
from redis.backoff import NoBackoff
from redis.exceptions import (
    AuthenticationError,
    AuthorizationError,
    NoScriptError,
    RedisError,
)
from redis.retry import Retry

from config.environment import expand
from config.settings import RedisSettings
from events.records import AlertRecord, Record
from sinks import read_model_scripts as scripts
from sinks.read_model_calls import Call, call_for_mark, call_for_sweep, calls_for
from sinks.sink import SinkError

_SOCKET_SECONDS = 5.0
_FIRST_PAUSE = 0.05
_LONGEST_PAUSE = 5.0

# What passes by itself: a restart, a network that is down, a server that forgot its scripts, a fail-over.
_PASSING = (redis.ConnectionError, redis.TimeoutError, NoScriptError)
_READ_ONLY = "READONLY"  # within a script it comes as the text of a general error, like the next
_OUT_OF_MEMORY = "OOM command not allowed"
_REFUSED = (AuthenticationError, AuthorizationError)


class ReadModelSink:
    """Keeps the read model up to date with alerts, holds and order snapshots; other records are left out.

    Every write is guarded, so writing anything again, or in another order, ends in the same content. While Redis
    is away, ``write`` and ``mark`` hold the caller back and try again, for at most ``retry_seconds``.
    """

    def __init__(self, settings: RedisSettings, *, retry_seconds: float = 300.0) -> None:
        """Connect; raises SinkError when Redis does not answer or refuses the password."""
        self._ttl = int(settings.ttl)
        self._constants = (
            settings.prefix,
            self._ttl,
            int(settings.closed_ttl),
            settings.recent_orders,
            settings.feed_length,
        )
        self._rules: set[str] = set()
        self._retry_seconds = retry_seconds
        self._name = "Redis"
        self._sha: dict[str, str] = {}
        url = expand(settings.url)
        try:
            self._name = f"Redis at {_place(url)}"
            self._client = redis.Redis.from_url(
                url,
                protocol=2,
                socket_timeout=_SOCKET_SECONDS,
                socket_connect_timeout=_SOCKET_SECONDS,
                retry=Retry(NoBackoff(), 0),  # calls are tried again here, with pauses that grow
            )
            self._load_scripts()
        except (RedisError, ValueError) as error:
            raise self._failure(error) from error

    def write(self, records: Sequence[Record]) -> None:
        """Bring the records in, and return when Redis has answered."""
        self._rules.update(record.rule for record in records if isinstance(record, AlertRecord))
        if calls := calls_for(records):
            self._run(calls)

    def mark(self, watermark_ms: int, wall_ms: int, counts: Mapping[str, int]) -> None:
        """Say how far the view has come: event time and wall time (epoch ms), the run's counts by name.

        A mark older than the one there changes nothing. It also tidies the indexes, a little each time.
        """
        sweep = call_for_sweep(self._rules, watermark_ms - self._ttl)
        self._run([call_for_mark(watermark_ms, wall_ms, counts), sweep])

    def flush(self) -> None:
        """Nothing to wait for: what ``write`` was given has been answered."""

    def close(self) -> None:
        """Disconnect."""
        self._client.close()

    def _run(self, calls: Sequence[Call]) -> None:
        """Send the calls, and after an interruption all of them again: those that were done change nothing."""
        give_up_at = time.monotonic() + self._retry_seconds
        pause = _FIRST_PAUSE
        while True:
            try:
                self._send(calls)
            except RedisError as error:
                if not _passes(error) or time.monotonic() + pause > give_up_at:
                    raise self._failure(error) from error
                self._sha.clear()
            else:
                return
            time.sleep(pause)
            pause = min(2 * pause, _LONGEST_PAUSE)

    def _send(self, calls: Sequence[Call]) -> None:
        if not self._sha:
            self._load_scripts()
        with self._client.pipeline(transaction=False) as pipeline:
            for call in calls:
                items = msgspec.msgpack.encode(call.items)
                pipeline.evalsha(self._sha[call.script], 0, *self._constants, items)
            pipeline.execute()

    def _load_scripts(self) -> None:
        self._sha = {text: _text(self._client.script_load(text)) for text in scripts.ALL}

    def _failure(self, error: Exception) -> SinkError:
        cause = str(error).rpartition("of pipeline caused error: ")[2]  # without the packed arguments
        return SinkError(self._name, cause or type(error).__name__, _remedy(error))


def _place(url: str) -> str:
    """Where the URL points to, without user and password."""
    parts = urlsplit(url)
    port = f":{parts.port}" if parts.port else ""
    return f"{parts.hostname or ''}{port}{parts.path}"


def _text(answer: Any) -> str:
    return answer.decode() if isinstance(answer, bytes) else str(answer)


def _passes(error: RedisError) -> bool:
    return (isinstance(error, _PASSING) and not isinstance(error, _REFUSED)) or _READ_ONLY in str(error)


def _remedy(error: Exception) -> str:
    if isinstance(error, ValueError):
        return "correct redis.url, e.g. redis://host:6379/0"
    if isinstance(error, _REFUSED):
        return "correct the user and the password in redis.url"
    if _OUT_OF_MEMORY in str(error):
        return "raise maxmemory of the server or shorten redis.ttl, and start again"
    if isinstance(error, RedisError) and _passes(error):
        return "check redis.url and that the server is up, and start again"
    return "check the rights of the account (scripts, hashes, sorted sets) and the server's log"
