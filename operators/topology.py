"""The stages, who feeds whom, and which events go where."""

from collections.abc import Callable, Iterable, Mapping
from typing import Final

from msgspec import Struct, structs

from events.model import (
    AlertAcknowledged,
    BehaviourChat,
    BehaviourSignal,
    ContractCounted,
    Event,
    FallbackLinked,
    FallbackRejected,
    JobHeartbeat,
    LogisticsScan,
    OrderChanged,
    OrderCreated,
    OrderMerged,
    OrderSplit,
    OrderStage,
    PaymentFailed,
    PaymentSucceeded,
    ReviewConfirmed,
    ReviewReleased,
    SystemStatus,
    WaybillPrinted,
    type_name,
)
from operators.detectors.fallback_match import match_key
from operators.heart.component import Component, Environment
from operators.heart.inputs import GroupInput, GroupOutput
from operators.heart.key_group import KeyGroup
from operators.heart.keys import Key
from operators.heart.lateness import BEFORE_TIME
from operators.heart.messages import AnyNote
from operators.heart.router import NOWHERE, Copied, Route, keys_in, routes_by_type
from operators.registry import components_of
from operators.rules.rulebook import Rulebook

SOURCE: Final = "source"
MATCHING: Final = "matching"
STAGES: Final = (MATCHING, "orders", "entities", "signals", "alerts", "feedback")
FEEDS: Final[Mapping[str, tuple[str, ...]]] = {
    MATCHING: ("orders",),
    "orders": ("entities", "signals", "alerts"),
    "entities": ("signals", "alerts"),
    "signals": ("alerts",),
    "alerts": ("feedback",),
    "feedback": (),
}
_ORDERS: Final = Route("orders", "order")
_BEHAVIOUR: Final = Route("signals", "order", otherwise=Route("entities", "customer"))
ROUTES: Final[Mapping[type[Event], Route]] = {
    OrderCreated: _ORDERS,
    OrderStage: _ORDERS,
    OrderChanged: _ORDERS,
    OrderSplit: _ORDERS,
    OrderMerged: _ORDERS,
    FallbackLinked: _ORDERS,
    FallbackRejected: _ORDERS,
    PaymentSucceeded: _ORDERS,
    PaymentFailed: _ORDERS,
    SystemStatus: _ORDERS,
    LogisticsScan: _ORDERS,
    WaybillPrinted: _ORDERS,
    BehaviourSignal: _BEHAVIOUR,
    BehaviourChat: _BEHAVIOUR,
    ReviewReleased: Route("alerts", "order_entity"),
    ReviewConfirmed: Route("alerts", "order_entity"),
    AlertAcknowledged: Route("alerts", "entity"),
    JobHeartbeat: Route("orders", "job"),
    ContractCounted: Route("entities", "entity"),
}


class Topology(Struct, frozen=True):
    """The stages of a run, each with its components, and the routes of the events that somebody wants.

    ``copied``: what the stage ``matching`` hears too, before the stage ``orders``, where there is somebody to hear it.
    ``rulebook``: what rule documents are judged by, where a stage has a rule that they may change.
    ``sources`` and ``workers`` count who sends: every source and, per upstream stage, every worker is an origin.
    """

    environment: Environment
    stages: Mapping[str, tuple[type[Component], ...]]
    routes: Mapping[str, Route]
    sources: int = 1
    workers: int = 1
    copied: Copied | None = None
    rulebook: Rulebook | None = None

    def origins(self, stage: str) -> tuple[str, ...]:
        """Everybody whose watermark a key group of ``stage`` waits for."""
        upstream = [name for name in self.stages if stage in FEEDS[name]]
        return (
            *(f"{SOURCE}/{number}" for number in range(self.sources)),
            *(f"{name}/{worker}" for name in upstream for worker in range(self.workers)),
        )

    def feeds(self, stage: str) -> tuple[str, ...]:
        """The stages of this run that ``stage`` sends notes to."""
        return tuple(name for name in FEEDS[stage] if name in self.stages)

    def key_group(self, stage: str, make: Callable[..., KeyGroup] = KeyGroup) -> KeyGroup:
        """A new key group of a stage; ``make`` takes the arguments of ``KeyGroup``."""
        components, origins = self.stages[stage], self.origins(stage)
        keys, copies = self.keys_of(stage), stage == MATCHING
        return make(stage, components, self.environment, origins, keys, copies=copies, rulebook=self.rulebook)

    @property
    def ruled(self) -> tuple[str, ...]:
        """The stages that hear of rule documents."""
        return tuple(name for name, parts in self.stages.items() if any(part.rules for part in parts))

    def keys_of(self, stage: str) -> dict[type[Event], Key]:
        """Whose event each event is that comes to a stage."""
        keys = keys_in(stage, ROUTES)
        if stage == MATCHING:
            keys[OrderCreated] = Key(match_key(self.environment))
        return keys


