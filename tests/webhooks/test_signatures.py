"""Each platform's signature, made here in the documented form: genuine ones pass, and nothing else does."""

import base64
import hashlib
import hmac
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import MappingProxyType
from urllib.parse import quote_plus, urlencode

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey, generate_private_key
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from config.loader import load_settings
from config.problems import ConfigurationError
from sources.webhooks.delivery import Delivery, RefusedError
from sources.webhooks.schemes.app_secret import AppSecret, Taobao
from sources.webhooks.schemes.body_hmac import Doudian, Douyin, Shopify, StandardWebhooks, WooCommerce
from sources.webhooks.schemes.building import build_schemes
from sources.webhooks.schemes.rsa import Alipay, WechatPay, public_key
from sources.webhooks.schemes.scheme import Scheme
from tests.webhooks.support import NOW_MS, SECRET, delivery

WINDOW_MS = 300_000
NOW_S = NOW_MS // 1000
LOCAL_NOW = "2026-02-02 10:40:00"  # NOW_MS in Shanghai
FORM = "application/x-www-form-urlencoded"


def refused(scheme: Scheme, sent: Delivery) -> tuple[int, str]:
    with pytest.raises(RefusedError) as caught:
        scheme.check(sent)
    return caught.value.status, caught.value.word


@pytest.fixture(scope="module")
def key() -> RSAPrivateKey:
    return generate_private_key(65537, 2048)


def signed(key: RSAPrivateKey, text: bytes) -> str:
    return base64.b64encode(key.sign(text, PKCS1v15(), SHA256())).decode()


# Shopify, WooCommerce


def base64_hmac(body: bytes, secret: bytes = SECRET) -> str:
    return base64.b64encode(hmac.digest(secret, body, "sha256")).decode()


def test_shopify_signs_the_raw_body() -> None:
    sent = delivery(b'{"id": 1}', x_shopify_hmac_sha256=base64_hmac(b'{"id": 1}'), x_shopify_webhook_id="w-1")
    assert Shopify((SECRET,)).check(sent) == "w-1"


def test_a_known_example_of_the_hmac_passes() -> None:
    """RFC 4231, test case 2."""
    digest = bytes.fromhex("5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843")
    sent = delivery(b"what do ya want for nothing?", x_shopify_hmac_sha256=base64.b64encode(digest).decode())
    assert Shopify((b"Jefe",)).check(sent) is None


def test_a_body_with_one_byte_changed_is_refused() -> None:
    sent = delivery(b'{"id": 2}', x_shopify_hmac_sha256=base64_hmac(b'{"id": 1}'))
    assert refused(Shopify((SECRET,)), sent) == (401, "bad_signature")


def test_a_delivery_without_signature_is_refused() -> None:
    assert refused(Shopify((SECRET,)), delivery(b"{}")) == (401, "unsigned")


def test_a_header_that_is_no_text_is_refused_and_breaks_nothing() -> None:
    assert refused(Shopify((SECRET,)), delivery(b"{}", x_shopify_hmac_sha256="\xff é €")) == (401, "bad_signature")


def test_while_a_secret_is_changed_both_are_good() -> None:
    scheme = Shopify((b"new", b"old"))
    for secret in (b"new", b"old"):
        scheme.check(delivery(b"{}", x_shopify_hmac_sha256=base64_hmac(b"{}", secret)))
    assert refused(scheme, delivery(b"{}", x_shopify_hmac_sha256=base64_hmac(b"{}", b"older")))


def test_woocommerce_signs_the_raw_body() -> None:
    sent = delivery(b"{}", x_wc_webhook_signature=base64_hmac(b"{}"), x_wc_webhook_delivery_id="d")
    assert WooCommerce((SECRET,)).check(sent) == "d"
    assert refused(WooCommerce((b"other",)), sent) == (401, "bad_signature")


@pytest.mark.parametrize(
    ("body", "status"), [(b"webhook_id=17", 200), (b"webhook_id=17&order=1", None), (b'{"id":1}', None)]
)
def test_woocommerce_tries_a_new_address_without_signing(body: bytes, status: int | None) -> None:
    answer = WooCommerce((SECRET,)).greeting(delivery(body))
    assert (answer and answer.status) == status


# WeChat Pay


def wechat(
    key: RSAPrivateKey, body: bytes, timestamp: int = NOW_S, other: Mapping[str, str] = MappingProxyType({})
) -> Delivery:
    text = f"{timestamp}\nnonce\n".encode() + body + b"\n"
    headers = {
        "wechatpay_timestamp": str(timestamp),
        "wechatpay_nonce": "nonce",
        "wechatpay_serial": "S1",
        "wechatpay_signature": signed(key, text),
    }
    return delivery(body, named=headers | dict(other))


