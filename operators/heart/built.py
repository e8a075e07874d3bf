"""Whether the compiled part of the heart is there."""

from importlib import import_module
from typing import Final


def _is_built() -> bool:
    try:
        import_module("operators.heart._compiled")
    except ImportError:
        return False
    return True


BUILT: Final = _is_built()
"""False where it was installed without a compiler: then all is done in Python, with the same results."""
