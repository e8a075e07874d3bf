"""`orderpulse replay`: the lines of the run, within the range that was asked for, and no effect but files."""

import base64
import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from config.units import Instant
from tests.console.conftest import orderpulse

ROOT = Path(__file__).resolve().parents[2]
KINDS = ("alerts", "holds", "versions", "diffs", "late", "dead_letters")
CREATED = b'{"type":"order.created","id":"1","source":"s","time":1772380800000,"order_id":"O"}\n'


def records(directory: Path, kind: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (directory / f"{kind}.ndjson").read_bytes().splitlines()]


def moments(directory: Path) -> Iterator[int]:
    for kind in KINDS[:-1]:
        yield from (each.get("applied_at", each["time"]) for each in records(directory, kind))


def middle(results: Path) -> tuple[Instant, Instant]:
    """A span of time with something of everything in it, and something before and after."""
    times = sorted(moments(results))
    return Instant(times[len(times) // 4]), Instant(times[3 * len(times) // 4])


def test_a_replay_gives_the_lines_of_the_run(trade: Path, results: Path, tmp_path: Path) -> None:
    outcome = orderpulse("replay", "--input", trade / "events", "--output", tmp_path / "again")

    assert outcome.code == 0, outcome.complained
    assert orderpulse("verify", results, tmp_path / "again").code == 0
    assert "+08:00 is judged (the watermark)" in outcome.said


def test_a_range_holds_what_the_run_gave_within_it(trade: Path, results: Path, tmp_path: Path) -> None:
    since, until = middle(results)

    summary = orderpulse(
        "replay", "--input", trade, "--output", tmp_path / "part", "--from", since, "--until", until, "--json"
    ).value

    found = list(moments(tmp_path / "part"))
    assert found
    assert min(found) >= since
    assert max(found) < until
    assert orderpulse("verify", results, tmp_path / "part", "--from", since, "--until", until).code == 0
    assert (summary["from"], summary["until"], summary["watermark"]) == (since, until, until - 1)
    assert orderpulse("verify", results, tmp_path / "part").code == 1


def test_dead_letters_of_logs_without_arrivals_are_in_no_range_and_that_is_said(
    trade: Path, results: Path, tmp_path: Path
) -> None:
    since, _ = middle(results)

    outcome = orderpulse("replay", "--input", trade, "--output", tmp_path / "part", "--from", since, "--json")

    assert records(tmp_path / "part", "dead_letters") == []
    assert outcome.value["undated"] == len(records(results, "dead_letters")) > 0
    assert "dead letters left out" in outcome.complained


def test_until_beyond_the_last_event_lets_limits_run_out(tmp_path: Path) -> None:
    (tmp_path / "order-0.ndjson").write_bytes(CREATED)
    until = "2026-03-02T00:06:00+08:00"

    orderpulse("run", "--input", tmp_path / "order-0.ndjson", "--output", tmp_path / "run", "--until", until)
    orderpulse("replay", "--input", tmp_path / "order-0.ndjson", "--output", tmp_path / "again", "--until", until)

    assert [alert["rule"] for alert in records(tmp_path / "again", "alerts")] == ["stage_timeout"]
    assert orderpulse("verify", tmp_path / "run", tmp_path / "again").code == 0


def test_one_order_alone_is_written_with_all_that_concerns_it(trade: Path, results: Path, tmp_path: Path) -> None:
    order = next(alert for alert in records(results, "alerts") if alert["rule"] == "card_burst")["orders"][0]

    orderpulse("replay", "--input", trade, "--output", tmp_path / "one", "--order", order)

    for kind in ("versions", "diffs", "holds"):
        assert records(tmp_path / "one", kind) == [each for each in records(results, kind) if each["order_id"] == order]
    alerts = [each for each in records(results, "alerts") if order in each["orders"] or each["entity_id"] == order]
    assert records(tmp_path / "one", "alerts") == alerts
    assert {alert["entity_type"] for alert in alerts} == {"order", "card"} or len(alerts) > 1


def test_a_dead_letter_that_names_the_order_concerns_it(tmp_path: Path) -> None:
    bad = CREATED.replace(b'"order_id"', b'"amount":"much","order_id"')
    other = bad.replace(b'"O"', b'"OTHER"')
    (tmp_path / "order-0.ndjson").write_bytes(CREATED + bad + other)

    orderpulse("replay", "--input", tmp_path / "order-0.ndjson", "--output", tmp_path / "one", "--order", "O")

    letters = records(tmp_path / "one", "dead_letters")
    assert [base64.b64decode(letter["payload"]) for letter in letters] == [bad.rstrip()]


def test_reading_begins_before_the_range_by_the_warm_up(trade: Path, results: Path, tmp_path: Path) -> None:
    since, until = middle(results)
    given = ("replay", "--input", trade, "--from", since, "--until", until, "--json", "--output")

    whole = orderpulse(*given, tmp_path / "whole").value
    warmed = orderpulse(*given, tmp_path / "warmed", "--warm-up", "100d").value
    cold = orderpulse(*given, tmp_path / "cold", "--warm-up", "1ms").value

    assert warmed["events"] == whole["events"] > cold["events"]
    assert orderpulse("verify", tmp_path / "whole", tmp_path / "warmed").code == 0
    assert orderpulse("verify", tmp_path / "whole", tmp_path / "cold").code == 1


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (("--output", "kafka"), "a replay writes files alone"),
        (("--warm-up", "1d"), "--warm-up without --from"),
        (("--from", "2026-03-02T00:00:00Z", "--until", "2026-03-02T00:00:00Z"), "is not before"),
        (("--start-offsets", "orders/0:5"), "offsets belong to topics"),
        (("--from", "2026-03-02"), "has no zone"),
    ],
)
def test_what_makes_no_sense_is_refused(trade: Path, tmp_path: Path, arguments: tuple[str, ...], says: str) -> None:
    output = () if "--output" in arguments else ("--output", tmp_path / "out")

    outcome = orderpulse("replay", "--input", trade, *output, *arguments)

    assert outcome.code == 2
    assert says in outcome.complained
    assert not (tmp_path / "out").exists()