def test_wechat_pay_signs_time_nonce_and_body(key: RSAPrivateKey) -> None:
    scheme = WechatPay({"S1": key.public_key()}, WINDOW_MS)
    assert scheme.check(wechat(key, b'{"id": "EV-1", "resource": {}}')) == "EV-1"


@pytest.mark.parametrize("age", [-301, 301])
def test_a_genuine_delivery_outside_of_the_replay_window_is_refused(key: RSAPrivateKey, age: int) -> None:
    scheme = WechatPay({"S1": key.public_key()}, WINDOW_MS)
    assert refused(scheme, wechat(key, b"{}", NOW_S - age)) == (401, "too_old")
    assert scheme.check(wechat(key, b"{}", NOW_S - age // 301 * 300)) is None


@pytest.mark.parametrize(
    ("other", "word"),
    [
        ({"wechatpay_nonce": "another"}, "bad_signature"),
        ({"wechatpay_timestamp": str(NOW_S + 1)}, "bad_signature"),
        ({"wechatpay_timestamp": ""}, "unsigned"),
        ({"wechatpay_serial": "S2"}, "unknown_key"),
        ({"wechatpay_signature": "WECHATPAY/SIGNTEST/abcd"}, "bad_signature"),
        ({"wechatpay_signature": "not base64"}, "bad_signature"),
    ],
)
def test_whatever_is_changed_on_the_way_wechat_pay_refuses(
    key: RSAPrivateKey, other: dict[str, str], word: str
) -> None:
    scheme = WechatPay({"S1": key.public_key()}, WINDOW_MS)
    assert refused(scheme, wechat(key, b"{}", other=other)) == (401, word)


def test_wechat_pay_hears_of_a_failure_in_its_own_words(key: RSAPrivateKey) -> None:
    scheme = WechatPay({"S1": key.public_key()}, WINDOW_MS)
    answer = scheme.refused(None, RefusedError(401, "bad_signature", "no"))
    assert (answer.status, answer.body) == (401, b'{"code": "FAIL", "message": "no"}')


# Alipay


def alipay(key: RSAPrivateKey, fields: dict[str, str], charset: str = "utf-8", **changed: str) -> Delivery:
    text = "&".join(f"{name}={fields[name]}" for name in sorted(fields)).encode(charset)
    body = urlencode(fields | {"sign_type": "RSA2", "sign": signed(key, text)} | changed, encoding=charset)
    return delivery(body.encode(), content_type=f"{FORM}; charset={charset}")


PAID = {"notify_id": "n-1", "trade_status": "TRADE_SUCCESS", "subject": "茶 & 咖啡 + 1", "total_amount": "9.90"}


@pytest.mark.parametrize("charset", ["utf-8", "gbk"])
def test_alipay_signs_the_sorted_form_in_its_character_set(key: RSAPrivateKey, charset: str) -> None:
    assert Alipay({"any": key.public_key()}).check(alipay(key, PAID, charset)) == "n-1"


@pytest.mark.parametrize(
    ("changed", "word"),
    [({"total_amount": "0.01"}, "bad_signature"), ({"sign": ""}, "unsigned"), ({"sign_type": "RSA"}, "unknown_method")],
)
def test_a_changed_form_is_refused(key: RSAPrivateKey, changed: dict[str, str], word: str) -> None:
    assert refused(Alipay({"any": key.public_key()}), alipay(key, PAID, **changed)) == (401, word)


def test_a_form_that_names_a_parameter_twice_is_refused(key: RSAPrivateKey) -> None:
    sent = alipay(key, PAID)
    twice = delivery(sent.body + b"&total_amount=9.90", content_type=FORM)
    assert refused(Alipay({"any": key.public_key()}), twice) == (400, "ambiguous")


def test_alipay_wants_one_plain_word(key: RSAPrivateKey) -> None:
    scheme = Alipay({"any": key.public_key()})
    assert scheme.accepted(delivery()).body == b"success"
    assert scheme.refused(None, RefusedError(401, "bad_signature", "no")).body == b"fail"


# Taobao, JD, Pinduoduo


def app_sign(parameters: dict[str, str], body: bytes = b"") -> str:
    middle = "".join(name + parameters[name] for name in sorted(parameters)).encode() + body
    method = parameters.get("sign_method", "md5")
    if method == "md5":
        return hashlib.md5(SECRET + middle + SECRET).hexdigest().upper()
    return hmac.new(SECRET, middle, {"hmac": "md5", "hmac-sha256": "sha256"}[method]).hexdigest().upper()


def app_query(parameters: dict[str, str], body: bytes = b"", **changed: str) -> bytes:
    return urlencode(parameters | {"sign": app_sign(parameters, body)} | changed).encode()


@pytest.mark.parametrize("method", ["md5", "hmac", "hmac-sha256"])
def test_taobao_signs_parameters_and_body(method: str) -> None:
    scheme = Taobao((SECRET,), WINDOW_MS, "local", with_body=True)
    parameters = {"app_key": "k", "method": "order.create", "timestamp": LOCAL_NOW, "sign_method": method}
    body = "<request>茶</request>".encode()
    scheme.check(delivery(body, app_query(parameters, body), content_type="text/xml"))
    assert refused(scheme, delivery(body + b" ", app_query(parameters, body))) == (401, "bad_signature")
    assert refused(scheme, delivery(body, app_query(parameters, body, method="other"))) == (401, "bad_signature")


def test_a_time_in_china_is_compared_with_ours() -> None:
    scheme = AppSecret((SECRET,), WINDOW_MS, "local", with_body=False)
    for text, good in ((LOCAL_NOW, True), ("2026-02-02 10:34:59", False), ("2026-02-02 02:40:00", False)):
        sent = delivery(b"", app_query({"timestamp": text}))
        assert scheme.check(sent) is None if good else refused(scheme, sent) == (401, "too_old")


@pytest.mark.parametrize("text", ["", "yesterday", "1770000000"])
def test_a_signed_time_that_cannot_be_read_is_refused(text: str) -> None:
    scheme = AppSecret((SECRET,), WINDOW_MS, "local", with_body=False)
    assert refused(scheme, delivery(b"", app_query({"timestamp": text}))) == (401, "bad_time")


def test_pinduoduo_writes_seconds() -> None:
    scheme = AppSecret((SECRET,), WINDOW_MS, "epoch_s", with_body=False)
    form = app_query({"type": "order", "timestamp": str(NOW_S), "data": '{"sn":"1"}'})
    scheme.check(delivery(form, content_type=FORM))
    assert refused(scheme, delivery(b"", app_query({"timestamp": str(NOW_S - 301)}))) == (401, "too_old")


def test_a_body_that_nothing_signs_is_refused() -> None:
    scheme = AppSecret((SECRET,), WINDOW_MS, "epoch_s", with_body=False)
    sent = delivery(b'{"sn":"1"}', app_query({"timestamp": str(NOW_S)}), content_type="application/json")
    assert refused(scheme, sent) == (400, "unsigned_body")


def test_a_parameter_in_query_and_form_is_refused() -> None:
    scheme = AppSecret((SECRET,), WINDOW_MS, "epoch_s", with_body=False)
    query = app_query({"timestamp": str(NOW_S), "sn": "1"})
    assert refused(scheme, delivery(b"sn=2", query, content_type=FORM)) == (400, "ambiguous")


def test_an_unknown_way_to_sign_is_refused() -> None:
    scheme = AppSecret((SECRET,), WINDOW_MS, "local", with_body=False)
    query = f"timestamp={quote_plus(LOCAL_NOW)}&sign_method=none&sign=x".encode()
    assert refused(scheme, delivery(b"", query)) == (401, "unknown_method")


@pytest.mark.parametrize(("query", "start"), [(b"format=json", b'{"response"'), (b"format=xml", b"<?xml")])
def test_taobao_is_answered_in_the_form_that_it_asked_for(query: bytes, start: bytes) -> None:
    scheme = Taobao((SECRET,), WINDOW_MS, "local", with_body=True)
    good = scheme.accepted(delivery(query=query))
    bad = scheme.refused(delivery(query=query), RefusedError(401, "bad_signature", "no"))
    assert good.body.startswith(start)
    assert b"success" in good.body
    assert b"sign-check-failure" in bad.body


# Douyin


def test_douyin_signs_secret_and_body() -> None:
    signature = hashlib.sha1(SECRET + b"{}").hexdigest()
    assert Douyin((SECRET,)).check(delivery(b"{}", x_douyin_signature=signature, msg_id="m")) == "m"
    assert refused(Douyin((SECRET,)), delivery(b"{ }", x_douyin_signature=signature)) == (401, "bad_signature")


@pytest.mark.parametrize(
    ("body", "answer"),
    [
        (b'{"event":"verify_webhook","client_key":"","content":{"challenge":12345}}', b'{"challenge": 12345}'),
        (b'{"event":"order","content":{"challenge":12345}}', None),
        (b'{"event":"verify_webhook","content":{"challenge":{"a":1}}}', None),
        (b'{"event":"verify_webhook"', None),
    ],
)
def test_douyin_gets_its_challenge_back(body: bytes, answer: bytes | None) -> None:
    given = Douyin((SECRET,)).greeting(delivery(body))
    assert (given and given.body) == answer


@pytest.mark.parametrize("method", ["md5", "hmac-sha256"])
def test_doudian_signs_app_body_and_secret(method: str) -> None:
    text = b"app" + b"[]" + SECRET
    signature = hashlib.md5(text).hexdigest() if method == "md5" else hmac.new(SECRET, text, "sha256").hexdigest()
    scheme = Doudian((SECRET,), b"app")
    scheme.check(delivery(b"[]", app_id="app", event_sign=signature, sign_method=method))
    assert refused(scheme, delivery(b"[ ]", app_id="app", event_sign=signature, sign_method=method))
    assert refused(scheme, delivery(b"[]", app_id="other", event_sign=signature)) == (401, "other_app")


# Standard Webhooks


def standard(body: bytes, timestamp: int = NOW_S, secret: bytes = SECRET, **other: str) -> Delivery:
    signature = "v1," + base64_hmac(f"m-1.{timestamp}.".encode() + body, secret)
    headers = {"webhook_id": "m-1", "webhook_timestamp": str(timestamp), "webhook_signature": signature}
    return delivery(body, named=headers | other)


def test_standard_webhooks_sign_id_time_and_body() -> None:
    scheme = StandardWebhooks((SECRET,), WINDOW_MS)
    assert scheme.check(standard(b"{}")) == "m-1"
    assert refused(scheme, standard(b"{}", NOW_S - 301)) == (401, "too_old")
    assert refused(scheme, standard(b"{}", webhook_id="m-2")) == (401, "bad_signature")


def test_the_example_of_the_specifications_own_libraries_passes() -> None:
    """Secret, id, time, body and signature as Standard Webhooks' reference libraries test with them."""
    scheme = StandardWebhooks((b"whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw",), WINDOW_MS)
    sent = delivery(
        b'{"test": 2432232314}',
        received_ms=1_614_265_330_000,
        webhook_id="msg_p5jXN8AQM9LWM0D4loKWxJek",
        webhook_timestamp="1614265330",
        webhook_signature="v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=",
    )
    assert scheme.check(sent) == "msg_p5jXN8AQM9LWM0D4loKWxJek"


# Keys and secrets


def test_a_key_comes_from_pem_certificate_or_bare_base64(key: RSAPrivateKey, tmp_path: Path) -> None:
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "platform")])
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(datetime.now(UTC))
        .not_valid_after(datetime.now(UTC) + timedelta(days=1))
        .sign(key, SHA256())
    )
    der = key.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    contents = [
        key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo),
        certificate.public_bytes(Encoding.PEM),
        base64.b64encode(der),
    ]
    for content in contents:
        (tmp_path / "key").write_bytes(content)
        assert public_key(tmp_path / "key").public_numbers() == key.public_key().public_numbers()


