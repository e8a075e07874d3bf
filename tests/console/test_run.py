"""`orderpulse run`: what it refuses, what it says, what its exit codes are."""

import gzip
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import redis

from tests.console.conftest import orderpulse

ROOT = Path(__file__).resolve().parents[2]
COMMAND = [sys.executable, "-m", "console.main"]
CREATED = b'{"type":"order.created","id":"1","source":"s","time":1772380800000,"order_id":"O"}\n'


def write_events(directory: Path, *lines: bytes) -> Path:
    directory.mkdir()
    (directory / "order-0.ndjson").write_bytes(b"".join(lines))
    return directory


def test_a_summary_counts_what_the_files_hold(trade: Path, tmp_path: Path) -> None:
    output = tmp_path / "out"

    summary = orderpulse("run", "--input", trade / "events", "--output", output, "--json").value

    alerts = [json.loads(line) for line in (output / "alerts.ndjson").read_bytes().splitlines()]
    opened = sum(alert["step"] == "opened" for alert in alerts)
    assert sum(steps["opened"] for steps in summary["alerts"].values()) == opened > 0
    for name, count in {
        "dead_letters": sum(summary["dead_letters"].values()),
        "late": summary["late"],
        "versions": summary["versions"],
        "diffs": sum(summary["diffs"].values()),
        "holds": sum(summary["holds"].values()),
    }.items():
        assert len((output / f"{name}.ndjson").read_bytes().splitlines()) == count > 0
    assert summary["events"] == sum(len(file.read_bytes().splitlines()) for file in (trade / "events").iterdir())


def test_people_read_the_watermark_as_local_time(trade: Path, tmp_path: Path) -> None:
    outcome = orderpulse("run", "--input", trade / "events", "--output", tmp_path / "out")

    assert "+08:00 is judged (the watermark)" in outcome.said
    assert "card_burst" in outcome.said
    assert not outcome.complained


def test_more_inputs_may_follow_the_first(tmp_path: Path) -> None:
    first = write_events(tmp_path / "a", CREATED)
    second = write_events(tmp_path / "b", CREATED.replace(b'"1"', b'"2"'))

    summary = orderpulse("run", "--input", first, second, "--output", tmp_path / "out", "--json").value

    assert summary["events"] == 2


def test_until_lets_limits_run_out_after_the_last_event(tmp_path: Path) -> None:
    events = write_events(tmp_path / "events", CREATED)

    short = orderpulse("run", "--input", events, "--output", tmp_path / "a", "--json").value
    longer = orderpulse(
        "run", "--input", events, "--output", tmp_path / "b", "--json", "--until", "2026-03-02T00:06:00+08:00"
    ).value

    assert short["alerts"] == {}
    assert longer["alerts"] == {"stage_timeout": {"opened": 1}}


def test_an_input_without_any_event_has_no_watermark(tmp_path: Path) -> None:
    events = write_events(tmp_path / "events")
    (events / "order-1.ndjson").touch()

    outcome = orderpulse("run", "--input", events, "--output", tmp_path / "out", "--json")

    assert (outcome.code, outcome.value["watermark"]) == (0, None)


@pytest.mark.parametrize(
    ("arguments", "says", "to_do"),
    [
        (("--processes", "0"), "--processes", "greater than or equal to 1"),
        (("--process-id", "0"), "--process-id 0 without --addresses", "or start all of them here with --processes N"),
        (("--addresses", "a:1;b:2"), "--addresses without --process-id", "from 0 on"),
        (("--process-id", "2", "--addresses", "a:1;b:2"), "names 2 processes", "the last one is 1"),
        (("--process-id", "0", "--addresses", "a:1;b"), "'b' is no address", "HOST:PORT;HOST:PORT"),
        (("--process-id", "0", "--addresses", "a:1;b:70000"), "'b:70000' is no address", "HOST:PORT;HOST:PORT"),
        (("--process-id", "0", "--addresses", "a:1;a:1"), "stands there twice", "give each process its own"),
        (("--process-id", "0", "--addresses", "a:1"), "names one process", "leave both options out"),
        (
            ("--process-id", "0", "--addresses", "a:1;b:2", "--processes", "2"),
            "--processes 2 and --process-id 0",
            "one of several that are started elsewhere",
        ),
        (("--recovery", "pyproject.toml"), "--recovery pyproject.toml: is a file", "name a directory"),
        (("--processes", "2", "--metrics-port", "65535"), "at port 65536", "65534 or lower"),
        (("--input", "missing"), "--input missing: does not exist", "check the path"),
        (("--input", "kafka", "tests"), "names kafka and files", "./kafka"),
        (("--arrival", "never"), "time.arrival", "never"),
        (("--until", "2026-03-02T00:00:00"), "has no zone", "+08:00"),
        (("--config", "missing.toml"), "missing.toml is refused", "does not exist: check the path"),
        (("tests",), "tests stands alone", "write --input tests"),
        (("--metrics-port", "70000"), "--metrics-port", "65535"),
    ],
)
def test_what_cannot_be_done_is_refused_with_the_remedy(arguments: tuple[str, ...], says: str, to_do: str) -> None:
    outcome = orderpulse("run", *arguments)

    assert outcome.code == 2
    assert says in outcome.complained
    assert to_do in outcome.complained
    assert not outcome.said


