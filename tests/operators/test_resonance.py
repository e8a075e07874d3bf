"""`resonance`: weak signals of one order that add up. The defaults: orange from 2.5, locked from 4.0, 30 minutes."""

from datetime import datetime

import pytest

from config.checks import SIGNALS
from config.settings import Settings
from tests.operators.timeline import SETTINGS, alerts, clock, play, settings, table, told

RULE = "resonance"
CREATED = "10:00 created customer=C device=D1"
FURIOUS = "chat text='急用,不然差评'"  # urgent words 1.0 and a rating threat 1.5


@table(
    (
        "they rise to orange and to the lock, and fade again",
        [
            CREATED,
            "10:00 signal signal=rating_threat",
            "10:10 signal signal=urgency_words",
            "10:20 signal signal=rating_threat",
        ],
        "11:00",
        [
            "10:10 opened orange",
            "10:20 updated lock sum_rose",
            "10:30:00.001 updated orange sum_fell",
            "10:40:00.001 resolved orange quiet",
        ],
    ),
    (
        "just below orange",
        [CREATED, "10:00 signal signal=rating_threat", "10:10 signal signal=payment_failures"],
        "11:00",
        [],
    ),
    (
        "all at once: locked at once",
        [CREATED, "10:10 paid", f"10:10:05 {FURIOUS}", "10:10:05 signal signal=courier_exception"],
        "10:11",
        ["10:10:05 opened orange", "10:10:05 updated lock sum_rose"],
    ),
    (
        "the window holds its first millisecond",
        [CREATED, "10:00 signal signal=rating_threat", "10:30 signal signal=urgency_words"],
        "11:00",
        ["10:30 opened orange", "10:30:00.001 resolved orange quiet"],
    ),
    (
        "... and not the one before",
        [CREATED, "10:00 signal signal=rating_threat", "10:30:00.001 signal signal=urgency_words"],
        "11:30",
        [],
    ),
    (
        "signals of one millisecond leave together",
        [
            CREATED,
            "10:00 signal signal=rating_threat",
            "10:00 signal signal=urgency_words",
            "10:00 signal signal=rating_threat",
        ],
        "11:00",
        ["10:00 opened orange", "10:00 updated lock sum_rose", "10:30:00.001 resolved lock quiet"],
    ),
    (
        "more of it within a level is no news",
        [CREATED, f"10:00 {FURIOUS}", "10:01 signal signal=stock_drop"],
        "10:05",
        ["10:00 opened orange"],
    ),
    (
        "it falls and rises again: another step of the same alert",
        [CREATED, "10:00 signal signal=rating_threat", f"10:10 {FURIOUS}", "10:31 signal signal=rating_threat"],
        "10:32",
        ["10:10 opened lock", "10:30:00.001 updated orange sum_fell", "10:31 updated lock sum_rose"],
    ),
    (
        "quiet, then loud again: another alert",
        [CREATED, f"10:00 {FURIOUS}", f"10:40 {FURIOUS}"],
        "10:50",
        ["10:00 opened orange", "10:30:00.001 resolved orange quiet", "10:40 opened orange"],
    ),
    (
        "a closed order's signals no longer count",
        [CREATED, f"10:02 {FURIOUS}", "10:03 cancelled", f"10:04 {FURIOUS}"],
        "11:00",
        ["10:02 opened orange", "10:03 resolved orange closed"],
    ),
    ("an order need not be known yet", [f"10:00 {FURIOUS}"], "10:10", ["10:00 opened orange"]),
    (
        "an order id used again after it was forgotten can be loud again",
        [CREATED, "10:01 cancelled", f"+8d 10:00 {FURIOUS}"],
        "+8d 10:01",
        ["+8d 10:00 opened orange"],
    ),
    (
        "what comes at the last moment at which an order is known is forgotten with it",
        [CREATED, "10:01 cancelled", f"+7d 10:01 {FURIOUS}", "+7d 10:02 signal signal=stock_drop"],
        "+7d 10:05",
        [],
    ),
    (
        "of an order that only a payment told of, too",
        ["10:00 paid", "+7d 10:00 signal signal=rating_threat", "+7d 10:05 signal signal=urgency_words"],
        "+7d 10:20",
        [],
    ),
    (
        "two orders have nothing to do with each other",
        [CREATED, "10:01 signal A signal=rating_threat", "10:02 signal B signal=urgency_words"],
        "10:10",
        [],
    ),
)
def test_signals_add_up_within_the_window(lines: list[str], until: str, expected: list[str]) -> None:
    assert told(RULE, lines, until) == expected