def test_offsets_that_are_none_are_refused(tmp_path: Path) -> None:
    outcome = orderpulse("replay", "--output", tmp_path / "out", "--end-offsets", "latest")

    assert outcome.code == 2
    assert "names no offsets" in outcome.complained


def test_results_are_replaced_only_if_asked(trade: Path, tmp_path: Path) -> None:
    given = ("replay", "--input", trade, "--output", tmp_path / "out", "--json")

    assert orderpulse(*given).code == 0
    assert orderpulse(*given).code == 2
    assert orderpulse(*given, "--overwrite").code == 0


def test_an_input_that_cannot_be_read_leaves_no_results(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()

    outcome = orderpulse("replay", "--input", tmp_path / "empty", "--output", tmp_path / "out")

    assert outcome.code == 1
    assert "no event files" in outcome.complained
    assert not (tmp_path / "out").exists()


def test_a_note_says_what_the_results_were_made_from(trade: Path, results: Path, tmp_path: Path) -> None:
    since, until = middle(results)
    orderpulse("replay", "--input", trade, "--output", tmp_path / "out", "--from", since, "--until", until)

    live, note = (json.loads((directory / "run.json").read_bytes()) for directory in (results, tmp_path / "out"))

    assert (live["command"], note["command"]) == ("run", "replay")
    assert note["fingerprint"] == live["fingerprint"]
    assert note["part"] == {"since": since, "until": until, "start": None, "start_offsets": None, "order": None}
    assert note["first"] == dict.fromkeys(sorted(f"events/{path.name}" for path in (trade / "events").iterdir()), 0)


_LOADED = """
import sys
import typer
from console.replay import replay
app = typer.Typer()
app.command()(replay)
try:
    app(sys.argv[1:])
except SystemExit as ended:
    assert not ended.code, ended.code
print(*sorted(sys.modules), sep="\\n")
"""


def test_a_replay_never_even_loads_what_could_have_an_effect(tmp_path: Path) -> None:
    (tmp_path / "order-0.ndjson").write_bytes(CREATED)
    arguments = ("--input", tmp_path / "order-0.ndjson", "--output", tmp_path / "out", "--json")

    ended = subprocess.run(
        [sys.executable, "-c", _LOADED, *map(str, arguments)], cwd=ROOT, capture_output=True, text=True, check=True
    )

    loaded = ended.stdout.splitlines()
    assert "dataflows.history" in loaded
    effects = ("bytewax", "redis", "sinks.kafka", "sinks.read_model", "dataflows.run", "dataflows.outlet")
    assert [name for name in loaded if name in effects] == []
