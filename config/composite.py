"""Settings of composite rules: conditions in CEL with weights, the lists that they name, and their baselines."""

from typing import Annotated, Literal

from msgspec import Meta, Struct

from config.units import Duration, Thousandths
from events.records import Severity

Count = Annotated[int, Meta(ge=1)]
Moment = Literal["created", "paid", "behaviour"]
Action = Literal["alert", "review", "hold"]
ListKind = Literal["texts", "words", "phones", "cards", "ips", "devices", "addresses"]


class Condition(Struct, frozen=True):
    """One condition. Where its ``expression`` is true, its ``weight`` counts. Without texts it is told by its name."""

    name: str
    expression: str
    weight: Thousandths
    zh: str = ""
    en: str = ""


class CompositeRule(Struct, frozen=True):
    """Conditions that together raise an alert about an order: docs/composite-rules.md.

    ``when``: the moments of an order at which it is judged. It alerts when the weights of the conditions that are met
    reach ``threshold``, unless the expression ``unless`` is true.
    """

    zh: str
    en: str
    conditions: tuple[Condition, ...]
    threshold: Thousandths
    enabled: bool = True
    version: Count = 1
    when: tuple[Moment, ...] = ("created",)
    action: Action = "alert"
    severity: Severity = "warning"
    unless: str | None = None


class ListSettings(Struct, frozen=True):
    """Values that conditions compare with. Clear phone and card numbers are compared by their keyed hash."""

    kind: ListKind
    values: tuple[str, ...]
    version: Count = 1


class BaselineSettings(Struct, frozen=True):
    """What customers and shops usually do: means over the last ``buckets`` of the length ``bucket``, the running one
    included. A customer or shop of whom nothing came for ``memory`` is new again.
    """

    bucket: Duration
    buckets: Count
    memory: Duration
