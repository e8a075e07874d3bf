"""The configured stage chain as the simulator walks it: its usual path, its limits, its usual pace."""

from collections.abc import Iterator
from random import Random

from config.settings import Settings

MINUTE = 60_000
LONGEST_USUAL_STAY = 12 * 60 * MINUTE
USUAL_STAY_WITHOUT_NORM = 30 * MINUTE

Move = tuple[int, str]
"""(epoch ms, stage)."""


class Chain:
    """Stages from the first to the last, and how long an order may and does stay in them."""

    def __init__(self, settings: Settings) -> None:
        self.stages = settings.stages
        self.flow = settings.flow
        self.detectors = settings.detectors
        self._limits: dict[tuple[str, str], int | None] = {}
        self.path = tuple(self._usual_path())
        self.scan_of = {stage: scan for scan, stage in self.flow.scans.items() if scan not in self.flow.exception_scans}
        self.cancelled = next((name for name in self.flow.from_any if self.stages[name].cancels), None)
        self.paid = self._first("paid")
        self.handled = self._first("handled")
        self.shipped = self._first("shipped")

    def _usual_path(self) -> Iterator[str]:
        stage: str | None = self.flow.initial
        seen = set()
        while stage is not None and stage not in seen:
            seen.add(stage)
            yield stage
            stage = next(iter(self.stages[stage].next), None)

    def _first(self, mark: str) -> int | None:
        """The place in the path of the first stage that has the mark."""
        return next((place for place, name in enumerate(self.path) if getattr(self.stages[name], mark)), None)

    @property
    def payment_place(self) -> int | None:
        """The place in the path that a payment moves an order to; None where payments move none."""
        stage = self.flow.payment_stage
        return self.path.index(stage) if stage in self.path[1:] else None

    def limit(self, stage: str, category: str) -> int | None:
        """How long an order may stay in the stage, in ms; None: as long as it likes."""
        known = (stage, category)
        if known not in self._limits:
            rules = self.detectors.stage_timeout
            norm = rules.by_category.get(category, {}).get(stage, self.stages[stage].norm)
            self._limits[known] = None if norm is None else int(norm) * int(rules.factor) // 1000
        return self._limits[known]

    def handling_limit(self, category: str) -> int:
        """How long the warehouse may take from the payment until it first handles the order, in ms."""
        rules = self.detectors.order_timeout
        return int(rules.by_category.get(category, rules.limit))

    def patience(self, stage: str, category: str) -> int:
        """How long an order's status may stand still in the stage, in ms."""
        return max(int(self.detectors.no_progress.floor), self.limit(stage, category) or 0)

    def longest_quiet_stay(self, stage: str, category: str) -> int:
        """How long an order may stay in the stage before a reminder, a breach or no progress is due, in ms."""
        limit = self.limit(stage, category)
        if limit is None:
            return self.patience(stage, category)
        return _before_reminder(limit, self.detectors.stage_timeout.reminder_lead)

    def longest_quiet_handling(self, category: str) -> int:
        """How long the warehouse may take before a reminder or a breach is due, in ms."""
        return _before_reminder(self.handling_limit(category), self.detectors.order_timeout.reminder_lead)

    def usual_moves(self, rng: Random, category: str, created: int) -> list[Move]:
        """The whole path at a pace that breaks no limit, from ``order.created`` to the last stage."""
        stays = [self._usual_stay(rng, stage, category) for stage in self.path[:-1]]
        self._handle_in_time(stays, category)
        moves, time = [(created, self.path[0])], created
        for stage, stay in zip(self.path[1:], stays, strict=True):
            time += stay
            moves.append((time, stage))
        return moves

    def _usual_stay(self, rng: Random, stage: str, category: str) -> int:
        quiet = self.longest_quiet_stay(stage, category) * 4 // 5
        if self.limit(stage, category) is None:
            quiet = min(quiet, USUAL_STAY_WITHOUT_NORM)
        longest = min(quiet, LONGEST_USUAL_STAY)
        return max(1, int(longest * (0.1 + 0.9 * rng.random())))

    def _handle_in_time(self, stays: list[int], category: str) -> None:
        if self.paid is None or self.handled is None or self.handled <= self.paid:
            return
        taken, allowed = sum(stays[self.paid : self.handled]), self.longest_quiet_handling(category) * 4 // 5
        if taken > allowed:
            for place in range(self.paid, self.handled):
                stays[place] = max(1, stays[place] * allowed // taken)


def _before_reminder(limit: int, lead: int | None) -> int:
    return limit - lead if lead is not None and lead < limit else limit


def delayed(moves: list[Move], place: int, extra: int) -> list[Move]:
    """The moves with the one at ``place`` and all after it ``extra`` ms later."""
    return moves[:place] + [(time + extra, stage) for time, stage in moves[place:]]
