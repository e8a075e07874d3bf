"""From settings to the parts of webhook intake."""

import os
from collections.abc import Collection, Mapping
from ipaddress import ip_network

from config.intake import raw_topic_of
from config.problems import ConfigurationError, Problem
from config.settings import Settings
from sources.mapping.loading import load_profile
from sources.topics import DEAD_LETTER_BYTES, FOREVER, TopicPlan
from sources.webhooks.application import Door
from sources.webhooks.map_run import RouteMapper
from sources.webhooks.polling.client import fetch
from sources.webhooks.polling.forms import poll_form
from sources.webhooks.polling.poll_run import Scheduled
from sources.webhooks.polling.poller import Poller
from sources.webhooks.record_mapper import RecordMapper
from sources.webhooks.schemes.building import build_schemes

_HEADERS_ROOM = 1 << 20


def doors(settings: Settings) -> dict[str, Door]:
    """The routes that take deliveries in; raises ConfigurationError for secrets and keys that are not there."""
    schemes = build_schemes(settings)
    return {
        name: Door(name, schemes[name], raw_topic_of(settings, name), tuple(map(ip_network, route.ip_ranges)))
        for name, route in settings.intake.routes.items()
    }


def route_mappers(settings: Settings, names: Collection[str]) -> dict[str, RouteMapper]:
    """Raw topic -> its mapper, for some routes; raises ConfigurationError for profiles and keys that are no use."""
    found = {}
    for name in names:
        route = settings.intake.routes[name]
        mapper = RecordMapper(load_profile(route.profile), _resource_key(name, route.resource_key_env))
        found[raw_topic_of(settings, name)] = RouteMapper(name, mapper)
    return found


def scheduled_polls(settings: Settings) -> list[Scheduled]:
    """All polls; raises UnsetVariableError for a secret that is not there."""
    overlap = int(settings.intake.poll_overlap)
    return [
        Scheduled(
            name,
            Poller(poll_form(poll), poll.route, raw_topic_of(settings, poll.route), overlap, fetch),
            int(poll.interval),
            None if poll.start is None else int(poll.start),
        )
        for name, poll in settings.intake.polls.items()
    ]


def raw_topic_plans(settings: Settings) -> list[TopicPlan]:
    """The raw topics with their dead letters. A raw topic ends after a time, for it holds personal data."""
    intake = settings.intake
    raw: Mapping[str, str] = {
        "max.message.bytes": str(2 * intake.body_limit + _HEADERS_ROOM),
        "retention.ms": str(int(intake.raw_retention)),
        "message.timestamp.type": "LogAppendTime",  # what --from and --until go by
    }
    letters = {"max.message.bytes": str(DEAD_LETTER_BYTES), "retention.ms": str(FOREVER)}
    names = [raw_topic_of(settings, name) for name in intake.routes]
    return [
        *(TopicPlan(name, dict(raw)) for name in names),
        *(TopicPlan(name + settings.kafka.topics.dlq_suffix, letters) for name in names),
    ]


def _resource_key(route: str, name: str | None) -> bytes | None:
    if name is None:
        return None
    key = os.environ.get(name, "").encode()
    if len(key) != 32:
        what = f"the environment variable {name} must hold the APIv3 key, 32 characters; it has {len(key)}"
        raise ConfigurationError(
            "the settings of webhook intake", [Problem(f"intake.routes.{route}.resource_key_env", what)]
        )
    return key
