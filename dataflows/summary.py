"""What a run did, in figures."""

from msgspec import Struct


class Summary(Struct, frozen=True):
    """What a run did. ``watermark`` in epoch ms."""

    events: int
    duplicates: int
    late: int
    forced: int
    watermark: int
    seconds: float
