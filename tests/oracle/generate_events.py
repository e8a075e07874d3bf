"""Single events of every type, drawn from few orders, customers and keys, without id and time."""

from typing import Any

import msgspec
from hypothesis import strategies as st
from hypothesis.strategies import SearchStrategy

from config.settings import Settings
from events.model import (
    Address,
    AlertAcknowledged,
    AnyEvent,
    BehaviourChat,
    BehaviourSignal,
    LogisticsScan,
    OrderChanged,
    OrderCreated,
    OrderFields,
    OrderSplit,
    OrderStage,
    PaymentFailed,
    PaymentSucceeded,
    ReviewConfirmed,
    ReviewReleased,
    SystemStatus,
    WaybillPrinted,
)

ORDERS = ("O1", "O2", "O3", "O4")
CUSTOMERS = ("C1", "C2")
PARCELS = ("P1", "P2", "P3")
SOURCES = ("oms", "wms")
ADDRESSES = (
    Address(province="上海市", city="上海市", district="浦东新区", detail="世纪大道1号"),
    Address(province="上海市", city="上海市", district="浦东新区", detail="世纪大道 1 号"),
    Address(province="广东省", city="深圳市", district="南山区", detail="科技园2栋"),
    Address(),
)
CHATS = (
    "",
    "Thank you",
    "Please HURRY, this is URGENT",
    "今天必须到",
    "要不然给差评",
    "ＵＲＧＥＮＴ or a bad review",
)

_ORDER = st.sampled_from(ORDERS)


def _sometimes(values: tuple[str, ...]) -> SearchStrategy[str | None]:
    return st.sampled_from((None, *values))


def created(settings: Settings) -> SearchStrategy[OrderCreated]:
    """New orders; with ``None`` here and there, for much need not be known."""
    categories = ("general", *settings.detectors.order_timeout.by_category)
    return st.builds(
        OrderCreated,
        id=st.just("?"),
        source=st.sampled_from(SOURCES),
        time=st.just(0),
        order_id=_ORDER,
        customer_id=_sometimes(CUSTOMERS),
        category=st.sampled_from(categories),
        amount=st.sampled_from((0, 9900, 9900, 20_000)),
        card=_sometimes(("card-1", "card-2")),
        phone=_sometimes(("13800001111", "+86 138 0000 1111")),
        ip=_sometimes(("203.0.113.7",)),
        device=_sometimes(("D1", "D2")),
        address=st.sampled_from((None, *ADDRESSES)),
        warehouse_id=_sometimes(("W1",)),
    )


def moves(settings: Settings) -> SearchStrategy[AnyEvent]:
    """What may move an order, rightly or not."""
    stages = (*settings.stages, "no_such_stage")
    scans = (*settings.flow.scans, *settings.flow.exception_scans[:1], "seen")
    systems = [(system, status) for system, rules in settings.status.systems.items() for status in rules]
    common: dict[str, Any] = {
        "id": st.just("?"),
        "source": st.sampled_from(SOURCES),
        "time": st.just(0),
        "order_id": _ORDER,
    }
    parcel = st.one_of(st.none(), _sometimes(PARCELS))
    status = st.sampled_from([*systems, ("oms", "NEW"), ("oms", "SEEN")])
    return st.one_of(
        st.builds(OrderStage, **common, stage=st.sampled_from(stages), parcel_id=parcel),
        st.builds(LogisticsScan, **common, scan=st.sampled_from(scans), parcel_id=parcel),
        st.builds(PaymentSucceeded, **common, card=_sometimes(("card-1", "card-3"))),
        st.builds(OrderSplit, **common, parcels=st.lists(st.sampled_from(PARCELS), min_size=1, max_size=3).map(tuple)),
        status.flatmap(
            lambda pair: st.builds(SystemStatus, **common, system=st.just(pair[0]), status=st.just(pair[1]))
        ),
    )


def signs(settings: Settings) -> SearchStrategy[AnyEvent]:
    """What moves no order: behaviour, changes, prints, reviews, acknowledgements."""
    rule = settings.detectors.resonance
    common: dict[str, Any] = {"id": st.just("?"), "source": st.sampled_from(SOURCES), "time": st.just(0)}
    of_order = {**common, "order_id": _ORDER}
    of_someone = {**common, "order_id": _sometimes(ORDERS), "customer_id": _sometimes(CUSTOMERS)}
    edges = sorted({edge + n for edge in (*rule.min_values.values(), *rule.max_values.values()) for n in (-1, 0, 1)})
    fields = st.builds(
        OrderFields,
        address=st.sampled_from((msgspec.UNSET, *ADDRESSES)),
        phone=st.sampled_from((msgspec.UNSET, None, "13900002222")),
        warehouse_id=st.sampled_from((msgspec.UNSET, None, "W1", "W2")),
        category=st.sampled_from((msgspec.UNSET, "general", "fresh")),
    )
    return st.one_of(
        st.builds(
            BehaviourSignal,
            **of_someone,
            signal=st.sampled_from((*rule.weights, "scrolled")),
            value=st.sampled_from((None, *edges)),
            device=_sometimes(("D1", "D2")),
        ),
        st.builds(BehaviourChat, **of_someone, text=st.sampled_from(CHATS)),
        st.builds(OrderChanged, **of_order, fields=fields, customer_id=_sometimes(CUSTOMERS)),
        st.builds(PaymentFailed, **of_order),
        st.builds(
            WaybillPrinted,
            **of_order,
            duration_ms=st.sampled_from((100, 146, 147, 148, 1000)),
            warehouse_id=_sometimes(("W1",)),
        ),
        st.builds(ReviewReleased, **of_order),
        st.builds(ReviewConfirmed, **of_order),
        st.builds(
            AlertAcknowledged,
            **common,
            episode=st.just("e"),
            entity_type=st.just("order"),
            entity_id=st.sampled_from(ORDERS),
        ),
    )
