"""Whether the compiled part of the heart is there."""

from importlib.util import find_spec
from typing import Final

BUILT: Final = find_spec("operators.heart._compiled") is not None
"""False where it was installed without a compiler: then all is done in Python, with the same results."""
