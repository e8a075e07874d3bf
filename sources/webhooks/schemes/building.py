"""From settings to schemes: secrets come from the environment, public keys from files."""

import os
from collections.abc import Callable
from pathlib import Path

from config.problems import ConfigurationError, Problem
from config.settings import IntakeRoute, Settings
from sources.webhooks.schemes.app_secret import AppSecret, Taobao
from sources.webhooks.schemes.body_hmac import Doudian, Douyin, Shopify, StandardWebhooks, WooCommerce
from sources.webhooks.schemes.declared import Declared
from sources.webhooks.schemes.rsa import Alipay, Keys, WechatPay, public_key
from sources.webhooks.schemes.scheme import Scheme, Secrets


def build_schemes(settings: Settings) -> dict[str, Scheme]:
    """The scheme of each route; raises ConfigurationError with all secrets and keys that are not there."""
    problems: list[Problem] = []
    schemes = {
        name: _Builder(f"intake.routes.{name}", route, int(settings.intake.replay_window), problems).build()
        for name, route in settings.intake.routes.items()
    }
    if problems:
        raise ConfigurationError("the settings of webhook intake", problems)
    return schemes


def secret_from(name: str, field: str, problems: list[Problem]) -> bytes:
    """A secret from the environment; one that is not set is noted as a problem."""
    value = os.environ.get(name, "")
    if not value:
        problems.append(Problem(field, f"the environment variable {name} is not set: set it to the platform's secret"))
    return value.encode()


class _Builder:
    """One route."""

    def __init__(self, at: str, route: IntakeRoute, window_ms: int, problems: list[Problem]) -> None:
        self._at = at
        self._route = route
        self._window_ms = window_ms
        self._problems = problems

    def build(self) -> Scheme:
        if self._route.scheme in {"wechatpay", "alipay"}:
            keys = self._keys()
            return Alipay(keys) if self._route.scheme == "alipay" else WechatPay(keys, self._window_ms)
        secrets = tuple(self._secret(name, "secret_env") for name in self._route.secret_env)
        if self._route.signature is not None:
            app_id = self._secret(self._route.app_id_env, "app_id_env") if self._route.app_id_env else b""
            return Declared(self._route.signature, secrets, app_id, self._window_ms)
        return self._with_secrets(secrets)

    def _with_secrets(self, secrets: Secrets) -> Scheme:
        window = self._window_ms
        makers: dict[str, Callable[[], Scheme]] = {
            "shopify": lambda: Shopify(secrets),
            "woocommerce": lambda: WooCommerce(secrets),
            "taobao": lambda: Taobao(secrets, window, "local", with_body=True),
            "jd": lambda: AppSecret(secrets, window, "local", with_body=False),
            "pdd": lambda: AppSecret(secrets, window, "epoch_s", with_body=False),
            "douyin": lambda: Douyin(secrets),
            "doudian": lambda: Doudian(secrets, self._secret(self._route.app_id_env or "", "app_id_env")),
            "hmac": lambda: StandardWebhooks(secrets, window),
        }
        return makers[self._route.scheme]()

    def _secret(self, name: str, field: str) -> bytes:
        return secret_from(name, f"{self._at}.{field}", self._problems)

    def _keys(self) -> Keys:
        keys = {}
        for serial, file in self._route.key_files.items():
            try:
                keys[serial] = public_key(Path(file))
            except OSError as error:
                self._note(serial, f"{file} cannot be read: {error.strerror}")
            except ValueError as error:
                self._note(serial, f"{file} is neither a public key nor a certificate (PEM): {error}")
        return keys

    def _note(self, serial: str, what: str) -> None:
        self._problems.append(Problem(f"{self._at}.key_files.{serial}", what))
