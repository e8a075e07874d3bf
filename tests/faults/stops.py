"""SIGTERM at seeded moments: an orderly stop loses nothing, and neither does one that was made impatient."""

from random import Random

from tests.faults.ground import Ground
from tests.faults.kills import START_SECONDS
from tests.faults.trial import MOST_PROCESSES, READY_SECONDS, STOP_SECONDS, Verdict


def stopped_and_started(ground: Ground, seed: int) -> Verdict:
    """SIGTERM in the middle, then another number of processes."""
    rng = Random(seed)
    with ground.trial("stopped in order", seed) as trial:
        trial.feed(ground.feed_seconds)
        trial.start(rng.randint(1, MOST_PROCESSES))
        trial.wait_until(trial.ready, READY_SECONDS)
        trial.sleep(rng.uniform(0, ground.feed_seconds / 2))
        trial.stop()
        trial.start(rng.randint(1, MOST_PROCESSES))
        return trial.finish()


def stopped_twice(ground: Ground, seed: int) -> Verdict:
    """SIGTERM, and soon after it another one, which ends the run at once."""
    rng = Random(seed)
    with ground.trial("stopped twice", seed) as trial:
        trial.feed(ground.feed_seconds)
        trial.start(rng.randint(1, MOST_PROCESSES))
        trial.sleep(rng.uniform(0, START_SECONDS + ground.feed_seconds / 2))
        trial.flow.terminate()
        trial.sleep(rng.uniform(0, 0.3))
        trial.flow.terminate()
        if trial.flow.wait(STOP_SECONDS) is None:
            trial.problem(f"the flow did not end within {STOP_SECONDS:g} s of the second SIGTERM")
        trial.expect_gone()
        trial.start(rng.randint(1, MOST_PROCESSES))
        return trial.finish()
