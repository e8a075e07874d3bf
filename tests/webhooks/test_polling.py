"""The slow poll against a local server that behaves as the platforms document it."""

import json
import threading
from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, datetime
from hashlib import sha256
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest

from config.loader import load_settings
from config.problems import ConfigurationError
from sinks.metrics import Metrics
from sources.reader import SourceError
from sources.webhooks.polling.client import PollError, fetch
from sources.webhooks.polling.cursors import Cursor, CursorFiles
from sources.webhooks.polling.forms import poll_form
from sources.webhooks.polling.poll_run import PollRun, Scheduled
from sources.webhooks.polling.poller import Poller
from sources.webhooks.raw import RawRecord

START_S = 1_770_000_000
NOW_MS = (START_S + 100_000) * 1000
Answer = tuple[int, dict[str, str], bytes]


def iso(seconds: int, end: str = "Z") -> str:
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%S") + end


def seconds_of(text: str) -> int:
    return int(datetime.fromisoformat(text).timestamp())


class Platform:
    """A server with orders: id -> second of the last change. ``answer`` says what a request gets."""

    def __init__(self) -> None:
        self.orders: dict[int, int] = {}
        self.requests: list[dict[str, str]] = []
        self.headers: list[dict[str, str]] = []
        self.answer: Callable[[dict[str, str]], Answer] = lambda _: (500, {}, b"")
        platform = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                query = {name: values[0] for name, values in parse_qs(urlsplit(self.path).query).items()}
                platform.requests.append(query)
                platform.headers.append({name.lower(): value for name, value in self.headers.items()})
                status, headers, body = platform.answer(query)
                self.send_response(status)
                for name, value in {**headers, "Content-Length": str(len(body))}.items():
                    self.send_header(name, value)
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_: Any) -> None:
                """Nothing."""

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_address[1]}/orders"
        threading.Thread(target=self.server.serve_forever, args=(0.02,), daemon=True).start()

    def sorted(self, since: int, *, inclusive: bool) -> list[tuple[int, int]]:
        found = [each for each in self.orders.items() if each[1] > since or (inclusive and each[1] == since)]
        return sorted(found, key=lambda each: (each[1], each[0]))

    def shopify(self, query: dict[str, str]) -> Answer:
        """Pages behind links, which take no other parameters along."""
        at = query.get("page_info", "0:0")
        since, skip = (int(part) for part in at.split(":"))
        if "page_info" not in query:
            since = seconds_of(query["updated_at_min"])
        found = self.sorted(since, inclusive=True)[skip:]
        page, rest = found[: int(query["limit"])], found[int(query["limit"]) :]
        link = f'<{self.url}?limit={query["limit"]}&page_info={since}:{skip + len(page)}>; rel="next"'
        orders = [{"id": number, "updated_at": iso(moment, "+00:00")} for number, moment in page]
        headers = {"Link": f'<{self.url}?page_info=x>; rel="previous", {link}'} if rest else {}
        return 200, headers, json.dumps({"orders": orders}).encode()

    def woocommerce(self, query: dict[str, str]) -> Answer:
        """Numbered pages of what changed after a moment, that moment excluded; times without a zone."""
        size, number = int(query["per_page"]), int(query["page"])
        found = self.sorted(seconds_of(query["modified_after"]), inclusive=False)[(number - 1) * size : number * size]
        orders = [{"id": order, "date_modified_gmt": iso(moment, "")} for order, moment in found]
        return 200, {"Link": f'<{self.url}?page={number + 1}>; rel="next"'}, json.dumps(orders).encode()


@pytest.fixture
def platform() -> Iterator[Platform]:
    made = Platform()
    yield made
    made.server.shutdown()
    made.server.server_close()


class Kept:
    """What a poll brought, and where its cursor stands."""

    def __init__(self, start_s: int = START_S) -> None:
        self.records: list[RawRecord] = []
        self.cursor = Cursor(start_s * 1000)
        self.breaks_after: int | None = None

    def keep(self, records: Sequence[RawRecord]) -> bool:
        if self.breaks_after is not None and len(self.records) >= self.breaks_after:
            raise SourceError("crash", "here", "none")
        self.records += records
        return True

    def save(self, cursor: Cursor) -> None:
        self.cursor = cursor

    @property
    def ids(self) -> list[int]:
        return [json.loads(record.value)["id"] for record in self.records]


def poller(url: str, adapter: str = "shopify", overlap_s: int = 10, **other: Any) -> Poller:
    poll = {"route": "shop", "adapter": adapter, "url": url, "interval": "1m", **other}
    route = {"profile": "p", "scheme": "shopify", "secret_env": ["S"]}
    settings = load_settings(None, {"intake": {"routes": {"shop": route}, "polls": {"all": poll}}})
    return Poller(poll_form(settings.intake.polls["all"]), "shop", "orders.raw.shop.v1", overlap_s * 1000, fetch)


