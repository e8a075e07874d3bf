"""Raw records to events: what a profile makes of one, and what becomes of the rest."""

import base64
import tomllib
from collections.abc import Sequence
from typing import Any

import msgspec
import pytest
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from config.problems import ConfigurationError
from events.model import Event, OrderCreated, PaymentSucceeded
from events.records import DeadLetterRecord
from sinks.metrics import Metrics
from sources.mapping.loading import load_profile, parse_profile
from sources.mapping.mapper import Mapped
from sources.webhooks.map_run import MapRun, RouteMapper
from sources.webhooks.raw import raw_delivery, raw_record
from sources.webhooks.record_mapper import RecordMapper
from tests.webhooks.support import PROFILE, delivery, order

KEY = b"0123456789abcdef0123456789abcdef"


def mapper(more: str = "", key: bytes | None = None) -> RecordMapper:
    return RecordMapper(parse_profile(tomllib.loads(PROFILE + more), "shop.toml"), key)


def mapped(body: bytes, by: RecordMapper | None = None, origin: Any = "webhook", **headers: str) -> Mapped:
    """What a body gives after the way over a raw record."""
    record = raw_record("shop", "t", delivery(body, b"shop=1", named=headers), "d-1", origin)
    return (by or mapper()).map(record.value, raw_delivery(record.headers, "shop"))


def reasons(result: Mapped) -> list[str]:
    return [refusal.reason for refusal in result.refusals]


# Events


def test_a_body_gives_the_events_of_its_profile() -> None:
    created, paid = mapped(order(1, paid=True)).events
    assert isinstance(created, OrderCreated)
    assert isinstance(paid, PaymentSucceeded)
    assert (created.id, created.source, created.amount) == ("1/created", "shop", 1250)
    assert (paid.id, paid.order_id) == ("1/paid", "1")


def test_webhook_and_poll_give_the_same_events() -> None:
    body = order(1, paid=True)
    by_webhook = mapped(body, origin="webhook", content_type="application/json; charset=utf-8")
    assert mapped(body, origin="poll").events == by_webhook.events


def test_several_records_in_one_body_each_give_theirs() -> None:
    body = b"[" + order(1) + b"," + order(2) + b"]"
    assert [event.id for event in mapped(body).events] == ["1/created", "2/created"]


def test_a_secret_is_not_known_of_the_delivery() -> None:
    record = raw_record("shop", "t", delivery(b"{}", named={"authorization": "s3cret"}), None, "webhook")
    assert raw_delivery(record.headers, "shop").headers == {"authorization": "(left out)"}


def test_a_raw_record_that_others_wrote_is_mapped_too() -> None:
    assert mapper().map(order(1), raw_delivery([("x", None), ("op_received", b"soon")], "shop")).events


# What cannot be mapped


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        (b"", "bad_row"),
        (b"{", "bad_row"),
        (b"\xff\xfe", "bad_row"),
        (b'{"other": 1}', "bad_row"),
        (b"[" * 100_000, "bad_row"),
        (b'{"id": 1, "created_at": "soon"}', "bad_value"),
        (b'{"id": 1, "created_at": null}', "missing_value"),
    ],
)
def test_what_cannot_be_mapped_says_why(body: bytes, reason: str) -> None:
    result = mapped(body)
    assert reasons(result) == [reason]
    assert all(refusal.remedy for refusal in result.refusals)


def test_one_event_that_cannot_be_made_does_not_hold_back_the_other() -> None:
    result = mapped(order(1, paid_at="soon"))
    assert [event.id for event in result.events] == ["1/created"]
    assert [refusal.rule for refusal in result.refusals] == ["paid"]


def test_a_profile_that_needs_all_records_is_refused() -> None:
    with pytest.raises(ConfigurationError, match="maps no single messages"):
        RecordMapper(load_profile("ocel_order_process"))


# Sealed bodies


def notice(content: dict[str, Any], key: bytes = KEY, **changed: Any) -> bytes:
    sealed = AESGCM(key).encrypt(b"0123456789ab", msgspec.json.encode(content), b"transaction")
    resource = {
        "algorithm": "AEAD_AES_256_GCM",
        "ciphertext": base64.b64encode(sealed).decode(),
        "nonce": "0123456789ab",
        "associated_data": "transaction",
    }
    return msgspec.json.encode({"id": "EV-1", "event_type": "TRANSACTION.SUCCESS", "resource": resource | changed})


PAID = {
    "transaction_id": "4200000001",
    "out_trade_no": "O-1",
    "trade_state": "SUCCESS",
    "success_time": "2026-02-02T10:40:00+08:00",
    "amount": {"total": 990, "currency": "CNY"},
}


def test_a_sealed_notice_is_opened_and_mapped() -> None:
    (paid,) = mapped(notice(PAID), RecordMapper(load_profile("wechat_pay"), KEY)).events
    assert isinstance(paid, PaymentSucceeded)
    assert (paid.order_id, paid.amount) == ("O-1", 990)


