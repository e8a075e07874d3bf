"""What types cannot say about the settings of webhook intake, and where the files are that they name."""

import re
from collections.abc import Iterator, Mapping
from ipaddress import ip_network
from pathlib import Path
from typing import Any

from config.problems import Problem
from config.settings import IntakePoll, IntakeRoute, Settings

SIGNED_WITH_KEY_FILES = ("wechatpay", "alipay")
_NAME = re.compile(r"[a-z0-9][a-z0-9_-]{0,63}")
_PLACE = re.compile(r"\{([^{}]+)\}")
_TOPIC = re.compile(r"[A-Za-z0-9._-]{1,249}")
_LOCAL = ("http://127.0.0.1", "http://localhost", "http://[::1]")


def raw_topic_of(settings: Settings, name: str) -> str:
    """The raw topic of a route."""
    own = settings.intake.routes[name].raw_topic
    return own or settings.intake.raw_topic.replace("{route}", name)


def with_profiles(values: Mapping[str, Any], beside: Path | None) -> dict[str, Any]:
    """The values of a configuration, with the whole paths of profiles that stand beside its file."""
    intake = values.get("intake")
    routes = intake.get("routes") if isinstance(intake, Mapping) else None
    if beside is None or not isinstance(intake, Mapping) or not isinstance(routes, Mapping):
        return dict(values)
    found = {name: _with_profile(route, beside.parent) for name, route in routes.items()}
    return {**values, "intake": {**intake, "routes": found}}


def _with_profile(route: Any, folder: Path) -> Any:
    if not isinstance(route, Mapping) or not isinstance(route.get("profile"), str):
        return route
    own = folder / route["profile"]
    return {**route, "profile": str(own)} if own.is_file() else route


def intake_problems(settings: Settings) -> Iterator[Problem]:
    """Routes and polls that could not work, and two routes that share a topic."""
    topics: dict[str, str] = {}
    for name, route in settings.intake.routes.items():
        at = f"intake.routes.{name}"
        yield from _route(at, name, route)
        topic = raw_topic_of(settings, name)
        if not _TOPIC.fullmatch(topic):
            yield Problem(f"{at}.raw_topic", f"{topic!r} is no name of a topic: use letters, digits, dots, - and _")
        other = topics.setdefault(topic, name)
        if other != name:
            yield Problem(f"{at}.raw_topic", f"{topic} is that of route {other} too: put {{route}} into it")
    for name, poll in settings.intake.polls.items():
        yield from _poll(f"intake.polls.{name}", name, poll, settings)


def _route(at: str, name: str, route: IntakeRoute) -> Iterator[Problem]:
    if not _NAME.fullmatch(name):
        yield Problem(at, "a route is named with small letters, digits, - and _")
    if route.scheme in SIGNED_WITH_KEY_FILES:
        if not route.key_files:
            yield Problem(f"{at}.key_files", f"is missing: {route.scheme} signs with the platform's key; name its file")
    elif not route.secret_env:
        yield Problem(f"{at}.secret_env", "is missing: name the environment variable that holds the secret")
    if route.scheme == "doudian" and route.app_id_env is None:
        yield Problem(f"{at}.app_id_env", "is missing: doudian signs with the app's id too")
    yield from _signature(at, route)
    if route.resource_key_env is not None and route.scheme != "wechatpay":
        yield Problem(f"{at}.resource_key_env", "is for wechatpay alone: remove it")
    for text in route.ip_ranges:
        try:
            ip_network(text)
        except ValueError as error:
            yield Problem(f"{at}.ip_ranges", f"{error}: write e.g. 203.0.113.0/24")


def _signature(at: str, route: IntakeRoute) -> Iterator[Problem]:
    """A declared signature that vouches for the body, by a secret."""
    signature = route.signature
    if signature is None:
        if route.scheme == "declared":
            example = '{ header = "x-signature", method = "hmac-sha256" }'
            yield Problem(f"{at}.signature", f"is missing: write e.g. {example}")
        return
    if route.scheme != "declared":
        yield Problem(f"{at}.signature", 'is for scheme = "declared" alone: remove it')
    named = [name.lower() for name in _PLACE.findall(signature.of)]
    if "body" not in named:
        yield Problem(f"{at}.signature.of", "lacks {body}: nothing would vouch for what comes in")
    if "secret" not in named and not signature.method.startswith("hmac-"):
        yield Problem(f"{at}.signature.of", f"lacks {{secret}}: {signature.method} without it can be made by anybody")
    if "app_id" in named and route.app_id_env is None:
        yield Problem(f"{at}.app_id_env", "is missing: {app_id} is signed too; name the variable that holds it")
    if signature.time_header is not None and signature.time_header.lower() not in named:
        what = f"is not signed: put {{{signature.time_header}}} into signature.of, as the platform signs it"
        yield Problem(f"{at}.signature.time_header", what)


def _poll(at: str, name: str, poll: IntakePoll, settings: Settings) -> Iterator[Problem]:
    if not _NAME.fullmatch(name):
        yield Problem(at, "a poll is named with small letters, digits, - and _")
    if poll.route not in settings.intake.routes:
        known = ", ".join(settings.intake.routes) or "(none)"
        yield Problem(f"{at}.route", f"{poll.route!r} is no route; there are {known}")
    if not poll.url.startswith(("https://", *_LOCAL)):
        yield Problem(f"{at}.url", "must begin with https://: a secret goes with each request")
    if poll.interval < 1000:
        yield Problem(f"{at}.interval", "must be at least 1s")
    if poll.adapter == "generic":
        for field in ("records", "updated", "since_format"):
            if getattr(poll, field) is None:
                yield Problem(f"{at}.{field}", "is missing: the generic adapter knows no platform")
        if not any("{since}" in value for value in poll.query.values()):
            yield Problem(f"{at}.query", 'is missing: write e.g. { updated_after = "{since}" }')
