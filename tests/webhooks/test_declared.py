"""Signatures as a route's settings describe them: what platforms that no scheme knows put into a header."""

import base64
import hashlib
import hmac
from pathlib import Path
from typing import Any

import pytest

from config.loader import load_settings
from config.problems import ConfigurationError
from config.settings import IntakeSignature
from sources.webhooks.delivery import RefusedError
from sources.webhooks.schemes.building import build_schemes
from sources.webhooks.schemes.declared import Declared
from tests.webhooks.support import NOW_MS, SECRET, delivery

BODY = b'{"id": "1"}'
WINDOW_MS = 300_000


def scheme(*, app_id: bytes = b"app", **said: Any) -> Declared:
    return Declared(
        IntakeSignature(**{"header": "X-Signature", "method": "hmac-sha256"} | said), (SECRET,), app_id, WINDOW_MS
    )


def refused(of: Declared, body: bytes, **headers: str) -> str:
    with pytest.raises(RefusedError) as caught:
        of.check(delivery(body, named=headers))
    assert caught.value.status == 401
    return caught.value.word


def test_an_hmac_of_the_body_is_checked_in_hex_of_either_case() -> None:
    signature = hmac.new(SECRET, BODY, "sha256").hexdigest()
    assert scheme().check(delivery(BODY, x_signature=signature)) is None
    assert scheme().check(delivery(BODY, x_signature=signature.upper())) is None
    assert refused(scheme(), BODY + b" ", x_signature=signature) == "bad_signature"
    assert refused(scheme(), BODY) == "unsigned"


def test_base64_and_what_stands_before_it_are_understood_and_its_letters_keep_their_case() -> None:
    signature = base64.b64encode(hmac.digest(SECRET, BODY, "sha1")).decode()
    declared = scheme(method="hmac-sha1", encoding="base64", prefix="sha1=")
    declared.check(delivery(BODY, x_signature=f"sha1={signature}"))
    assert refused(declared, BODY, x_signature=f"sha1={signature.swapcase()}") == "bad_signature"


@pytest.mark.parametrize("method", ["md5", "sha1", "sha256"])
def test_a_digest_of_app_body_and_secret_is_one_that_only_who_knows_the_secret_can_make(method: str) -> None:
    declared = scheme(method=method, of="{app_id}{body}{secret}")
    declared.check(delivery(BODY, x_signature=hashlib.new(method, b"app" + BODY + SECRET).hexdigest()))
    assert refused(declared, BODY, x_signature=hashlib.new(method, b"app" + BODY).hexdigest()) == "bad_signature"


def test_a_signed_moment_outside_of_the_window_is_refused_and_another_moment_breaks_the_signature() -> None:
    declared = scheme(of="{X-Time}.{body}", time_header="X-Time", time_format="epoch_ms")

    def signed(moment: int) -> str:
        return hmac.new(SECRET, f"{moment}.".encode() + BODY, "sha256").hexdigest()

    declared.check(delivery(BODY, x_signature=signed(NOW_MS), x_time=str(NOW_MS)))
    old = NOW_MS - WINDOW_MS - 1
    assert refused(declared, BODY, x_signature=signed(old), x_time=str(old)) == "too_old"
    assert refused(declared, BODY, x_signature=signed(old), x_time=str(NOW_MS)) == "bad_signature"
    assert refused(declared, BODY, x_signature=signed(NOW_MS)) == "unsigned"


def test_the_platforms_id_and_the_answer_it_wants_are_used() -> None:
    declared = scheme(id_header="X-Delivery", accepted='{"code":0}')
    sent = delivery(BODY, x_signature=hmac.new(SECRET, BODY, "sha256").hexdigest(), x_delivery="d-1")
    assert declared.check(sent) == "d-1"
    answer = declared.accepted(sent)
    assert (answer.status, answer.body) == (200, b'{"code":0}')
    assert scheme().accepted(sent).body == b""


ROUTE = {"profile": "p", "scheme": "declared", "secret_env": ["S"]}


@pytest.mark.parametrize(
    ("route", "field"),
    [
        (ROUTE, "signature"),
        (ROUTE | {"scheme": "hmac", "signature": {"header": "x", "method": "hmac-md5"}}, "signature"),
        (ROUTE | {"signature": {"header": "x", "method": "hmac-md5", "of": "{x-time}"}}, "signature.of"),
        (ROUTE | {"signature": {"header": "x", "method": "md5"}}, "signature.of"),
        (ROUTE | {"signature": {"header": "x", "method": "md5", "of": "{app_id}{body}{secret}"}}, "app_id_env"),
        (ROUTE | {"signature": {"header": "x", "method": "hmac-md5", "time_header": "T"}}, "signature.time_header"),
    ],
)
def test_a_signature_that_vouches_for_nothing_is_refused_with_its_field(route: dict[str, Any], field: str) -> None:
    with pytest.raises(ConfigurationError) as caught:
        load_settings(None, {"intake": {"routes": {"r": route}}})
    assert [problem.field for problem in caught.value.problems] == [f"intake.routes.r.{field}"]


def test_a_declared_route_takes_its_secrets_from_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    signature = {"header": "Event-Sign", "method": "md5", "of": "{app_id}{body}{secret}"}
    settings = load_settings(None, {"intake": {"routes": {"r": ROUTE | {"app_id_env": "A", "signature": signature}}}})
    with pytest.raises(ConfigurationError) as caught:
        build_schemes(settings)
    assert {problem.field for problem in caught.value.problems} == {
        "intake.routes.r.secret_env",
        "intake.routes.r.app_id_env",
    }
    monkeypatch.setenv("S", "hush")
    monkeypatch.setenv("A", "app")
    build_schemes(settings)["r"].check(delivery(BODY, event_sign=hashlib.md5(b"app" + BODY + b"hush").hexdigest()))


def test_a_profile_beside_the_configuration_is_found_from_wherever_a_command_is_started(tmp_path: Path) -> None:
    (tmp_path / "mine.toml").write_text("")
    (tmp_path / "shop.toml").write_text(
        '[intake.routes.a]\nprofile = "mine.toml"\nscheme = "hmac"\nsecret_env = ["S"]\n'
        '[intake.routes.b]\nprofile = "shopify"\nscheme = "shopify"\nsecret_env = ["S"]\n'
    )
    routes = load_settings(tmp_path / "shop.toml").intake.routes
    assert [routes["a"].profile, routes["b"].profile] == [str(tmp_path / "mine.toml"), "shopify"]