def topology(
    environment: Environment,
    *,
    sources: int = 1,
    workers: int = 1,
    beside: Mapping[str, tuple[type[Component], ...]] | None = None,
) -> Topology:
    """The stages that the settings ask for; a stage without components, and events nobody wants, are left out.

    ``beside``: by stage, components of one run in memory that only listen; no store may hold their state.
    """
    also = beside or {}
    stages = {name: parts for name in STAGES if (parts := (*components_of(name, environment), *also.get(name, ())))}
    plan = Topology(environment, stages, {}, sources, workers)
    wanted = {name: plan.key_group(name).wanted for name in stages}
    routes = {
        kind: _as_wanted(route, kind, wanted) for kind, route in ROUTES.items() if kind in wanted.get(route.stage, ())
    }
    copied = Copied(type_name(OrderCreated), MATCHING, match_key(environment)) if MATCHING in stages else None
    rulebook = Rulebook(environment.settings) if plan.ruled else None
    return Topology(environment, stages, routes_by_type(routes), sources, workers, copied, rulebook)


def _as_wanted(route: Route, kind: type[Event], wanted: Mapping[str, frozenset[type]]) -> Route:
    """A route whose second stage may want nothing of what it is for: then only the time of such events counts."""
    other = route.otherwise
    if other is None or kind in wanted.get(other.stage, ()):
        return route
    return structs.replace(route, otherwise=_nowhere(other))


def in_time_with(plan: Topology, whole: Topology) -> Topology:
    """A plan that lets time pass as ``whole`` does, by the events too that only ``whole`` wants."""
    silent = {name: _nowhere(route) for name, route in whole.routes.items() if name not in plan.routes}
    return structs.replace(plan, routes={**plan.routes, **silent})


def _nowhere(route: Route) -> Route:
    return Route(NOWHERE, route.by, None if route.otherwise is None else _nowhere(route.otherwise))


class Combiner:
    """Hands one stage's outputs on to the stages that it feeds, with one watermark for all its key groups here.

    Without it every key group would have to tell every other how far it is. ``groups``: the key groups of the stage
    that live on this worker; only once all of them have spoken does their common ``watermark`` move.
    """

    def __init__(self, plan: Topology, stage: str, groups: Iterable[int], worker: int = 0) -> None:
        self._origin = f"{stage}/{worker}"
        self._feeds = plan.feeds(stage)
        self._all = plan.environment.groups
        self._watermarks = dict.fromkeys(groups, BEFORE_TIME)
        self.watermark = BEFORE_TIME

    def combine(self, outputs: Iterable[tuple[int, GroupOutput]]) -> dict[str, dict[int, GroupInput]]:
        """Stage -> key group -> delivery, for a number of outputs of this stage in the order they were made."""
        notes: dict[str, dict[int, list[AnyNote]]] = {name: {} for name in self._feeds}
        for group, output in outputs:
            self._watermarks[group] = output.watermark
            for stage, by_group in output.notes.items():
                into = notes[stage]
                for target, new in by_group.items():
                    waiting = into.get(target)
                    if waiting is None:
                        into[target] = new
                    else:
                        waiting.extend(new)
        watermark = min(self._watermarks.values())
        advanced = watermark > self.watermark
        self.watermark = watermark
        return {stage: self._deliveries(by_group, advanced) for stage, by_group in notes.items()}

    def _deliveries(self, by_group: Mapping[int, list[AnyNote]], advanced: bool) -> dict[int, GroupInput]:
        deliveries: dict[int, GroupInput] = {}
        if advanced:
            # One for all that get nothing else: in most live steps that is nearly all of them.
            deliveries = dict.fromkeys(range(self._all), GroupInput(self._origin, self.watermark))
        for target, notes in by_group.items():
            deliveries[target] = GroupInput(self._origin, self.watermark, notes=notes)
        return deliveries
