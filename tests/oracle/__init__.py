"""The oracle: each detector once more, as a slow and obvious computation over the whole event set.

It is written from docs/rules.md alone and shares no decision with ``operators``; only the normal forms of phones,
addresses and cards are the product's own. The flow must give, on the same events, what stands here.
"""

from collections.abc import Iterator, Sequence

from config.settings import Settings
from tests.oracle.bursts import card_burst
from tests.oracle.histories import Histories
from tests.oracle.holds import holds
from tests.oracle.keys import Keys
from tests.oracle.limits import no_progress, order_timeout, stage_timeout
from tests.oracle.merges import merge_candidate
from tests.oracle.model import AppliedEvent, Cause, ExpectedHold, ExpectedStep
from tests.oracle.ordering import in_order
from tests.oracle.resonances import resonance
from tests.oracle.silence import silence
from tests.oracle.transitions import illegal_transition

__all__ = ["AppliedEvent", "Cause", "ExpectedHold", "ExpectedStep", "expected_alerts", "expected_holds"]


def expected_alerts(
    events: Sequence[AppliedEvent], settings: Settings, end: int, hash_key: bytes = b""
) -> list[ExpectedStep]:
    """Every step of every alert with a time of at most ``end`` (epoch ms, the final watermark), by time.

    The steps of one episode stand in their order. ``hash_key`` is the key of the keyed hashes in entity ids.
    """
    ordered = in_order(events, settings, end)
    steps = _steps(ordered, Histories(ordered, settings, keys := Keys(hash_key)), settings, keys, end)
    return sorted((step for step in steps if step.time <= end), key=lambda step: step.time)


def expected_holds(
    events: Sequence[AppliedEvent], settings: Settings, end: int, hash_key: bytes = b""
) -> list[ExpectedHold]:
    """Every hold record with a time of at most ``end``, by time; the records of one order stand in their order."""
    steps = expected_alerts(events, settings, end, hash_key)
    return holds(in_order(events, settings, end), steps, settings)


def _steps(
    events: Sequence[AppliedEvent], histories: Histories, settings: Settings, keys: Keys, end: int
) -> Iterator[ExpectedStep]:
    detectors = settings.detectors
    if detectors.stage_timeout.enabled:
        yield from stage_timeout(histories, settings)
    if detectors.order_timeout.enabled:
        yield from order_timeout(histories, settings)
    if detectors.no_progress.enabled:
        yield from no_progress(histories, settings)
    if detectors.illegal_transition.enabled:
        yield from illegal_transition(histories, settings)
    if detectors.card_burst.enabled:
        yield from card_burst(events, histories, settings, keys)
    if detectors.merge_candidate.enabled:
        yield from merge_candidate(histories, settings, end)
    if detectors.resonance.enabled:
        yield from resonance(events, histories, settings)
    if detectors.silence.enabled:
        yield from silence(events, histories, settings, end)
