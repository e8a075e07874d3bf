"""One poll: page by page from where it stands, each record kept before the cursor moves."""

from collections.abc import Callable, Mapping, Sequence
from hashlib import sha256
from typing import Any

import msgspec
from msgspec import Struct

from events.model import UNREADABLE
from sources.mapping.paths import parse, walk
from sources.webhooks.delivery import JSON, Delivery
from sources.webhooks.polling.client import Page, PollError
from sources.webhooks.polling.cursors import Cursor
from sources.webhooks.polling.forms import PollForm
from sources.webhooks.raw import RawRecord, raw_record

Fetch = Callable[[str, Mapping[str, str], Mapping[str, str], float], Page]
Keep = Callable[[Sequence[RawRecord]], bool]
Save = Callable[[Cursor], None]
_SECONDS = 30.0
_NO_LIST: tuple[type[Exception], ...] = (*UNREADABLE, KeyError)
_LIST: msgspec.json.Decoder[list[msgspec.Raw]] = msgspec.json.Decoder(list[msgspec.Raw])
_TABLE: msgspec.json.Decoder[dict[str, msgspec.Raw]] = msgspec.json.Decoder(dict[str, msgspec.Raw])


class Changed(Struct, frozen=True):
    """A record of an answer: its bytes as they stand there, and when it changed."""

    raw: bytes
    moment_ms: int

    @property
    def digest(self) -> str:
        """What tells it from other records, and from itself after another change."""
        return sha256(self.raw).hexdigest()[:32]


class Poller:
    """Asks one interface."""

    def __init__(self, form: PollForm, route: str, topic: str, overlap_ms: int, fetch: Fetch) -> None:
        self._form = form
        self._route = route
        self._topic = topic
        self._overlap_ms = overlap_ms
        self._fetch = fetch

    def poll(self, cursor: Cursor, now_ms: int, keep: Keep, save: Save) -> int:
        """Ask until nothing is left; returns how many records were new.

        Each page is kept (``keep``), then the cursor saved: after a crash a page comes again, under the same keys.
        Raises PollError; what was kept before it stays kept.
        """
        count = 0
        since = max(0, cursor.since_ms - self._overlap_ms)
        number, url = 1, ""
        while True:
            page = self._page(since, number, url)
            changes = self._changes(page.body)
            fresh = [each for each in changes if each.digest not in cursor.seen]
            if not keep([self._record(each, now_ms) for each in fresh]):
                return count
            count += len(fresh)
            cursor = cursor.with_seen({each.digest: each.moment_ms for each in fresh}, now_ms, self._overlap_ms)
            save(cursor)
            if not self._form.numbered:
                if page.next_url is None:
                    return count
                url = page.next_url
            elif len(changes) < self._form.page_size:
                return count
            else:
                since, number = _next(since, number, changes)

    def _page(self, since: int, number: int, url: str) -> Page:
        """The next page's address is taken as it stands: it holds the query."""
        if url:
            return self._fetch(url, {}, self._form.headers, _SECONDS)
        return self._fetch(self._form.url, self._form.filled(since, number), self._form.headers, _SECONDS)

    def _changes(self, body: bytes) -> list[Changed]:
        try:
            value = msgspec.Raw(body)
            for step in parse(self._form.records):
                value = _TABLE.decode(value)[str(step)]
            return [self._changed(bytes(raw)) for raw in _LIST.decode(value)]
        except _NO_LIST:
            where = self._form.records or "the answer itself"
            raise PollError(f"the answer has no list of records at {where}: check records") from None

    def _changed(self, raw: bytes) -> Changed:
        record: Any = msgspec.json.decode(raw)
        moment = self._form.moment(walk(record, parse(self._form.updated)))
        if moment is None:
            raise PollError(f"a record has no readable moment at {self._form.updated}: check updated and since_format")
        return Changed(raw, moment)

    def _record(self, changed: Changed, now_ms: int) -> RawRecord:
        delivery = Delivery({"content-type": JSON}, b"", changed.raw, now_ms)
        return raw_record(self._route, self._topic, delivery, None, "poll")


def _next(since: int, number: int, changes: Sequence[Changed]) -> tuple[int, int]:
    """From the newest change of a full page on, its own second included; or the next number, where all are of one."""
    newest = max(each.moment_ms for each in changes) - 1000
    return (newest, 1) if newest // 1000 > since // 1000 else (since, number + 1)
