"""No producer of the product may take a record for delivered that the broker refused.

The client does so when a partition's leader refuses the first request of a producer that is new to it and takes the
next one, which is under way already: right after a topic was made, or when its leader moves. Records then vanish
without an error, in some of ten tries.
"""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
ROOMS = ("console", "dataflows", "sinks", "sources")
IDEMPOTENT = "enable.idempotence"
ONE_AT_A_TIME = "max.in.flight.requests.per.connection"


def producer_options() -> Iterator[tuple[str, dict[str, object]]]:
    """Every dictionary in the code that asks for an idempotent producer, and where it stands."""
    for path in sorted(path for room in ROOMS for path in (ROOT / room).rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Dict):
                options = _options(node)
                if IDEMPOTENT in options:
                    yield f"{path.relative_to(ROOT)}:{node.lineno}", options


def _options(node: ast.Dict) -> dict[str, object]:
    """The entries whose name and value stand in the code."""
    return {
        str(key.value): value.value
        for key, value in zip(node.keys, node.values, strict=True)
        if isinstance(key, ast.Constant) and isinstance(value, ast.Constant)
    }


FOUND = dict(producer_options())


def test_the_sinks_producer_is_among_those_that_were_found() -> None:
    assert any(where.startswith("sinks/kafka.py") for where in FOUND)


@pytest.mark.parametrize("where", FOUND)
def test_a_producer_has_one_request_under_way_at_a_time(where: str) -> None:
    assert FOUND[where].get(ONE_AT_A_TIME) == 1
