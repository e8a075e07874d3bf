"""Composite rules: the four of `config/examples/composite_rules.toml`, and what holds for every rule."""

from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from config.loader import load_settings
from config.settings import Settings
from dataflows.memory import MemoryDriver
from events.records import AlertRecord
from operators.alerts.alert_lifecycle import REVIEWED
from operators.heart.component import Environment
from operators.heart.inputs import GroupOutput
from operators.topology import topology
from tests.operators.timeline import alerts, at, event, held, play, say, table
from tests.support.flow import batch

EXAMPLES = load_settings(Path(__file__).parents[2] / "config/examples/composite_rules.toml")


def rule(*conditions: tuple[str, float], **more: Any) -> Settings:
    """Settings with one composite rule, `mine`: expressions with their weights; the threshold is 1."""
    parts = [
        {"name": f"c{number}", "expression": text, "weight": weight}
        for number, (text, weight) in enumerate(conditions, start=1)
    ]
    lists = more.pop("lists", {})
    mine = {"zh": "规则", "en": "rule", "threshold": 1, "conditions": parts, **more}
    return load_settings(overrides={"composite": {"mine": mine}, "lists": lists})


def told(lines: list[str], settings: Settings, until: str | None = None, name: str = "mine") -> list[str]:
    """The steps of a composite rule as texts."""
    return [say(step) for step in alerts(name, play(lines, until, settings))]


def opened(lines: list[str], settings: Settings, name: str = "mine") -> AlertRecord:
    """The one alert that a rule opens."""
    (alert,) = [step for step in alerts(name, play(lines, None, settings)) if step.step == "opened"]
    return alert


@table(
    ("young and dear", [f"10:00 created amount=100000 account_since={at('9:00')}"], "10:01", ["10:00 opened review"]),
    ("young, dear by one fen too little", [f"10:00 created amount=99999 account_since={at('9:00')}"], "10:01", []),
    ("a day old to the hour", [f"10:00 created amount=100000 account_since={at('10:00') - 86_400_000}"], "10:01", []),
    ("young, at night", [f"05:59 created amount=1 account_since={at('5:00')}"], "06:01", ["05:59 opened review"]),
    ("young, at six", [f"06:00 created amount=1 account_since={at('5:00')}"], "06:01", []),
    ("nobody knows how old", ["05:00 created amount=100000"], "06:01", []),
    (
        "young and dear, and on the allow list",
        [f"10:00 created customer=C-VIP-1 amount=100000 account_since={at('9:00')}"],
        "10:01",
        [],
    ),
)
def test_a_large_order_from_a_young_account_is_to_be_reviewed(
    lines: list[str], until: str, expected: list[str]
) -> None:
    assert told(lines, EXAMPLES, until, "young_account") == expected


USUAL = [f"09:0{minute} created {name} customer=C amount=1000" for minute, name in enumerate("RSTU")]


@table(
    (
        "over three times the customer's mean",
        [*USUAL, "10:00 created customer=C amount=3001"],
        "10:01",
        ["10:00 opened alert"],
    ),
    ("three times exactly", [*USUAL, "10:00 created customer=C amount=3000"], "10:01", []),
    (
        "a first order far above the shop's mean",
        [*USUAL, "09:05 created V customer=E amount=1000", "10:00 created customer=D amount=3001"],
        "10:01",
        ["10:00 opened alert"],
    ),
    ("a shop with too few orders", [*USUAL, "10:00 created customer=D amount=3001"], "10:01", []),
    (
        "orders without an amount make no mean",
        ["09:00 created R customer=C amount=0", "10:00 created customer=C amount=9"],
        "10:01",
        [],
    ),
)
def test_an_amount_far_above_the_usual_is_told(lines: list[str], until: str, expected: list[str]) -> None:
    assert told(lines, EXAMPLES, until, "unusual_amount") == expected


def test_ordinary_frequent_buyers_are_not_punished() -> None:
    frequent = [f"09:{minute:02d} created R{minute} customer=C amount=1000" for minute in range(10)]
    assert told([*frequent, "10:00 created customer=C amount=99999"], EXAMPLES, None, "unusual_amount") == []
    cancelling = [f"09:{minute + 20} cancelled R{minute}" for minute in range(2)]
    assert told(
        [*frequent, *cancelling, "10:00 created customer=C amount=99999"], EXAMPLES, None, "unusual_amount"
    ) == ["10:00 opened alert"]


