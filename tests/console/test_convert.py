"""`orderpulse convert`."""

from pathlib import Path

from tests.console.conftest import orderpulse

SAMPLES = Path(__file__).resolve().parent.parent / "samples/orders_csv"


def test_a_platforms_records_become_events(tmp_path: Path) -> None:
    report = orderpulse("convert", "--profile", "orders_csv", SAMPLES, tmp_path / "out", "--json").value

    assert report["events"] == sum(report["by_type"].values()) > 0
    assert len(Path(report["events_file"]).read_bytes().splitlines()) == report["events"]
    assert orderpulse("convert", "--profile", "orders_csv", SAMPLES, tmp_path / "again").said.startswith(
        f"{report['records']:,} records gave {report['events']:,} events"
    )


def test_an_unknown_profile_is_refused_with_those_there_are(tmp_path: Path) -> None:
    outcome = orderpulse("convert", "--profile", "nobody", SAMPLES, tmp_path / "out")

    assert outcome.code == 2
    assert "olist" in outcome.complained


def test_inputs_that_do_not_fit_fail_without_a_trace(tmp_path: Path) -> None:
    outcome = orderpulse("convert", "--profile", "orders_csv", tmp_path / "missing.csv", tmp_path / "out")

    assert outcome.code == 1
    assert outcome.complained.startswith("error: ")
    assert "not expected" not in outcome.complained