PRINTS = [f"10:00 waybill B{n} warehouse=W ms=100" for n in range(20)]


@pytest.mark.parametrize(
    ("facts", "weight"),
    [
        *[
            ([f"10:20 signal signal={name}"], float(str(weight)))
            for name, weight in SETTINGS.detectors.resonance.weights.items()
        ],
        (["10:20 signal signal=scrolled"], 0),
        # numbers
        (["10:20 signal signal=payment_dwell value=60000"], 0.6),
        (["10:20 signal signal=payment_dwell value=59999"], 0),
        (["10:20 signal signal=coupon_depth value=50"], 0.5),
        (["10:20 signal signal=coupon_depth value=49"], 0),
        (["10:20 signal signal=stock_drop value=30"], 0.8),
        (["10:20 signal signal=stock_drop value=29"], 0),
        (["10:20 signal signal=form_fill_time value=180000"], 0.4),
        (["10:20 signal signal=form_fill_time value=179999"], 0),
        (["10:20 signal signal=form_fill_time value=3001"], 0),
        (["10:20 signal signal=form_fill_time value=3000"], 0.4),
        (["10:20 signal signal=urgency_words value=-5"], 1.0),
        # changes of address, counted per customer
        (["10:01 changed B by=C address=home", "10:31 changed by=C address=work"], 0.8),
        (["10:01 changed B by=C address=home", "10:31:00.001 changed by=C address=work"], 0),
        (["10:01 changed by=C address=home", "10:02 changed by=C address=home"], 0.8),
        (["10:01 changed by=C address_key=k", "10:02 changed by=C address_key=k"], 0.8),
        (["10:01 changed by=C address=home", "10:02 changed by=D address=work"], 0),
        (["10:01 changed address=home", "10:02 changed address=work"], 0),
        (["10:01 changed by=C phone=13900002222", "10:02 changed by=C phone=13900003333"], 0),
        (
            ["10:01 changed by=C address=home", "10:02 changed by=C address=work", "10:03 changed by=C address=home"],
            1.6,
        ),
        # chats
        (["10:01 paid", "10:01:10 chat text=hello"], 1.2),
        (["10:01 paid", "10:01 chat text=hello"], 1.2),
        (["10:01 paid", "10:01:10.001 chat text=hello"], 0),
        (["10:01 paid", "10:05 paid", "10:05:10 chat text=hello"], 1.2),
        (["10:01 chat text=hello"], 0),
        (["10:01 chat text='must arrive TODAY'"], 1.0),
        (["10:01 chat text='ＵＲＧＥＮＴ, asap, hurry'"], 1.0),
        (["10:01 chat text=加急"], 1.0),
        (["10:01 chat text='one star! 投诉'"], 1.5),
        (["10:01 chat text=urgent", "10:02 chat text=urgent"], 2.0),
        # payments
        (["10:01 failed"], 0),
        (["10:01 failed", "10:31 failed"], 0.9),
        (["10:01 failed", "10:31:00.001 failed"], 0),
        (["10:01 failed", "10:02 failed", "10:03 failed"], 1.8),
        # devices
        (["10:01 signal signal=scrolled device=D2"], 0.7),
        (["10:01 signal signal=scrolled device=D1"], 0),
        (["10:01 signal signal=scrolled device=D2", "10:02 signal signal=scrolled device=D2"], 0.7),
        (["10:01 signal signal=scrolled device=D2", "10:02 signal signal=scrolled device=D1"], 1.4),
        (["10:01 signal signal=stock_drop device=D2"], 1.5),
        # couriers
        *[([f"10:01 scanned scan={word}"], 1.3) for word in SETTINGS.flow.exception_scans],
        (["10:01 scanned scan=seen"], 0),
        # waybills: 47 % slower than the mean of the warehouse's last 20
        ([*PRINTS, "10:20 waybill warehouse=W ms=147"], 0.7),
        ([*PRINTS, "10:20 waybill warehouse=W ms=146"], 0),
        ([*PRINTS, "10:20 waybill warehouse=X ms=147"], 0),
        ([*PRINTS[1:], "10:20 waybill warehouse=W ms=1000"], 0),
        ([*PRINTS, "10:10 waybill B warehouse=W ms=400", "10:20 waybill warehouse=W ms=170"], 0.7),
        ([*PRINTS, "10:10 waybill B warehouse=W ms=400", "10:20 waybill warehouse=W ms=169"], 0),
        ([*PRINTS, "10:05 changed warehouse=W", "10:20 waybill ms=147"], 0.7),
        ([*PRINTS, "10:20 waybill ms=1000"], 0),
    ],
    ids=str,
)
def test_a_fact_weighs_what_the_settings_say(facts: list[str], weight: float) -> None:
    lines = sorted([CREATED, *facts], key=lambda line: line.split(" ", 1)[0])

    def reaches(orange: float) -> bool:
        found = alerts(RULE, play(lines, settings=settings(resonance={"orange": orange, "lock": 9})))
        return any(step.entity_id == "A" for step in found)

    assert not reaches(round(weight + 0.001, 3))
    assert weight == 0 or reaches(weight)


