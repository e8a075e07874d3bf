"""Reads the read model; docs/redis.md has its keys."""

from typing import Any, Self

import msgspec
import redis
from msgspec import Struct
from redis.exceptions import RedisError

from config.environment import expand
from config.settings import DetectorSettings, RedisSettings
from events.records import AlertRecord
from operators.heart.lateness import BEFORE_TIME
from operators.platform.open_alerts import RULES as PLATFORM_RULES

_ANSWER_SECONDS = 5.0
RULES = (*DetectorSettings.__struct_fields__, *PLATFORM_RULES)  # each detector gives the alerts of one rule


class ViewError(Exception):
    """The read model cannot be read; ``remedy`` says what to do."""

    def __init__(self, what: str, remedy: str) -> None:
        super().__init__(what, remedy)
        self.what = what
        self.remedy = remedy


class ViewState(Struct, frozen=True):
    """How far the view is and what is open. Times in epoch ms, None before anything came."""

    watermark: int | None
    updated_at: int | None
    events: int
    open_alerts: dict[str, int]
    holds: int
    merges: int


class Feedback(Struct, frozen=True):
    """Counts by name: of each rule and version, and of weak signals (empty before any)."""

    rules: list[tuple[str, int, dict[str, int]]]
    capture: dict[str, int]


class ReadModelView:
    """A reader of the read model; every method raises ViewError when Redis does not answer."""

    def __init__(self, settings: RedisSettings) -> None:
        self._prefix = settings.prefix
        try:
            url = expand(settings.url)
            self._client = redis.Redis.from_url(
                url,
                decode_responses=True,
                socket_timeout=_ANSWER_SECONDS,
                socket_connect_timeout=_ANSWER_SECONDS,
            )
        except ValueError as error:
            raise ViewError(f"redis.url: {error}", "correct redis.url, e.g. redis://host:6379/0") from error
        options = self._client.connection_pool.connection_kwargs
        self.place = f"Redis at {options.get('host') or options.get('path')}"
        if "port" in options:
            self.place += f":{options['port']}"

    def contracts(self) -> list[dict[str, str]]:
        """What each source's records look like, by name; the values are those of docs/redis.md."""
        try:
            found: list[tuple[str, Any]] = [
                (str(name), self._client.hgetall(f"{self._prefix}contract:{name!s}"))
                for name in self._client.zrange(f"{self._prefix}contracts", 0, -1)
            ]
        except RedisError as error:
            raise ViewError(f"{self.place}: {error}", "check redis.url and that the server is up") from error
        return [{"source": name, **fields} for name, fields in sorted(found) if fields]

    def feedback(self) -> Feedback:
        """What reviews and failures said so far; docs/feedback.md."""
        members = self._run(lambda: self._client.zrange(f"{self._prefix}precisions", 0, -1))
        with self._client.pipeline(transaction=False) as pipeline:
            for key in ("capture", *(f"precision:{member}" for member in members)):
                pipeline.hgetall(self._prefix + key)
            found = self._run(pipeline.execute)
        capture, *rules = ({name: int(value) for name, value in counts.items()} for counts in found)
        named = ((*member.rpartition(":")[::2], counts) for member, counts in zip(members, rules, strict=True))
        return Feedback(sorted((rule, int(version), counts) for rule, version, counts in named if counts), capture)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._client.close()

    def state(self) -> ViewState:
        """How far it is, and how much is open."""
        with self._client.pipeline(transaction=False) as pipeline:
            pipeline.hgetall(f"{self._prefix}meta")
            for index in (*(f"alerts:open:{rule}" for rule in RULES), "holds", "merges:open"):
                pipeline.zcard(self._prefix + index)
            meta, *counts = self._run(pipeline.execute)
        *by_rule, holds, merges = counts
        # Before the first event the mark is so far back that Redis writes it as 4.6e+18 below zero.
        watermark = int(float(meta.get("watermark", BEFORE_TIME)))
        return ViewState(
            watermark=watermark if watermark > BEFORE_TIME else None,
            updated_at=int(meta["updated_at"]) if "updated_at" in meta else None,
            events=msgspec.json.decode(meta.get("counts", "{}"), type=dict[str, int]).get("events", 0),
            open_alerts=dict(zip(RULES, by_rule, strict=True)),
            holds=holds,
            merges=merges,
        )

    def newest(self, count: int) -> list[AlertRecord]:
        """The newest alert steps, the newest first."""
        ids = self._run(lambda: self._client.zrevrange(f"{self._prefix}feed", 0, count - 1))
        if not ids:
            return []
        records = self._run(lambda: self._client.hmget(f"{self._prefix}feed:records", ids))
        return [msgspec.json.decode(record, type=AlertRecord) for record in records if record is not None]

    def _run(self, call: Any) -> Any:
        try:
            return call()
        except RedisError as error:
            raise ViewError(
                f"{self.place}: {error}", "check redis.url, that the server is up, and user and password in the URL"
            ) from error
