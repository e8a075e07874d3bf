"""`orderpulse status`, `topics` and `dlq` against servers."""

import json
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from urllib.request import urlopen

import pytest

from tests.console.conftest import orderpulse
from tests.support.kafka_broker import KafkaBroker
from tests.support.ports import free_port


def settings(tmp_path: Path, bootstrap: str, prefix: str = "status") -> Path:
    file = tmp_path / "my.toml"
    names = {
        "orders": "order.events", "behaviour": "behaviour.events", "actions": "actions", "rules": "rules",
        "alerts": "alerts", "diffs": "diffs", "versions": "versions", "holds": "holds", "late": "late",
    }  # fmt: skip
    topics = "\n".join(f'{name} = "{prefix}.{topic}"' for name, topic in names.items())
    file.write_text(f'[kafka]\nbootstrap = "{bootstrap}"\npartitions = 2\n[kafka.topics]\n{topics}\n', encoding="utf-8")
    return file


@pytest.fixture
def no_kafka(monkeypatch: pytest.MonkeyPatch) -> None:
    """A broker that is away is noticed at once."""
    monkeypatch.setattr("sources.kafka_client.ANSWER_SECONDS", 0.2)


@pytest.mark.usefixtures("no_kafka")
def test_what_is_away_is_named_with_the_remedy(tmp_path: Path) -> None:
    file = settings(tmp_path, "127.0.0.1:1")
    arguments = ("status", "--config", file, "--redis", "redis://127.0.0.1:1/0")

    for_people, for_programs = orderpulse(*arguments), orderpulse(*arguments, "--json")

    assert (for_people.code, for_programs.code) == (1, 1)
    assert "to do: check kafka.bootstrap" in for_people.said
    states = {check["name"]: check["state"] for check in for_programs.value["checks"]}
    assert states == {"configuration": "ok", "broker": "wrong", "read model": "wrong"}


@pytest.mark.usefixtures("no_kafka")
def test_a_view_that_nobody_wrote_is_wrong(tmp_path: Path, redis_server: str) -> None:
    outcome = orderpulse("status", "--config", settings(tmp_path, "127.0.0.1:1"), "--redis", redis_server)

    assert outcome.code == 1
    assert "no run has written to it" in outcome.said


@pytest.mark.usefixtures("no_kafka")
def test_open_alerts_are_counted_by_rule(tmp_path: Path, trade: Path, redis_server: str) -> None:
    run = tmp_path / "out"
    orderpulse("run", "--input", trade / "events", "--output", run, "--redis", redis_server)
    file = settings(tmp_path, "127.0.0.1:1")

    status = orderpulse("status", "--config", file, "--redis", redis_server, "--json").value
    old = orderpulse("status", "--config", file, "--redis", redis_server, "--max-age", "0s", "--json").value

    still_open: dict[str, str] = {}
    for line in (run / "alerts.ndjson").read_bytes().splitlines():
        alert = json.loads(line)
        if alert["step"] == "resolved":
            still_open.pop(alert["episode"], None)
        else:
            still_open[alert["episode"]] = alert["rule"]
    counted = {rule: count for rule, count in status["open_alerts"].items() if count}
    assert counted == {rule: list(still_open.values()).count(rule) for rule in set(still_open.values())}
    assert {check["name"]: check["state"] for check in status["checks"]}["read model"] == "ok"
    assert {check["name"]: check["state"] for check in old["checks"]}["read model"] == "wrong"


def test_a_refused_configuration_is_told_apart_from_a_server_that_is_away(tmp_path: Path) -> None:
    file = tmp_path / "bad.toml"
    file.write_text("[kafka]\nbootstrap = 1\n", encoding="utf-8")

    outcome = orderpulse("status", "--config", file, "--json")

    assert outcome.code == 2
    assert outcome.value["checks"][0]["state"] == "wrong"


def test_topics_are_made_filled_run_over_and_judged(
    tmp_path: Path, trade: Path, results: Path, kafka: KafkaBroker, redis_server: str
) -> None:
    file = settings(tmp_path, kafka.bootstrap, prefix="cli")
    lacking = orderpulse("status", "--config", file, "--redis", redis_server, "--json").value
    made = orderpulse("topics", "create", "--config", file, "--json").value
    again = orderpulse("topics", "create", "--config", file, "--json").value
    loaded = orderpulse("topics", "load", trade / "events", "--config", file, "--json").value

    run = orderpulse(
        "run", "--config", file, "--bounded", "--output", tmp_path / "out", "--redis", redis_server,
        "--metrics-port", 0, "--json",
    )  # fmt: skip
    to_topics = orderpulse("run", "--config", file, "--bounded", "--metrics-port", 0, "--json")
    dead = orderpulse("dlq", "list", "--config", file, "--json").value

    assert "orderpulse topics create" in next(
        check["remedy"] for check in lacking["checks"] if check["name"] == "topics"
    )
    assert all(topic["created"] for topic in made)
    assert not any(topic["created"] for topic in again)
    assert sum(loaded.values()) == run.value["events"] == to_topics.value["events"]
    assert orderpulse("verify", trade, tmp_path / "out").code == 0
    assert orderpulse("status", "--config", file, "--redis", redis_server).code == 0
    assert dead["count"] == len((results / "dead_letters.ndjson").read_bytes().splitlines())


def test_a_live_run_says_that_it_reads_and_ends_in_order_on_sigterm(
    tmp_path: Path, trade: Path, kafka: KafkaBroker
) -> None:
    file, port = settings(tmp_path, kafka.bootstrap, prefix="live"), free_port()
    orderpulse("topics", "create", "--config", file)
    loaded = orderpulse("topics", "load", trade / "events", "--config", file, "--json").value
    arguments = ["run", "--config", file, "--output", tmp_path / "out", "--metrics-port", port, "--json"]
    process = subprocess.Popen(
        [sys.executable, "-m", "console.main", *map(str, arguments)], stdout=subprocess.PIPE, text=True
    )

    # What was read is written a little later, and what was not written yet is not by a run that was told to stop.
    _wait_until(lambda: _counted(port, "orderpulse_events_total") == sum(loaded.values()))
    _wait_until(lambda: _counted(port, "orderpulse_diffs_total") > 0)
    assert json.loads(_answer(port, "readyz"))["ready"]
    process.send_signal(signal.SIGTERM)
    summary = json.loads(process.communicate(timeout=180)[0])

    assert process.returncode == 0
    assert summary["stopped"]
    assert summary["events"] == sum(loaded.values())
    assert summary["diffs"]


def _wait_until(condition: Callable[[], bool]) -> None:
    give_up_at = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < give_up_at, "it did not come to that"
        time.sleep(0.1)


def _answer(port: int, path: str) -> str:
    try:
        with urlopen(f"http://127.0.0.1:{port}/{path}", timeout=20) as answer:
            return str(answer.read().decode())
    except OSError:  # it does not listen yet
        return ""


def _counted(port: int, metric: str) -> int:
    lines = _answer(port, "metrics").splitlines()
    return sum(round(float(line.rpartition(" ")[2])) for line in lines if line.startswith(f"{metric}{{"))
