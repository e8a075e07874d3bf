"""The conditions by which settings say what became of an order."""

from collections.abc import Iterator
from typing import Final

from msgspec import Struct

from config.problems import Problem
from config.settings import Settings
from config.units import Duration

LATE: Final = "late"
IN_TIME: Final = "in_time"
CANCELLED: Final = "cancelled"
CONFIRMED: Final = "confirmed"
RELEASED: Final = "released"
PLAIN: Final = (LATE, IN_TIME, CANCELLED, CONFIRMED, RELEASED)
_STAGE: Final = "stage:"
_OVER: Final = "over:"
_WITHIN: Final = "within:"
_DELIVERED: Final = "delivered"


class Conditions(Struct, frozen=True):
    """Conditions, sorted by what they look at. ``over`` and ``within``: ms from creation to delivery, by their names.

    ``stages``: stage -> the condition that it was entered.
    """

    plain: frozenset[str]
    stages: dict[str, str]
    over: dict[str, int]
    within: dict[str, int]

    @property
    def promise(self) -> bool:
        """Whether any looks at what was promised."""
        return LATE in self.plain or IN_TIME in self.plain

    @property
    def duration(self) -> bool:
        """Whether any looks at how long delivery took."""
        return bool(self.over or self.within)


def conditions(names: frozenset[str], settings: Settings) -> Conditions:
    """Read conditions; raises ValueError with the remedy for one that is none."""
    plain, stages, over, within = set(), {}, {}, {}
    for name in sorted(names):
        if name in PLAIN:
            plain.add(name)
        elif name.startswith(_STAGE):
            stages[_stage(name, settings)] = name
        elif name.startswith(_OVER):
            over[name] = int(Duration.parse(name.removeprefix(_OVER)))
        elif name.startswith(_WITHIN):
            within[name] = int(Duration.parse(name.removeprefix(_WITHIN)))
        else:
            known = ", ".join((*PLAIN, "stage:NAME", "over:DURATION", "within:DURATION"))
            raise ValueError(f"{name!r} is no condition: write one of {known}")
    return Conditions(frozenset(plain), stages, over, within)


def delivering(settings: Settings) -> frozenset[str]:
    """The stages in which an order is delivered: named by the settings, or told by the chain.

    Without names, those that customers are shown as delivered, and those that end an order without cancelling it.
    """
    return frozenset(settings.backtest.delivered) or frozenset(
        name
        for name, stage in settings.stages.items()
        if stage.business == _DELIVERED or (stage.terminal and not stage.cancels)
    )


def outcome_problems(settings: Settings) -> Iterator[Problem]:
    """What is wrong with the definitions of outcomes."""
    for name, outcome in settings.backtest.outcomes.items():
        for side, names in (("failed", outcome.failed), ("fine", outcome.fine)):
            for condition in names:
                try:
                    conditions(frozenset((condition,)), settings)
                except ValueError as error:
                    yield Problem(f"backtest.outcomes.{name}.{side}", str(error))
    for rule, name in settings.backtest.judged_by.items():
        if name and name not in settings.backtest.outcomes:
            known = ", ".join(settings.backtest.outcomes)
            yield Problem(f"backtest.judged_by.{rule}", f"{name!r} is not defined; name one of {known}")
    for stage in settings.backtest.delivered:
        if stage not in settings.stages:
            yield Problem("backtest.delivered", f"{stage!r} is not a stage")


def _stage(name: str, settings: Settings) -> str:
    stage = name.removeprefix(_STAGE)
    if stage not in settings.stages:
        raise ValueError(f"{name!r}: {stage!r} is not a stage of the chain; name one of {', '.join(settings.stages)}")
    return stage
