"""From a form to the events of an order."""

from hashlib import sha256

import msgspec
from msgspec import Struct

from config.settings import FallbackSettings
from events.model import Address, BuyerNotice, Item, OrderCreated
from sources.fallback.form import OrderForm

ORDER_TAKEN = "order_taken"
HIGH = "high"


class Taken(Struct, frozen=True):
    """An order that has its number: what goes to the topics. ``digest`` tells whether a repetition says the same."""

    order: OrderCreated
    notice: BuyerNotice
    digest: str

    @property
    def order_id(self) -> str:
        """Its number."""
        return self.order.order_id

    @property
    def priority(self) -> str | None:
        """``high``, or None."""
        return self.order.priority


def take(form: OrderForm, number: str, moment: int, settings: FallbackSettings, operator: str | None) -> Taken:
    """The events of an order that was taken at ``moment`` (epoch ms). The same form and number give the same ids."""
    amount = form.amount or 0
    order = OrderCreated(
        id=f"{number}/created",
        source=settings.source,
        time=moment,
        order_id=number,
        operator=operator,
        channel=form.channel,
        amount=amount,
        items=(Item(sku=form.product, quantity=form.quantity),),
        phone=form.phone,
        recipient=form.name,
        address=Address(detail=form.address) if form.address else None,
        priority=HIGH if amount > settings.high_amount else None,
        remark=form.remark,
    )
    return Taken(order, _notice(order, form, settings), digest_of(form))


def digest_of(form: OrderForm) -> str:
    """The same for the same form."""
    return sha256(msgspec.json.encode(form)).hexdigest()[:16]


def _notice(order: OrderCreated, form: OrderForm, settings: FallbackSettings) -> BuyerNotice:
    names = {
        "order_id": order.order_id,
        "product": form.product,
        "quantity": form.quantity,
        "amount": f"{order.amount // 100}.{order.amount % 100:02d}",
    }
    return BuyerNotice(
        id=f"{order.order_id}/notice",
        source=settings.source,
        time=order.time,
        order_id=order.order_id,
        template=ORDER_TAKEN,
        phone=form.phone,
        zh=settings.notice_zh.format(**names),
        en=settings.notice_en.format(**names),
    )
