"""What the components of a run share, from its settings and the environment variables that these name."""

import os

from config.settings import Settings
from operators.heart.component import Environment


def environment_of(settings: Settings, *, read_model: bool) -> Environment:
    """What the components share; the hash key comes from the environment variable that the settings name."""
    hash_key = os.environ.get(settings.privacy.hash_key_env, "").encode()[:64]
    return Environment(settings, settings.key_groups, hash_key, read_model, settings.live_keys, settings.compiled)
