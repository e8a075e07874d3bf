"""Raw input as a source hands it over: many records of one partition as one item."""

from collections.abc import Sequence

from msgspec import Struct

Headers = tuple[tuple[str, bytes | None], ...]


class RawBatch(Struct, gc=False):
    """Records of one partition in the order of its log.

    ``partition`` names the log (``orders.order.events.v1/3``, ``events/order-0.ndjson``), ``topic`` the kind of input
    (what the dead letters of it are called after). ``positions[i]`` is where ``lines[i]`` stands: its offset in Kafka,
    its byte offset in a file. ``arrivals[i]`` is the record's arrival (epoch ms); None where the log keeps none.
    ``headers`` holds the records' headers by index, for the few that have any.
    ``end_confirmed_at`` is the wall time (epoch ms) at which the source saw that nothing follows these records yet;
    0 when more may follow. ``finished``: the log is bounded and these are its last records.
    """

    partition: str
    topic: str
    lines: list[bytes]
    positions: Sequence[int]
    arrivals: Sequence[int] | None = None
    headers: dict[int, Headers] | None = None
    end_confirmed_at: int = 0
    finished: bool = False
