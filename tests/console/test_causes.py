"""`orderpulse verify` names the likely cause of each difference."""

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest

from config.loader import load_settings
from config.units import Instant
from dataflows.environment import environment_of
from dataflows.memory import MemoryDriver
from events.batch import RawBatch
from operators.topology import topology
from sinks.files import FileSink
from tests.console.conftest import Outcome, orderpulse

Copy = Callable[[str], Path]


def verify(first: Path, second: Path, *more: object) -> Outcome:
    return orderpulse("verify", first, second, "--json", *more)


def causes(outcome: Outcome) -> dict[str, Any]:
    assert outcome.code == 1
    return {each["cause"]: each for each in outcome.value["causes"]}


def rewrite(file: Path, change: Callable[[dict[str, Any]], Sequence[dict[str, Any]]]) -> None:
    """Each line of a file as what ``change`` makes of it."""
    lines = [line for text in file.read_bytes().splitlines() for line in change(json.loads(text))]
    encoded = [json.dumps(line, ensure_ascii=False, separators=(",", ":")).encode() for line in lines]
    file.write_bytes(b"".join(line + b"\n" for line in encoded))


def records(directory: Path, kind: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (directory / f"{kind}.ndjson").read_bytes().splitlines()]


def replayed(trade: Path, output: Path, *arguments: object) -> Path:
    outcome = orderpulse("replay", "--input", trade, "--output", output, *arguments)
    assert outcome.code == 0, outcome.complained
    return output


def config(tmp_path: Path, text: str) -> Path:
    file = tmp_path / "shop.toml"
    file.write_text(text)
    return file


def test_an_effect_that_happened_twice(results: Path, copy_of: Copy) -> None:
    other = copy_of("other")
    first = (other / "alerts.ndjson").read_bytes().splitlines(keepends=True)[0]
    with (other / "alerts.ndjson").open("ab") as file:
        file.write(first)

    found = causes(verify(results, other))

    assert list(found) == ["twice"]
    assert found["twice"]["lines"] == [0, 1]


def test_other_settings_are_named_with_both_values(trade: Path, results: Path, tmp_path: Path) -> None:
    shop = config(tmp_path, "[detectors.stage_timeout]\nfactor = 2\n")

    found = causes(verify(results, replayed(trade, tmp_path / "out", "--config", shop)))

    assert list(found) == ["settings"]
    assert found["settings"]["details"] == ["detectors.stage_timeout.factor: 1 in A, 2 in B"]


def test_other_versions_of_a_rule(results: Path, copy_of: Copy) -> None:
    other = copy_of("other")
    rewrite(
        other / "alerts.ndjson",
        lambda line: [{**line, "rule_version": 2 if line["rule"] == "resonance" else line["rule_version"]}],
    )

    found = causes(verify(results, other))

    assert list(found) == ["rules"]
    assert found["rules"]["details"] == ["resonance: version 1 in A, 2 in B"]