def test_secrets_and_keys_that_are_not_there_are_all_told_at_once(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.delenv("NO_SUCH_SECRET", raising=False)
    other = ec.generate_private_key(ec.SECP256R1()).public_key()
    (tmp_path / "ec.pem").write_bytes(other.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo))
    routes = {
        "a": {"profile": "p", "scheme": "shopify", "secret_env": ["NO_SUCH_SECRET"]},
        "b": {
            "profile": "p",
            "scheme": "wechatpay",
            "key_files": {"S1": "/no/such.pem", "S2": str(tmp_path / "ec.pem")},
        },
    }
    with pytest.raises(ConfigurationError) as caught:
        build_schemes(load_settings(None, {"intake": {"routes": routes}}))
    fields = [problem.field for problem in caught.value.problems]
    assert fields == ["intake.routes.a.secret_env", "intake.routes.b.key_files.S1", "intake.routes.b.key_files.S2"]


@pytest.mark.parametrize(
    ("route", "field"),
    [
        ({"scheme": "shopify"}, "secret_env"),
        ({"scheme": "alipay"}, "key_files"),
        ({"scheme": "doudian", "secret_env": ["S"]}, "app_id_env"),
        ({"scheme": "hmac", "secret_env": ["S"], "resource_key_env": "K"}, "resource_key_env"),
        ({"scheme": "hmac", "secret_env": ["S"], "ip_ranges": ["10.0.0.1/8"]}, "ip_ranges"),
        ({"scheme": "hmac", "secret_env": ["S"], "raw_topic": "a b"}, "raw_topic"),
    ],
)
def test_a_route_that_cannot_work_is_refused_with_its_field(route: dict[str, object], field: str) -> None:
    with pytest.raises(ConfigurationError) as caught:
        load_settings(None, {"intake": {"routes": {"r": {"profile": "p"} | route}}})
    assert [problem.field for problem in caught.value.problems] == [f"intake.routes.r.{field}"]
