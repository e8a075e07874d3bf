"""`orderpulse versions`: an order's story, and any two moments of it."""

import json
from pathlib import Path

from tests.console.conftest import orderpulse


def longest(results: Path) -> tuple[str, list[dict[str, object]]]:
    """The order with the most versions."""
    by_order: dict[str, list[dict[str, object]]] = {}
    for line in (results / "versions.ndjson").read_bytes().splitlines():
        record = json.loads(line)
        by_order.setdefault(record["order_id"], []).append(record)
    return max(by_order.items(), key=lambda each: len(each[1]))


def test_all_versions_of_an_order_are_listed_in_order(results: Path) -> None:
    order, records = longest(results)

    assert orderpulse("versions", order, "--input", results, "--json").value == records
    assert f"version {len(records)} " in orderpulse("versions", order, "--input", results).said


def test_one_step_is_what_its_version_says(results: Path) -> None:
    order, records = longest(results)

    compared = orderpulse("versions", order, "--input", results, "--from", 1, "--to", 2, "--json").value

    assert compared["changes"] == records[1]["changes"]


def test_comparing_backwards_swaps_before_and_after(results: Path) -> None:
    order, records = longest(results)
    there = orderpulse("versions", order, "--input", results, "--from", 1, "--to", len(records), "--json").value
    back = orderpulse("versions", order, "--input", results, "--from", len(records), "--to", 1, "--json").value

    swapped = [{"field": each["field"], "old": each["new"], "new": each["old"]} for each in back["changes"]]
    assert there["changes"] == swapped != []


def test_a_version_compared_with_itself_differs_in_nothing(results: Path) -> None:
    order, _ = longest(results)

    assert "nothing differs" in orderpulse("versions", order, "--input", results, "--from", 2, "--to", 2).said


def test_an_unknown_order_or_version_is_refused(results: Path) -> None:
    order, _ = longest(results)

    assert orderpulse("versions", "nobody", "--input", results).code == 1
    refused = orderpulse("versions", order, "--input", results, "--to", 999)
    assert refused.code == 2
    assert "the newest one is" in refused.complained
