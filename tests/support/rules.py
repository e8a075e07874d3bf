"""Rule documents for tests."""

from typing import Any

from events.model import RulePublished


def document(rule: str, version: int, at: int, effective_at: int | None = None, **settings: Any) -> RulePublished:
    """A document that is published at ``at`` (epoch ms), and effective at once unless told otherwise."""
    return RulePublished(
        id=f"{rule}/{version}@{at}",
        source="rules",
        time=at,
        rule=rule,
        version=version,
        effective_at=at if effective_at is None else effective_at,
        settings=settings,
    )
