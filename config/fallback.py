"""What types cannot say about the settings of fallback orders."""

from collections.abc import Iterator
from string import Formatter

from config.problems import Problem
from config.settings import Settings

NOTICE_NAMES = ("order_id", "product", "quantity", "amount")


def fallback_problems(settings: Settings) -> Iterator[Problem]:
    """A stage that cannot take merged orders, and texts with names that nobody fills."""
    own = settings.fallback
    if own.enabled:
        stage = settings.stages.get(own.merged_stage)
        if stage is None:
            yield Problem("fallback.merged_stage", f"{own.merged_stage!r} is not a stage")
        elif not (stage.terminal and stage.cancels and own.merged_stage in settings.flow.from_any):
            what = f"{own.merged_stage!r} must be terminal, cancel the order, and stand in flow.from_any"
            yield Problem("fallback.merged_stage", what)
    if own.batch < 60_000 or 86_400_000 % own.batch:
        yield Problem("fallback.batch", "must be at least 1m and part a day evenly: write e.g. 30m")
    for name, text in (("notice_zh", own.notice_zh), ("notice_en", own.notice_en)):
        yield from _template(f"fallback.{name}", text)


def _template(at: str, text: str) -> Iterator[Problem]:
    try:
        named = [name for _, name, _, _ in Formatter().parse(text) if name is not None]
    except ValueError as error:
        yield Problem(at, f"{error}: write a brace that stands for itself twice")
        return
    for name in named:
        if name not in NOTICE_NAMES:
            yield Problem(at, f"{{{name}}} is not known here; known are {', '.join(NOTICE_NAMES)}")
