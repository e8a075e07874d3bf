"""The service from outside: what callers hear, and what is on the raw topic by then."""

import asyncio
import json
import logging
import socket
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from ipaddress import ip_network

import msgspec
import pytest

from config.loader import load_settings
from config.settings import IntakeSettings
from sources.reader import SourceError, Waiting
from sources.webhooks.application import Door
from sources.webhooks.broker import NotKeptError
from sources.webhooks.remembered import Remembered
from sources.webhooks.schemes.body_hmac import Shopify
from sources.webhooks.server import listen
from tests.webhooks.support import SECRET, Service, order, running, shopify_headers


def settings(**other: object) -> IntakeSettings:
    return load_settings(None, {"intake": {"replay_window": "1m", **other}}).intake


@pytest.fixture(scope="module")
def shared() -> Iterator[Service]:
    with running(settings(body_limit=2000, body_timeout="300ms", acknowledge_within="200ms")) as service:
        yield service


@pytest.fixture
def service(shared: Service) -> Service:
    shared.topics.records.clear()
    shared.topics.waiting = shared.topics.fails = None
    shared.topics.silent = False
    return shared


def counted(service: Service, outcome: str, route: str = "shop") -> bool:
    wanted = f'orderpulse_intake_requests_total{{outcome="{outcome}",route="{route}"}}'
    return wanted.encode() in service.metrics.render()


# Taken in


def test_a_genuine_delivery_is_on_the_raw_topic_when_it_is_answered(service: Service) -> None:
    body = order(1)
    status, _, _ = service.post(body, shopify_headers(body) | {"X-Shopify-Webhook-Id": "w-1"})

    assert status == 200
    (record,) = service.topics.records
    assert (record.topic, record.key, record.value) == ("orders.raw.shop.v1", b"w-1", body)
    assert dict(record.headers)["op_route"] == b"shop"
    assert counted(service, "accepted")


def test_a_delivery_without_an_id_is_keyed_by_its_body(service: Service) -> None:
    service.post(order(2))
    (record,) = service.topics.records
    assert len(record.key) == 64


def test_secrets_of_headers_and_query_do_not_reach_the_topic(service: Service) -> None:
    body = order(3)
    secrets = {"Authorization": "Bearer s3cret", "Cookie": "c=s3cret"}
    headers = shopify_headers(body) | secrets | {"X-Shopify-Topic": "orders/paid"}
    service.post(body, headers, "/hooks/shop?access_token=s3cret&page=2")

    (record,) = service.topics.records
    kept = dict(record.headers)
    assert kept["http_x-shopify-topic"] == b"orders/paid"
    assert kept["op_query"] == b"access_token=(left out)&page=2"
    assert kept["http_authorization"] == kept["http_x-shopify-hmac-sha256"] == b"(left out)"
    assert not any(b"s3cret" in value for value in kept.values())


def test_bytes_that_are_no_text_come_through_as_they_are(service: Service) -> None:
    body = bytes(range(256))
    assert service.post(body)[0] == 200
    assert service.topics.records[0].value == body


# Repetitions


def test_a_repetition_within_the_window_is_answered_and_not_kept_twice(service: Service) -> None:
    body = order(4)
    for webhook_id in ("w-1", "w-1", "w-2"):  # the id is not signed: a repetition may come under any
        assert service.post(body, shopify_headers(body) | {"X-Shopify-Webhook-Id": webhook_id})[0] == 200

    assert len(service.topics.records) == 1
    assert counted(service, "repeated")


def test_one_body_of_two_kinds_of_message_is_two_deliveries(service: Service) -> None:
    body = order(5)
    for topic in ("orders/create", "orders/updated"):
        service.post(body, shopify_headers(body) | {"X-Shopify-Topic": topic})
    assert len(service.topics.records) == 2


def test_a_repetition_of_what_was_not_kept_is_kept(service: Service) -> None:
    service.topics.fails = NotKeptError("broker gone")
    assert service.post(order(6))[0] == 503
    service.topics.fails = None
    assert service.post(order(6))[0] == 200
    assert len(service.topics.records) == 2


