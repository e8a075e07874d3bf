"""What types cannot say about settings: names that must exist, and limits that contradict each other."""

from collections.abc import Iterator
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from config.composite_checks import composite_problems
from config.fallback import fallback_problems
from config.intake import intake_problems
from config.limits import DAY_OF_YEAR, limit_doubts, limit_problems
from config.outcomes import outcome_problems
from config.problems import Problem
from config.settings import Settings

SIGNALS = (
    "address_changed",
    "service_chat",
    "waybill_slow",
    "payment_dwell",
    "coupon_depth",
    "urgency_words",
    "payment_failures",
    "device_change",
    "rating_threat",
    "stock_drop",
    "courier_exception",
    "form_fill_time",
)
_HOUR = 3_600_000


def references(settings: Settings) -> list[Problem]:
    """Names that point nowhere and values out of order: the configuration is refused."""
    return [
        *_zone(settings),
        *_time(settings),
        *_stages(settings),
        *_flow(settings),
        *_resonance(settings),
        *_silence(settings),
        *intake_problems(settings),
        *fallback_problems(settings),
        *composite_problems(settings),
        *outcome_problems(settings),
        *limit_problems(settings),
    ]


def contradictions(settings: Settings) -> list[Problem]:
    """Limits that are allowed but work against each other: the configuration is warned about."""
    return [*_reminders(settings), *_handling(settings), *_lateness(settings), *limit_doubts(settings)]


def _zone(settings: Settings) -> Iterator[Problem]:
    try:
        ZoneInfo(settings.zone)
    except (ZoneInfoNotFoundError, ValueError):
        yield Problem("zone", f"{settings.zone!r} is not a time zone: write e.g. 'Asia/Shanghai'")


def _time(settings: Settings) -> Iterator[Problem]:
    time = settings.time
    if time.earliest >= time.latest:
        yield Problem("time.earliest", f"must be before time.latest ({time.latest})")
    if time.idle_delay < time.out_of_orderness:
        yield Problem("time.idle_delay", f"must not be shorter than time.out_of_orderness ({time.out_of_orderness})")


def _stages(settings: Settings) -> Iterator[Problem]:
    names = settings.stages
    for name, stage in names.items():
        for follower in stage.next:
            if follower not in names:
                yield Problem(f"stages.{name}.next", f"{follower!r} is not a stage")
        if stage.terminal and stage.next:
            yield Problem(f"stages.{name}.next", "a terminal stage has none that follows: drop next or terminal")
        if stage.norm is not None and stage.norm <= 0:
            yield Problem(f"stages.{name}.norm", "must be longer than nothing")
    for category, limits in settings.detectors.stage_timeout.by_category.items():
        for name in limits:
            if name not in names:
                yield Problem(f"detectors.stage_timeout.by_category.{category}.{name}", "is not a stage")
    for system, rules in settings.status.systems.items():
        for status, rule in rules.items():
            if rule.stage is not None and rule.stage not in names:
                yield Problem(f"status.systems.{system}.{status}.stage", f"{rule.stage!r} is not a stage")


def _flow(settings: Settings) -> Iterator[Problem]:
    flow, names = settings.flow, settings.stages
    if flow.initial not in names:
        yield Problem("flow.initial", f"{flow.initial!r} is not a stage")
    if flow.payment_stage and flow.payment_stage not in names:
        yield Problem("flow.payment_stage", f"{flow.payment_stage!r} is not a stage")
    for name in flow.from_any:
        if name not in names:
            yield Problem("flow.from_any", f"{name!r} is not a stage")
    for scan, name in flow.scans.items():
        if name not in names:
            yield Problem(f"flow.scans.{scan}", f"{name!r} is not a stage")


