"""The service: numbers at once, whatever the broker does; nothing twice; nobody without the token."""

import asyncio
import base64
import http.client
import json
import logging
import threading
from collections.abc import Iterator, Mapping
from typing import Any
from urllib.parse import urlencode

import msgspec
import pytest

from config.settings import FallbackSettings
from sinks.metrics import Metrics
from sources.fallback.application import FallbackService
from sources.fallback.desk import Desk
from sources.fallback.journal import Entry, Place
from sources.fallback.numbers import number_of_request, read_number
from sources.reader import Waiting
from sources.webhooks.server import IntakeServer, listen
from tests.fallback.support import PHONE, SETTINGS, FakeDelivery, MemoryJournal, taken

TOKEN = "only for these tests"
BEARER = {"Authorization": f"Bearer {TOKEN}"}
ORDER = {"phone": PHONE, "product": "cherry", "quantity": "2"}


class Counter:
    """A running service in a thread, and the calls to it."""

    def __init__(self, settings: FallbackSettings = SETTINGS.fallback, earlier: tuple[Entry, ...] = ()) -> None:
        self.journal, self.delivery, self.metrics = MemoryJournal(), FakeDelivery(), Metrics()
        self.settings, self.earlier = settings, earlier
        intake = msgspec.structs.replace(SETTINGS.intake, port=0)
        self.opened = listen(intake)
        self.port = self.opened.getsockname()[1]
        self.server: IntakeServer | None = None
        self.thread = threading.Thread(target=lambda: asyncio.run(self._serve(intake)), daemon=True)
        self.thread.start()

    async def _serve(self, intake: Any) -> None:
        desk = Desk(self.settings, self.journal, self.delivery, self.earlier)
        service = FallbackService(desk, TOKEN, self.metrics, lambda: self.delivery.waiting)
        self.server = IntakeServer(service.application(), intake)
        await self.server.serve(sockets=[self.opened])

    def close(self) -> None:
        assert self.server is not None
        self.server.should_exit = True
        self.thread.join(20)

    def call(self, method: str, path: str, body: bytes = b"", headers: Mapping[str, str] | None = None) -> Any:
        """Status, body and headers."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=10)
        try:
            connection.request(method, path, body or None, dict(BEARER if headers is None else headers))
            answer = connection.getresponse()
            return answer.status, answer.read().decode(), answer.headers
        finally:
            connection.close()

    def post(self, **fields: Any) -> tuple[int, dict[str, Any]]:
        """An order as JSON."""
        headers = BEARER | {"Content-Type": "application/json"}
        status, body, _ = self.call("POST", "/fallback/orders", json.dumps(ORDER | fields).encode(), headers)
        return status, json.loads(body)

    def submit(self, headers: Mapping[str, str] | None = None, **fields: str) -> tuple[int, str]:
        """The page's form, by somebody who has logged in."""
        login = base64.b64encode(f"li.na:{TOKEN}".encode()).decode()
        own = {"Authorization": f"Basic {login}", "Content-Type": "application/x-www-form-urlencoded"}
        body = urlencode(ORDER | fields).encode()
        status, text, _ = self.call("POST", "/fallback/orders", body, own | dict(headers or {}))
        return status, text


@pytest.fixture
def counter() -> Iterator[Counter]:
    running = Counter()
    yield running
    running.close()


@pytest.fixture
def impatient() -> Iterator[Counter]:
    """A service that waits for the broker for 50 ms, and lets three orders wait for it."""
    running = Counter(msgspec.structs.replace(SETTINGS.fallback, acknowledge_within=50, journal_orders=3))
    yield running
    running.close()


def test_an_order_gets_its_number_at_once(counter: Counter) -> None:
    status, answer = counter.post(amount="500.01")
    assert status == 201
    assert read_number(answer["order_id"]) == answer["order_id"]
    assert (answer["priority"], answer["delivered"]) == ("high", True)
    (order,) = counter.delivery.orders
    assert (order.order.phone, order.order.items[0].quantity, order.order.amount) == (PHONE, 2, 50_001)


def test_numbers_in_json_may_be_numbers(counter: Counter) -> None:
    assert counter.post(phone=13800001234, quantity=2, amount=12.5)[0] == 201
    assert counter.delivery.orders[0].order.amount == 1_250


def test_the_same_request_is_one_order(counter: Counter) -> None:
    first, again = counter.post(request_id="A-1"), counter.post(request_id="A-1")
    assert first[0] == 201
    assert again[0] == 200
    assert first[1]["order_id"] == again[1]["order_id"] == number_of_request("A-1")
    assert len(counter.journal.batches) == 1
    assert counter.post(request_id="A-1", quantity="3")[0] == 409


def test_a_request_from_before_a_restart_is_known() -> None:
    number = number_of_request("A-1")
    before = Entry((taken(number, quantity="2", request_id="A-1"),), Place(1, 1))
    running = Counter(earlier=(before,))
    try:
        assert running.post(request_id="A-1") == (200, {"order_id": number, "priority": "normal", "delivered": True})
        assert [order.order_id for order in running.delivery.orders] == [number]
        assert running.journal.batches == []
    finally:
        running.close()


