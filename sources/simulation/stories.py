"""The sequence of the simulated trade: ordinary orders in the rhythm of the day, and cases among them."""

from bisect import bisect_right
from collections.abc import Iterator
from datetime import datetime
from itertools import accumulate
from zoneinfo import ZoneInfo

from msgspec import Struct

from sources.simulation.cases import Case, all_cases
from sources.simulation.journey import Journey
from sources.simulation.ordinary import ordinary_order
from sources.simulation.plan import HOUR, SimulationPlan
from sources.simulation.world import World

EACH_CASE_FROM = 200
"""From this many orders on, each case comes at least once."""

# Orders per hour of the local day, against each other: a low at four, a high in the evening.
RHYTHM = (5, 3, 2, 1, 1, 2, 3, 5, 7, 9, 11, 11, 10, 9, 9, 9, 9, 9, 10, 12, 14, 14, 11, 8)


class Story(Struct, frozen=True):
    """Orders that share no key with any other story's.

    ``time`` is the first one's creation; ``case`` is None for an order of every day.
    """

    time: int
    case: str | None
    journeys: list[Journey]


class DayRhythm:
    """Spreads orders over the plan's time so that there are many in the evening and few at night."""

    def __init__(self, plan: SimulationPlan, zone: str) -> None:
        self._start, self._span = plan.start, plan.span
        first = datetime.fromtimestamp(plan.start / 1000, tz=ZoneInfo(zone)).hour
        hours = [min(HOUR, plan.span - begin) for begin in range(0, plan.span, HOUR)]
        weights = [RHYTHM[(first + number) % 24] * length for number, length in enumerate(hours)]
        self._sums = [0, *accumulate(weights)]

    def at(self, share: float) -> int:
        """The epoch ms by which that share (from 0 to 1) of the orders has been created."""
        wanted = share * self._sums[-1]
        hour = min(bisect_right(self._sums, wanted), len(self._sums) - 1) - 1
        inside = (wanted - self._sums[hour]) / (self._sums[hour + 1] - self._sums[hour])
        return self._start + min(self._span - 1, int((hour + inside) * HOUR))


class CaseDraw:
    """Says which case comes next, if any."""

    def __init__(self, world: World) -> None:
        plan = world.plan
        known = all_cases(world.chain)
        unknown = set(plan.case_weights) - {case.name for case in known}
        if unknown:
            raise ValueError(
                f"case_weights: no case {', '.join(sorted(unknown))}; known: {', '.join(case.name for case in known)}"
            )
        self._world = world
        drawn = [
            case for case in known if plan.case_weights.get(case.name, 1) > 0 and (plan.late > 0 or not case.needs_late)
        ]
        self._cases = drawn if plan.cases > 0 else []
        self._bounds = list(accumulate(plan.case_weights.get(case.name, 1) for case in drawn))
        self._due = sorted(self._cases, key=lambda case: world.rng.random()) if plan.orders >= EACH_CASE_FROM else []
        self._taken = 0

    def next_story(self, made: int, time: int) -> Story | None:
        """A case that starts now; ``made``: how many orders there are by now."""
        left = self._world.plan.orders - made
        for place, case in enumerate(self._due[:3]):
            story = self._told(case, time, left)
            if story is not None:
                del self._due[place]
                return story
        if self._cases and self._taken < self._world.plan.cases * made and self._world.chance(0.5):
            return self._told(self._drawn(), time, left)
        return None

    def _drawn(self) -> Case:
        return self._cases[bisect_right(self._bounds, self._world.rng.random() * self._bounds[-1])]

    def _told(self, case: Case, time: int, left: int) -> Story | None:
        if case.orders > left:
            return None
        journeys = case.build(self._world, time)
        if journeys is None:
            return None
        self._taken += len(journeys)
        return Story(time, case.name, journeys)


def stories(world: World) -> Iterator[Story]:
    """Stories in the order of their time until the plan's number of orders is reached."""
    rhythm, cases, total = DayRhythm(world.plan, world.settings.zone), CaseDraw(world), world.plan.orders
    made = 0
    while made < total:
        time = rhythm.at((made + world.rng.random()) / total)
        story = cases.next_story(made, time)
        if story is None:
            story = Story(time, None, [ordinary_order(world, time)])
        made += len(story.journeys)
        for journey in story.journeys:
            for printed, warehouse in journey.prints:
                world.prints.add(warehouse, printed)
        yield story
