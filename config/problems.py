"""What is wrong with a configuration: every problem at once, each with its place and its remedy."""

from msgspec import Struct


class Problem(Struct, frozen=True):
    """One thing to mend. ``field`` is the path in the file, e.g. ``detectors.card_burst.any_amount.count``."""

    field: str
    what: str

    def __str__(self) -> str:
        return f"{self.field}: {self.what}"


class ConfigurationError(Exception):
    """A configuration is refused. ``problems`` holds every reason."""

    def __init__(self, where: str, problems: list[Problem]) -> None:
        self.where = where
        self.problems = problems
        lines = "\n".join(f"  {problem}" for problem in problems)
        count = f"{len(problems)} problem" + ("s" if len(problems) != 1 else "")
        super().__init__(f"{where}: {count}\n{lines}")
