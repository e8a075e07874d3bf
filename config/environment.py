"""Values that a file must not hold: ``${NAME}`` is read from the environment, so secrets stay out of the files."""

import os
import re
from collections.abc import Mapping

_VARIABLE = re.compile(r"\$\{([A-Za-z_][A-Za-z0-9_]*)\}")


class UnsetVariableError(ValueError):
    """A value refers to an environment variable that is not set."""

    def __init__(self, name: str) -> None:
        super().__init__(name)
        self.name = name

    def __str__(self) -> str:
        return f"the environment variable {self.name} is not set: set it, or write the value without ${{{self.name}}}"


def expand(value: str) -> str:
    """The value with each ``${NAME}`` replaced; raises UnsetVariableError, which names the first one not set."""

    def read(match: re.Match[str]) -> str:
        name = match.group(1)
        if name not in os.environ:
            raise UnsetVariableError(name)
        return os.environ[name]

    return _VARIABLE.sub(read, value)


def expand_all(values: Mapping[str, str]) -> dict[str, str]:
    """A table of settings with each value expanded."""
    return {name: expand(value) for name, value in values.items()}
