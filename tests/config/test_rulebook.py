"""Rule documents over the settings of the files: what they change, and every way to be refused."""

from typing import Any

import msgspec
import pytest

from config.loader import load_settings
from config.problems import ConfigurationError
from config.rulebook import KINDS, MOST_BYTES, effective, laid_over, problems_of, rules_of, version_in, warnings_of
from config.settings import Settings
from config.units import Duration
from events.model import RulePublished
from tests.support.rules import document

SETTINGS = load_settings()


def said(rule: str, settings: dict[str, Any], files: Settings = SETTINGS, kind: str = "detector") -> list[str]:
    asked = RulePublished("a", "rules", 0, rule=rule, version=9, effective_at=0, settings=settings, kind=kind)
    return [str(problem) for problem in problems_of(files, asked)]


def test_a_document_says_only_what_is_otherwise() -> None:
    new = laid_over(SETTINGS, document("card_burst", 2, 0, any_amount={"count": 4}, hold=False))

    assert new.detectors.card_burst.any_amount is not None
    assert (new.detectors.card_burst.any_amount.count, int(new.detectors.card_burst.any_amount.window)) == (4, 600_000)
    assert new.detectors.card_burst.same_amount == SETTINGS.detectors.card_burst.same_amount
    assert (new.detectors.card_burst.version, new.detectors.card_burst.hold) == (2, False)
    assert new.detectors.resonance == SETTINGS.detectors.resonance


def test_norms_of_stages_belong_to_the_stage_limits() -> None:
    new = laid_over(SETTINGS, document("stage_timeout", 2, 0, norms={"paid": "20m"}, factor=1.5))

    assert new.stages["paid"].norm == Duration.parse("20m")
    assert new.stages["created"] == SETTINGS.stages["created"]
    assert new.detectors.stage_timeout.factor == 1_500


def test_tables_are_merged_and_lists_replaced() -> None:
    new = laid_over(
        SETTINGS,
        document(
            "resonance",
            2,
            0,
            weights={"coupon_depth": 0.7},
            urgency_words=["now"],
            seasons={"spring": {"dates": ["01-20/02-10"], "weights": {"courier_exception": 2}}},
        ),
    ).detectors.resonance

    assert new.weights == SETTINGS.detectors.resonance.weights | {"coupon_depth": 700}
    assert new.urgency_words == ("now",)
    assert list(new.seasons) == [*SETTINGS.detectors.resonance.seasons, "spring"]


def test_each_version_stands_alone_over_the_files() -> None:
    one, two = document("card_burst", 2, 0, hold=False), document("card_burst", 3, 0, keys=["card"])

    assert not effective(SETTINGS, [one]).detectors.card_burst.hold
    assert effective(SETTINGS, [two]).detectors.card_burst.hold


def test_documents_of_several_rules_hold_together_in_any_order() -> None:
    both = [document("stage_timeout", 2, 0, norms={"paid": "20m"}), document("card_burst", 4, 0, hold=False)]

    new = effective(SETTINGS, both)

    assert new == effective(SETTINGS, both[::-1])
    assert (version_in(new, "detector", "stage_timeout"), version_in(new, "detector", "card_burst")) == (2, 4)