def ask(asked: Poller, kept: Kept, now_ms: int = NOW_MS) -> int:
    return asked.poll(kept.cursor, now_ms, kept.keep, kept.save)


def adapted(platform: Platform, adapter: str, size: int) -> Poller:
    platform.answer = platform.shopify if adapter == "shopify" else platform.woocommerce
    sizes = {"limit": str(size)} if adapter == "shopify" else {"per_page": str(size)}
    return poller(platform.url, adapter, query=sizes, page_size=size)


@pytest.mark.parametrize("adapter", ["shopify", "woocommerce"])
def test_all_that_changed_comes_once_over_many_pages(platform: Platform, adapter: str) -> None:
    platform.orders = {number: START_S + number for number in range(1, 26)}
    kept = Kept()
    assert ask(adapted(platform, adapter, 4), kept) == 25
    assert kept.ids == list(range(1, 26))


@pytest.mark.parametrize("adapter", ["shopify", "woocommerce"])
def test_a_second_poll_brings_only_what_changed_since(platform: Platform, adapter: str) -> None:
    platform.orders = {1: START_S + 1, 2: START_S + 2}
    asked, kept = adapted(platform, adapter, 4), Kept()
    ask(asked, kept)
    assert ask(asked, kept) == 0
    platform.orders |= {1: START_S + 50, 3: START_S + 2}  # changed again; and one that became visible late
    assert ask(asked, kept) == 2
    assert sorted(kept.ids) == [1, 1, 2, 3]


@pytest.mark.parametrize("adapter", ["shopify", "woocommerce"])
def test_more_changes_in_one_second_than_a_page_holds_all_come(platform: Platform, adapter: str) -> None:
    platform.orders = dict.fromkeys(range(1, 12), START_S + 5) | {99: START_S + 6}
    kept = Kept()
    assert ask(adapted(platform, adapter, 3), kept) == 12


def test_an_order_that_changes_while_pages_are_read_hides_no_other(platform: Platform) -> None:
    """Numbered pages shift when an order of an earlier page moves to the end: here before each page."""
    platform.orders = {number: START_S + number for number in range(1, 13)}
    asked, kept = adapted(platform, "woocommerce", 4), Kept()
    plain = platform.answer
    moved = iter(range(1, 6))

    def shifting(query: dict[str, str]) -> Answer:
        given = plain(query)
        platform.orders[next(moved, 1)] = START_S + 1000 + len(platform.requests)
        return given

    platform.answer = shifting
    ask(asked, kept)
    assert set(kept.ids) == set(range(1, 13))


@pytest.mark.parametrize("adapter", ["shopify", "woocommerce"])
def test_after_a_crash_between_pages_nothing_is_missing(platform: Platform, adapter: str) -> None:
    platform.orders = {number: START_S + number for number in range(1, 21)}
    asked, kept = adapted(platform, adapter, 4), Kept()
    kept.breaks_after = 8
    with pytest.raises(SourceError):
        ask(asked, kept)
    kept.breaks_after = None
    ask(asked, kept)
    assert kept.ids == list(range(1, 21))


def test_a_record_comes_as_the_platform_wrote_it(platform: Platform) -> None:
    raw = b'{"id": 6917529027641081857,  "updated_at":"2026-02-02T10:40:01+08:00", "total": 12.10}'
    platform.answer = lambda _: (200, {}, b'{"orders": [' + raw + b"]}")
    kept = Kept()
    ask(poller(platform.url), kept)
    assert kept.records[0].value == raw
    assert dict(kept.records[0].headers)["op_origin"] == b"poll"


