"""Limits that follow a shop's own history: its last stays in a stage."""

from typing import Any

from config.settings import Settings
from events.records import AlertRecord
from tests.operators.timeline import alerts, play, settings, told

RULE = "stage_timeout"
MINUTES = (1, 1, 2, 2, 4)


def following(**changes: Any) -> Settings:
    rules = {"enabled": True, "minimum": 5, "sample": 5, "refresh": 1, "quantile": 0.8, "factor": 2, "at_least": 0.2}
    return settings(stage_timeout={"history": rules | changes}, order_timeout={"enabled": False})


def paid_after(minutes: tuple[int, ...] = MINUTES, shop: str = "S", name: str = "O", hour: int = 8) -> list[str]:
    """Orders that were paid so many minutes after they were created; the next minutes of the hour."""
    lines = []
    for number, wait in enumerate(minutes):
        lines += [
            f"{hour}:{number * 5:02d} created {name}{number} shop_id={shop}",
            f"{hour}:{number * 5 + wait:02d} paid {name}{number}",
        ]
    return lines


def of_a(lines: list[str], rules: Settings, until: str = "10:30") -> list[str]:
    """What is told of order A, which is created at 10:00."""
    return [text for text in told(RULE, lines, until, rules) if text.split()[-1] in ("breach", "A")]


def first(lines: list[str], rules: Settings) -> AlertRecord:
    return next(step for step in alerts(RULE, play(lines, "10:30", rules)) if step.entity_id == "A")


def test_the_limit_is_the_quantile_of_the_last_stays_times_the_factor() -> None:
    lines = [*paid_after(), "10:00 created shop_id=S"]
    assert of_a(lines, following()) == ["10:04 opened breach"]  # 80 % took at most 2 minutes
    alert = first(lines, following())
    assert alert.evidence["limit_from"] == [
        {"what": "norm", "ms": 300_000, "factor_thousandths": 1000},
        {
            "what": "history", "ms": 120_000, "count": 5, "quantile_thousandths": 800, "factor_thousandths": 2000,
            "least_ms": 60_000, "most_ms": 900_000,
        },
    ]  # fmt: skip
    assert alert.text.en.endswith("limit from: norm 5m, 80 % of the shop's last 5 took at most 2m, x 2")
    assert alert.text.zh.endswith("时限依据:标准 5m、本店最近 5 次的 80% 分位 2m × 2")


def test_with_too_few_stays_the_norm_counts() -> None:
    assert of_a([*paid_after(MINUTES[:4]), "10:00 created shop_id=S"], following()) == ["10:05 opened breach"]


def test_shops_do_not_share_their_history() -> None:
    assert of_a([*paid_after(), "10:00 created shop_id=T"], following()) == ["10:05 opened breach"]


def test_only_the_last_stays_count() -> None:
    lines = [*paid_after((4,) * 5), *paid_after((1,) * 5, name="P", hour=9), "10:00 created shop_id=S"]
    assert of_a(lines, following()) == ["10:02 opened breach"]


def test_the_quantile_is_taken_anew_after_so_many_stays() -> None:
    lines = [*paid_after((4,) * 5), *paid_after((1,) * 4, name="P", hour=9), "10:00 created shop_id=S"]
    assert of_a(lines, following(refresh=5)) == ["10:08 opened breach"]
    assert of_a(lines, following(refresh=4)) == ["10:02 opened breach"]
    assert of_a(lines, following(refresh=4, quantile=1)) == ["10:08 opened breach"]  # one of the long ones is there


def test_bounds_hold_and_the_alert_says_so() -> None:
    lines = [*paid_after(), "10:00 created shop_id=S"]
    assert of_a(lines, following(at_least=0.9)) == ["10:04:30 opened breach"]
    assert first(lines, following(at_least=0.9)).text.en.endswith("x 2, but not below 4m30s")
    assert of_a(lines, following(at_most=0.5)) == ["10:02:30 opened breach"]
    assert first(lines, following(at_most=0.5)).text.zh.endswith("× 2,不高于 2m30s")


def test_cancelled_orders_are_no_history() -> None:
    cancelled = [f"9:{number:02d} created X{number} shop_id=S" for number in range(9)]
    cancelled += [f"9:{number:02d} cancelled X{number}" for number in range(20, 29)]
    assert of_a([*paid_after(), *cancelled, "10:00 created shop_id=S"], following()) == ["10:04 opened breach"]


def test_a_stay_that_ends_in_the_moment_in_which_another_begins_comes_too_late_for_it() -> None:
    lines = [*paid_after(MINUTES[:4]), "9:58 created L shop_id=S", "10:00 paid L", "10:00 created shop_id=S"]
    assert of_a(lines, following()) == ["10:05 opened breach"]


def test_a_category_with_a_norm_of_its_own_has_a_history_of_its_own() -> None:
    rules = settings(
        stage_timeout={
            "by_category": {"fresh": {"created": "3m"}},
            "history": {"enabled": True, "minimum": 5, "factor": 1, "quantile": 1},
        },
        order_timeout={"enabled": False},
    )
    lines = [*paid_after(), "10:00 created shop_id=S category=fresh", "10:00 created B shop_id=S category=books"]
    assert [text for text in told(RULE, lines, "10:30", rules) if "10:0" in text] == [
        "10:03 opened breach",
        "10:04 opened breach B",
    ]


def test_other_stages_may_keep_their_norm() -> None:
    lines = [*paid_after(), "10:00 created shop_id=S"]
    assert of_a(lines, following(stages=["paid"])) == ["10:05 opened breach"]


def test_parcels_have_their_clocks_too() -> None:
    lines = ["10:00 created shop_id=S", "10:01 paid", "10:02 queued", "10:10 split parcels=P,Q", "10:20 accepted A/P"]
    assert told(RULE, lines, "11:25", following()) == ["10:32 opened breach A/Q", "11:20 opened breach A/P"]


def test_a_parcel_that_passes_a_stage_in_the_moment_in_which_it_was_named_has_the_limit_of_where_it_stands() -> None:
    # The second parcel is named in `queued`, and catches up with the `accepted` that named none.
    lines = ["10:00 created", "10:01 paid", "10:02 scanned A/P scan=signed", "10:03 accepted", "10:10 queued A/Q"]
    steps = ["10:31 opened breach A/P", "11:10 opened breach A/Q"]
    assert told(RULE, lines, "11:10", following()) == steps
    assert told(RULE, lines, "11:10", following(stages=["created", "paid"])) == steps
