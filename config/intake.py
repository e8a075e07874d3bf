"""What types cannot say about the settings of webhook intake."""

import re
from collections.abc import Iterator
from ipaddress import ip_network

from config.problems import Problem
from config.settings import IntakePoll, IntakeRoute, Settings

SIGNED_WITH_KEY_FILES = ("wechatpay", "alipay")
_NAME = re.compile(r"[a-z0-9][a-z0-9_-]{0,63}")
_TOPIC = re.compile(r"[A-Za-z0-9._-]{1,249}")
_LOCAL = ("http://127.0.0.1", "http://localhost", "http://[::1]")


def raw_topic_of(settings: Settings, name: str) -> str:
    """The raw topic of a route."""
    own = settings.intake.routes[name].raw_topic
    return own or settings.intake.raw_topic.replace("{route}", name)


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
    if route.resource_key_env is not None and route.scheme != "wechatpay":
        yield Problem(f"{at}.resource_key_env", "is for wechatpay alone: remove it")
    for text in route.ip_ranges:
        try:
            ip_network(text)
        except ValueError as error:
            yield Problem(f"{at}.ip_ranges", f"{error}: write e.g. 203.0.113.0/24")


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
