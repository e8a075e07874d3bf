"""What the parts of webhook intake count; the names stand in the one registry of metrics."""

from typing import Protocol


class Counting(Protocol):
    """Where counts go; safe to call from any thread."""

    def add(self, name: str, amount: float = 1, **labels: str) -> None:
        """Let a counter grow."""

    def set(self, name: str, value: float, **labels: str) -> None:
        """Give a gauge its value."""

    def observe(self, name: str, value: float, **labels: str) -> None:
        """Add one value to a histogram."""
