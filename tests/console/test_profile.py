"""`orderpulse profile`."""

from pathlib import Path

from sources.mapping.loading import SHIPPED, shipped_profiles
from tests.console.conftest import orderpulse

SAMPLES = Path(__file__).resolve().parent.parent / "mapping" / "samples"

OWN = """
name = "shop"
source = "shop"
[time]
zone = "Asia/Shanghai"
[inputs.orders]
format = "json"
[[events]]
name = "paid"
from = "orders"
type = "payment.succeeded"
id = "no"
time = "at"
order_id = "no"
amount = { field = "sum", unit = "major" }
"""


def own(folder: Path, text: str = OWN) -> Path:
    file = folder / "shop.toml"
    file.write_text(text, encoding="utf-8")
    return file


def sample(folder: Path) -> Path:
    file = folder / "orders.json"
    file.write_text('[{"no": 1, "at": "2026-03-02 10:00", "sum": "5", "coupon": {"code": "X"}}, {"no": 2, "sum": "1"}]')
    return file


def test_the_shipped_profiles_are_listed_with_what_they_read_and_give() -> None:
    listed = orderpulse("profile", "list", "--json").value
    assert [entry["name"] for entry in listed] == shipped_profiles()
    assert all(entry["description"] and entry["formats"] and entry["gives"] for entry in listed)
    assert "kuaidi100" in orderpulse("profile", "list").said


def test_a_profile_is_shown_as_it_is_written_to_be_copied() -> None:
    assert orderpulse("profile", "show", "jd").said == (SHIPPED / "jd.toml").read_text(encoding="utf-8")


def test_every_problem_of_a_profile_is_said_with_its_path(tmp_path: Path) -> None:
    file = own(tmp_path, OWN.replace('unit = "major"', 'units = "x"').replace('"Asia/Shanghai"', '"Mars"'))
    outcome = orderpulse("profile", "check", file)
    assert outcome.code == 2
    assert "events[1] (paid).amount.units: is not known; did you mean 'unit'?" in outcome.complained
    assert orderpulse("profile", "check", file, "--json").value["ok"] is False


def test_a_sample_shows_what_nothing_maps_what_nothing_fills_and_what_fails(tmp_path: Path) -> None:
    outcome = orderpulse("profile", "check", own(tmp_path), "--sample", sample(tmp_path))
    assert outcome.code == 1
    assert "coupon.code (1)" in outcome.said
    assert "payment.succeeded: operator, payment_id, method, card" in outcome.said
    assert "field time of paid: there is no value at 'at' in this record" in outcome.complained
    value = orderpulse("profile", "check", own(tmp_path), "--sample", sample(tmp_path), "--json").value
    assert value["unmapped"] == {"orders": {"coupon.code": 1}}
    assert [letter["reason"] for letter in value["dead_letters"]] == ["missing_value"]


def test_a_sound_profile_is_in_order_and_exits_with_0(tmp_path: Path) -> None:
    outcome = orderpulse("profile", "check", own(tmp_path))
    assert (outcome.code, outcome.said.strip()) == (0, f"{own(tmp_path)} is in order: 1 rule")


def test_fields_inside_json_in_a_form_are_told_by_their_whole_path() -> None:
    found = orderpulse("profile", "check", "kuaidi100", "--sample", SAMPLES / "kuaidi100", "--json").value["unmapped"]
    assert "param.lastResult.ischeck" in found["push"]
    assert not [path for path in found["push"] if path.startswith("param.lastResult.data[*].context")]


def test_a_profile_can_be_tried_without_writing_anything(tmp_path: Path) -> None:
    outcome = orderpulse("profile", "try", own(tmp_path), sample(tmp_path))
    assert outcome.code == 1
    assert '{"type":"payment.succeeded","id":"1"' in outcome.said
    assert sorted(file.name for file in tmp_path.iterdir()) == ["orders.json", "shop.toml"]
    value = orderpulse("profile", "try", own(tmp_path), sample(tmp_path), "--json").value
    assert [event["amount"] for event in value["events"]] == [500]
    assert value["dead_letters"][0]["payload"] == '{"no": 2, "sum": "1"}'


def test_one_mistake_of_a_whole_export_is_said_once_with_how_often(tmp_path: Path) -> None:
    file = tmp_path / "orders.json"
    file.write_text('[{"no": 1, "sum": "5"}, {"no": 2, "sum": "1"}, {"no": 3, "at": "2026-03-02 10:00", "sum": "x"}]')
    outcome = orderpulse("profile", "check", own(tmp_path), "--sample", file)
    assert outcome.complained.count("missing_value") == 1
    assert "there is no value at 'at' in this record (and 1 more like it)" in outcome.complained
    assert "bad_value: orders.json, record 3" in outcome.complained
    assert orderpulse("profile", "try", own(tmp_path), file).complained.count("missing_value") == 2


def test_a_stage_that_the_chain_lacks_is_pointed_out(tmp_path: Path) -> None:
    stage = OWN.replace("payment.succeeded", "order.stage").replace('amount = { field = "sum", unit = "major" }', "{}")
    file = own(tmp_path, stage.format('stage = { value = "handed_over" }'))
    outcome = orderpulse("profile", "check", file)
    assert outcome.code == 0
    assert "stage 'handed_over' is not in the chain five_stage" in " ".join(outcome.said.split())
    assert "handed_over" in orderpulse("profile", "check", file, "--json").value["notes"][0]
    assert "note" not in orderpulse("profile", "check", own(tmp_path, stage.format('stage = "status"'))).said
