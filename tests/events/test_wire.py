"""What is accepted from a source, what is refused, and what the refusal says."""

import json
from typing import Any

import msgspec
import pytest

from events.model import AnyEvent, OrderChanged, OrderCreated, PaymentSucceeded

CREATED: dict[str, Any] = {"type": "order.created", "id": "e-1", "source": "oms", "time": 1, "order_id": "O-1"}
PAID: dict[str, Any] = {"type": "payment.succeeded", "id": "e-2", "source": "gw", "time": 1, "order_id": "O-1"}
CHANGED: dict[str, Any] = {"type": "order.changed", "id": "e-3", "source": "crm", "time": 1, "order_id": "O-1"}


DECODER: msgspec.json.Decoder[AnyEvent] = msgspec.json.Decoder(AnyEvent)


def read(message: dict[str, Any]) -> AnyEvent:
    return DECODER.decode(json.dumps(message))


def test_a_field_that_no_message_names_is_ignored() -> None:
    assert read(CREATED | {"x_new": {"deep": [1.5, None]}}) == read(CREATED)
    assert read(CREATED | {"items": [{"sku": "A", "colour": "red"}]}) == read(CREATED | {"items": [{"sku": "A"}]})


@pytest.mark.parametrize("kind", ["order.lost", "", "ORDER.CREATED", "OrderEvent", "order"])
def test_an_unknown_type_is_refused(kind: str) -> None:
    with pytest.raises(msgspec.ValidationError, match=rf"Invalid value '{kind}' - at `\$.type`"):
        read(CREATED | {"type": kind})


def test_a_message_without_a_type_is_refused() -> None:
    with pytest.raises(msgspec.ValidationError, match="missing required field `type`"):
        read({key: value for key, value in CREATED.items() if key != "type"})


def test_the_type_may_stand_anywhere_in_the_message() -> None:
    assert read(dict(reversed(CREATED.items()))) == read(CREATED)


@pytest.mark.parametrize("amount", ["12.5", "12.0", "1e3", '"12"', "true", "null", "-1"])
def test_money_that_is_no_whole_number_of_fen_is_refused(amount: str) -> None:
    message = json.dumps(PAID)[:-1] + f', "amount": {amount}}}'
    with pytest.raises(msgspec.ValidationError, match=r"Expected `int`.* - at `\$.amount`"):
        DECODER.decode(message)


def test_the_largest_amount_is_a_quadrillion_fen() -> None:
    paid = read(PAID | {"amount": 10**15})
    assert isinstance(paid, PaymentSucceeded)
    assert paid.amount == 10**15
    with pytest.raises(msgspec.ValidationError, match="amount"):
        read(PAID | {"amount": 10**15 + 1})


def test_a_chat_message_has_at_most_twenty_thousand_characters() -> None:
    chat = {"type": "behaviour.chat", "id": "e-4", "source": "crm", "time": 1, "customer_id": "C-1"}
    read(chat | {"text": "急" * 20_000})
    with pytest.raises(msgspec.ValidationError, match=r"length <= 20000 - at `\$.text`"):
        read(chat | {"text": "急" * 20_001})


def test_an_id_of_nineteen_digits_survives_as_a_text() -> None:
    order = "9007199254740993001"
    created = read(CREATED | {"order_id": order})
    assert isinstance(created, OrderCreated)
    assert json.loads(msgspec.json.encode(created))["order_id"] == order


def test_an_id_that_comes_as_a_number_is_refused() -> None:
    with pytest.raises(msgspec.ValidationError, match=r"Expected `str`, got `int` - at `\$.order_id`"):
        read(CREATED | {"order_id": 9007199254740993001})


@pytest.mark.parametrize(
    ("change", "path"),
    [
        ({"time": "2026-01-31T02:00:00Z"}, r"\$.time"),
        ({"time": 1.5}, r"\$.time"),
        ({"id": ""}, r"\$.id"),
        ({"currency": "RMB"}, r"\$.currency"),
        ({"items": {"sku": "A"}}, r"\$.items"),
        ({"items": [{"sku": "A"}, {"sku": "B", "price": 9.9}]}, r"\$.items\[1\].price"),
        ({"items": [{"sku": "A", "quantity": 0}]}, r"\$.items\[0\].quantity"),
        ({"address": {"city": 310012}}, r"\$.address.city"),
    ],
)
def test_a_wrong_value_is_named_with_its_path(change: dict[str, Any], path: str) -> None:
    with pytest.raises(msgspec.ValidationError, match=rf"at `{path}`"):
        read(CREATED | change)


@pytest.mark.parametrize("field", ["id", "source", "time", "order_id"])
def test_a_missing_field_is_named(field: str) -> None:
    with pytest.raises(msgspec.ValidationError, match=f"missing required field `{field}`"):
        read({key: value for key, value in CREATED.items() if key != field})


def test_a_changed_field_that_is_absent_differs_from_one_that_was_emptied() -> None:
    untouched, emptied = read(CHANGED | {"fields": {}}), read(CHANGED | {"fields": {"phone": None}})
    assert isinstance(untouched, OrderChanged)
    assert isinstance(emptied, OrderChanged)
    assert untouched.fields.phone is msgspec.UNSET
    assert emptied.fields.phone is None
    assert json.loads(msgspec.json.encode(emptied))["fields"] == {"phone": None}


@pytest.mark.parametrize("field", ["amount", "items", "address", "address_key", "category"])
def test_a_change_cannot_empty_what_every_order_has(field: str) -> None:
    with pytest.raises(msgspec.ValidationError, match=rf"\$.fields.{field}"):
        read(CHANGED | {"fields": {field: None}})


@pytest.mark.parametrize("field", ["promised_at", "time"])
def test_a_number_that_stored_state_cannot_hold_is_refused(field: str) -> None:
    """Stored state is msgpack, whose integers have 64 bits."""
    with pytest.raises(msgspec.ValidationError, match=rf"\$.{field}"):
        read(CREATED | {field: 2**64})


@pytest.mark.parametrize("broken", [b"", b"{", b"\xff\xfe", b'{"type":"order.created"', b"{} {}"])
def test_what_is_no_json_is_refused(broken: bytes) -> None:
    with pytest.raises(msgspec.DecodeError):
        DECODER.decode(broken)
