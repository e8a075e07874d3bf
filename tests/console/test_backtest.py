"""`orderpulse backtest`: two rule sets over one history, for people, programs and CI."""

import json
import re
import shutil
from collections.abc import Callable
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import msgspec
import pytest

from console.backtest_page import shown_id
from events.model import RulePublished
from tests.console.conftest import Outcome, orderpulse
from tests.console.test_status import settings as topics_of
from tests.support.kafka_broker import KafkaBroker

Write = Callable[[str, str], Path]
SLOWER = '[detectors.order_timeout]\nlimit = "3h"\n'


@pytest.fixture
def settings(tmp_path: Path) -> Write:
    def write(name: str, text: str) -> Path:
        path = tmp_path / name
        path.write_text(text, encoding="utf-8")
        return path

    return write


def backtest(*arguments: object) -> Outcome:
    return orderpulse("backtest", "--processes", 1, *arguments)


def test_a_longer_limit_loses_and_moves_alerts(trade: Path, results: Path, settings: Write) -> None:
    outcome = backtest("--candidate", settings("slower.toml", SLOWER), "--input", trade, "--json")

    assert outcome.code == 0, outcome.complained
    (rule,) = outcome.value["by_rule"].values()
    alerts = [json.loads(text) for text in (results / "alerts.ndjson").read_text(encoding="utf-8").splitlines()]
    opened = [each for each in alerts if each["rule"] == "order_timeout" and each["step"] == "opened"]
    assert rule["rules"] == len(opened) > 0
    assert rule["rules"] == rule["both"] + rule["lost"]
    assert rule["gained"] == 0
    assert rule["moves"]["median"] == 3_600_000
    assert outcome.value["differences"] == [{"field": "detectors.order_timeout.limit", "first": "2h", "second": "3h"}]
    assert outcome.value["judged"] == ["order_timeout"]


def test_people_read_tables_and_the_command_that_explains(trade: Path, settings: Write) -> None:
    slower = settings("slower.toml", SLOWER)
    outcome = backtest("--rules", slower, "--input", trade)

    assert outcome.code == 0, outcome.complained
    assert "detectors.order_timeout.limit: 3h -> 2h" in outcome.said
    assert re.search(r"order_timeout .* -1h ", outcome.said)
    assert re.search(
        rf"orderpulse explain \S+ --input {re.escape(str(trade))} --config {re.escape(str(slower))}", outcome.said
    )


def test_a_rule_document_is_tried_over_the_rules(trade: Path, settings: Write) -> None:
    own = settings("own.toml", "[detectors.order_timeout]\nreminder_lead = '10m'\n")
    document = settings("document.toml", 'rule = "order_timeout"\n[settings]\nlimit = "3h"\n')
    outcome = backtest("--rules", own, "--candidate", document, "--input", trade, "--json")
    refused = backtest(
        "--candidate", settings("wrong.toml", 'rule = "order_timeout"\n[settings]\nlimt = 3\n'), "--input", trade
    )

    assert outcome.code == 0, outcome.complained
    assert [(each["field"], each["second"]) for each in outcome.value["differences"]] == [
        ("detectors.order_timeout.limit", "3h"),
        ("detectors.order_timeout.version", "2"),
    ]
    assert outcome.value["by_rule"]["order_timeout"]["levels"]["reminder"]["moved"] > 0
    assert refused.code == 2
    assert "did you mean 'limit'" in refused.complained


def test_rules_that_were_published_count_where_that_is_asked(trade: Path, settings: Write, tmp_path: Path) -> None:
    history = tmp_path / "history"
    shutil.copytree(trade / "events", history)
    times = (json.loads(text)["time"] for text in (trade / "truth.ndjson").read_text(encoding="utf-8").splitlines())
    published = RulePublished(
        id="1", source="rules", time=(start := min(times) - 86_400_000), rule="order_timeout", version=2,
        effective_at=start, settings={"limit": "3h"},
    )  # fmt: skip
    (history / "rules.ndjson").write_bytes(msgspec.json.encode(published) + b"\n")
    asked = ["--candidate", settings("slower.toml", SLOWER), "--input", history, "--json"]

    as_in_the_files = backtest(*asked).value["by_rule"]["order_timeout"]
    as_it_was = backtest(*asked, "--published").value["by_rule"]["order_timeout"]

    assert as_in_the_files["moved"] > 0
    assert (as_it_was["moved"], as_it_was["lost"], as_it_was["gained"]) == (0, 0, 0)
    assert as_it_was["rules"] == as_in_the_files["candidate"]