@table(
    ("a dear order to a forwarder", ["10:00 created address=forwarder amount=50000"], "10:01", ["10:00 opened hold"]),
    ("a cheap one", ["10:00 created address=forwarder amount=49999"], "10:01", []),
    ("a dear order home", ["10:00 created address=home amount=50000"], "10:01", []),
    (
        "the fourth to it within a day",
        [f"0{hour}:00 created R{hour} address=forwarder" for hour in range(3)] + ["10:00 created address=forwarder"],
        "10:01",
        ["10:00 opened hold"],
    ),
)
def test_an_order_to_a_forwarding_warehouse_is_held(lines: list[str], until: str, expected: list[str]) -> None:
    assert told(lines, EXAMPLES, until, "forwarding_address") == expected


def test_a_listed_phone_is_found_however_it_is_written_and_a_review_releases_it() -> None:
    lines = ["10:00 created phone='+86 139-0000-1111'", "10:05 released operator=mei", "10:06 cancelled"]
    assert told(lines, EXAMPLES, None, "listed_phone") == ["10:00 opened hold", "10:05 resolved hold review_released"]
    assert held(lines, None, EXAMPLES) == ["10:00 A held listed_phone", "10:05 A released review_released"]
    assert told(["10:00 created phone=13900001112"], EXAMPLES, None, "listed_phone") == []


@pytest.mark.parametrize(
    ("end", "reason"),
    [("cancelled", "cancelled"), ("confirmed", "review_confirmed"), ("merged merged_into=B", "merged")],
)
def test_an_alert_ends_with_its_order_or_with_its_review(end: str, reason: str) -> None:
    lines = ["10:00 created phone=13900001111", f"10:05 {end}"]
    assert told(lines, EXAMPLES, None, "listed_phone")[-1] == f"10:05 resolved hold {reason}"


def test_an_alert_that_nobody_reviews_is_not_ended_by_a_review() -> None:
    assert "alert" not in REVIEWED
    settings = rule(("order.amount > 1", 1))
    lines = ["10:00 created amount=5", "10:05 released", "10:06 cancelled"]
    assert told(lines, settings) == ["10:00 opened alert", "10:06 resolved alert cancelled"]


def test_the_alert_says_each_condition_its_weight_and_what_it_read() -> None:
    settings = rule(
        ("order.remark.contains('急')", 0.6), ("order.amount > 100", 0.5), ("customer.mean_amount > 1", 2), version=3
    )
    alert = opened(["10:00 created amount=900 remark=今天必须到,很急的 customer=C"], settings)
    assert (alert.rule, alert.rule_version, alert.entity_id, alert.severity) == ("mine", 3, "A", "warning")
    evidence = alert.evidence
    assert [(part["name"], part["weight_thousandths"], part["met"]) for part in evidence["conditions"]] == [
        ("c1", 600, True),
        ("c2", 500, True),
        ("c3", 2000, False),
    ]
    assert evidence["conditions"][2]["failure"] == "missing"
    assert evidence["conditions"][2]["missing"] == ["customer.mean_amount"]
    assert (evidence["total_thousandths"], evidence["threshold_thousandths"]) == (1100, 1000)
    assert evidence["variables"] == {"order.amount": 900, "order.remark": "今天必****,很急的"}
    assert alert.text.zh == "订单 A 命中组合规则「规则」:c1、c2(合计 1.1,阈值 1)"
    assert alert.text.en == "order A meets the rule 'rule': c1, c2 (sum 1.1, threshold 1)"


@table(
    (
        "the moment before money moves",
        ["10:00 created amount=9", "10:02 paid amount=8"],
        "10:03",
        ["10:02 opened alert"],
    ),
    ("an order that is not paid", ["10:00 created amount=9"], "10:03", []),
    (
        "an order that is paid after it was cancelled",
        ["10:00 created amount=9", "10:01 cancelled", "10:02 paid amount=8"],
        "10:03",
        [],
    ),
)
def test_a_rule_may_judge_when_an_order_is_paid(lines: list[str], until: str, expected: list[str]) -> None:
    settings = rule(("payment.amount != order.amount", 1), when=["paid"])
    assert told(lines, settings, until) == expected


