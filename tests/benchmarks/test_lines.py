"""Lines of a benchmark, and what a comparison of two runs makes of them."""

from pathlib import Path

import msgspec
import pytest

from benchmarks import compare
from benchmarks.compare import compared
from benchmarks.lines import Findings, Line, findings, line_of, now, read, write
from benchmarks.program import size
from benchmarks.rank_sums import change

STEADY = (1.00, 1.01, 0.99, 1.02, 0.98)


@pytest.mark.parametrize(
    ("value", "better", "target", "met"),
    [(2.2, "more", 2.2, True), (2.1, "more", 2.2, False), (1.2, "less", 1.2, True), (1.3, "less", 1.2, False)],
)
def test_a_target_is_met_at_its_value_and_on_the_good_side(value: float, better: str, target: float, met: bool) -> None:
    line = msgspec.convert(
        {"name": "a", "value": value, "unit": "x", "rounds": [value], "better": better, "target": target}, Line
    )

    assert line.met is met


def test_a_line_without_a_target_is_neither_met_nor_missed() -> None:
    assert line_of("a", [1, 3, 2]).met is None
    assert line_of("a", [1, 3, 2]).value == 2


def test_what_is_written_is_read_again(tmp_path: Path) -> None:
    given = findings("whole", now(), [line_of("a", STEADY, target=1)], {"more": [1]})

    write(given, tmp_path / "deep" / "found.json")

    assert read(tmp_path / "deep" / "found.json") == given


@pytest.mark.parametrize(
    ("number", "text"), [(10_000, "10k"), (1_000_000, "1M"), (1_500_000, "1.5M"), (1_234, "1234"), (999, "999")]
)
def test_sizes_are_short_where_they_are_round(number: int, text: str) -> None:
    assert size(number) == text


# Critical values of the two-sided test as tables of it give them: so many differences lie outside on each side.
@pytest.mark.parametrize(
    ("first", "second", "confidence", "outside"),
    [(3, 3, 0.95, None), (4, 4, 0.95, 0), (5, 5, 0.95, 2), (8, 8, 0.95, 13), (4, 7, 0.95, 3), (5, 5, 0.99, 0)],
)
def test_the_interval_leaves_out_as_many_differences_as_the_exact_test_says(
    first: int, second: int, confidence: float, outside: int | None
) -> None:
    old = [1.1**place for place in range(first)]
    new = [1.1 ** (place * 0.37 + 0.2) for place in range(second)]

    found = change(old, new, confidence)

    if outside is None:
        assert found is None
    else:
        ratios = sorted(after / before for before in old for after in new)
        assert found is not None
        assert (found.low, found.high) == pytest.approx((ratios[outside], ratios[-1 - outside]))


def test_samples_that_do_not_overlap_differ_and_those_that_do_may_not() -> None:
    double, same = change(STEADY, [2 * value for value in STEADY], 0.99), change(STEADY, STEADY[::-1], 0.99)

    assert double is not None
    assert double.seen
    assert double.estimate == pytest.approx(2, rel=0.02)
    assert same is not None
    assert not same.seen


def test_what_is_not_positive_has_no_ratio() -> None:
    assert change([0.0, *STEADY], STEADY, 0.95) is None


@pytest.mark.parametrize(
    ("factor", "better", "unit", "verdict", "worse"),
    [
        (0.8, "more", "x", "slower", 0.25),
        (1.25, "more", "x", "faster", 0),
        (1.25, "less", "s", "slower", 0.25),
        (0.8, "less", "bytes", "smaller", 0),
        (1.25, "less", "MB", "larger", 0.25),
        (1.001, "more", "x", "no difference seen", 0),
    ],
)
def test_a_change_is_told_in_words(factor: float, better: str, unit: str, verdict: str, worse: float) -> None:
    old = msgspec.convert({"name": "a", "value": 1, "unit": unit, "rounds": STEADY, "better": better}, Line)
    new = msgspec.structs.replace(old, rounds=[factor * value for value in STEADY])

    found = compared(old, new, 0.99)

    assert found.verdict == verdict
    assert found.worse == pytest.approx(worse, abs=0.02)


def test_too_few_rounds_tell_nothing() -> None:
    assert compared(line_of("a", [1, 1]), line_of("a", [3, 3]), 0.99).verdict == "too few rounds to tell"


def test_comparing_fails_for_what_got_slower_by_more_than_the_limit(tmp_path: Path) -> None:
    baseline = _saved(tmp_path / "old.json", STEADY)
    slower = _saved(tmp_path / "slower.json", [0.9 * value for value in STEADY])
    noisy = _saved(tmp_path / "noisy.json", STEADY[::-1])

    assert _compare(baseline, slower) == 1
    assert _compare(baseline, slower, "--limit", "0.2") == 0
    assert _compare(baseline, noisy) == 0


def test_absolute_rates_are_not_compared(tmp_path: Path) -> None:
    baseline = _saved(tmp_path / "old.json", STEADY, unit="events/s")
    slower = _saved(tmp_path / "slower.json", [0.5 * value for value in STEADY], unit="events/s")

    assert _compare(baseline, slower) == 0


def test_a_baseline_that_is_missing_or_damaged_is_an_error(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    new = _saved(tmp_path / "new.json", STEADY)
    (tmp_path / "damaged.json").write_text("{}")

    assert _compare(tmp_path / "missing.json", new) == 1
    assert _compare(tmp_path / "damaged.json", new) == 1
    assert "--save-baseline" in capsys.readouterr().err


def test_another_machine_is_a_reason_to_doubt() -> None:
    old = findings("bench", now(), [])
    machine = msgspec.structs.replace(old.machine, cores=old.machine.cores + 1)
    new: Findings = msgspec.structs.replace(old, machine=machine)

    assert compare.doubts(old, old) == []
    assert [doubt.split(":")[0] for doubt in compare.doubts(old, new)] == ["another cores"]


def _saved(path: Path, rounds: list[float] | tuple[float, ...], unit: str = "x") -> Path:
    write(findings("bench", now(), [line_of("flow : plain loop", rounds, unit)]), path)
    return path


def _compare(baseline: Path, new: Path, *more: str) -> int:
    return compare.main(["--baseline", str(baseline), "--new", str(new), *more])