def test_repetitions_at_once_wait_for_the_first(service: Service) -> None:
    service.topics.silent = True
    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(lambda _: service.post(order(7))[0], range(8)))
    assert answers == [503] * 8
    assert len(service.topics.records) == 1


def test_deliveries_are_forgotten_after_the_window_and_beyond_the_limit() -> None:
    async def scenario() -> list[bool]:
        now = [0]
        remembered = Remembered(window_ms=100, most=2, clock_ms=lambda: now[0])
        kept: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        for name in (b"a", b"b", b"c"):
            remembered.note(name, kept)
        first = [remembered.find(name) is not None for name in (b"a", b"b", b"c")]
        now[0] = 100
        return [*first, remembered.find(b"c") is not None, len(remembered) == 0]

    assert asyncio.run(scenario()) == [False, True, True, False, True]


# Refused


@pytest.mark.parametrize(
    ("headers", "word"),
    [({}, "unsigned"), ({"X-Shopify-Hmac-Sha256": "AAAA"}, "bad_signature")],
)
def test_what_is_not_genuine_is_refused_and_not_kept(service: Service, headers: dict[str, str], word: str) -> None:
    status, body, _ = service.post(order(8), headers)

    assert status == 401
    assert json.loads(body)["error"] == word
    assert service.topics.records == []
    assert counted(service, word)


def test_an_unknown_route_is_refused(service: Service) -> None:
    assert service.post(order(9), path="/hooks/nobody")[0] == 404
    assert counted(service, "no_route", "(unknown)")


def test_another_method_is_refused(service: Service) -> None:
    assert service.get("/hooks/shop")[0] == 405


def test_a_body_that_announces_to_be_too_large_is_refused_before_it_is_read(service: Service) -> None:
    with service.connect() as connection:
        connection.sendall(b"POST /hooks/shop HTTP/1.1\r\nHost: x\r\nContent-Length: 999999999\r\n\r\n")
        answer = connection.recv(4096)
        assert answer.startswith(b"HTTP/1.1 413")
        assert b"connection: close" in answer.lower()


def test_a_body_that_turns_out_to_be_too_large_is_refused(service: Service) -> None:
    with service.connect() as connection:
        connection.sendall(b"POST /hooks/shop HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n")
        for _ in range(3):
            connection.sendall(b"3e8\r\n" + bytes(1000) + b"\r\n")
        assert connection.recv(4096).startswith(b"HTTP/1.1 413")
    assert service.topics.records == []


def test_the_largest_body_is_taken(service: Service) -> None:
    assert service.post(bytes(2000))[0] == 200
    assert service.post(bytes(2001))[0] == 413


def test_a_body_that_comes_too_slowly_is_refused(service: Service) -> None:
    started = time.monotonic()
    with service.connect() as connection:
        connection.sendall(b"POST /hooks/shop HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\nsome")
        assert connection.recv(4096).startswith(b"HTTP/1.1 408")
    assert time.monotonic() - started < 5
    assert counted(service, "slow")


@pytest.mark.parametrize("beginning", [b"", b"POST /hooks/shop HTTP/1.1\r\nHost: x\r\n"])
def test_headers_that_do_not_come_end_the_connection(service: Service, beginning: bytes) -> None:
    with service.connect() as connection:
        connection.sendall(beginning)
        assert ended(connection)


def test_headers_that_drip_in_for_ever_end_the_connection(service: Service) -> None:
    with service.connect() as connection:
        connection.sendall(b"POST /hooks/shop HTTP/1.1\r\n")
        assert cut_off(connection, [f"x-{number}: y\r\n".encode() for number in range(200)])


def test_headers_without_end_are_refused_by_size() -> None:
    # No caller of this service is cut off for being slow.
    with running(settings(body_timeout="10m")) as service, service.connect() as connection:
        connection.sendall(b"POST /hooks/shop HTTP/1.1\r\nx: ")
        assert cut_off(connection, [b"y" * 10_000] * 500)


