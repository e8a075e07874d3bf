"""What several runs cost beside each other, round by round: what slows a whole round slows all of its runs."""

from collections.abc import Mapping, Sequence

from msgspec import Struct

from benchmarks.figures import Cost


class Rounds(Struct, frozen=True):
    """Each round: the cost of every run by its name."""

    done: Sequence[Mapping[str, Cost]]

    def faster(self, name: str, than: str) -> list[float]:
        """How many times as many events per second ``name`` handles."""
        return [_rate(costs[name]) / _rate(costs[than]) for costs in self.done]

    def dearer(self, name: str, than: str) -> list[float]:
        """How many times as much CPU time ``name`` takes for an event."""
        return [_cpu(costs[name]) / _cpu(costs[than]) for costs in self.done]

    def rate(self, name: str) -> list[float]:
        """Events per second."""
        return [_rate(costs[name]) for costs in self.done]

    def peak_mb(self, name: str) -> list[float]:
        """Peak memory, of all processes of a run."""
        return [costs[name].peak_rss_mb for costs in self.done]


def _rate(cost: Cost) -> float:
    return cost.events / cost.wall_s


def _cpu(cost: Cost) -> float:
    return cost.cpu_s / cost.events
