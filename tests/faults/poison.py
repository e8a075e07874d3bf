"""Bad records: a few all the time, then nothing else for a while."""

from random import Random

from tests.faults.ground import Ground
from tests.faults.outputs import platform_alerts
from tests.faults.trial import Verdict

POISON = 600
_LIMITS = {"platform.dead_letters": 'window = 200\nshare = 0.5\nconsecutive = 100\naction = "alert"'}


def poisoned(ground: Ground, seed: int) -> Verdict:
    """600 bad records in a row: all of them are dead letters, nothing good is lost, and the limit is an alert."""
    reference = ground.reference(poison=POISON)
    with ground.trial("poison", seed, reference=reference, more=_LIMITS) as trial:
        trial.feed(ground.feed_seconds)
        trial.start(Random(seed).randint(1, 2))
        verdict = trial.finish()
        if not platform_alerts(trial.installation):
            trial.problem("no alert says that dead letters are past their limit")
        return verdict
