"""`orderpulse verify`: equal runs, and each way in which runs can differ."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from config.loader import load_settings
from operators.platform.watch import PlatformWatch
from sinks.encoding import ENCODER
from tests.console.conftest import Outcome, orderpulse

Copy = Callable[[str], Path]


def lines_of(file: Path) -> list[bytes]:
    return file.read_bytes().splitlines(keepends=True)


def verify(first: Path, second: Path) -> Outcome:
    return orderpulse("verify", first, second, "--json")


def test_a_run_is_equal_to_its_copy(results: Path, copy_of: Copy) -> None:
    outcome = orderpulse("verify", results, copy_of("other"))

    assert outcome.code == 0
    assert outcome.said.endswith("Equal\n")


def test_a_run_opened_what_the_truth_asks(trade: Path, results: Path) -> None:
    outcome = verify(trade, results)

    truth = len(lines_of(trade / "truth.ndjson"))
    assert outcome.code == 0
    assert outcome.value["truth"] == {"expected": truth, "matched": truth, "missing": [], "extra": []}


def test_an_alert_that_the_truth_asks_for_is_missed(trade: Path, copy_of: Copy) -> None:
    run = copy_of("run")
    kept = [line for line in lines_of(run / "alerts.ndjson") if b'"rule":"card_burst"' not in line]
    (run / "alerts.ndjson").write_bytes(b"".join(kept))

    outcome = verify(trade, run)

    truth = [json.loads(line) for line in lines_of(trade / "truth.ndjson")]
    assert outcome.code == 1
    assert {each["rule"] for each in outcome.value["truth"]["missing"]} == {"card_burst"}
    assert len(outcome.value["truth"]["missing"]) == sum(each["rule"] == "card_burst" for each in truth)


@pytest.mark.parametrize("kind", ["alerts", "diffs", "versions", "holds", "late", "dead_letters"])
def test_a_missing_line_is_found_and_shown(results: Path, copy_of: Copy, kind: str) -> None:
    other = copy_of("other")
    first, *rest = lines_of(other / f"{kind}.ndjson")
    (other / f"{kind}.ndjson").write_bytes(b"".join(rest))

    outcome = verify(results, other)

    report = outcome.value["kinds"][kind]
    assert outcome.code == 1
    assert report["only"] == [1, 0]
    assert report["examples"] == [[first.decode().rstrip("\n")], []]
    assert [name for name, each in outcome.value["kinds"].items() if not each["equal"]] == [kind]


def test_a_line_that_stands_twice_is_one_too_many(results: Path, copy_of: Copy) -> None:
    other = copy_of("other")
    with (other / "alerts.ndjson").open("ab") as file:
        file.write(lines_of(results / "alerts.ndjson")[0])

    assert verify(results, other).value["kinds"]["alerts"]["only"] == [0, 1]


def test_an_orders_versions_in_another_order_are_found(results: Path, copy_of: Copy) -> None:
    other = copy_of("other")
    lines = lines_of(other / "versions.ndjson")
    order = json.loads(lines[0])["order_id"]
    places = [place for place, line in enumerate(lines) if json.loads(line)["order_id"] == order][:2]
    lines[places[0]], lines[places[1]] = lines[places[1]], lines[places[0]]
    (other / "versions.ndjson").write_bytes(b"".join(lines))

    outcome = verify(results, other)

    report = outcome.value["kinds"]["versions"]
    assert outcome.code == 1
    assert report["only"] == [0, 0]
    assert (report["reordered"], report["reordered_entities"]) == (1, [order])


def test_different_orders_may_change_places(results: Path, copy_of: Copy) -> None:
    other = copy_of("other")
    by_order: dict[str, list[bytes]] = {}
    for line in lines_of(other / "versions.ndjson"):
        by_order.setdefault(json.loads(line)["order_id"], []).append(line)
    moved = [line for order in reversed(by_order) for line in by_order[order]]
    assert moved != lines_of(other / "versions.ndjson")
    (other / "versions.ndjson").write_bytes(b"".join(moved))

    assert verify(results, other).code == 0


def split(directory: Path, kind: str, part_of: Callable[[int], int]) -> None:
    """Spread the lines over the files of two processes."""
    parts: tuple[list[bytes], list[bytes]] = ([], [])
    for number, line in enumerate(lines_of(directory / f"{kind}.ndjson")):
        parts[part_of(number)].append(line)
    (directory / f"{kind}.ndjson").unlink()
    for number, lines in enumerate(parts):
        (directory / f"{kind}-{number}.ndjson").write_bytes(b"".join(lines))


def test_the_files_of_several_processes_count_as_one(results: Path, copy_of: Copy) -> None:
    other = copy_of("other")
    for kind in ("alerts", "diffs", "versions"):
        split(other, kind, lambda number: number % 2)

    assert verify(results, other).code == 0


def test_an_order_is_found_out_of_order_within_one_of_several_files(results: Path, copy_of: Copy) -> None:
    other = copy_of("other")
    split(other, "versions", lambda number: number % 2)
    file = other / "versions-0.ndjson"
    lines = lines_of(file)
    file.write_bytes(b"".join(reversed(lines)))

    assert verify(results, other).value["kinds"]["versions"]["reordered"] > 0


def test_a_file_that_was_cut_off_is_named(results: Path, copy_of: Copy) -> None:
    other = copy_of("other")
    content = (other / "diffs.ndjson").read_bytes()
    (other / "diffs.ndjson").write_bytes(content[:-20])

    outcome = verify(results, other)

    assert outcome.code == 1
    assert f"diffs.ndjson, line {content.count(10)}" in outcome.complained.replace("\n", "")


def test_a_directory_that_no_run_wrote_is_refused(results: Path, tmp_path: Path) -> None:
    outcome = orderpulse("verify", results, tmp_path)

    assert outcome.code == 2
    assert "holds no results of a run" in outcome.complained


def test_people_read_which_rules_differ(results: Path, copy_of: Copy) -> None:
    other = copy_of("other")
    kept = [line for line in lines_of(other / "alerts.ndjson") if b'"rule":"resonance"' not in line]
    gone = len(lines_of(results / "alerts.ndjson")) - len(kept)
    (other / "alerts.ndjson").write_bytes(b"".join(kept))

    outcome = orderpulse("verify", results, other)

    assert f"  resonance: {gone} only in A, 0 only in B" in outcome.said
    assert outcome.said.endswith("Not equal\n")


def test_alerts_about_the_flow_itself_are_left_out(trade: Path, results: Path, copy_of: Copy) -> None:
    run = copy_of("run")
    watch = PlatformWatch(load_settings().platform)
    watch.waiting({"Redis": (1_772_413_200_000, "away")})
    with (run / "alerts.ndjson").open("ab") as file:
        file.write(ENCODER.encode_lines(watch.judge(1_772_413_300_000)))

    assert b'"entity_type":"platform"' in (run / "alerts.ndjson").read_bytes()
    assert verify(results, run).code == 0
    assert verify(trade, run).code == 0
