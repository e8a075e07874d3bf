"""Risk keys as alerts name them. The normal forms themselves are the product's: the oracle does not judge them."""

from events.model import Address
from events.normal_form import address_key, risk_key


class Keys:
    """Keyed hashes of normal forms, each computed once."""

    def __init__(self, hash_key: bytes) -> None:
        self._hash_key = hash_key
        self._known: dict[tuple[str, str], str] = {}

    def of(self, kind: str, value: str) -> str | None:
        """The entity id of a risk key; None where the value is none, like a masked number."""
        known = self._known.get((kind, value))
        if known is None:
            known = self._known[kind, value] = risk_key(kind, value, self._hash_key)
        return known or None

    def of_address(self, given: str | None, address: Address | None) -> str | None:
        """The key that the source gives, else that of the address; None where neither says anything."""
        if given is not None:
            return self.of("address", given)
        return (address_key(address, self._hash_key) or None) if address is not None else None
