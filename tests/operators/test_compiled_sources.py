"""The compiled part: built where it can be, without a warning, and left out without harm."""

import os
import shutil
import subprocess
import sys
import sysconfig
from pathlib import Path

import pytest

from operators.heart.built import BUILT
from operators.heart.component import Environment
from tests.operators.timeline import SETTINGS

ROOT = Path(__file__).parents[2]
SOURCES = sorted((ROOT / "operators/heart/compiled").glob("*.c"))
HEADERS = Path(sysconfig.get_paths()["include"])
COMPILER = shutil.which((sysconfig.get_config_var("CC") or "cc").split()[0]) or shutil.which("cc")
CAN_BUILD = COMPILER is not None and (HEADERS / "Python.h").exists()

can_build = pytest.mark.skipif(not CAN_BUILD, reason="no C compiler, or no headers of Python")


@can_build
def test_it_is_built_where_it_can_be() -> None:
    assert BUILT, "run `make install`"


@can_build
@pytest.mark.parametrize("source", SOURCES, ids=lambda path: path.name)
def test_a_source_compiles_without_a_warning(source: Path) -> None:
    flags = ["-std=c11", "-fsyntax-only", "-Wall", "-Wextra", "-Werror", "-Wno-missing-field-initializers"]
    command = [str(COMPILER), *flags, f"-I{HEADERS}", str(source)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_it_is_made_of_all_its_files() -> None:
    told = (ROOT / "pyproject.toml").read_text(encoding="utf-8")
    files = [*SOURCES, *SOURCES[0].parent.glob("*.h")]
    assert [path.name for path in files if f'"{path.relative_to(ROOT)}"' not in told] == []


def test_a_run_without_it_is_a_run_in_python(tmp_path: Path) -> None:
    blocked = tmp_path / "sitecustomize.py"
    blocked.write_text(
        "import sys\n"
        "class Hidden:\n"
        "    def find_spec(self, name, path=None, target=None):\n"
        "        if name == 'operators.heart._compiled':\n"
        "            raise ModuleNotFoundError(name)\n"
        "sys.meta_path.insert(0, Hidden())\n",
        encoding="utf-8",
    )
    code = "from operators.heart import walkers; print(walkers.BUILT)"
    path = os.pathsep.join((str(tmp_path), str(ROOT)))
    environment = {**os.environ, "PYTHONPATH": path}
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=False, cwd=tmp_path, env=environment
    )
    assert (done.stdout.strip(), done.stderr) == ("False", "")


def test_the_settings_can_rule_it_out() -> None:
    assert Environment(SETTINGS, 1).uses_compiled == BUILT
    assert not Environment(SETTINGS, 1, compiled=False).uses_compiled