@pytest.mark.parametrize(
    ("key", "changed", "reason"),
    [
        (b"x" * 32, {}, "decrypt_failed"),
        (None, {}, "no_key"),
        (KEY, {"algorithm": "AEAD_SM4_GCM"}, "unknown_algorithm"),
        (KEY, {"associated_data": "refund"}, "decrypt_failed"),
        (KEY, {"ciphertext": "AAAA"}, "decrypt_failed"),
        (KEY, {"nonce": ""}, "decrypt_failed"),
    ],
)
def test_a_receiver_with_an_old_key_hears_of_it(key: bytes | None, changed: dict[str, Any], reason: str) -> None:
    result = mapped(notice(PAID, **changed), RecordMapper(load_profile("wechat_pay"), key))
    assert reasons(result) == [reason]


# The run


class Raw:
    """A raw record as the consumer hands it over."""

    def __init__(self, offset: int, body: bytes) -> None:
        self._offset = offset
        self._body = body

    def topic(self) -> str:
        return "orders.raw.shop.v1"

    def partition(self) -> int:
        return 3

    def offset(self) -> int:
        return self._offset

    def value(self) -> bytes:
        return self._body

    def timestamp(self) -> tuple[int, int]:
        return 2, 1_770_000_000_000

    def headers(self) -> list[tuple[str, bytes | None]]:
        return [("http_x", b"1"), ("empty", None)]


class Reading:
    """Hands over what it was given, and notes what was committed."""

    def __init__(self, bodies: Sequence[bytes], log: list[str]) -> None:
        self._left = [Raw(offset, body) for offset, body in enumerate(bodies)]
        self._log = log
        self.known = 0

    @property
    def finished(self) -> bool:
        return not self._left

    def read(self, most: int) -> Any:
        batch, self._left = self._left[:most], self._left[most:]
        return batch

    def done(self) -> None:
        self._log.append("committed")

    def is_again(self, message: Any) -> bool:
        return bool(message.offset() < self.known)

    def at_end(self, place: tuple[str, int]) -> bool:
        return not self._left

    def reassigned(self) -> Sequence[tuple[str, int]]:
        return ()

    def close(self) -> None:
        self._left = []


class Target:
    """Notes what was written, and when it was all there."""

    def __init__(self, log: list[str], flushes: int = 10) -> None:
        self.letters: list[DeadLetterRecord] = []
        self._log = log
        self._flushes = flushes

    def event(self, event: Event) -> None:
        self._log.append(event.id)

    def dead_letter(self, letter: DeadLetterRecord) -> None:
        self.letters.append(letter)
        self._log.append("letter")

    def flush(self) -> bool:
        self._flushes -= 1
        self._log.append("kept" if self._flushes >= 0 else "given up")
        return self._flushes >= 0


@pytest.fixture(autouse=True)
def _headers(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sources.webhooks.map_run._read_headers", Raw.headers)


def run(bodies: Sequence[bytes], batch: int = 2, flushes: int = 10) -> tuple[Any, Target, list[str], Metrics]:
    log: list[str] = []
    target, counts = Target(log, flushes), Metrics()
    mappers = {"orders.raw.shop.v1": RouteMapper("shop", mapper())}
    summary = MapRun(Reading(bodies, log), mappers, target, counts, lambda: False).run(batch)
    return summary, target, log, counts


def test_a_batch_is_committed_when_its_events_are_kept() -> None:
    summary, _, log, counts = run([order(1), order(2), order(3)])
    assert log == ["1/created", "2/created", "kept", "committed", "3/created", "kept", "committed"]
    assert (summary.records, summary.by_type) == (3, {"order.created": 3})
    assert b'orderpulse_intake_mapped_events_total{route="shop",type="order.created"} 3.0' in counts.render()


def test_what_was_given_up_is_not_committed() -> None:
    _, _, log, _ = run([order(1), order(2), order(3)], flushes=1)
    assert log[-2:] == ["3/created", "given up"]


def test_a_dead_letter_has_the_original_its_place_and_all_reasons() -> None:
    body = b"[" + b",".join(order(number, paid_at="soon") for number in range(5)) + b"]"
    summary, target, _, counts = run([order(1), body])

    (letter,) = target.letters
    assert (letter.topic, letter.partition, letter.position) == ("orders.raw.shop.v1", "orders.raw.shop.v1/3", 1)
    assert base64.b64decode(letter.payload) == body
    assert letter.headers == (("http_x", base64.b64encode(b"1").decode()), ("empty", None))
    assert letter.detail.startswith("field paid_at -> time of paid: 'soon'")
    assert letter.detail.endswith("and 2 more")
    assert "intake map --from" in letter.remedy
    assert summary.by_reason == {"bad_value": 1}
    assert b'orderpulse_intake_unmapped_total{reason="bad_value",route="shop"} 1.0' in counts.render()