def test_the_hash_key(trade: Path, results: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ORDERPULSE_HASH_KEY", "another key altogether")

    assert "hash_key" in causes(verify(results, replayed(trade, tmp_path / "out")))


def test_a_range_and_an_order_that_the_other_was_limited_to(trade: Path, results: Path, tmp_path: Path) -> None:
    times = sorted(each["time"] for each in records(results, "versions"))
    since = _instant(times[len(times) // 2])
    order = records(results, "versions")[0]["order_id"]

    part = causes(verify(results, replayed(trade, tmp_path / "part", "--from", since)))
    one = causes(verify(results, replayed(trade, tmp_path / "one", "--order", order)))

    assert list(part) == ["range"]
    assert list(one) == ["order"]


def test_a_start_without_enough_warm_up(trade: Path, results: Path, tmp_path: Path) -> None:
    times = sorted(each["time"] for each in records(results, "versions"))
    since = _instant(times[len(times) // 2])
    cold = replayed(trade, tmp_path / "cold", "--from", since, "--warm-up", "1ms")

    found = causes(verify(results, cold, "--from", since))

    assert list(found) == ["start"]
    assert found["start"]["first"] >= times[len(times) // 2]
    assert found["start"]["details"][0] == "A begins with its input"


def test_an_end_that_the_other_has_not_reached(trade: Path, results: Path, tmp_path: Path) -> None:
    longer = replayed(trade, tmp_path / "longer", "--until", "2026-06-01T00:00:00+08:00")

    found = causes(verify(results, longer))

    assert "end" in found
    assert found["end"]["lines"][0] == 0


def test_an_event_that_came_late_by_force(results: Path, copy_of: Copy) -> None:
    """What a live run leaves behind that did not wait for a partition: the event is late there, and only there."""
    live = copy_of("live")
    order = records(results, "versions")[10]["order_id"]
    moved = [each for each in records(results, "versions") if each["order_id"] == order][-1]
    later = moved["time"] + 60_000
    rewrite(live / "versions.ndjson", lambda line: [{**line, "time": later} if line["id"] == moved["id"] else line])
    with (live / "late.ndjson").open("ab") as file:
        late = {"id": f"late/oms/x/{order}", "source": "oms", "event_id": "x", "event_type": "order.stage",
                "entity_id": order, "time": moved["time"], "applied_at": later, "event": {}}  # fmt: skip
        file.write(json.dumps(late).encode() + b"\n")

    found = causes(verify(live, results))

    assert list(found) == ["forced"]
    (detail,) = found["forced"]["details"]
    assert detail.startswith(f"order.stage x of {order} was applied at ")
    assert detail.endswith("in A, at its own time in B")


def test_what_nothing_explains_is_said_to_be_unknown(results: Path, copy_of: Copy) -> None:
    other = copy_of("other")
    rewrite(other / "diffs.ndjson", lambda line: [] if line["version"] == 1 else [line])

    assert list(causes(verify(results, other))) == ["unknown"]


def test_people_read_the_causes(trade: Path, results: Path, tmp_path: Path) -> None:
    shop = config(tmp_path, "[detectors.stage_timeout]\nfactor = 2\n")
    other = replayed(trade, tmp_path / "out", "--config", shop)

    outcome = orderpulse("verify", results, other)

    assert "Likely causes\n  other settings: " in outcome.said
    assert "\n    detectors.stage_timeout.factor: 1 in A, 2 in B\n" in outcome.said


def _instant(moment: int) -> str:
    return str(Instant(moment))


def test_a_partition_that_the_live_run_left_out_by_force_is_named(tmp_path: Path) -> None:
    """Time went on without partition b; when it answered again, its payment was applied later than it happened."""
    noon = 1_772_380_800_000
    created = _event("order.created", "1", noon, order_id="A") + _event("order.created", "2", noon, order_id="B")
    paid = _event("payment.succeeded", "3", noon + 60_000, order_id="A", amount=100)
    later = _event("order.created", "4", noon + 3_600_000, order_id="C")
    logs = {"a.ndjson": created + later, "b.ndjson": paid}
    for name, text in logs.items():
        (tmp_path / name).write_bytes(text)
    flow = MemoryDriver(topology(environment_of(load_settings(), read_model=False)), logs)

    given = flow.feed(_batch("a.ndjson", created))
    flow.intake.leave_out({"b.ndjson"})
    given += flow.feed(_batch("a.ndjson", later))
    flow.intake.leave_out(())
    given += flow.feed(_batch("b.ndjson", paid, finished=True))
    given += flow.feed(_batch("a.ndjson", b"", finished=True))
    sink = FileSink(tmp_path / "live")
    sink.write(given)
    sink.close()

    files = [tmp_path / name for name in logs]
    assert orderpulse("replay", "--input", *files, "--output", tmp_path / "again").code == 0
    found = causes(verify(tmp_path / "live", tmp_path / "again"))
    assert list(found) == ["forced"]
    assert found["forced"]["details"] == [
        "payment.succeeded 3 of A was applied at 2026-03-02 00:59:50+08:00 in A, at its own time in B"
    ]
    assert {alert["rule"] for alert in records(tmp_path / "live", "alerts")} >= {"stage_timeout"}


def _event(kind: str, number: str, moment: int, **fields: Any) -> bytes:
    return json.dumps({"type": kind, "id": number, "source": "s", "time": moment, **fields}).encode() + b"\n"


def _batch(partition: str, text: bytes, *, finished: bool = False) -> RawBatch:
    lines = text.splitlines()
    return RawBatch(partition, "files", lines, range(len(lines)), finished=finished)
