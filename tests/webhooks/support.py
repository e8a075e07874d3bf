"""A webhook service in a thread, with raw topics that do as they are told; and senders that sign."""

import asyncio
import base64
import hmac
import http.client
import socket
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import msgspec

from config.loader import load_settings
from config.settings import IntakeSettings, Settings
from sinks.metrics import Metrics
from sources.reader import Waiting
from sources.webhooks.application import Door, Intake
from sources.webhooks.broker import NotKeptError
from sources.webhooks.delivery import Delivery
from sources.webhooks.raw import RawRecord
from sources.webhooks.schemes.body_hmac import Shopify
from sources.webhooks.server import IntakeServer, listen

SECRET = b"hush"
NOW_MS = 1_770_000_000_000

PROFILE = """
name = "shop"
source = "shop"
[money]
unit = "major"
currency = "CNY"
[inputs.order]
format = "json"
fields = ["id", "created_at"]
[[events]]
name = "created"
from = "order"
type = "order.created"
id = { template = "{id}/created" }
time = "created_at"
order_id = "id"
amount = "total"
[[events]]
name = "paid"
from = "order"
type = "payment.succeeded"
when = { paid_at = { present = true } }
id = { template = "{id}/paid" }
time = "paid_at"
order_id = "id"
amount = "total"
"""


def order(number: int, *, paid: bool = False, **other: Any) -> bytes:
    """An order as the shop of PROFILE sends it."""
    minute = f"{number // 60 % 24:02}:{number % 60:02}"
    document = {"id": number, "created_at": f"2026-02-02T{minute}:00Z", "total": "12.50"}
    if paid:
        document["paid_at"] = f"2026-02-02T{minute}:30Z"
    return msgspec.json.encode(document | other)


def shopify_headers(body: bytes, secret: bytes = SECRET) -> dict[str, str]:
    """What Shopify sends beside a body."""
    signature = base64.b64encode(hmac.digest(secret, body, "sha256")).decode()
    return {"Content-Type": "application/json", "X-Shopify-Hmac-Sha256": signature}


def delivery(
    body: bytes = b"",
    query: bytes = b"",
    received_ms: int = NOW_MS,
    named: Mapping[str, str] | None = None,
    **headers: str,
) -> Delivery:
    """A delivery; in the names of headers an underscore stands for a dash."""
    found = {name.replace("_", "-").lower(): value for name, value in {**(named or {}), **headers}.items()}
    return Delivery(found, query, body, received_ms)


def shop_settings(directory: Path, kafka: str = "127.0.0.1:1", **intake: Any) -> Settings:
    """Settings with one route ``shop``, signed like Shopify's, mapped by PROFILE."""
    profile = directory / "shop.toml"
    profile.write_text(PROFILE, encoding="utf-8")
    route = {"profile": str(profile), "scheme": "shopify", "secret_env": ["SHOP_SECRET"]}
    return load_settings(None, {"kafka": {"bootstrap": kafka}, "intake": {"routes": {"shop": route}, **intake}})


class FakeTopics:
    """Raw topics in memory. ``silent``: what is handed over stays unanswered; ``fails``: it is not kept."""

    def __init__(self) -> None:
        self.records: list[RawRecord] = []
        self.waiting: Waiting | None = None
        self.silent = False
        self.fails: NotKeptError | None = None

    def keep(self, record: RawRecord) -> asyncio.Future[None]:
        outcome: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self.records.append(record)
        if self.fails is not None:
            outcome.set_exception(self.fails)
        elif not self.silent:
            outcome.set_result(None)
        return outcome


class Service:
    """A running service, and the calls to it."""

    def __init__(self, port: int, topics: FakeTopics, metrics: Metrics) -> None:
        self.port = port
        self.topics = topics
        self.metrics = metrics

    def post(
        self, body: bytes, headers: Mapping[str, str] | None = None, path: str = "/hooks/shop"
    ) -> tuple[int, bytes, http.client.HTTPMessage]:
        """Status, body and headers of the answer; signed unless headers are given."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=10)
        try:
            connection.request("POST", path, body, dict(shopify_headers(body) if headers is None else headers))
            answer = connection.getresponse()
            return answer.status, answer.read(), answer.headers
        finally:
            connection.close()

    def get(self, path: str) -> tuple[int, bytes]:
        """Status and body."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=10)
        try:
            connection.request("GET", path)
            answer = connection.getresponse()
            return answer.status, answer.read()
        finally:
            connection.close()

    def connect(self) -> socket.socket:
        """A bare connection."""
        return socket.create_connection(("127.0.0.1", self.port), timeout=10)


@contextmanager
def running(settings: IntakeSettings, doors: Mapping[str, Door] | None = None) -> Iterator[Service]:
    """The service on a free port, until the end of the block."""
    topics, metrics = FakeTopics(), Metrics()
    doors = doors or {"shop": Door("shop", Shopify((SECRET,)), "orders.raw.shop.v1")}
    opened = listen(msgspec.structs.replace(settings, port=0))
    server = IntakeServer(Intake(doors, topics, settings, metrics).application(), settings)
    thread = threading.Thread(target=lambda: asyncio.run(server.serve(sockets=[opened])), daemon=True)
    thread.start()
    try:
        yield Service(opened.getsockname()[1], topics, metrics)
    finally:
        server.should_exit = True
        thread.join(20)
