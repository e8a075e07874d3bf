"""The records in docs/events.md are what the flow makes of the events there."""

from itertools import accumulate

import msgspec
import pytest

from config.loader import load_settings
from dataflows.memory import MemoryDriver
from events.batch import RawBatch
from events.examples import CREATED, EXAMPLES, MINUTE, ORDER
from events.model import EVENT_TYPES, BehaviourSignal, Event, PaymentFailed, SystemStatus
from events.records import Record
from events.topics import OUTPUTS, Output
from operators.heart.component import Environment
from operators.topology import topology

PARTITION = "orders.order.events.v1/3"
FIRST_POSITION = 90_210
DELAY_MS = 250

# With these the weak signals of the order add up to a lock, so that there is a hold to release.
MORE_SIGNALS: tuple[Event, ...] = (
    PaymentFailed(id="gw-70305", source="gateway", time=CREATED + 4 * MINUTE, order_id=ORDER),
    BehaviourSignal(
        id="probe-2",
        source="storefront",
        time=CREATED + 4 * MINUTE,
        order_id=ORDER,
        signal="coupon_depth",
        value=60,
    ),
)
UNREADABLE = (
    b'{"type":"order.created","id":"jd-5120","source":"jd","time":1769824801000,"order_id":"O-7","amount":129.0}'
)


@pytest.fixture(scope="module")
def records() -> list[Record]:
    """Of one log with all events; the status comes last, an hour late, the unreadable record second."""
    documented = [event for kind, event in EXAMPLES.items() if issubclass(kind, Event) and isinstance(event, Event)]
    assert {type(event) for event in documented} == set(EVENT_TYPES)
    events = sorted((*documented, *MORE_SIGNALS), key=lambda e: (isinstance(e, SystemStatus), e.time))
    log = [(event.time, msgspec.json.encode(event)) for event in events]
    log.insert(1, (msgspec.json.decode(UNREADABLE)["time"], UNREADABLE))
    batch = RawBatch(
        partition=PARTITION,
        topic="orders.order.events.v1",
        lines=[content for _, content in log],
        positions=range(FIRST_POSITION, FIRST_POSITION + len(log)),
        arrivals=[newest + DELAY_MS for newest in accumulate((time for time, _ in log), max)],
        headers={1: (("traceparent", b"00-01"),)},
        finished=True,
    )
    flow = MemoryDriver(topology(Environment(load_settings(), 8)), [PARTITION])
    return list(flow.feed(batch))


@pytest.mark.parametrize("output", OUTPUTS, ids=lambda output: output.name)
def test_a_documented_record_is_one_that_the_flow_makes(output: Output, records: list[Record]) -> None:
    documented = EXAMPLES[output.record]
    assert documented in [record for record in records if type(record) is output.record]