def test_the_twelve_signals_all_have_a_weight_a_name_and_advice() -> None:
    rule = SETTINGS.detectors.resonance
    assert len(SIGNALS) == 12
    assert set(rule.weights) == set(rule.playbook) == set(SIGNALS)


def test_signals_of_facts_count_after_the_other_events_of_their_millisecond() -> None:
    loud = settings(resonance={"orange": 0.9})
    lines = ["10:00 created", "10:00 failed", "10:01 failed"]
    assert told(RULE, lines, "10:02", loud) == ["10:01 opened orange"]
    assert told(RULE, [*lines, "10:01 cancelled"], "10:02", loud) == []


def test_behaviour_that_names_only_the_customer_counts_for_each_order_open_then() -> None:
    lines = [
        CREATED,
        "10:00 created B customer=C",
        "10:00 created D customer=C",
        "10:00 created E customer=F",
        "10:01 cancelled D",
        "10:02 chat - customer=C text='急用,不然差评'",
        "10:03 created G customer=C",
    ]
    assert told(RULE, lines, "10:05") == ["10:02 opened orange", "10:02 opened orange B"]


def test_behaviour_that_names_the_order_too_counts_for_that_order_alone() -> None:
    lines = [CREATED, "10:00 created B customer=C", "10:02 chat B customer=C text='急用,不然差评'"]
    assert told(RULE, lines, "10:05") == ["10:02 opened orange B"]


def test_a_customer_s_device_is_compared_with_each_order_s() -> None:
    lines = [
        "10:00 created A customer=C device=D1",
        "10:00 created B customer=C device=D2",
        "10:01 signal - customer=C signal=stock_drop device=D2",
    ]
    assert told(RULE, lines, "10:05", settings(resonance={"orange": 1.5})) == ["10:01 opened orange"]


def season_of(day: str, rule: Settings) -> str:
    lines = ["12:00 chat text=urgent"]
    (step,) = alerts(RULE, play(lines, "12:00", rule, day))
    return str(step.evidence["season"])


@pytest.mark.parametrize(
    ("day", "season"),
    [
        ("2026-05-31", "none"),
        ("2026-06-01", "peak"),
        ("2026-06-20", "peak"),
        ("2026-06-21", "none"),
        ("2026-11-11", "peak"),
        ("2026-12-12", "peak"),
        ("2026-02-14", "none"),
        ("2026-02-15", "off_season"),
        ("2026-02-28", "off_season"),
        ("2028-02-29", "off_season"),
    ],
)
def test_the_season_is_that_of_the_local_date(day: str, season: str) -> None:
    assert season_of(day, settings(resonance={"orange": 1.0})) == season


@pytest.mark.parametrize(
    ("day", "season"), [("2026-12-19", "none"), ("2026-12-20", "turn"), ("2027-01-05", "turn"), ("2027-01-06", "none")]
)
def test_a_season_may_pass_the_end_of_the_year(day: str, season: str) -> None:
    turn = {"dates": ["12-20/01-05"], "weights": {"urgency_words": 1.1}}
    assert season_of(day, settings(resonance={"orange": 1.0, "seasons": {"turn": turn}})) == season


def test_a_season_begins_at_local_midnight_to_the_millisecond() -> None:
    peak = settings(resonance={"orange": 1.3})
    assert told(RULE, ["23:59:59.999 chat text=urgent"], settings=peak, day="2026-05-31") == []
    assert told(RULE, ["00:00 chat text=urgent"], settings=peak, day="2026-06-01") == ["00:00 opened orange"]