def test_more_processes_than_key_groups_are_refused(tmp_path: Path) -> None:
    events, config = write_events(tmp_path / "events", CREATED), tmp_path / "few.toml"
    config.write_text("key_groups = 3", encoding="utf-8")

    outcome = orderpulse("run", "--input", events, "--output", tmp_path / "out", "--config", config, "--processes", "4")

    assert outcome.code == 2
    assert "4 processes share 3 key groups: none is left for process" in outcome.complained
    assert "start fewer processes" in outcome.complained
    assert not (tmp_path / "out").exists()


def test_results_of_an_earlier_run_are_replaced_only_on_demand(tmp_path: Path) -> None:
    events, output = write_events(tmp_path / "events", CREATED), tmp_path / "out"
    assert orderpulse("run", "--input", events, "--output", output).code == 0
    before = (output / "versions.ndjson").read_bytes()

    refused = orderpulse("run", "--input", events, "--output", output)
    replaced = orderpulse("run", "--input", events, "--output", output, "--overwrite")

    assert (refused.code, replaced.code) == (2, 0)
    assert "add --overwrite" in refused.complained
    assert (output / "versions.ndjson").read_bytes() == before


def test_the_read_model_is_kept_where_redis_is_named(trade: Path, tmp_path: Path, redis_server: str) -> None:
    assert (
        orderpulse("run", "--input", trade / "events", "--output", tmp_path / "out", "--redis", redis_server).code == 0
    )

    with redis.Redis.from_url(redis_server, decode_responses=True) as client:
        assert client.zcard("op:v1:alerts:open") > 0


def test_files_that_are_not_in_the_order_of_time_are_pointed_out(tmp_path: Path) -> None:
    old = b'{"type":"order.created","id":"%d","source":"s","time":1772380700000,"order_id":"P"}\n'
    events = write_events(tmp_path / "events", CREATED, *(old % number for number in (5, 6, 7)))

    outcome = orderpulse("run", "--input", events, "--output", tmp_path / "out")

    assert "75% of the events are late" in outcome.complained
    assert "time.out_of_orderness" in outcome.complained


