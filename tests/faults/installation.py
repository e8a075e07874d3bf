"""One run's own topics, settings and directory on the shared servers, so that runs know nothing of each other."""

import uuid
from collections.abc import Mapping
from pathlib import Path

from confluent_kafka.admin import AdminClient

from config.loader import load_settings
from config.settings import Settings
from events.topics import INPUT_TOPICS
from sources.topics import create_topics, planned_topics
from tests.faults.servers import Servers

# A snapshot every half second gives a short run many; restarts come at once, since the fault is what is looked at.
# With arrivals ignored, time goes by the events alone: what comes out cannot depend on how long an outage took.
_SETTINGS = """\
[time]
arrival = "ignore"

[kafka]
bootstrap = "{bootstrap}"
group = "{name}"
partitions = {partitions}

[kafka.topics]
orders = "{name}.orders"
behaviour = "{name}.behaviour"
actions = "{name}.actions"
alerts = "{name}.alerts"
diffs = "{name}.diffs"
versions = "{name}.versions"
holds = "{name}.holds"
late = "{name}.late"
dlq_suffix = ".dlq"

[redis]
feed_length = 1000000

[recovery]
interval = "500ms"

[supervisor]
first_pause = "50ms"
longest_pause = "200ms"
"""
DELETE_SECONDS = 60.0


class Installation:
    """Topics, a configuration file, a recovery store. ``name`` stands before each topic and nowhere else."""

    def __init__(
        self, servers: Servers, directory: Path, partitions: int, *, proxied: bool = False, more: Mapping[str, str]
    ) -> None:
        """``more``: further tables of the configuration, name -> lines."""
        self.servers = servers
        self.name = f"f{uuid.uuid4().hex[:10]}"
        self.partitions = partitions
        self.directory = directory
        self.recovery = directory / "recovery"
        self.config = directory / "orderpulse.toml"
        self.redis_url = servers.redis_url(proxied=proxied)
        directory.mkdir(parents=True, exist_ok=True)
        text = _SETTINGS.format(bootstrap=servers.bootstrap(proxied=proxied), name=self.name, partitions=partitions)
        tables = "".join(f"\n[{name}]\n{lines}\n" for name, lines in more.items())
        self.config.write_text(text + tables, encoding="utf-8")
        self.settings: Settings = load_settings(self.config)

    def create_topics(self) -> None:
        """Makes all topics."""
        create_topics(self.settings.kafka)

    def drop_topics(self) -> None:
        """Deletes them: a broker with thousands of partitions is slow to come back."""
        names = [plan.name for plan in planned_topics(self.settings.kafka)]
        admin = AdminClient({"bootstrap.servers": self.servers.broker.bootstrap, "log_level": 0})
        for answer in admin.delete_topics(names, operation_timeout=DELETE_SECONDS).values():
            answer.result(DELETE_SECONDS)

    def input_topic(self, kind: str) -> str:
        """The topic of ``order``, ``behaviour`` or ``actions``."""
        return f"{self.name}.{'orders' if kind == 'order' else kind}"

    @property
    def output_topics(self) -> dict[str, str]:
        """Topic by what it holds: ``alerts``, ``holds``, ``versions``, ``diffs``, ``late``, ``dead_letters/...``."""
        topics = self.settings.kafka.topics
        outputs = {name: getattr(topics, name) for name in ("alerts", "holds", "versions", "diffs", "late")}
        letters = {f"dead_letters/{name}": f"{getattr(topics, name)}{topics.dlq_suffix}" for name in INPUT_TOPICS}
        return outputs | letters