def test_a_grid_gives_a_curve_against_the_rules(trade: Path) -> None:
    outcome = backtest("--grid", "detectors.order_timeout.limit=1h,2h,4h", "--input", trade, "--json")

    assert outcome.code == 0, outcome.complained
    assert outcome.value["candidate"] is None
    points = outcome.value["grid"]["values"]
    alerts = [point["by_rule"]["order_timeout"]["candidate"] for point in points]
    assert [point["value"] for point in points] == ["1h", "2h", "4h"]
    assert alerts == sorted(alerts, reverse=True)
    unchanged = points[1]["by_rule"]["order_timeout"]
    assert (unchanged["gained"], unchanged["lost"], unchanged["moved"]) == (0, 0, 0)
    assert "value" in backtest("--grid", "detectors.order_timeout.limit=1h", "--input", trade).said


def test_ci_fails_on_what_it_was_told_to(trade: Path, settings: Write) -> None:
    slower = settings("slower.toml", SLOWER)
    found = backtest("--candidate", slower, "--input", trade, "--fail-on", "moved>0", "--fail-on", "gained>0", "--json")
    fine = backtest("--candidate", slower, "--input", trade, "--fail-on", "order_timeout.gained>0")
    demanding = backtest("--candidate", slower, "--input", trade, "--fail-on", "order_timeout.known<1")

    assert found.code == 1
    assert [each["condition"] for each in found.value["findings"]] == ["moved>0"]
    assert fine.code == 0
    assert demanding.code == 1
    assert "Finding: order_timeout.known<1: order_timeout 0" in demanding.said


def test_an_outcome_of_ones_own_judges(trade: Path, settings: Write) -> None:
    own = settings(
        "own.toml",
        '[backtest.outcomes.dropped]\nfailed = ["cancelled"]\nfine = ["stage:collected"]\n'
        '[backtest.outcomes.slow]\nfailed = ["over:10d"]\nfine = ["within:10d"]\n',
    )
    outcome = backtest(
        "--rules", own, "--candidate", settings("slower.toml", SLOWER), "--input", trade, "--json",
        "--outcomes", "slow", "--outcomes", "order_timeout=dropped",
    )  # fmt: skip

    assert outcome.code == 0, outcome.complained
    quality = outcome.value["by_rule"]["order_timeout"]["quality"]
    assert quality["outcome"] == "dropped"
    judged = quality["rules"]
    assert judged["right"] + judged["wrong"] > 0
    assert (
        sum(judged[name] for name in ("right", "wrong", "unknown"))
        == outcome.value["by_rule"]["order_timeout"]["rules"]
    )


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ([], "are the same settings"),
        (["--grid", "detectors.order_timeout.limit"], "names no values"),
        (["--grid", "detectors.order_timeout.limit=soon"], "--grid detectors.order_timeout.limit=soon is refused"),
        (["--grid", "detectors.order_timeout.limt=1h"], "did you mean 'limit'"),
        (["--grid", "detectors.order_timeout.limit=1h", "--fail-on", "lost>0"], "--fail-on without a candidate"),
        (["--fail-on", "loss>0", "--candidate", "SLOWER"], "is no condition"),
        (["--outcomes", "nothing", "--candidate", "SLOWER"], "is not defined"),
        (["--warm-up", "1d", "--candidate", "SLOWER"], "--warm-up without --from"),
        (["--candidate", "nowhere.toml"], "does not exist"),
    ],
)
def test_what_cannot_be_asked_is_refused_with_the_remedy(
    trade: Path, settings: Write, arguments: list[str], said: str
) -> None:
    slower = settings("slower.toml", SLOWER)
    outcome = backtest(*(slower if each == "SLOWER" else each for each in arguments), "--input", trade)
    assert outcome.code == 2
    assert said in outcome.complained