def test_while_the_broker_is_away_numbers_are_given_all_the_same(impatient: Counter) -> None:
    impatient.delivery.silent = True
    status, answer = impatient.post()
    assert (status, answer["delivered"]) == (201, False)
    impatient.delivery.waiting = Waiting(0, "the broker does not answer")
    assert impatient.post()[1]["delivered"] is False
    status, body, _ = impatient.call("GET", "/readyz")
    assert status == 503
    assert json.loads(body)["reason"] == "2 orders wait in the journal: the broker does not answer"
    assert impatient.call("GET", "/healthz")[0] == 200


def test_the_journal_has_a_limit(impatient: Counter) -> None:
    impatient.delivery.silent = True
    assert [impatient.post()[0] for _ in range(4)] == [201, 201, 201, 503]
    for done in impatient.delivery.owed:
        done()
    impatient.delivery.silent = False
    assert impatient.post()[0] == 201


def test_what_the_disk_does_not_take_gets_no_number(counter: Counter) -> None:
    counter.journal.fails = OSError(28, "No space left on device")
    status, answer = counter.post(request_id="A-1")
    assert (status, answer["error"]) == (503, "not_kept")
    counter.journal.fails = None
    assert counter.post(request_id="A-1")[0] == 201


def test_what_is_wrong_is_named_by_field_in_both_languages(counter: Counter) -> None:
    status, answer = counter.post(phone="12", quantity="0")
    assert status == 422
    assert [(each["field"], each["zh"]) for each in answer["fields"]] == [
        ("phone", "不是有效的电话号码"),
        ("quantity", "须为 1 到 1000000 的整数"),
    ]
    assert counter.journal.batches == []


def test_without_the_token_nobody_comes_in(counter: Counter) -> None:
    for headers in ({}, {"Authorization": "Bearer wrong"}, {"Authorization": "Basic !"}, {"Authorization": TOKEN}):
        for method, path in (("GET", "/fallback"), ("POST", "/fallback/orders")):
            status, _, answered = counter.call(method, path, headers=headers)
            assert status == 401
            assert answered["www-authenticate"].startswith("Basic")


def test_the_page_takes_an_order_and_shows_its_number(counter: Counter) -> None:
    status, page, headers = counter.call("GET", "/fallback")
    assert status == 200
    assert "手机号" in page
    assert "Phone" in page
    assert "script" not in page
    assert headers["cache-control"] == "no-store"
    status, page = counter.submit(request_id="click-1", name="王小明")
    assert status == 201
    assert number_of_request("click-1") in page
    assert counter.submit(request_id="click-1", name="王小明")[0] == 200, "a second click"
    (order,) = counter.delivery.orders
    assert order.order.operator == "li.na"


def test_the_page_shows_what_was_wrong_and_keeps_the_rest(counter: Counter) -> None:
    status, page = counter.submit(phone="12", product='<b>"x"</b>')
    assert status == 422
    assert "is no phone number" in page
    assert "&lt;b&gt;&quot;x&quot;&lt;/b&gt;" in page
    assert "<b>" not in page


@pytest.mark.parametrize("headers", [{"Origin": "https://elsewhere.example"}, {"Sec-Fetch-Site": "cross-site"}])
def test_a_form_on_a_page_of_somebody_else_is_refused(counter: Counter, headers: dict[str, str]) -> None:
    assert counter.submit(headers)[0] == 403
    assert counter.submit({"Origin": f"http://127.0.0.1:{counter.port}", "Sec-Fetch-Site": "same-origin"})[0] == 201


@pytest.mark.parametrize(
    ("body", "kind", "status"),
    [
        (b"{", "application/json", 400),
        (b"[]", "application/json", 400),
        (b'{"phone":{}}', "application/json", 400),
        (b'{"phone":"1","phone":"2"}', "application/json", 400),
        (b"[" * 60_000, "application/json", 400),
        (b"a=1&a=2", "application/x-www-form-urlencoded", 400),
        (b"\xff=1", "application/x-www-form-urlencoded", 400),
        (b"x" * 70_000, "application/json", 413),
        (b"x", "text/plain", 415),
    ],
)
def test_what_cannot_be_read_is_refused(counter: Counter, body: bytes, kind: str, status: int) -> None:
    assert counter.call("POST", "/fallback/orders", body, BEARER | {"Content-Type": kind})[0] == status


def test_the_log_has_no_phone_and_no_name(counter: Counter, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO, "orderpulse.fallback.access"):
        counter.post(name="王小明", remark="secret")
    assert "138****1234" in caplog.text
    assert not {PHONE, "王小明", "secret"} & set(caplog.text.split())
    assert PHONE not in caplog.text


def test_orders_that_come_together_share_a_write(counter: Counter) -> None:
    threads = [threading.Thread(target=counter.post) for _ in range(40)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len({order.order_id for order in counter.delivery.orders}) == 40
    assert len(counter.journal.batches) == 40
    assert counter.journal.writes <= 40