@pytest.mark.parametrize(
    ("rule", "settings", "problems"),
    [
        ("card_brust", {}, ["rule: 'card_brust' is not a rule; did you mean 'card_burst'?"]),
        (
            "card_burst",
            {"any_amount": {"cuont": 4}},
            ["settings.any_amount.cuont: unknown setting; did you mean 'count'?"],
        ),
        (
            "card_burst",
            {"any_amount": {"count": 1, "window": 600}},
            [
                "settings.any_amount.count: Expected `int` >= 2",
                'settings.any_amount.window: a duration needs a unit: write "600s", "600m" or "600h", not 600',
            ],
        ),
        ("resonance", {"lock": 2}, ["settings.lock: must not be below orange (2.5)"]),
        ("resonance", {"weights": {"night": 1}}, ["settings.weights.night: is not a signal; the signals are"]),
        ("resonance", {"orange": 0}, ["settings.orange: must be more than 0"]),
        ("resonance", {"seasons": {"spring": {"dates": []}}}, ["settings.seasons.spring.weights: is missing"]),
        ("stage_timeout", {"norms": {"piad": "1m"}}, ["settings.norms.piad: is not a stage; did you mean 'paid'?"]),
        ("stage_timeout", {"norms": {"paid": 5}}, ["settings.norms.paid: a duration needs a unit"]),
        ("stage_timeout", {"norms": {"paid": "0s"}}, ["settings.norms.paid: must be longer than nothing"]),
        ("stage_timeout", {"norms": 5}, ["settings.norms: must be a table of stages"]),
        ("stage_timeout", {"by_category": {"fresh": {"x": "1m"}}}, ["settings.by_category.fresh.x: is not a stage"]),
        ("stage_timeout", {"history": {"enabled": True}}, ["settings.history.enabled: is off in the file"]),
        ("card_burst", {"same_amount": None}, ["settings.same_amount: null takes nothing away"]),
        ("card_burst", {"version": 4}, ["settings.version: is said by the document itself"]),
        ("card_burst", {"any_amount": 4}, ["settings.any_amount: must be a table, not 4"]),
        ("resonance", {"min_values": {"x": 2**70}}, ["settings.min_values.x: 1180591620717411303424 is too large"]),
        ("silence", {"shortest": "5m"}, ["rule: silence is switched off in the file, so it is not there to change"]),
    ],
)
def test_a_document_is_refused_with_every_field_and_its_remedy(
    rule: str, settings: dict[str, Any], problems: list[str]
) -> None:
    found = said(rule, settings)

    assert len(found) == len(problems), found
    for text, problem in zip(sorted(found), sorted(problems), strict=True):
        assert text.startswith(problem), text


def test_what_the_flow_counts_by_cannot_change_while_it_runs() -> None:
    files = load_settings(overrides={"detectors": {"silence": {"enabled": True}}})

    (problem,) = said("silence", {"step": "5m"}, files)

    assert problem.startswith("settings.step: cannot change while the flow runs")
    assert said("silence", {"shortest": "5m"}, files) == []


def test_a_document_is_bounded_in_size_and_depth() -> None:
    deep: dict[str, Any] = {}
    for _ in range(900):
        deep = {"x": deep}

    assert said("card_burst", deep) == [f"settings{'.x' * 13}: is nested deeper than 12 tables"]
    (problem,) = said("resonance", {"urgency_words": ["急" * 100] * 300})
    assert problem.startswith("settings: ")
    assert f"at most {MOST_BYTES:,}" in problem


def test_an_unknown_kind_is_named_with_those_there_are() -> None:
    (problem,) = said("card_burst", {}, kind="detektor")
    assert problem == f"kind: 'detektor' is no kind of rule; there are {', '.join(KINDS)}"


def test_a_composite_rule_needs_somebody_to_judge_it() -> None:
    files = load_settings(overrides={"composite": {}})
    (problem,) = said("new_rule", {}, files, kind="composite")
    assert problem.startswith("rule: the file has no composite rule")


def test_the_error_names_rule_and_version() -> None:
    with pytest.raises(ConfigurationError, match="rule resonance, version 7: 1 problem"):
        laid_over(SETTINGS, document("resonance", 7, 0, lock=1))


def test_what_only_works_against_itself_is_a_warning() -> None:
    (doubt, *_) = warnings_of(SETTINGS, document("order_timeout", 2, 0, reminder_lead="3h"))
    assert doubt.field == "detectors.order_timeout.reminder_lead"
    assert warnings_of(SETTINGS, document("card_burst", 2, 0, hold=False)) == []


@pytest.mark.parametrize("rule", [name for kind, name in rules_of(SETTINGS) if kind == "detector"])
def test_the_settings_of_a_file_said_again_change_nothing_but_the_version(rule: str) -> None:
    files = load_settings(overrides={"detectors": {rule: {"enabled": True}}})
    again = laid_over(files, document(rule, 2, 0, enabled=True))

    section = getattr(again.detectors, rule)
    assert msgspec.structs.replace(section, version=1) == getattr(files.detectors, rule)
