"""How large an expression may be, and what it may cost. docs/composite-rules.md explains the figures."""

from typing import Final

MAX_LENGTH: Final = 1_000
"""Characters of an expression."""
MAX_NODES: Final = 200
"""Operators, values and calls of an expression."""
MAX_DEPTH: Final = 16
"""Brackets and choices within each other."""
MAX_NESTING: Final = 2
"""``exists``, ``all`` and ``exists_one`` within each other."""
MAX_COST: Final = 2_000
"""Steps of one expression."""
MAX_COST_OF_A_MOMENT: Final = 20_000
"""Steps of all expressions that are judged at one moment of an order."""

TEXT_LENGTH: Final = 500
"""Characters of a text that a variable holds; longer ones are cut."""
LIST_LENGTH: Final = 50
"""Entries of a list that a variable holds; the others are left out."""
MAX_VALUES: Final = 10_000
"""Values of a list of the settings."""
MAX_WORDS: Final = 200
"""Values of a list of the kind ``words``: each is looked for in the text."""
MAX_RULES: Final = 50
MAX_CONDITIONS: Final = 20
LONGEST_WINDOW: Final = 7 * 86_400_000
"""Of ``windows.*``, in milliseconds."""
