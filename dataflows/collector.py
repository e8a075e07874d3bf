"""Python's garbage collector, while a flow runs."""

import gc
from collections.abc import Iterator
from contextlib import contextmanager

# Almost all that a run makes is freed by reference counting; at Python's own thresholds the collector walks the state
# of open orders again and again and finds nothing. The young are looked through in portions of 50,000, some 15 ms each.
_COLLECT_AFTER = (10_000, 5, 400)


@contextmanager
def patient_collector() -> Iterator[None]:
    """Collect garbage seldom, and leave alone what was there before; then as it was, for whoever called the run."""
    thresholds, frozen = gc.get_threshold(), gc.get_freeze_count()
    gc.freeze()
    gc.set_threshold(*_COLLECT_AFTER)
    try:
        yield
    finally:
        gc.set_threshold(*thresholds)
        if not frozen:
            gc.unfreeze()
