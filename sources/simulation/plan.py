"""What a simulation is asked for, and what must come out of a run over it."""

from collections.abc import Mapping

from msgspec import Struct

from events.model import EpochMs

HOUR = 3_600_000
DAY = 24 * HOUR
ORDERS_PER_DAY = 20_000
DEFAULT_START = 1_772_380_800_000  # 2026-03-02T00:00:00+08:00


class SimulationPlan(Struct, frozen=True):
    """What to simulate; the same plan and settings give the same bytes.

    ``duplicates``, ``late``, ``bad``: how many copies, late events and bad records there are, as a share of the events.
    ``behaviour``: the share of behaviour among the events. ``cases``: the share of the orders that belong to a case put
    in on purpose; ``case_weights``: how often a case is drawn against the others (1 unless given, 0: never).
    With 200 orders or more every case that is drawn at all comes at least once.
    ``start`` is an epoch ms, ``duration`` the ms in which the orders are created (unless given a day, or as many as
    20,000 orders a day need). ``hash_key``: the key of the keyed hashes that name phones, cards and addresses.
    """

    orders: int
    seed: int
    partitions: int = 4
    duplicates: float = 0.0
    late: float = 0.0
    bad: float = 0.0
    behaviour: float = 0.57
    cases: float = 0.08
    case_weights: Mapping[str, float] = {}
    start: EpochMs = DEFAULT_START
    duration: int | None = None
    hash_key: bytes = b""

    def __post_init__(self) -> None:
        if self.orders < 0:
            raise ValueError(f"orders: {self.orders} is not a number of orders: give 0 or more")
        if self.partitions < 1:
            raise ValueError(f"partitions: {self.partitions} is too few: give 1 or more")
        for name in ("duplicates", "late", "bad", "behaviour", "cases"):
            share = getattr(self, name)
            if not 0 <= share <= 0.9:
                raise ValueError(f"{name}: {share} is not a share of the events: give a number from 0 to 0.9")
        if self.duration is not None and self.duration < 1:
            raise ValueError(f"duration: {self.duration} ms is too short: give 1 or more")

    @property
    def span(self) -> int:
        """The ms in which the orders are created."""
        return self.duration or max(DAY, self.orders * DAY // ORDERS_PER_DAY)


class ExpectedAlert(Struct, frozen=True, gc=False):
    """An alert that must be opened: once per line of ``truth.ndjson``. ``level`` is the level that it opens with."""

    rule: str
    entity_type: str
    entity_id: str
    time: EpochMs
    level: str
    orders: tuple[str, ...]
    case: str


class ExpectedDeadLetter(Struct, frozen=True, gc=False):
    """A record that must go to the dead letters. ``position`` is the byte offset of its line in the file."""

    partition: str
    position: int
    case: str


class Line(Struct, frozen=True, gc=False):
    """One line (without its end) of the log of ``partition``, e.g. ``events/order-0.ndjson``."""

    partition: str
    data: bytes


class Counts(Struct):
    """How much was written. ``events`` are the distinct good ones; copies and bad records come on top of them."""

    orders: int = 0
    events: int = 0
    order_events: int = 0
    behaviour_events: int = 0
    action_events: int = 0
    duplicates: int = 0
    late: int = 0
    bad: int = 0
    alerts: int = 0