def test_behaviour_raises_and_the_sum_only_rises() -> None:
    settings = rule(
        ("signals.payment_dwell >= 2", 1),
        ("values.form_fill_time < 3000", 0.5),
        when=["behaviour"],
        action="review",
    )
    lines = [
        "09:59 signal signal=payment_dwell",
        "10:00 created",
        "10:01 signal signal=payment_dwell",
        "10:02 signal signal=form_fill_time value=2999",
        "10:03 signal signal=form_fill_time value=3000",
        "10:04 cancelled",
    ]
    assert told(lines, settings) == [
        "10:01 opened review",
        "10:02 updated review sum_rose",
        "10:04 resolved review cancelled",
    ]


@table(
    (
        "others within the window",
        ["09:50 created R phone=13811112222", "09:55 created S phone=13811112222"],
        "",
        ["10:00 opened alert"],
    ),
    (
        "its first millisecond counts",
        ["09:50 created R phone=13811112222", "09:50 created S phone=13811112222"],
        "",
        ["10:00 opened alert"],
    ),
    (
        "the one before does not",
        ["09:49:59.999 created R phone=13811112222", "09:55 created S phone=13811112222"],
        "",
        [],
    ),
    ("an order counts once", ["09:55 created R phone=13811112222", "09:56 paid R", "09:57 paid R"], "", []),
    ("other phones do not", ["09:55 created R phone=13811113333", "09:56 created S phone=13811113333"], "", []),
)
def test_windows_count_other_orders_on_the_same_key(lines: list[str], until: str, expected: list[str]) -> None:
    settings = rule(("windows.phone_10m >= 2", 1))
    mine = [step for step in told([*lines, "10:00 created phone=13811112222"], settings) if step.endswith("alert")]
    assert mine == expected


def test_an_order_is_not_part_of_what_it_is_compared_with_when_it_is_paid() -> None:
    settings = rule(
        ("customer.orders == 1 && customer.mean_amount == 500 && shop.orders == 1 && windows.customer_1h == 1", 1),
        when=["paid"],
    )
    lines = ["09:00 created R customer=C amount=500", "09:30 created customer=C amount=9000", "09:31 paid"]
    assert told(lines, settings) == ["09:31 opened alert"]


def test_means_reach_back_as_far_as_the_buckets_do() -> None:
    settings = rule(("customer.mean_amount == 100", 1))
    first = "10:00 created R customer=C amount=100"
    assert told([first, "+29d 10:00 created customer=C amount=1"], settings) == ["+29d 10:00 opened alert"]
    assert told([first, "+30d 10:00 created customer=C amount=1"], settings) == []


def test_a_customer_of_whom_nothing_came_for_long_is_new_again() -> None:
    short = {"bucket": "1h", "buckets": 1, "memory": "1h"}
    conditions = [{"name": "new", "expression": "customer.orders == 0", "weight": 1}]
    settings = load_settings(
        overrides={
            "baselines": short,
            "composite": {"mine": {"zh": "新", "en": "new", "threshold": 1, "conditions": conditions}},
        }
    )
    again = ["10:00 created R customer=C", "11:00 created S customer=C", "12:00:00.001 created T customer=C"]
    assert told(again, settings) == ["10:00 opened alert R", "12:00:00.001 opened alert T"]


def test_an_error_in_one_order_is_told_and_ends_nothing() -> None:
    settings = rule(("order.amount / order.discount > 1", 1), ("order.amount > 5", 1))
    alert = opened(["10:00 created amount=9 discount=0"], settings)
    assert [part.get("failure") for part in alert.evidence["conditions"]] == ["division_by_zero", None]


def test_what_excuses_an_order_excuses_nobody_when_it_fails() -> None:
    settings = rule(("order.amount > 5", 1), unless="customer.orders > 1")
    assert told(["10:00 created amount=9"], settings) == ["10:00 opened alert"]


def test_a_rule_that_is_off_says_nothing() -> None:
    assert told(["10:00 created amount=9"], rule(("order.amount > 5", 1), enabled=False)) == []


