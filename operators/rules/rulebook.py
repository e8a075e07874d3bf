"""The rules of the files and the documents over them; shared by all key groups of a process, which ask the same."""

from collections.abc import Iterable
from typing import Final

from config.problems import Problem
from config.rulebook import effective, is_on, problems_of, rules_of, version_in
from config.settings import Settings
from events.model import RulePublished

_REMEMBERED: Final = 16


class Rulebook:
    """Answers of ``config.rulebook`` for one set of files; the latest ones are kept, as every key group asks for them.

    An answer depends on the question alone, so that it is kept shows nowhere but in time.
    """

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self._answers: dict[tuple[tuple[str, str, int, str, str], ...], Settings] = {}

    def problems(self, document: RulePublished) -> list[Problem]:
        """What is wrong with a document."""
        return problems_of(self.settings, document)

    def version(self, kind: str, rule: str) -> int:
        """The version of a rule in the files; 0 for one that they do not have."""
        return version_in(self.settings, kind, rule)

    def versions(self) -> dict[str, int]:
        """Rule -> version in the files, for those that are switched on."""
        on = [(kind, rule) for kind, rule in rules_of(self.settings) if is_on(self.settings, kind, rule)]
        return {rule: version_in(self.settings, kind, rule) for kind, rule in on}

    def is_on(self, document: RulePublished) -> bool:
        """Whether a rule is switched on while this document is in effect."""
        return is_on(self.with_documents((document,)), document.kind, document.rule)

    def with_documents(self, documents: Iterable[RulePublished]) -> Settings:
        """The settings while these documents are in effect; raises ConfigurationError for one that does not fit."""
        chosen = tuple(documents)
        if not chosen:
            return self.settings
        asked = tuple((each.kind, each.rule, each.version, each.source, each.id) for each in chosen)
        known = self._answers.get(asked)
        if known is None:
            if len(self._answers) >= _REMEMBERED:
                self._answers.clear()
            known = self._answers[asked] = effective(self.settings, chosen)
        return known
