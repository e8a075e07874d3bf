"""The settings of limits that adapt: what is refused, what is warned about, and calendar files."""

from datetime import date
from pathlib import Path

import pytest

from config.limits import limit_doubts
from config.loader import load_settings, warnings
from config.problems import ConfigurationError


def problems(text: str, directory: Path) -> dict[str, str]:
    file = directory / "my.toml"
    file.write_text(text, encoding="utf-8")
    with pytest.raises(ConfigurationError) as refused:
        load_settings(file)
    return {problem.field: problem.what for problem in refused.value.problems}


def test_names_that_point_nowhere_and_values_out_of_order_are_all_named(tmp_path: Path) -> None:
    found = problems(
        """
        [calendars.office]
        holidays = "none"
        weekend = ["mon", "tue", "wed", "thu", "fri", "sat", "sun"]
        times = ["09:00/09:00"]
        off = ["2026-02-30"]
        work = ["2026-03-02/2026-03-01"]
        [detectors.stage_timeout]
        calendar = "offise"
        calendars = { pakced = "china" }
        hours.evening = { times = ["20:00/24:00"], extra = "0s", stages = ["craeted"] }
        seasons.peak = { dates = ["13-01/13-02"], factor = 0 }
        [detectors.stage_timeout.history]
        stages = ["piad"]
        quantile = 1.1
        minimum = 300
        at_least = 4
        factor = 0
        [detectors.order_timeout]
        hours.evening = { times = ["20:00/24:00"], extra = "1h", stages = ["created"] }
        """,
        tmp_path,
    )
    assert set(found) == {
        "calendars.office.weekend",
        "calendars.office.times",
        "calendars.office.off",
        "calendars.office.work",
        "detectors.stage_timeout.calendar",
        "detectors.stage_timeout.calendars",
        "detectors.stage_timeout.hours.evening.extra",
        "detectors.stage_timeout.hours.evening.stages",
        "detectors.stage_timeout.seasons.peak.dates",
        "detectors.stage_timeout.seasons.peak.factor",
        "detectors.stage_timeout.history.stages",
        "detectors.stage_timeout.history.quantile",
        "detectors.stage_timeout.history.minimum",
        "detectors.stage_timeout.history.at_least",
        "detectors.stage_timeout.history.factor",
        "detectors.order_timeout.hours.evening.stages",
    }
    assert "there are china, office" in found["detectors.stage_timeout.calendar"]


@pytest.mark.parametrize("span", ["20:00", "8:00/24:00", "24:00/06:00", "20:00/25:00", "20:60/21:00"])
def test_hours_are_written_in_one_way(span: str, tmp_path: Path) -> None:
    text = f'[detectors.stage_timeout.hours.evening]\ntimes = ["{span}"]\nextra = "1h"'
    assert set(problems(text, tmp_path)) == {"detectors.stage_timeout.hours.evening.times"}


def test_a_calendar_file_adds_its_dates(tmp_path: Path) -> None:
    (tmp_path / "days.toml").write_text('off = [2027-01-01, "2027-02-05/2027-02-11"]\nwork = ["2027-01-30"]', "utf-8")
    file = tmp_path / "my.toml"
    file.write_text('[calendars.china]\nfile = "days.toml"\noff = ["2027-05-01"]', encoding="utf-8")
    calendar = load_settings(file).calendars["china"]
    assert calendar.off == ("2027-05-01", "2027-01-01", "2027-02-05/2027-02-11")
    assert calendar.work == ("2027-01-30",)
    assert calendar.holidays == "china"


@pytest.mark.parametrize(
    ("content", "said"), [(None, "cannot be read"), ("off = ", "is not TOML"), ("of = []", "'of' is no list of dates")]
)
def test_a_calendar_file_that_cannot_be_used_is_named(content: str | None, said: str, tmp_path: Path) -> None:
    if content is not None:
        (tmp_path / "days.toml").write_text(content, encoding="utf-8")
    found = problems('[calendars.china]\nfile = "days.toml"', tmp_path)
    assert said in found["calendars.china.file"]
    assert "days.toml" in found["calendars.china.file"]


def doubts(today: date = date(2026, 3, 1), **rules: object) -> dict[str, str]:
    settings = load_settings(overrides={"detectors": rules})
    return {problem.field: problem.what for problem in limit_doubts(settings, today)}


def test_years_without_known_holidays_are_warned_of_before_they_begin() -> None:
    both = {"stage_timeout": {"calendar": "china"}, "order_timeout": {"calendar": "china"}}
    assert doubts(date(2026, 11, 30), **both) == {}
    assert "in 2031 only weekends are off" in doubts(date(2030, 12, 1), **both)["calendars.china.holidays"]
    assert doubts(date(2031, 1, 1)) == {}  # no limit counts by it


def test_dates_of_ones_own_take_the_place_of_holidays_that_are_not_known() -> None:
    overrides = {
        "calendars": {"china": {"off": ["2031-01-22/2031-01-28"]}},
        "detectors": {"stage_timeout": {"calendar": "china"}, "order_timeout": {"calendar": "china"}},
    }
    assert list(limit_doubts(load_settings(overrides=overrides), date(2031, 2, 1))) == []


def test_rules_that_contradict_each_other_are_warned_of() -> None:
    seasons = {"one": {"dates": ["12-20/01-05"], "factor": 2}, "two": {"dates": ["01-05/01-06"], "factor": 3}}
    found = doubts(
        stage_timeout={"calendar": "china", "promised_for": ["presale"], "seasons": seasons,
                       "history": {"enabled": True, "at_least": 1.5}},
        order_timeout={},
    )  # fmt: skip
    assert set(found) == {
        "detectors.order_timeout.calendar",
        "detectors.order_timeout.promised_for",
        "detectors.stage_timeout.seasons.two.dates",
        "detectors.stage_timeout.history.at_least",
    }


def test_seasons_of_different_stages_do_not_meet() -> None:
    seasons = {
        "one": {"dates": ["06-01/06-20"], "factor": 2, "stages": ["created"]},
        "two": {"dates": ["06-01/06-20"], "factor": 3, "stages": ["paid"]},
    }
    assert doubts(stage_timeout={"seasons": seasons}) == {}


def test_the_defaults_have_nothing_to_warn_of() -> None:
    assert [problem.field for problem in warnings(load_settings()) if "calendar" in problem.field] == []