def cut_off(connection: socket.socket, parts: list[bytes]) -> bool:
    """Whether the connection ends while these are sent, one every ten milliseconds."""
    try:
        for part in parts:
            connection.sendall(part)
            time.sleep(0.01)
    except ConnectionError:
        return True
    return False


def ended(connection: socket.socket) -> bool:
    try:
        return connection.recv(4096) == b""
    except ConnectionResetError:
        return True


def test_a_connection_may_be_used_again_and_again(service: Service) -> None:
    with service.connect() as connection:
        for number in range(3):
            body = order(100 + number)
            lines = [f"{name}: {value}" for name, value in shopify_headers(body).items()]
            head = "\r\n".join(["POST /hooks/shop HTTP/1.1", "Host: x", f"Content-Length: {len(body)}", *lines, "", ""])
            connection.sendall(head.encode() + body)
            assert connection.recv(4096).startswith(b"HTTP/1.1 200")
            time.sleep(0.2)
    assert len(service.topics.records) == 3


def test_only_configured_addresses_may_call() -> None:
    for network, status in (("127.0.0.0/8", 200), ("203.0.113.0/24", 403)):
        doors = {"shop": Door("shop", Shopify((SECRET,)), "t", (ip_network(network),))}
        with running(settings(), doors) as service:
            assert service.post(order(1))[0] == status


def test_behind_a_trusted_proxy_the_caller_is_whom_the_proxy_names() -> None:
    doors = {"shop": Door("shop", Shopify((SECRET,)), "t", (ip_network("203.0.113.0/24"),))}
    body = order(1)
    headers = shopify_headers(body) | {"X-Forwarded-For": "203.0.113.9"}
    for proxies, status in ((["127.0.0.1"], 200), ([], 403)):
        with running(settings(trusted_proxies=proxies), doors) as service:
            assert service.post(body, headers)[0] == status


# The broker


def test_while_the_broker_is_away_callers_are_told_to_come_back(service: Service) -> None:
    service.topics.waiting = Waiting(1, "no answer from Kafka")
    status, body, headers = service.post(order(10))

    assert status == 503
    assert json.loads(body)["error"] == "broker_away"
    assert headers["Retry-After"] == "5"
    assert service.get("/healthz")[0] == 200
    assert service.get("/readyz") == (
        503,
        b'{"ready":false,"reason":"waits for the broker: no answer from Kafka"}',
    )
    assert service.topics.records == []


def test_a_broker_that_does_not_acknowledge_in_time_is_no_yes(service: Service) -> None:
    service.topics.silent = True
    status, _, headers = service.post(order(11))
    assert status == 503
    assert headers["Retry-After"] == "5"


def test_what_the_broker_will_never_take_is_refused_for_good(service: Service) -> None:
    service.topics.fails = NotKeptError("too large", too_large=True)
    assert service.post(order(12))[0] == 413


def test_ready_when_the_broker_is_there(service: Service) -> None:
    assert service.get("/readyz") == (200, b'{"ready":true,"reason":""}')


# Logging, listening


def test_the_access_log_tells_nothing_personal(service: Service, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO):
        body = order(13, phone="13812345678", name="Li Lei")
        service.post(body, path="/hooks/shop?phone=13812345678&token=s3cret")
        service.post(body, {"X-Shopify-Hmac-Sha256": "s3cret"}, "/hooks/shop?phone=13812345678")

    told = [record.getMessage() for record in caplog.records if record.name == "orderpulse.intake.access"]
    assert len(told) == 2
    assert told[0].startswith("shop 200 accepted, ")
    everything = caplog.text
    assert not any(word in everything for word in ("138", "Li Lei", "s3cret", "127.0.0.1"))


def test_an_address_that_is_taken_is_told() -> None:
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        with pytest.raises(SourceError, match=r"intake\.port"):
            listen(msgspec.structs.replace(settings(), port=other.getsockname()[1]))