def test_a_signal_keeps_the_weight_of_its_own_day() -> None:
    lines = ["23:50 chat text=urgent", "+1d 00:10 chat text=urgent"]
    assert told(RULE, lines, settings=settings(resonance={"orange": 2.3}), day="2026-05-31") == [
        "+1d 00:10 opened orange"
    ]
    assert told(RULE, lines, settings=settings(resonance={"orange": 2.301}), day="2026-05-31") == []


def test_a_season_set_by_hand_counts_on_every_day_and_none_on_no_day() -> None:
    assert season_of("2026-05-10", settings(resonance={"orange": 1.0, "season": "peak"})) == "peak"
    assert season_of("2026-11-11", settings(resonance={"orange": 1.0, "season": "none"})) == "none"
    assert told(RULE, ["12:00 chat text=urgent"], settings=settings(resonance={"orange": 1.3, "season": "peak"})) != []


def test_a_weight_of_nothing_is_no_signal() -> None:
    silent = settings(resonance={"orange": 1.5, "weights": {"urgency_words": 0}})
    (step,) = alerts(RULE, play([f"10:00 {FURIOUS}"], settings=silent))
    assert [sign["signal"] for sign in step.evidence["signals"]] == ["rating_threat"]


def test_the_report_of_a_lock_names_the_causes_heaviest_first_with_advice_in_both_languages() -> None:
    lines = [
        CREATED,
        "10:01 signal signal=urgency_words",
        "10:02 signal signal=rating_threat",
        "10:03 signal signal=urgency_words",
        "10:04 signal signal=form_fill_time",
        "10:05 signal signal=coupon_depth",
    ]
    orange, lock = alerts(RULE, play(lines, "10:05"))
    assert "report" not in orange.evidence
    causes = lock.evidence["report"]
    assert [(cause["signal"], cause["weight_thousandths"]) for cause in causes] == [
        ("urgency_words", 2000),
        ("rating_threat", 1500),
        ("coupon_depth", 500),
        ("form_fill_time", 400),
    ]
    assert [clock(time) for time in causes[0]["times"]] == ["10:01", "10:03"]
    assert causes[0]["advice"] == {"zh": "改发顺丰空运", "en": "Ship by SF air"}
    assert causes[1]["advice"]["zh"] == "打包前拍摄三张细节照片,由主管跟进"


def test_the_evidence_adds_up() -> None:
    lines = [CREATED, "10:01 signal signal=rating_threat", "10:02 signal signal=urgency_words"]
    opened, quiet = alerts(RULE, play(lines, "11:00"))
    assert (opened.severity, opened.level, opened.reason) == ("warning", "orange", "sum_rose")
    signals = opened.evidence["signals"]
    assert [
        (clock(sign["time"]), sign["signal"], sign["weight_thousandths"], sign["event_id"]) for sign in signals
    ] == [
        ("10:01", "rating_threat", 1500, "0001"),
        ("10:02", "urgency_words", 1000, "0002"),
    ]
    assert opened.evidence["sum_thousandths"] == 2500
    assert (opened.evidence["orange_thousandths"], opened.evidence["lock_thousandths"]) == (2500, 4000)
    assert (quiet.evidence["sum_thousandths"], quiet.evidence["count"]) == (1000, 1)


def test_a_lock_is_critical() -> None:
    steps = alerts(RULE, play([CREATED, *(f"10:0{n} signal signal=rating_threat" for n in range(3))], "12:00"))
    assert [(step.level, step.severity) for step in steps] == [
        ("orange", "warning"),
        ("lock", "critical"),
        ("orange", "warning"),
        ("orange", "warning"),
    ]


def test_without_the_detector_signals_are_nothing() -> None:
    assert told(RULE, [f"10:00 {FURIOUS}"], settings=settings(resonance={"enabled": False})) == []


def test_dates_are_those_of_the_configured_zone() -> None:
    moment = datetime.fromisoformat("2026-06-01T00:30:00+08:00")
    assert moment.hour == 0
    sao_paulo = settings(zone="America/Sao_Paulo", resonance={"orange": 1.3})
    assert told(RULE, ["00:30 chat text=urgent"], settings=sao_paulo, day="2026-06-01") == []