def _resonance(settings: Settings) -> Iterator[Problem]:
    resonance = settings.detectors.resonance
    if resonance.orange <= 0:
        yield Problem("detectors.resonance.orange", "must be more than 0: without a signal there is nothing to tell")
    if resonance.lock < resonance.orange:
        yield Problem("detectors.resonance.lock", f"must not be below orange ({resonance.orange})")
    if resonance.season not in ("auto", "none", *resonance.seasons):
        known = ", ".join(("auto", "none", *resonance.seasons))
        yield Problem("detectors.resonance.season", f"{resonance.season!r} is not one of {known}")
    tables = {"weights": resonance.weights}
    for name, season in resonance.seasons.items():
        tables[f"seasons.{name}.weights"] = season.weights
        for span in season.dates:
            if not all(DAY_OF_YEAR.fullmatch(day) for day in span.split("/")):
                yield Problem(f"detectors.resonance.seasons.{name}.dates", f"{span!r}: write MM-DD/MM-DD")
    for table, weights in tables.items():
        for signal in weights:
            if signal not in SIGNALS:
                what = f"is not a signal; the signals are {', '.join(SIGNALS)}"
                yield Problem(f"detectors.resonance.{table}.{signal}", what)


def _silence(settings: Settings) -> Iterator[Problem]:
    own = settings.detectors.silence
    at = "detectors.silence"
    if own.step < 1 or _HOUR % own.step:
        yield Problem(f"{at}.step", f"{own.step} does not divide an hour: write e.g. 1m or 5m")
    if own.history > own.weeks:
        yield Problem(f"{at}.history", f"must not be more than weeks ({own.weeks})")
    limits: dict[str, int | None] = {f"{at}.shortest": own.shortest}
    limits |= {f"stages.{name}.silence": stage.silence for name, stage in settings.stages.items()}
    limits |= {f"{at}.sources.{name}.limit": source.limit for name, source in own.sources.items()}
    for path, limit in limits.items():
        if limit is not None and not 0 < limit <= 7 * 24 * _HOUR:
            yield Problem(path, f"{limit} is no limit of silence: give more than 0, and 7d at most")
    watched = [name for name, stage in settings.stages.items() if stage.silence is not None]
    feeding = {f"sources.{name}": source.stage for name, source in own.sources.items()}
    feeding |= {f"jobs.{name}": job.stage for name, job in own.jobs.items()}
    for path, name in feeding.items():
        if name is not None and name not in watched:
            what = f"{name!r} is not a stage with a limit of silence; there are {', '.join(watched) or '(none)'}"
            yield Problem(f"{at}.{path}.stage", what + f": set stages.{name}.silence")


def _reminders(settings: Settings) -> Iterator[Problem]:
    stage = settings.detectors.stage_timeout
    if stage.reminder_lead is not None:
        for name, norm in ((name, item.norm) for name, item in settings.stages.items()):
            if norm is not None and norm * stage.factor // 1000 <= stage.reminder_lead:
                what = f"is not shorter than the limit of {name}: that stage gives no reminder"
                yield Problem("detectors.stage_timeout.reminder_lead", what)
    order = settings.detectors.order_timeout
    limits = {"limit": order.limit, **{f"by_category.{name}": limit for name, limit in order.by_category.items()}}
    for name, limit in limits.items():
        if order.reminder_lead is not None and limit <= order.reminder_lead:
            what = f"is not shorter than {name} ({limit}): no reminder is given there"
            yield Problem("detectors.order_timeout.reminder_lead", what)


def _handling(settings: Settings) -> Iterator[Problem]:
    detectors = settings.detectors
    factor = detectors.stage_timeout.factor
    if not (detectors.stage_timeout.enabled and detectors.order_timeout.enabled):
        return
    for name, stage in settings.stages.items():
        if stage.paid and not stage.handled and stage.norm is not None:
            limit = stage.norm * factor // 1000
            if limit > detectors.order_timeout.limit:
                what = f"the limit of stage {name} is longer than the handling limit {detectors.order_timeout.limit}"
                yield Problem(f"stages.{name}.norm", what + ": the handling limit always comes first")


def _lateness(settings: Settings) -> Iterator[Problem]:
    shortest = min((stage.norm for stage in settings.stages.values() if stage.norm is not None), default=None)
    if shortest is not None and settings.time.out_of_orderness >= shortest:
        what = f"is as long as the shortest stage norm ({shortest}): alerts come later than they could help"
        yield Problem("time.out_of_orderness", what)
