"""What counts as a trace of a fault: the comparison that all fault runs are judged by."""

from collections.abc import Mapping, Sequence

import msgspec
import pytest

from tests.faults.comparison import compare, count, describe
from tests.faults.outputs import Held, Outputs, Written

DAY = 86_400_000
ORDER = Held("hash", {"version": "3", "fields": "{}"}, 14 * DAY)
OPEN = Held("zset", {"a1": 5.0}, 14 * DAY)


def version(order: str, number: int, **fields: object) -> Written:
    name = f"{order}/v{number}"
    value = msgspec.json.encode({"id": name, "order_id": order, "version": number, **fields})
    return Written(name, order, f"0@{number}", order.encode(), value, (("ce_id", name.encode()),), 1000 + number)


RIGHT = [version("A", 1), version("B", 1), version("A", 2), version("A", 3)]


def outputs(records: Sequence[Written] = RIGHT, redis: Mapping[str, Held] | None = None) -> Outputs:
    return Outputs({"versions": list(records)}, {"order:A": ORDER, "alerts:open": OPEN, **(redis or {})})


def told(found: Outputs) -> str:
    return describe(compare(outputs(), found))


def test_the_same_records_and_the_same_view_are_no_difference() -> None:
    assert told(outputs()) == ""


def test_records_of_several_entities_may_interleave_in_any_way() -> None:
    assert told(outputs([RIGHT[1], RIGHT[0], RIGHT[2], RIGHT[3]])) == ""


def test_a_record_that_is_not_there_is_lost() -> None:
    differences = compare(outputs(), outputs(RIGHT[:-1]))
    assert count(differences) == {"lost": 1}
    assert "versions: 1 lost\n    A/v3 of A" in describe(differences)


def test_a_record_that_stands_twice_is_doubled() -> None:
    assert told(outputs([*RIGHT, RIGHT[1]])) == "versions: 1 doubled\n    B/v1 at 0@1, again at 0@1"


def test_a_record_that_nobody_asked_for_is_invented() -> None:
    assert count(compare(outputs(), outputs([*RIGHT, version("C", 1)]))) == {"invented": 1}


def test_a_record_with_other_bytes_differs_and_its_fields_are_named() -> None:
    other = [*RIGHT[:-1], version("A", 3, operator="li")]
    assert told(outputs(other)) == "versions: 1 differing\n    A/v3 at 0@3: operator None became li"


@pytest.mark.parametrize("field", ["key", "headers"])
def test_a_record_with_another_key_or_other_headers_differs(field: str) -> None:
    changed = msgspec.structs.replace(RIGHT[0], **{field: b"" if field == "key" else ()})
    differences = compare(outputs(), outputs([changed, *RIGHT[1:]]))
    assert count(differences) == {"differing": 1}
    assert f"{field} " in describe(differences)


def test_an_entity_whose_records_stand_in_another_order_is_reordered() -> None:
    assert told(outputs([RIGHT[1], RIGHT[2], RIGHT[0], RIGHT[3]])) == (
        "versions: 1 reordered\n    A: A/v2 stands where A/v1 should"
    )


@pytest.mark.parametrize(
    ("redis", "what"),
    [
        ({"hold:A": ORDER}, "1 invented"),
        ({"order:A": Held("hash", {"version": "2", "fields": "{}"}, 14 * DAY)}, "version 3 became 2"),
        ({"alerts:open": Held("zset", {"a1": 6.0}, 14 * DAY)}, "a1 5.0 became 6.0"),
        ({"order:A": Held("hash", ORDER.content, 2 * DAY)}, "expires after"),
        ({"order:A": Held("hash", ORDER.content, -1)}, "expires after -1 ms"),
    ],
)
def test_a_view_that_holds_something_else_is_told_apart(redis: dict[str, Held], what: str) -> None:
    differences = compare(outputs(), outputs(redis=redis))
    assert count(differences) == {"redis": 1}
    assert what in describe(differences)


def test_entries_of_the_view_may_have_lived_some_minutes_longer() -> None:
    assert told(outputs(redis={"order:A": Held("hash", ORDER.content, 14 * DAY - 600_000)})) == ""


def test_an_entry_that_the_view_has_not_got_is_lost() -> None:
    found = Outputs({"versions": RIGHT}, {"order:A": ORDER})
    assert told(found) == "redis: 1 lost\n    alerts:open: {'a1': 5.0}"
