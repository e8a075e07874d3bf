from pathlib import Path

import pytest

from config.problems import ConfigurationError
from sources.mapping.loading import SHIPPED, load_profile
from tests.mapping.support import profile_of

BROKEN = """
name = "shop"
surce = "shop"
[time]
zone = "Mars/Phobos"
[inputs.orders]
format = "cvs"
[[events]]
name = "created"
from = "orders"
type = "order.create"
[[events]]
name = "paid"
from = "orders"
type = "payment.succeeded"
ammount = "paid"
amount = { field = "paid", units = "minor", decimal = ";" }
id = "id"
order_id = 7
"""


def problems(toml: str) -> list[str]:
    with pytest.raises(ConfigurationError) as refused:
        profile_of(toml)
    assert str(refused.value).startswith("test.toml: ")
    return [problem.field for problem in refused.value.problems]


def test_every_error_of_a_profile_is_named_at_once_with_its_field() -> None:
    assert problems(BROKEN) == [
        "surce",
        "source",
        "inputs.orders.format",
        "events[1] (created).type",
        "events[2] (paid).ammount",
        "events[2] (paid).time",
        "events[2] (paid).amount.units",
        "events[2] (paid).amount.decimal",
        "events[2] (paid).order_id",
    ]


def test_a_misspelt_name_comes_with_the_right_one() -> None:
    with pytest.raises(ConfigurationError, match=r"did you mean 'amount'\?"):
        profile_of(BROKEN)


REFERENCES = """
name = "shop"
source = "shop"
[time]
zone = "Mars/Phobos"
date_only_at = "25:00"
format = "rfc"
[money]
currency = "RMB"
[inputs.orders]
format = "json"
[inputs.lines]
format = "csv"
records = "x"
encoding = "klingon"
[sets.items]
from = "lines"
field = "item"
[sets.about]
from = "orders"
first_of = ["items > order_of_item"]
[relations.r]
from = "orders"
key = "nothing"
value = "items"
[[events]]
name = "created"
from = "orders"
type = "order.created"
when = { "a..b" = "x" }
for_each = { set = "nothing" }
id = { template = "{$nothing}" }
time = { latest = ["t"], field = "t" }
order_id = { set = "items" }
amount = { lookup = "lines", by = "id", sum = ["price"] }
phone = { sum = ["a", "b"] }
[[ignore]]
from = "nowhere"
"""


def test_every_name_that_points_nowhere_is_found() -> None:
    created = "events[1] (created)"
    assert problems(REFERENCES) == [
        "time.zone",
        "time.date_only_at",
        "time.format",
        "money.currency",
        "inputs.lines.records",
        "inputs.lines",
        "inputs.lines.encoding",
        "sets.about.first_of",
        "sets.about.first_of",
        "relations.r.key",
        "relations.r.value",
        "ignore[1].from",
        f"{created}.when.a..b",
        f"{created}.for_each.set",
        f"{created}.id",
        f"{created}.time",
        f"{created}.order_id.set",
        f"{created}.amount.lookup",
        f"{created}.amount.unit",
        f"{created}.phone.sum",
    ]


def test_money_without_a_declared_unit_is_refused() -> None:
    base = 'name = "s"\nsource = "s"\n[inputs.o]\nformat = "json"\n'
    rule = '[[events]]\nname = "p"\nfrom = "o"\ntype = "payment.succeeded"\n'
    fields = rule + 'id = "i"\ntime = "t"\norder_id = "o"\namount = '
    assert problems(base + fields + '"paid"') == ["events[1] (p).amount.unit"]
    assert profile_of(base + fields + '{ field = "paid", unit = "minor" }').events


def test_a_profile_is_found_by_its_name_or_its_path(tmp_path: Path) -> None:
    own = tmp_path / "mine.toml"
    own.write_bytes((SHIPPED / "olist.toml").read_bytes())
    assert load_profile(own) == load_profile("olist")
    with pytest.raises(ConfigurationError, match=r"name one of alipay, .*olist, orders_csv"):
        load_profile("olits")


def test_a_file_that_is_no_toml_is_refused_with_its_place(tmp_path: Path) -> None:
    (tmp_path / "bad.toml").write_text("name = \n")
    with pytest.raises(ConfigurationError, match=r"is not TOML.*line 1"):
        load_profile(tmp_path / "bad.toml")


def test_a_profile_of_ones_own_extends_a_shipped_one_and_says_what_is_otherwise() -> None:
    own = profile_of("""
        extends = "douyin"
        name = "my_douyin"
        source = "douyin-2"
        [clean]
        phone = "SG"
        [clean.warehouses]
        "*" = "W1"
        [[events]]
        name = "push created"
        from = "pushes"
        type = "order.stage"
        when = { tag = "100" }
        id = "msg_id"
        time = "data.create_time"
        order_id = "data.p_id"
        stage = { value = "created" }
        """)
    shipped = load_profile("douyin")
    assert (own.name, own.source, own.clean.phone, own.clean.address) == ("my_douyin", "douyin-2", "SG", "CN")
    assert own.clean.warehouses == {"*": "W1"}
    assert [rule.type for rule in own.events if rule.name == "push created"] == ["order.stage"]
    assert len(own.events) == len(shipped.events)
    assert own.inputs == shipped.inputs


def test_only_a_shipped_profile_can_be_extended() -> None:
    assert problems('extends = "nobody"\nname = "x"') == ["extends"]


def test_an_input_that_nothing_reads_is_refused_as_its_records_would_vanish() -> None:
    base = 'name = "s"\nsource = "s"\n[inputs.o]\nformat = "json"\n[inputs.lost]\nformat = "json"\n[[events]]\n'
    rule = 'from = "o"\ntype = "order.stage"\nid = "i"\ntime = "t"\norder_id = "o"\nstage = "s"\n'
    assert problems(base + rule) == ["inputs.lost"]
