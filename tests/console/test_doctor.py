"""`orderpulse doctor`: what is wrong around a run is found, and the remedy said."""

import socket
import time
from collections.abc import Callable
from pathlib import Path

import pytest
import redis
from confluent_kafka import Producer
from confluent_kafka.admin import (  # type: ignore[attr-defined]  # public all the same
    AdminClient,
    AlterConfigOpType,
    ConfigEntry,
    ConfigResource,
)

from config.loader import load_settings
from console.doctor_host import hash_key, output_directory, ports, recovery_store
from console.doctor_kafka import examine_kafka
from console.doctor_redis import examine_redis
from console.status import Check
from dataflows.store import Manifest, open_store
from sources.kafka_client import existing_topics
from tests.console.conftest import Outcome, orderpulse
from tests.sinks.samples import redis_settings
from tests.support.kafka_broker import KafkaBroker
from tests.support.ports import free_port
from tests.support.redis_server import RedisServer

Made = Callable[..., Path]


@pytest.fixture
def configuration(tmp_path: Path) -> Made:
    def make(bootstrap: str = "127.0.0.1:1", prefix: str = "doctor", **more: str) -> Path:
        names = ("orders", "behaviour", "actions", "rules", "alerts", "diffs", "versions", "holds", "late")
        topics = "\n".join(f'{name} = "{prefix}.{name}"' for name in names)
        tables = "\n".join(f"[{table}]\n{text}" for table, text in more.items())
        file = tmp_path / "my.toml"
        file.write_text(
            f'[kafka]\nbootstrap = "{bootstrap}"\npartitions = 2\n[kafka.topics]\n{topics}\n'
            f"[metrics]\nport = {free_port()}\n{tables}\n",
            encoding="utf-8",
        )
        return file

    return make