def test_a_change_in_the_future_does_not_hide_later_ones(platform: Platform) -> None:
    platform.orders = {1: NOW_MS // 1000 + 86_400}
    asked, kept = adapted(platform, "shopify", 4), Kept()
    ask(asked, kept)
    platform.orders[2] = NOW_MS // 1000 + 1
    ask(asked, kept, NOW_MS + 60_000)
    assert kept.ids == [1, 2]


def test_the_generic_adapter_asks_as_it_is_told(platform: Platform, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ERP_TOKEN", "s3cret")
    platform.answer = lambda _: (200, {}, b'{"data": {"list": [{"no": 1, "meta": {"at": "1770000005"}}]}}')
    asked = poller(
        platform.url,
        "generic",
        headers={"Authorization": "Bearer ${ERP_TOKEN}"},
        query={"from": "{since}", "p": "{page}"},
        records="data.list",
        updated="meta.at",
        since_format="epoch_s",
    )
    kept = Kept()
    assert ask(asked, kept) == 1
    assert platform.requests == [{"from": str(START_S - 10), "p": "1"}]
    assert platform.headers[0]["authorization"] == "Bearer s3cret"


# What goes wrong


@pytest.mark.parametrize(
    ("answer", "told"),
    [
        ((500, {}, b""), "127.0.0.1:{port} answers 500"),
        ((302, {"Location": "http://elsewhere.example/"}, b""), "answers 302"),
        ((200, {}, b"<html>"), "no list of records at orders"),
        ((200, {}, b'{"orders": {}}'), "no list of records at orders"),
        ((200, {}, b'{"orders": [{"id": 1}]}'), "no readable moment at updated_at"),
        ((200, {"Link": '<http://elsewhere.example/>; rel="next"'}, b'{"orders": []}'), "at another host"),
    ],
)
def test_an_answer_that_is_no_use_is_told(platform: Platform, answer: Answer, told: str) -> None:
    platform.answer = lambda _: answer
    with pytest.raises(PollError) as caught:
        ask(poller(platform.url), Kept())
    assert told.format(port=platform.server.server_address[1]) in caught.value.what


def test_a_platform_that_is_away_is_told_without_secrets() -> None:
    asked = poller("http://127.0.0.1:1/orders?key=s3cret")
    with pytest.raises(PollError, match=r"127\.0\.0\.1:1 does not answer: URLError") as caught:
        ask(asked, Kept())
    assert "s3cret" not in caught.value.what


def test_a_poll_that_fails_waits_longer_each_time_and_as_long_as_it_is_asked_to() -> None:
    scheduled = Scheduled("all", poller("http://127.0.0.1:1/"), 60_000, None)
    pauses = []
    for _ in range(9):
        scheduled.failed(0, None)
        pauses.append(scheduled.due_ms // 60_000)
    assert pauses == [1, 2, 4, 8, 16, 32, 60, 60, 60]
    scheduled.succeeded(0)
    scheduled.failed(0, 600.0)
    assert scheduled.due_ms == 600_000


class Producer:
    """Keeps what it is given."""

    def __init__(self) -> None:
        self.values: list[bytes] = []

    def produce(self, topic: str, key: str | bytes | None, value: bytes, headers: Any) -> None:
        del topic, key, headers
        self.values.append(value)

    def flush(self) -> bool:
        return True


def test_a_run_goes_on_after_a_failure_and_counts(platform: Platform, tmp_path: Path) -> None:
    platform.orders = {1: START_S + 1}
    counts, producer, cursors, now = Metrics(), Producer(), CursorFiles(tmp_path), [NOW_MS / 1000]
    scheduled = Scheduled("all", poller(platform.url, query={"limit": "10"}), 60_000, START_S * 1000)
    run = PollRun([scheduled], cursors, producer, counts, lambda: bool(producer.values), lambda: now[0])
    asked = []

    def pause(seconds: float) -> None:
        asked.append(round(seconds))
        now[0] += seconds
        platform.answer = platform.shopify

    run.run(pause)

    assert asked == [60, 60]
    text = counts.render()
    assert b'orderpulse_intake_poll_failures_total{poll="all"} 1.0' in text
    assert b'orderpulse_intake_polled_records_total{poll="all"} 1.0' in text
    seen = {sha256(value).hexdigest()[:32]: (START_S + 1) * 1000 for value in producer.values}
    assert cursors.load("all") == Cursor((START_S + 1) * 1000, seen)


def test_a_damaged_cursor_is_told_with_its_file(tmp_path: Path) -> None:
    (tmp_path / "all.json").write_text("{", encoding="utf-8")
    with pytest.raises(SourceError, match=r"all\.json"):
        CursorFiles(tmp_path).load("all")


@pytest.mark.parametrize(
    ("poll", "field"),
    [
        ({"route": "nobody"}, "route"),
        ({"url": "http://shop.example/orders"}, "url"),
        ({"interval": "500ms"}, "interval"),
        ({"adapter": "generic", "query": {"a": "{since}"}, "updated": "u", "since_format": "iso"}, "records"),
        ({"adapter": "generic", "records": "", "updated": "u", "since_format": "iso"}, "query"),
    ],
)
def test_a_poll_that_cannot_work_is_refused_with_its_field(poll: dict[str, Any], field: str) -> None:
    good = {"route": "shop", "adapter": "shopify", "url": "https://shop.example/orders.json", "interval": "5m"}
    route = {"profile": "p", "scheme": "shopify", "secret_env": ["S"]}
    with pytest.raises(ConfigurationError) as caught:
        load_settings(None, {"intake": {"routes": {"shop": route}, "polls": {"all": good | poll}}})
    assert [problem.field for problem in caught.value.problems] == [f"intake.polls.all.{field}"]
