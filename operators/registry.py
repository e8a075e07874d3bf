"""The one registry: every component that a stage may have, in the order in which it hears things."""

from typing import Final

from operators.alerts.alert_lifecycle import AlertLifecycle
from operators.alerts.holds import Holds
from operators.composite.baselines import Baselines
from operators.composite.inputs import CompositeInputs
from operators.composite.rules import CompositeRules
from operators.contracts.contract import Contract
from operators.detectors.card_burst import CardBurst, KeyUses
from operators.detectors.fallback_match import FallbackMatching
from operators.detectors.fallback_orders import FallbackOrders
from operators.detectors.illegal_transition import IllegalTransition
from operators.detectors.merge_candidate import MergeCandidate
from operators.detectors.no_progress import NoProgress
from operators.detectors.order_timeout import OrderTimeout
from operators.detectors.resonance import Resonance
from operators.detectors.silence import Silence
from operators.detectors.silence_counts import SilenceCounts
from operators.detectors.stage_timeout import StageTimeout
from operators.detectors.stage_timeout_by_history import StageTimeoutByHistory
from operators.feedback.endings import OrderEndings
from operators.feedback.outcomes import Outcomes
from operators.feedback.totals import FeedbackCounts
from operators.heart.component import Component, Environment
from operators.limits.stage_history import StageHistory
from operators.limits.stage_stays import StageStays
from operators.orders.customers import CustomerOrders
from operators.orders.order_document import OrderDocument
from operators.orders.order_truth import OrderTruth
from operators.signals.customers import CustomerSignals
from operators.signals.orders import OrderSignals
from operators.signals.warehouses import WarehousePrints

COMPONENTS: Final[tuple[type[Component], ...]] = (
    FallbackMatching,
    OrderTruth,
    StageTimeout,
    StageStays,
    OrderTimeout,
    NoProgress,
    IllegalTransition,
    KeyUses,
    CustomerOrders,
    OrderSignals,
    OrderDocument,
    FallbackOrders,
    CompositeInputs,
    OrderEndings,
    SilenceCounts,
    CardBurst,
    MergeCandidate,
    CustomerSignals,
    WarehousePrints,
    StageHistory,
    Baselines,
    Silence,
    Contract,
    Resonance,
    CompositeRules,
    StageTimeoutByHistory,
    AlertLifecycle,
    Holds,
    Outcomes,
    FeedbackCounts,
)


def components_of(stage: str, environment: Environment) -> tuple[type[Component], ...]:
    """The components that the settings want in a stage."""
    return tuple(kind for kind in COMPONENTS if kind.stage == stage and kind.enabled(environment))
