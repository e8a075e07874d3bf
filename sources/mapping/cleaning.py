"""Cleaning after a rule has filled an event's fields: phones and addresses in one form, the warehouse by region."""

from collections.abc import Callable
from typing import Any

from sources.mapping.addresses import clean_address
from sources.mapping.phones import clean_phone
from sources.mapping.profile import CleanRules

Clean = Callable[[dict[str, Any]], list[str]]  # changes an event's values in place, returns what it did


def cleaner(rules: CleanRules, event_type: str, filled: frozenset[str]) -> Clean | None:
    """What cleans the events of one rule; None when there is nothing to clean. ``filled``: the fields it fills."""
    if event_type == "order.created":
        return _steps(rules, filled, warehouses=True)
    if event_type == "order.changed":
        # A change of address moves no order to another warehouse: that is for people and systems to decide.
        inner = _steps(rules, frozenset(("phone", "address")), warehouses=False)
        return None if inner is None else _of_fields(inner)
    return None


def _steps(rules: CleanRules, filled: frozenset[str], *, warehouses: bool) -> Clean | None:
    steps: list[Clean] = []
    if rules.phone is not None and "phone" in filled:
        steps.append(_phones(rules.phone))
    if rules.address is not None and "address" in filled:
        steps.append(_addresses)
    if rules.warehouses and warehouses:
        steps.append(_warehouses(rules.warehouses))
    if not steps:
        return None
    return lambda values: [word for step in steps for word in step(values)]


def _of_fields(inner: Clean) -> Clean:
    def clean(values: dict[str, Any]) -> list[str]:
        return [f"fields.{word}" for word in inner(values["fields"])] if "fields" in values else []

    return clean


def _phones(region: str) -> Clean:
    def clean(values: dict[str, Any]) -> list[str]:
        phone = values.get("phone")
        if phone is None:
            return []
        country = str((values.get("address") or {}).get("country") or "")
        cleaned = clean_phone(phone, country.upper() if len(country) == 2 and country.isascii() else region)
        if cleaned == phone:
            return []
        values["phone"] = cleaned
        return ["phone: one_form"]

    return clean


def _addresses(values: dict[str, Any]) -> list[str]:
    address = values.get("address")
    if not address:
        return []
    cleaned = clean_address(address)
    if cleaned is address:
        return []
    values["address"] = cleaned
    return ["address: split" if address.get("detail") != cleaned.get("detail") else "address: official_names"]


def _warehouses(regions: dict[str, str]) -> Clean:
    def clean(values: dict[str, Any]) -> list[str]:
        if values.get("warehouse_id") is not None:
            return []
        warehouse = _nearest(regions, values.get("address") or {})
        if warehouse is None:
            return []
        values["warehouse_id"] = warehouse
        return ["warehouse_id: by_region"]

    return clean


def _nearest(regions: dict[str, str], address: dict[str, str]) -> str | None:
    """The warehouse of the narrowest region that the map names."""
    province, city, district = (address.get(name, "") for name in ("province", "city", "district"))
    keys = (f"{province}/{city}/{district}", f"{province}/{city}", province, address.get("country", ""), "*")
    return next((regions[key] for key in keys if key in regions), None)