def test_a_damaged_file_fails_the_run_without_any_trace(tmp_path: Path) -> None:
    (tmp_path / "events").mkdir()
    packed = gzip.compress(CREATED * 2_000)
    (tmp_path / "events" / "order-0.ndjson.gz").write_bytes(packed[: len(packed) // 2])

    ended = subprocess.run(
        [*COMMAND, "run", "--input", "events", "--output", "out"],
        cwd=tmp_path, env={**os.environ, "RUST_BACKTRACE": "1"}, capture_output=True, text=True, timeout=180,
        check=False,
    )  # fmt: skip

    assert ended.returncode == 1
    assert ended.stdout == ""
    what, remedy = ended.stderr.splitlines()
    assert what.startswith("error: events/order-0.ndjson.gz: cut off")
    assert remedy.startswith("  to do: copy or export it again")


def command(*arguments: object, cwd: Path) -> subprocess.CompletedProcess[str]:
    """Run the command in a process of its own."""
    return subprocess.run(
        [*COMMAND, *map(str, arguments)],
        cwd=cwd, env={**os.environ, "PYTHONPATH": str(ROOT)}, capture_output=True, text=True, timeout=180, check=False,
    )  # fmt: skip


def test_several_processes_give_what_one_gives_and_one_summary(trade: Path, results: Path, tmp_path: Path) -> None:
    one = orderpulse("run", "--input", trade / "events", "--output", tmp_path / "one", "--json").value

    ended = command("run", "--input", trade / "events", "--output", "two", "--processes", 2, "--json", cwd=tmp_path)

    assert ended.returncode == 0, ended.stderr
    summary = json.loads(ended.stdout)
    assert (summary["processes"], summary["restarts"]) == (2, 0)
    for name in ("events", "late", "duplicates", "versions", "diffs", "holds", "dead_letters", "alerts", "watermark"):
        assert summary[name] == one[name], name
    assert (tmp_path / "two" / "alerts-1.ndjson").exists()
    assert orderpulse("verify", results, tmp_path / "two").code == 0


def test_several_processes_are_summed_up_for_people_too(trade: Path, tmp_path: Path) -> None:
    ended = command("run", "--input", trade / "events", "--output", "out", "--processes", 2, cwd=tmp_path)

    assert ended.returncode == 0, ended.stderr
    assert "is judged (the watermark)" in ended.stdout
    assert "card_burst" in ended.stdout
    assert ended.stdout.rstrip().endswith("Results: out")


def test_the_reason_of_a_failure_comes_through_all_processes(tmp_path: Path) -> None:
    (tmp_path / "events").mkdir()
    packed = gzip.compress(CREATED * 2_000)
    (tmp_path / "events" / "order-0.ndjson.gz").write_bytes(packed[: len(packed) // 2])

    ended = command(
        "run", "--input", "events", "--output", "out", "--processes", 2, "--recovery", "store", cwd=tmp_path
    )

    assert (ended.returncode, ended.stdout) == (1, "")
    assert "] error: events/order-0.ndjson.gz: cut off" in ended.stderr
    assert "error: process 0: events/order-0.ndjson.gz: cut off" in ended.stderr.splitlines()[-1]
    assert "start again" not in ended.stderr
    assert "panicked" not in ended.stderr


def test_a_run_goes_on_with_its_own_results_and_another_number_of_processes(
    trade: Path, results: Path, tmp_path: Path
) -> None:
    arguments = ("run", "--input", trade / "events", "--output", "out", "--recovery", "store", "--json")
    assert command(*arguments, "--processes", 2, cwd=tmp_path).returncode == 0

    again = command(*arguments, cwd=tmp_path)

    assert again.returncode == 0, again.stderr
    assert json.loads(again.stdout)["events"] == 0
    assert orderpulse("verify", results, tmp_path / "out").code == 0


@pytest.fixture
def ended_run(tmp_path: Path) -> tuple[Path, Path, Path]:
    """Events, and the results and the store of a run over them."""
    events, output, store = write_events(tmp_path / "events", CREATED), tmp_path / "out", tmp_path / "store"
    outcome = orderpulse("run", "--input", events, "--output", output, "--recovery", store)
    assert outcome.code == 0, outcome.complained
    return events, output, store


def test_a_new_store_does_not_go_on_with_results_of_an_earlier_run(ended_run: tuple[Path, Path, Path]) -> None:
    events, output, store = ended_run

    outcome = orderpulse("run", "--input", events, "--output", output, "--recovery", store.parent / "new")

    assert outcome.code == 2
    assert "add --overwrite" in outcome.complained


def test_a_store_does_not_go_on_with_the_results_of_another(ended_run: tuple[Path, Path, Path]) -> None:
    events, _, store = ended_run
    other = store.parent / "other"
    assert orderpulse("run", "--input", events, "--output", other).code == 0

    outcome = orderpulse("run", "--input", events, "--output", other, "--recovery", store)

    assert outcome.code == 2
    assert "holds results, but not those of the recovery store" in outcome.complained


def test_results_that_a_store_goes_on_with_are_not_overwritten(ended_run: tuple[Path, Path, Path]) -> None:
    events, output, store = ended_run

    outcome = orderpulse("run", "--input", events, "--output", output, "--recovery", store, "--overwrite")

    assert outcome.code == 2
    assert "leave --overwrite out to go on" in outcome.complained


def test_a_store_is_no_output_directory(tmp_path: Path) -> None:
    events = write_events(tmp_path / "events", CREATED)

    outcome = orderpulse("run", "--input", events, "--output", tmp_path / "a", "--recovery", tmp_path / "a")

    assert outcome.code == 2
    assert "is the output directory" in outcome.complained


def test_a_store_that_does_not_fit_is_refused_with_the_reason(ended_run: tuple[Path, Path, Path]) -> None:
    events, output, store = ended_run
    (events / "order-0.ndjson").rename(events / "order-7.ndjson")

    outcome = orderpulse("run", "--input", events, "--output", output, "--recovery", store)

    assert outcome.code == 1
    assert "knows input that this run does not have" in outcome.complained
    assert "to do: give the run all its inputs again" in outcome.complained


def test_a_damaged_store_is_refused_and_nothing_is_written(ended_run: tuple[Path, Path, Path]) -> None:
    events, output, store = ended_run
    before = {path.name: path.read_bytes() for path in output.iterdir()}
    os.truncate(store / "part-0.sqlite3", 100)

    outcome = orderpulse("run", "--input", events, "--output", output, "--recovery", store)

    assert outcome.code == 1
    assert f"{store / 'part-0.sqlite3'}: is damaged" in outcome.complained
    assert {path.name: path.read_bytes() for path in output.iterdir()} == before
