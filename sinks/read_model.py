"""The read model: what dashboards, the console and the shipping gate ask, in Redis. docs/redis.md has its keys."""

import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any
from urllib.parse import urlsplit

import msgspec
import redis
from redis.backoff import NoBackoff
from redis.exceptions import AuthenticationError, AuthorizationError, NoPermissionError, NoScriptError, RedisError
from redis.retry import Retry

from config.environment import expand
from config.settings import RedisSettings
from events.records import AlertRecord, Record
from sinks import read_model_scripts as scripts
from sinks.patience import Patience, never
from sinks.read_model_calls import Call, call_for_mark, call_for_sweep, calls_for
from sinks.sink import Sink, SinkError, Waiting

_SOCKET_SECONDS = 5.0
_FIRST_PAUSES = (0.1, 0.3, 0.9)  # seconds

# What passes, or is put right at the server: a restart, a network that is down, a server that forgot its scripts.
_PASSING = (redis.ConnectionError, redis.TimeoutError, NoScriptError)
# The same as words of the server, since within a script they come as the text of a general error; and what it lacks.
_PASSING_STATES = {
    "READONLY": "a fail-over, or redis.url names a replica",
    "OOM command": "raise maxmemory of the server, or shorten redis.ttl",
    "MISCONF": "the server cannot write its own files: see its log",
    "NOREPLICAS": "the server misses its replicas",
    "MASTERDOWN": "the server misses its master",
    "LOADING": "the server reads its files",
    "BUSY ": "another program's script does not end",
}
_REFUSED = (AuthenticationError, AuthorizationError, NoPermissionError)


class ReadModelSink(Sink):
    """Keeps the read model up to date with alerts, holds and order snapshots; other records are left out.

    Every write is guarded, so writing anything again, or in another order, ends in the same content: ``positions`` has
    nothing to say. While Redis is away or cannot take a write, ``write`` and ``mark`` hold the caller back.
    """

    def __init__(
        self,
        settings: RedisSettings,
        *,
        worker: int = 0,
        workers: int = 1,
        patient: bool = False,
        give_up: Callable[[], bool] = never,
    ) -> None:
        """Connect; raises SinkError when Redis does not answer or refuses the password.

        ``worker`` of ``workers``: which process this is, counted from 0. ``patient``: connect at the first use, and
        wait for it; so a process may start again amid an outage. ``give_up`` ends every wait (see Patience).
        """
        self._ttl = int(settings.ttl)
        self._constants = (
            settings.prefix,
            self._ttl,
            int(settings.closed_ttl),
            settings.recent_orders,
            settings.feed_length,
        )
        self._worker, self._workers = worker, workers
        self._rules: set[str] = set()
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
            if not patient:
                self._first_call()
        except (RedisError, ValueError) as error:
            raise self._failure(error) from error
        self._patience = Patience(self._name, give_up)

    def write(self, records: Sequence[Record]) -> None:
        """Bring the records in, and return when Redis has answered."""
        self._rules.update(record.rule for record in records if isinstance(record, AlertRecord))
        if calls := calls_for(records):
            self._run(calls)

    def mark(self, watermark_ms: int, wall_ms: int, counts: Mapping[str, int]) -> None:
        """Say how far this worker has come: event time and wall time (epoch ms), its counts by name.

        A mark older than the one there changes nothing. It also tidies the indexes, a little each time.
        """
        mark = call_for_mark(self._worker, self._workers, watermark_ms, wall_ms, counts)
        self._run([mark, call_for_sweep(self._rules, watermark_ms - self._ttl)])

    @property
    def waiting(self) -> Waiting | None:
        """Set while Redis is away or cannot take a write."""
        return self._patience.waiting

    def flush(self) -> None:
        """Nothing to wait for: what ``write`` was given has been answered."""

    def close(self) -> None:
        """Disconnect."""
        self._client.close()

    def _run(self, calls: Sequence[Call]) -> None:
        """Send the calls, and after an interruption all of them again: those that were done change nothing."""
        while True:
            try:
                self._send(calls)
            except RedisError as error:
                if not _passes(error):
                    raise self._failure(error) from error
                self._sha.clear()
                self._patience.pause(f"{self._name}: {_cause(error)}")
            else:
                self._patience.over()
                return

    def _send(self, calls: Sequence[Call]) -> None:
        if not self._sha:
            self._load_scripts()
        with self._client.pipeline(transaction=False) as pipeline:
            for call in calls:
                items = msgspec.msgpack.encode(call.items)
                pipeline.evalsha(self._sha[call.script], 0, *self._constants, items)
            pipeline.execute()

    def _first_call(self) -> None:
        """A connection that breaks once is no mistake of the settings: only what fails again and again is refused."""
        for pause in _FIRST_PAUSES:
            try:
                self._load_scripts()
            except RedisError as error:
                if not _passes(error):
                    raise
                time.sleep(pause)
            else:
                return
        self._load_scripts()

    def _load_scripts(self) -> None:
        self._sha = {text: _text(self._client.script_load(text)) for text in scripts.ALL}

    def _failure(self, error: Exception) -> SinkError:
        return SinkError(self._name, _cause(error), _remedy(error))


def _place(url: str) -> str:
    """Where the URL points to, without user and password."""
    parts = urlsplit(url)
    port = f":{parts.port}" if parts.port else ""
    return f"{parts.hostname or ''}{port}{parts.path}"


def _text(answer: Any) -> str:
    return answer.decode() if isinstance(answer, bytes) else str(answer)


def _passes(error: RedisError) -> bool:
    if isinstance(error, _REFUSED):
        return False
    return isinstance(error, _PASSING) or _state(error) is not None


def _state(error: Exception) -> str | None:
    """What the server says about itself, with what to do."""
    text = f"{getattr(error, 'status_code', None)} {error}"  # for the kinds it knows, the client cuts the word off
    return next((advice for word, advice in _PASSING_STATES.items() if word in text), None)


def _cause(error: Exception) -> str:
    cause = str(error).rpartition("of pipeline caused error: ")[2]  # without the packed arguments
    advice = _state(error)
    return (cause or type(error).__name__) + (f" ({advice})" if advice else "")


def _remedy(error: Exception) -> str:
    if isinstance(error, ValueError):
        return "correct redis.url, e.g. redis://host:6379/0"
    if isinstance(error, NoPermissionError):
        return "give the account its rights: ~<redis.prefix>* +@read +@write +@scripting +@connection"
    if isinstance(error, _REFUSED):
        return "correct the user and the password in redis.url"
    if isinstance(error, RedisError) and _passes(error):
        return "check redis.url and that the server is up, and start again"
    return "check the rights of the account (scripts, hashes, sorted sets) and the server's log"
