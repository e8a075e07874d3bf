"""What WeChat Pay encrypts: the resource of a notification, opened for the mapping."""

import base64
import binascii
from typing import Any, NoReturn

import msgspec
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from events.model import UNREADABLE
from sources.mapping.errors import MappingError

_ALGORITHM = "AEAD_AES_256_GCM"


class _Resource(msgspec.Struct):
    ciphertext: str
    nonce: str
    algorithm: str = _ALGORITHM
    associated_data: str | None = None


class _Notification(msgspec.Struct):
    resource: _Resource


_OPENER: msgspec.json.Decoder[_Notification] = msgspec.json.Decoder(_Notification)
_ENVELOPE: msgspec.json.Decoder[dict[str, Any]] = msgspec.json.Decoder(dict[str, Any])


def opened(body: bytes, key: bytes | None) -> bytes:
    """What an encrypted resource holds; a body without one as it is.

    Raises MappingError: a receiver with an old key must hear of it, not see an order without fields.
    """
    if b'"ciphertext"' not in body:
        return body
    try:
        resource = _OPENER.decode(body).resource
    except UNREADABLE:
        return body
    return _opened(resource, key)


def envelope(body: bytes) -> dict[str, Any]:
    """What stands around an encrypted resource; nothing where there is none."""
    if b'"ciphertext"' not in body:
        return {}
    try:
        return _ENVELOPE.decode(body)
    except UNREADABLE:
        return {}


def _opened(resource: _Resource, key: bytes | None) -> bytes:
    if key is None:
        _refuse("no_key", "it is encrypted, and there is no key", "set intake.routes.<route>.resource_key_env")
    if resource.algorithm != _ALGORITHM:
        what = f"it is encrypted with {resource.algorithm[:64]!r}, not with {_ALGORITHM}"
        _refuse("unknown_algorithm", what, "ask the platform what it changed")
    try:
        bound = (resource.associated_data or "").encode()
        return AESGCM(key).decrypt(resource.nonce.encode(), base64.b64decode(resource.ciphertext, validate=True), bound)
    except (InvalidTag, binascii.Error, ValueError):
        remedy = "check the key (for WeChat Pay the APIv3 key of 32 bytes): the platform may use a new one"
        _refuse("decrypt_failed", "it cannot be decrypted", remedy)


def _refuse(reason: str, what: str, remedy: str) -> NoReturn:
    raise MappingError(reason, "resource", what, remedy) from None
