"""docs/adding-a-detector.md gives a detector that works: its steps are done to a copy of the project and tested."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.docs.pages import ROOT, Block, blocks_of
from tests.test_architecture import violations

PAGE = ROOT / "docs/adding-a-detector.md"
DETECTOR = "operators/detectors/high_value_unpaid.py"
TEST = "tests/operators/test_high_value_unpaid.py"
COPIED = (
    "config",
    "dataflows",
    "events",
    "operators",
    "sinks",
    "sources",
    "tests/operators",
    "tests/oracle",
    "tests/support",
)


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the project with all that the page says done to it."""
    directory = tmp_path_factory.mktemp("project")
    for name in COPIED:
        shutil.copytree(ROOT / name, directory / name, ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("pyproject.toml", "tests/__init__.py", "tests/conftest.py"):
        shutil.copyfile(ROOT / name, directory / name)
    for block in blocks_of(PAGE):
        apply(block, directory)
    return directory


def apply(block: Block, directory: Path) -> None:
    """Do what the page says with a block: a new file, or lines before or after the one that is named."""
    if "file" in block.values:
        (directory / block.values["file"]).write_text(block.text, encoding="utf-8")
    elif "into" in block.values:
        target = directory / block.values["into"]
        lines = target.read_text(encoding="utf-8").splitlines(keepends=True)
        named = block.values.get("before") or block.values["after"]
        places = [index for index, line in enumerate(lines) if line.startswith(named)]
        assert len(places) == 1, f"line {block.line}: {named!r} stands in {target.name} {len(places)} times"
        lines.insert(places[0] + ("after" in block.values), block.text)
        target.write_text("".join(lines), encoding="utf-8")


def run(project: Path, *command: str) -> subprocess.CompletedProcess[str]:
    """Run a tool within the copy, with its modules before the installed ones."""
    return subprocess.run(
        [sys.executable, "-m", *command],
        cwd=project,
        env=os.environ | {"PYTHONPATH": str(project), "PYTEST_ADDOPTS": ""},
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )


def test_its_timelines_pass(project: Path) -> None:
    done = run(project, "pytest", "-q", "-p", "no:cacheprovider", "-p", "no:xdist", TEST)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "8 passed" in done.stdout


def test_its_timelines_fail_when_the_logic_is_wrong(project: Path) -> None:
    file = project / DETECTOR
    right = file.read_text(encoding="utf-8")
    hasty = right.replace("deadline + 1)", "deadline)").replace("due > waiting.deadline", "due >= waiting.deadline")
    assert hasty != right
    file.write_text(hasty, encoding="utf-8")
    try:
        done = run(project, "pytest", "-q", "-p", "no:cacheprovider", "-p", "no:xdist", TEST)
    finally:
        file.write_text(right, encoding="utf-8")
    assert done.returncode == 1
    assert "paid exactly at the deadline" in done.stdout


def test_the_code_keeps_to_the_projects_style(project: Path) -> None:
    done = run(project, "ruff", "check", "--no-cache", DETECTOR, TEST, "config/settings.py", "operators/registry.py")
    assert done.returncode == 0, done.stdout


def test_the_logic_depends_on_its_events_alone(project: Path) -> None:
    assert violations((project / DETECTOR).read_text(encoding="utf-8")) == []