@pytest.fixture(autouse=True)
def with_hash_key(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ORDERPULSE_HASH_KEY", "0123456789abcdef")


@pytest.fixture
def no_kafka(monkeypatch: pytest.MonkeyPatch) -> None:
    """A broker that is away is noticed at once."""
    monkeypatch.setattr("sources.kafka_client.ANSWER_SECONDS", 0.2)


def states(outcome: Outcome) -> dict[str, str]:
    """Name -> the worst state found."""
    worst: dict[str, str] = {}
    for check in outcome.value["checks"]:
        order = ("ok", "warning", "wrong")
        worst[check["name"]] = max(worst.get(check["name"], "ok"), check["state"], key=order.index)
    return worst


def said(checks: list[Check]) -> list[tuple[str, str]]:
    return [(check.name, check.state) for check in checks]


# The command


@pytest.mark.usefixtures("no_kafka")
def test_what_is_away_is_named_with_the_remedy(configuration: Made) -> None:
    arguments = ("doctor", "--config", configuration(), "--redis", "redis://127.0.0.1:1/0")

    for_people, for_programs = orderpulse(*arguments), orderpulse(*arguments, "--json")

    assert (for_people.code, for_programs.code) == (1, 1)
    assert "to do: check kafka.bootstrap" in for_people.said
    assert "2 wrong" in for_people.said
    assert states(for_programs) == {
        "configuration": "ok", "hash key": "ok", "broker": "wrong", "Redis": "wrong", "ports": "ok",
    }  # fmt: skip
    assert all(check["remedy"] for check in for_programs.value["checks"] if check["state"] != "ok")


@pytest.mark.usefixtures("no_kafka")
def test_a_run_without_redis_needs_none(configuration: Made) -> None:
    assert "Redis" not in states(orderpulse("doctor", "--config", configuration(), "--redis", "none", "--json"))


def test_a_refused_configuration_is_told_apart(tmp_path: Path) -> None:
    file = tmp_path / "bad.toml"
    file.write_text("[kafka]\nbootstrap = 1\n", encoding="utf-8")

    outcome = orderpulse("doctor", "--config", file, "--json")

    assert outcome.code == 2
    assert outcome.value["checks"][0]["state"] == "wrong"


@pytest.mark.usefixtures("no_kafka")
def test_directories_and_store_are_looked_at_when_they_are_named(configuration: Made, tmp_path: Path) -> None:
    outcome = orderpulse(
        "doctor", "--config", configuration(), "--output", tmp_path / "out", "--recovery", tmp_path / "store", "--json"
    )

    assert {"output": "ok", "recovery store": "ok"}.items() <= states(outcome).items()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["my.toml"]


# This host


def test_a_hash_key_that_is_missing_or_short_is_warned_about(monkeypatch: pytest.MonkeyPatch) -> None:
    settings = load_settings()
    found = []
    for key in ("", "short", "long enough to be one"):
        monkeypatch.setenv("ORDERPULSE_HASH_KEY", key)
        found += said(list(hash_key(settings)))

    assert found == [("hash key", "warning"), ("hash key", "warning"), ("hash key", "ok")]


def test_an_output_that_is_a_file_or_holds_results_is_named(tmp_path: Path) -> None:
    file, results = tmp_path / "file", tmp_path / "results"
    file.touch()
    results.mkdir()
    (results / "alerts.ndjson").touch()

    assert said(list(output_directory(file, goes_on=False))) == [("output", "wrong")]
    assert said(list(output_directory(results, goes_on=False))) == [("output", "ok"), ("output", "warning")]
    assert said(list(output_directory(results, goes_on=True))) == [("output", "ok")]


def test_a_directory_that_may_not_be_written_to_is_wrong(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("os.access", lambda path, mode: False)

    assert said(list(output_directory(tmp_path / "out", goes_on=False))) == [("output", "wrong")]


def test_a_disk_without_room_is_wrong(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    class Usage:
        free = 10 << 20

    monkeypatch.setattr("shutil.disk_usage", lambda path: Usage)

    (check,) = output_directory(tmp_path / "out", goes_on=False)

    assert (check.state, "10 MiB are free" in check.detail) == ("wrong", True)


def test_a_store_of_other_key_groups_or_one_that_is_damaged_is_wrong(tmp_path: Path) -> None:
    settings = load_settings()
    directory = tmp_path / "store"
    open_store(directory, Manifest(32, {"orders": ("a",)}, "files", ("a.ndjson",)), 1).close()

    other = list(recovery_store(directory, settings))
    (directory / "store.json").write_text("{torn", encoding="utf-8")
    damaged = list(recovery_store(directory, settings))

    assert ("recovery store", "wrong") in said(other)
    assert any("32 key groups" in check.detail for check in other)
    assert said(damaged)[-1] == ("recovery store", "wrong")
    assert damaged[-1].remedy


def test_a_port_that_is_taken_is_named(configuration: Made) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        settings = load_settings(overrides={"metrics": {"port": port - 1}})
        (check, *_) = [each for each in ports(settings, 2) if str(port) in each.detail]

    assert (check.name, check.state) == ("ports", "warning")
    assert "in use" in check.detail


# Redis


def test_a_redis_as_it_must_be_is_in_order(redis_server: str) -> None:
    checks = list(examine_redis(redis_settings(redis_server)))

    assert {check.state for check in checks} == {"ok"}
    assert {"Redis", "Redis memory", "Redis rights", "clock of Redis"} == {check.name for check in checks}
    with redis.Redis.from_url(redis_server) as client:
        assert client.dbsize() == 0


def test_a_redis_that_evicts_is_wrong(own_redis: RedisServer) -> None:
    with own_redis.client() as client:
        client.config_set("maxmemory-policy", "allkeys-lru")

    (memory,) = [check for check in examine_redis(redis_settings(own_redis.url)) if check.name == "Redis memory"]

    assert memory.state == "wrong"
    assert "noeviction" in memory.remedy


def test_a_replica_is_wrong(own_redis: RedisServer) -> None:
    with own_redis.client() as client:
        client.replicaof("127.0.0.1", 1)

    found = said(list(examine_redis(redis_settings(own_redis.url))))

    assert ("Redis role", "wrong") in found
    assert ("Redis rights", "wrong") in found


def test_an_account_without_rights_is_told_which_it_needs(own_redis: RedisServer) -> None:
    with own_redis.client() as client:
        client.execute_command("ACL", "SETUSER", "weak", "on", ">secret", "~other:*", "+@read", "+@connection")
        client.execute_command(
            "ACL", "SETUSER", "right", "on", ">secret", "~op:v1:*", "+@read", "+@write", "+@scripting", "+@connection"
        )
    urls = {name: own_redis.url.replace("redis://", f"redis://{name}:secret@") for name in ("weak", "right")}

    found = {name: dict(said(list(examine_redis(redis_settings(url))))) for name, url in urls.items()}

    assert found["weak"]["Redis rights"] == "wrong"
    assert found["right"]["Redis rights"] == "ok"


def test_a_wrong_password_is_told_apart_from_a_server_that_is_away(own_redis: RedisServer) -> None:
    with own_redis.client() as client:
        client.config_set("requirepass", "secret")

    (check,) = examine_redis(redis_settings(own_redis.url))

    assert (check.state, check.remedy) == ("wrong", "correct the user and the password in redis.url")


def test_a_clock_of_redis_that_is_off_is_warned_about(redis_server: str) -> None:
    checks = examine_redis(redis_settings(redis_server), now=lambda: time.time() + 3600)

    (clock,) = [check for check in checks if check.name == "clock of Redis"]

    assert clock.state == "warning"
    assert "3600.0 s behind" in clock.detail


# Kafka


def alter(kafka: KafkaBroker, topic: str, **settings: str) -> None:
    resource = ConfigResource(
        ConfigResource.Type.TOPIC,
        topic,
        incremental_configs=[
            ConfigEntry(name.replace("_", "."), value, incremental_operation=AlterConfigOpType.SET)
            for name, value in settings.items()
        ],
    )
    admin = AdminClient({"bootstrap.servers": kafka.bootstrap})
    for answer in admin.incremental_alter_configs([resource]).values():
        answer.result()


def test_topics_as_they_are_made_are_in_order_and_each_that_was_changed_is_found(
    configuration: Made, kafka: KafkaBroker, redis_server: str
) -> None:
    file = configuration(kafka.bootstrap, "examined")
    arguments = ("doctor", "--config", file, "--redis", redis_server, "--json")

    missing = orderpulse(*arguments)
    orderpulse("topics", "create", "--config", file, "--broker-stamps", "--retention", "30d")
    in_order = orderpulse(*arguments, "--probe")
    alter(kafka, "examined.orders", retention_ms="300000", message_timestamp_type="CreateTime")
    alter(kafka, "examined.orders", message_timestamp_after_max_ms="60000")
    alter(kafka, "examined.behaviour", cleanup_policy="compact")
    alter(kafka, "examined.holds", cleanup_policy="delete")
    alter(kafka, "examined.orders.dlq", retention_ms="3600000", max_message_bytes="1000000")
    changed = orderpulse(*arguments, "--processes", 12)

    assert missing.code == 1
    assert states(missing)["topics"] == "wrong"
    assert in_order.code == 0, in_order.said
    assert set(states(in_order).values()) == {"ok"}
    assert "Kafka 4.1 or later" in in_order.said
    assert states(in_order)["clock of the broker"] == "ok"
    findings = [
        (check["name"], check["state"], check["detail"]) for check in changed.value["checks"] if check["remedy"]
    ]
    assert changed.code == 1
    for name, state, words in (
        ("retention", "wrong", "examined.orders: records are kept for 5m"),
        ("timestamps", "warning", "examined.orders: message.timestamp.type is CreateTime"),
        ("timestamps", "warning", "examined.orders: the broker refuses records over 1m ahead"),
        ("clean-up", "wrong", "examined.behaviour: cleanup.policy is compact"),
        ("clean-up", "wrong", "examined.holds: cleanup.policy is delete"),
        ("retention", "warning", "examined.orders.dlq: dead letters are deleted after 1h"),
        ("sizes", "warning", "examined.orders.dlq: max.message.bytes is 1,000,000"),
        ("partitions", "warning", "7 partitions of inputs for 12 processes"),
    ):
        assert any((name, state) == finding[:2] and words in finding[2] for finding in findings), (name, findings)
    assert len(findings) == 8


def test_a_probe_leaves_no_topic(configuration: Made, kafka: KafkaBroker) -> None:
    file = configuration(kafka.bootstrap, "probed")
    admin = AdminClient({"bootstrap.servers": kafka.bootstrap})

    probed = orderpulse("doctor", "--config", file, "--redis", "none", "--probe", "--json")

    assert states(probed)["clock of the broker"] == "ok"
    assert not [name for name in admin.list_topics(timeout=10).topics if name.startswith("orderpulse.doctor")]


def with_a_stamped_record(configuration: Made, kafka: KafkaBroker, prefix: str) -> Path:
    """A configuration, and topics of which the orders hold a record that the broker stamped."""
    file = configuration(kafka.bootstrap, prefix)
    orderpulse("topics", "create", "--config", file, "--broker-stamps")
    producer = Producer({"bootstrap.servers": kafka.bootstrap})
    producer.produce(f"{prefix}.orders", b"{}")
    assert producer.flush(20) == 0
    return file


@pytest.mark.parametrize("probe", [True, False])
def test_a_broker_whose_clock_is_ahead_is_wrong(configuration: Made, kafka: KafkaBroker, probe: bool) -> None:
    file = with_a_stamped_record(configuration, kafka, f"ahead-{probe}")

    checks = examine_kafka(load_settings(file), 1, to_topics=False, probe=probe, now=lambda: time.time() - 60)

    (clock,) = [check for check in checks if check.name == "clock of the broker"]
    assert clock.state == "wrong"
    assert "ahead of this host's" in clock.detail


@pytest.mark.parametrize(("apart", "state"), [(60, "wrong"), (0, "warning")])
def test_a_partition_that_does_not_answer_hides_no_clock(
    configuration: Made, kafka: KafkaBroker, monkeypatch: pytest.MonkeyPatch, apart: int, state: str
) -> None:
    """A partition that was just made has no leader for a moment; here it is one that the topic does not have."""
    prefix = f"leaderless-{apart}"
    file = with_a_stamped_record(configuration, kafka, prefix)
    there = existing_topics(AdminClient({"bootstrap.servers": kafka.bootstrap}), load_settings(file).kafka)
    orders = there[f"{prefix}.orders"]
    one_more = there | {f"{prefix}.orders": [*orders, len(orders)]}
    monkeypatch.setattr("console.doctor_kafka.existing_topics", lambda *_: one_more)

    checks = examine_kafka(load_settings(file), 1, to_topics=False, probe=False, now=lambda: time.time() - apart)

    (clock,) = [check for check in checks if check.name == "clock of the broker"]
    assert clock.state == state
    assert apart or f"{prefix}.orders[{len(orders)}]" in clock.detail
