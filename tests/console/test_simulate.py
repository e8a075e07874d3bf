"""`orderpulse simulate`."""

from pathlib import Path

import pytest

from tests.console.conftest import orderpulse


def content(directory: Path) -> dict[str, bytes]:
    return {str(file.relative_to(directory)): file.read_bytes() for file in directory.rglob("*.ndjson")}


def test_the_same_seed_gives_the_same_bytes(tmp_path: Path) -> None:
    for name, seed in (("a", 4), ("b", 4), ("c", 5)):
        assert orderpulse("simulate", "--orders", 40, "--seed", seed, "--output", tmp_path / name).code == 0

    assert content(tmp_path / "a") == content(tmp_path / "b") != content(tmp_path / "c")


def test_an_earlier_simulation_is_replaced_only_on_demand(tmp_path: Path) -> None:
    first = orderpulse("simulate", "--orders", 20, "--output", tmp_path, "--json")
    refused = orderpulse("simulate", "--orders", 20, "--output", tmp_path)
    replaced = orderpulse("simulate", "--orders", 30, "--output", tmp_path, "--overwrite", "--json")

    assert (first.value["orders"], refused.code, replaced.value["orders"]) == (20, 2, 30)


@pytest.mark.parametrize(("flag", "value"), [("--late", "1.5"), ("--partitions", "0"), ("--orders", "-1")])
def test_figures_that_make_no_trade_are_refused_by_name(tmp_path: Path, flag: str, value: str) -> None:
    outcome = orderpulse("simulate", "--output", tmp_path / "sim", flag, value)

    assert outcome.code == 2
    assert flag in outcome.complained
    assert not (tmp_path / "sim").exists()


def test_the_truth_names_hashed_entities_as_a_run_does(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ORDERPULSE_HASH_KEY", "one")
    orderpulse("simulate", "--orders", 200, "--output", tmp_path / "sim")
    orderpulse("run", "--input", tmp_path / "sim/events", "--output", tmp_path / "same")
    monkeypatch.setenv("ORDERPULSE_HASH_KEY", "another")
    orderpulse("run", "--input", tmp_path / "sim/events", "--output", tmp_path / "other")

    assert orderpulse("verify", tmp_path / "sim", tmp_path / "same").code == 0
    differs = orderpulse("verify", tmp_path / "sim", tmp_path / "other")
    assert differs.code == 1
    assert "ORDERPULSE_HASH_KEY" in differs.complained