def test_two_moments_of_one_millisecond_are_judged_once() -> None:
    settings = rule(("payment.amount == 8", 1), when=["created", "paid"])
    assert told(["10:00 created amount=9", "10:00 paid amount=8"], settings) == ["10:00 opened alert"]


@pytest.mark.parametrize(
    ("action", "zh", "en"),
    [
        (
            "alert",
            "订单 A 命中组合规则「规则」:c1(合计 1,阈值 1)",
            "order A meets the rule 'rule': c1 (sum 1, threshold 1)",
        ),
        (
            "review",
            "订单 A 命中组合规则「规则」,请审核:c1(合计 1,阈值 1)",
            "order A meets the rule 'rule' and is to be reviewed: c1 (sum 1, threshold 1)",
        ),
        (
            "hold",
            "订单 A 命中组合规则「规则」,已挂起待审核:c1(合计 1,阈值 1)",
            "order A meets the rule 'rule' and is held for review: c1 (sum 1, threshold 1)",
        ),
    ],
)
def test_the_text_says_what_is_to_be_done_and_how_it_ended(action: str, zh: str, en: str) -> None:
    settings = rule(("order.amount > 5", 1), action=action)
    first, last = alerts("mine", play(["10:00 created amount=9", "10:01 cancelled"], None, settings))
    assert (first.text.zh, first.text.en) == (zh, en)
    assert last.text.zh == "订单 A 的组合规则「规则」告警结束:已取消"
    assert last.text.en == "order A: the alert of the rule 'rule' ends: cancelled"


def test_a_failed_condition_is_counted_under_its_rule() -> None:
    settings = rule(("customer.mean_amount > 5", 1), ("order.amount / order.lines > 1", 1))
    plan = topology(Environment(settings, 1))
    flow = MemoryDriver(plan, ["day"])
    (group,) = flow.groups["signals"]
    counted: Counter[tuple[str, str]] = Counter()
    advance = group.advance

    def advance_and_count() -> GroupOutput:
        output = advance()
        counted.update(output.counts.failed_conditions or {})
        return output

    setattr(group, "advance", advance_and_count)  # noqa: B010
    log = [(event(f"10:0{number} created O{number}", number), None) for number in range(3)]
    flow.feed(batch("day", log, finished=True))
    assert counted == {("mine", "missing"): 3, ("mine", "division_by_zero"): 3}


@pytest.mark.parametrize(
    ("phone", "known"),
    [
        ("17012345678", True),
        ("+86 170-1234-5678", True),
        ("170****5678", True),
        ("１７０12345678", True),
        ("+1 701 234 5678", False),
        ("17", False),
    ],
)
def test_the_prefix_of_a_phone_is_known_however_it_is_written(phone: str, known: bool) -> None:
    settings = rule(("order.phone_prefix == '170'", 1))
    assert told([f"10:00 created phone='{phone}'"], settings) == (["10:00 opened alert"] if known else [])


def test_values_of_an_order_are_those_it_was_created_with() -> None:
    checks = (
        "order.source == 'oms' && order.channel == 'tmall' && order.shop == 'S1' && order.category == 'fresh'",
        "order.amount == 900 && order.discount == 100 && order.currency == 'CNY' && order.priority == 'high'",
        "order.lines == 2 && order.quantity == 2 && order.skus.exists(s, s == 'pear') && size(order.skus) == 2",
        "order.hour == 10 && order.weekday == 7 && order.city == '上海市' && order.district == '浦东新区'",
        "order.recipient == '王小明' && order.warehouse == 'W1' && order.remark.contains('急')",
        "order.ip == '203.0.113.7' && order.device == 'D1' && has(order.phone) && has(order.card)",
        "has(order.address) && !has(order.province) && !has(order.country)",
        "!has(payment.amount) && !has(customer.account_hours)",
    )
    settings = rule(*((text, 1) for text in checks), threshold=len(checks))
    created = (
        "10:00 created channel=tmall shop_id=S1 category=fresh amount=900 discount=100 priority=high items=cherry,pear "
        "address=home recipient=王小明 warehouse=W1 remark=很急 ip=203.0.113.7 device=D1 phone=13800001111 card=K"
    )
    assert told([created], settings) == ["10:00 opened alert"]
