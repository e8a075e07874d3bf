"""Signatures with a platform's private key: WeChat Pay (APIv3) and Alipay (RSA2)."""

import base64
import binascii
from collections.abc import Mapping
from pathlib import Path

import msgspec
from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import load_der_public_key, load_pem_public_key

from sources.webhooks.delivery import Answer, Delivery, RefusedError, json_answer
from sources.webhooks.parameters import is_form, parse
from sources.webhooks.schemes.scheme import Scheme, header, require_recent, whole_number, wrong_signature

Keys = Mapping[str, RSAPublicKey]


class _Notification(msgspec.Struct):
    id: str | None = None


_NOTIFICATION: msgspec.json.Decoder[_Notification] = msgspec.json.Decoder(_Notification)


class WechatPay(Scheme):
    """Time, nonce and body, each with a line end, are signed. The body's encrypted resource is left as it is."""

    def __init__(self, keys: Keys, window_ms: int) -> None:
        self._keys = keys
        self._window_ms = window_ms

    def check(self, delivery: Delivery) -> str | None:
        timestamp, nonce = header(delivery, "wechatpay-timestamp"), header(delivery, "wechatpay-nonce")
        key = self._keys.get(header(delivery, "wechatpay-serial"))
        if key is None:
            what = "Wechatpay-Serial names a key that is not known here: add its file to key_files"
            raise RefusedError(401, "unknown_key", what)
        signed = f"{timestamp}\n{nonce}\n".encode("latin-1") + delivery.body + b"\n"
        _verify(key, header(delivery, "wechatpay-signature"), signed)
        require_recent(whole_number(timestamp) * 1000, delivery, self._window_ms)
        try:
            return _NOTIFICATION.decode(delivery.body).id
        except (msgspec.DecodeError, UnicodeDecodeError):
            return None  # genuine all the same; the mapping says what is wrong with it

    def refused(self, delivery: Delivery | None, error: RefusedError) -> Answer:
        del delivery
        return json_answer(error.status, {"code": "FAIL", "message": error.what})


class Alipay(Scheme):
    """A form: all its parameters but ``sign`` and ``sign_type``, sorted and joined. Plain text answers."""

    def __init__(self, keys: Keys) -> None:
        self._keys = keys

    def check(self, delivery: Delivery) -> str | None:
        if not is_form(delivery):
            raise RefusedError(400, "not_a_form", "the body is no form")
        form = parse(delivery.body)
        sign = form.pop(b"sign", b"")
        if not sign:
            raise RefusedError(401, "unsigned", "the parameter sign is missing")
        if form.pop(b"sign_type", b"RSA2") != b"RSA2":
            raise RefusedError(401, "unknown_method", "sign_type is not RSA2")
        signed = b"&".join(name + b"=" + form[name] for name in sorted(form))
        self._verify(sign.decode("latin-1"), signed)
        notify_id = form.get(b"notify_id", b"")
        return notify_id.decode("latin-1") if 0 < len(notify_id) <= 256 else None

    def accepted(self, delivery: Delivery) -> Answer:
        del delivery
        return Answer(200, b"success")

    def refused(self, delivery: Delivery | None, error: RefusedError) -> Answer:
        del delivery
        return Answer(error.status, b"fail")

    def _verify(self, sign: str, signed: bytes) -> None:
        """Any of the keys may have signed: nothing in the form says which."""
        for key in self._keys.values():
            try:
                return _verify(key, sign, signed)
            except RefusedError:
                continue
        raise wrong_signature()


def public_key(path: Path) -> RSAPublicKey:
    """A public key or a certificate from a file (PEM, or the bare base64 that some platforms hand out).

    Raises OSError, or ValueError when it is neither.
    """
    key = _any_public_key(path.read_bytes().strip())
    if not isinstance(key, RSAPublicKey):
        raise ValueError("it holds no RSA key")  # what is wrong is the file's content
    return key


def _any_public_key(content: bytes) -> object:
    if b"BEGIN CERTIFICATE" in content:
        return x509.load_pem_x509_certificate(content).public_key()
    if b"BEGIN" in content:
        return load_pem_public_key(content)
    return load_der_public_key(base64.b64decode(content, validate=True))


def _verify(key: RSAPublicKey, given: str, signed: bytes) -> None:
    """Raises RefusedError. A probe that is signed wrongly on purpose (``WECHATPAY/SIGNTEST/``) fails here too."""
    try:
        key.verify(base64.b64decode(given, validate=True), signed, PKCS1v15(), SHA256())
    except (InvalidSignature, binascii.Error, ValueError):
        raise wrong_signature() from None