class Page(HTMLParser):
    """Whether every tag is closed, and what a page would fetch."""

    VOID = frozenset({"meta", "br", "hr", "img", "input", "link"})

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.fetched: list[str] = []
        self.charts = 0

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        if tag not in self.VOID:
            self.open.append(tag)
        self.charts += tag == "svg"
        self.fetched += [value or "" for name, value in attributes if name in ("src", "href", "xlink:href")]

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag


def read(path: Path) -> tuple[Page, str]:
    text = path.read_text(encoding="utf-8")
    page = Page()
    page.feed(text)
    assert not page.open
    return page, text


def test_the_page_needs_no_network_and_speaks_both_languages(trade: Path, settings: Write, tmp_path: Path) -> None:
    page = tmp_path / "pages" / "page.html"
    outcome = backtest(
        "--candidate", settings("slower.toml", SLOWER), "--input", trade, "--html", page,
        "--grid", "detectors.order_timeout.limit=1h,4h", "--outcomes", "late",
    )  # fmt: skip
    again = tmp_path / "again.html"
    backtest(
        "--candidate", tmp_path / "slower.toml", "--input", trade, "--html", again,
        "--grid", "detectors.order_timeout.limit=1h,4h", "--outcomes", "late",
    )  # fmt: skip

    assert outcome.code == 0, outcome.complained
    found, text = read(page)
    assert found.fetched == []
    assert "default-src 'none'" in text
    assert found.charts == 3  # shares, over time, the curve
    for words in ("What differs", "设置差异", "gained · 新增", "orderpulse explain"):
        assert words in text
    assert text == again.read_text(encoding="utf-8")


def test_names_from_outside_are_text_and_no_markup(trade: Path, settings: Write, tmp_path: Path) -> None:
    odd = settings("a<b>&.toml", SLOWER)
    page = tmp_path / "page.html"
    assert backtest("--candidate", odd, "--input", trade, "--html", page).code == 0
    assert "a&lt;b&gt;&amp;.toml" in read(page)[1]


def test_numbers_that_may_be_phones_are_masked_and_orders_are_not() -> None:
    assert shown_id("phone", "13812345678") == "138****5678"
    assert shown_id("order", "13812345678") == "13812345678"


def test_a_page_that_cannot_be_written_is_said(trade: Path, settings: Write, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    outcome = backtest(
        "--candidate", settings("slower.toml", SLOWER), "--input", trade, "--html", tmp_path / "file" / "page.html"
    )
    assert outcome.code == 1
    assert "name another file" in outcome.complained


def test_several_processes_print_the_same(trade: Path, settings: Write) -> None:
    asked: list[Any] = ["--candidate", settings("slower.toml", SLOWER), "--input", trade, "--json"]
    values = [orderpulse("backtest", *asked, "--processes", count).value for count in (1, 2)]
    for each in values:
        del each["seconds"], each["events_per_second"]
    assert values[0] == values[1]


@pytest.mark.kafka
def test_topics_give_what_the_files_give(trade: Path, settings: Write, kafka: KafkaBroker, tmp_path: Path) -> None:
    topics = topics_of(tmp_path, kafka.bootstrap, "backtest")
    assert orderpulse("topics", "create", "--config", topics).code == 0
    assert orderpulse("topics", "load", trade / "events", "--config", topics).code == 0
    slower = settings("slower.toml", topics.read_text(encoding="utf-8") + SLOWER)

    of_topics = orderpulse("backtest", "--rules", topics, "--candidate", slower, "--processes", 2, "--json")
    of_files = backtest("--rules", topics, "--candidate", slower, "--input", trade, "--json")

    assert of_topics.code == 0, of_topics.complained
    for name in ("by_rule", "series", "known"):
        assert of_topics.value[name] == of_files.value[name]
