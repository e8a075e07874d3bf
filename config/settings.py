"""Typed settings. Their values stand in ``default.toml``, the chain file and the user's file: none stands here."""

from typing import Annotated, Literal

from msgspec import Meta, Struct

from config.composite import BaselineSettings, CompositeRule, ListSettings
from config.units import Duration, Instant, Thousandths

Count = Annotated[int, Meta(ge=1)]
Port = Annotated[int, Meta(ge=0, le=65_535)]
Ratio = Annotated[int, Meta(ge=0, le=1_000_000)]
RiskKey = Literal["card", "phone", "ip", "device", "address"]
SignatureScheme = Literal[
    "shopify", "woocommerce", "wechatpay", "alipay", "taobao", "jd", "pdd", "douyin", "doudian", "hmac", "declared"
]
SignatureMethod = Literal["hmac-sha256", "hmac-sha1", "hmac-md5", "sha256", "sha1", "md5"]
Weekday = Literal["mon", "tue", "wed", "thu", "fri", "sat", "sun"]
DaySpan = Annotated[str, Meta(pattern=r"^\d\d-\d\d/\d\d-\d\d$")]
DateSpan = Annotated[str, Meta(pattern=r"^\d{4}-\d\d-\d\d(/\d{4}-\d\d-\d\d)?$")]
TimeSpan = Annotated[str, Meta(pattern=r"^([01]\d|2[0-3]):[0-5]\d/(([01]\d|2[0-3]):[0-5]\d|24:00)$")]
PollAdapter = Literal["shopify", "woocommerce", "generic"]
SinceFormat = Literal["iso", "epoch_s", "epoch_ms"]


class TimeSettings(Struct, frozen=True):
    """Event time. ``arrival``: whether a record's own timestamp in Kafka counts as its arrival."""

    out_of_orderness: Duration
    idle_delay: Duration
    future_tolerance: Duration
    max_advance: Duration
    earliest: Instant
    latest: Instant
    duplicate_horizon: Duration
    arrival: Literal["record", "ignore"]


class StageSettings(Struct, frozen=True):
    """One stage. ``norm``: how long an order is expected to stay; ``next``: the stages that may follow.
    ``silence``: how long no order may enter it while the stages right before it move.

    ``paid``: money has arrived; ``handled``: the warehouse has begun; ``shipped``: goods have left;
    ``terminal``: nothing follows and no limit runs; ``cancels``: it ends the order without delivery.
    """

    label_zh: str
    label_en: str
    norm: Duration | None = None
    next: tuple[str, ...] = ()
    business: str | None = None
    finance: str | None = None
    silence: Duration | None = None
    paid: bool = False
    handled: bool = False
    shipped: bool = False
    terminal: bool = False
    cancels: bool = False


class FlowSettings(Struct, frozen=True):
    """How events other than ``order.stage`` move an order. An empty text: they do not."""

    initial: str
    payment_stage: str
    from_any: tuple[str, ...]
    scans: dict[str, str]
    exception_scans: tuple[str, ...]
    closed_retention: Duration


class StatusRule(Struct, frozen=True):
    """What a system's raw status means in the two layers above it, and what it triggers."""

    business: str | None = None
    finance: str | None = None
    stage: str | None = None
    actions: tuple[str, ...] = ()


class StatusSettings(Struct, frozen=True):
    """The three-layer status map. ``owners``: which system may move the business and the finance layer."""

    owners: dict[str, tuple[str, ...]]
    systems: dict[str, dict[str, StatusRule]]


class CalendarSettings(Struct, frozen=True):
    """Which time is working time. ``holidays``: whose public holidays and make-up workdays count.

    ``weekend``: days of the week without work; ``times``: of a working day. ``off`` and ``work``: single dates, or
    ranges with both ends; ``file``: a TOML file with more of them, beside the configuration.
    """

    holidays: Literal["china", "none"]
    weekend: tuple[Weekday, ...]
    times: Annotated[tuple[TimeSpan, ...], Meta(min_length=1)]
    off: tuple[DateSpan, ...] = ()
    work: tuple[DateSpan, ...] = ()
    file: str | None = None


class LimitHours(Struct, frozen=True):
    """More time for clocks that start within these local times. Without ``stages``: in all of them."""

    times: Annotated[tuple[TimeSpan, ...], Meta(min_length=1)]
    extra: Duration
    stages: tuple[str, ...] = ()


class LimitSeason(Struct, frozen=True):
    """Another limit for clocks that start on these days. Without ``stages``: in all of them."""

    dates: Annotated[tuple[DaySpan, ...], Meta(min_length=1)]
    factor: Thousandths
    stages: tuple[str, ...] = ()


class LimitHistory(Struct, frozen=True):
    """Limits from a shop's own last stays in a stage: ``quantile`` of the last ``sample``, times ``factor``.

    From ``minimum`` stays on, and taken anew after each ``refresh`` of them. ``at_least`` and ``at_most`` are bounds,
    as parts of the limit that the norm gives. ``stages``: where; none: in all with a norm.
    """

    enabled: bool
    stages: tuple[str, ...]
    quantile: Thousandths
    factor: Thousandths
    sample: Annotated[int, Meta(ge=1, le=10_000)]
    minimum: Count
    refresh: Count
    at_least: Thousandths
    at_most: Thousandths


class StageTimeoutSettings(Struct, frozen=True):
    """Stage limits: ``norm`` times ``factor``; ``by_category`` names other norms; reminder a lead before the limit.

    How they adapt is told in docs/limits.md. ``promised_for``: categories whose clocks start at the promised time.
    ``calendar``: counts only its working time; ``calendars``: the same for single stages.
    """

    enabled: bool
    version: Count
    factor: Thousandths
    by_category: dict[str, dict[str, Duration]]
    promised_for: tuple[str, ...]
    calendar: str
    calendars: dict[str, str]
    hours: dict[str, LimitHours]
    seasons: dict[str, LimitSeason]
    history: LimitHistory
    reminder_lead: Duration | None = None


class OrderTimeoutSettings(Struct, frozen=True):
    """The handling limit: from paid until the warehouse first handles the order. It adapts as stage limits do."""

    enabled: bool
    version: Count
    limit: Duration
    by_category: dict[str, Duration]
    promised_for: tuple[str, ...]
    calendar: str
    hours: dict[str, LimitHours]
    seasons: dict[str, LimitSeason]
    reminder_lead: Duration | None = None


class NoProgressSettings(Struct, frozen=True):
    """No change of status for ``max(floor, the current stage's limit)``."""

    enabled: bool
    version: Count
    floor: Duration


class IllegalTransitionSettings(Struct, frozen=True):
    """Transitions that the stage chain does not allow."""

    enabled: bool
    version: Count


class BurstLimit(Struct, frozen=True):
    """``count`` distinct orders within the closed window of length ``window``."""

    count: Annotated[int, Meta(ge=2)]
    window: Duration


class CardBurstSettings(Struct, frozen=True):
    """Bursts of orders on one key. ``judged_on``: which of an order's moments count."""

    enabled: bool
    version: Count
    hold: bool
    keys: tuple[RiskKey, ...]
    judged_on: tuple[Literal["created", "paid"], ...]
    any_amount: BurstLimit | None = None
    same_amount: BurstLimit | None = None


class MergeCandidateSettings(Struct, frozen=True):
    """Orders of one customer to one address that could ship together."""

    enabled: bool
    version: Count
    window: Duration


class Season(Struct, frozen=True):
    """Days (``MM-DD`` to ``MM-DD``, both included, may pass the year's end) with weights of their own."""

    dates: tuple[DaySpan, ...]
    weights: dict[str, Thousandths]


class Advice(Struct, frozen=True):
    """What to do about a signal."""

    zh: str
    en: str


class ResonanceSettings(Struct, frozen=True):
    """Weak signals that add up. Words and thresholds say when a raw fact counts as a signal."""

    enabled: bool
    version: Count
    window: Duration
    orange: Thousandths
    lock: Thousandths
    hold: bool
    weights: dict[str, Thousandths]
    season: str
    seasons: dict[str, Season]
    playbook: dict[str, Advice]
    address_changes: Annotated[int, Meta(ge=1)]
    address_change_window: Duration
    chat_after_payment: Duration
    payment_failures: Annotated[int, Meta(ge=1)]
    print_slower_percent: Count
    print_sample: Count
    min_values: dict[str, int]
    max_values: dict[str, int]
    urgency_words: tuple[str, ...]
    rating_threat_words: tuple[str, ...]


class ContractLimits(Struct, frozen=True):
    """From which share of a field's records on, whatever it was before; for each level of ``contract``."""

    vanished: Thousandths
    unparsable: Thousandths
    unknown_status: Thousandths
    decrypt_failed: Thousandths
    time_offset: Thousandths


class ContractSettings(Struct, frozen=True):
    """What platforms send, against limits and their own past.

    ``window``: what is judged. ``at_least``: records that deviate. ``rise``: above the share of the past. ``past``:
    records from which on there is a past, ``memory``: how many it is made of. ``learning``: raw records of a source
    until its names and versions count as known. A new one ends as an alert when it was not seen for ``gone_after``, or
    has been there for ``usual_after``. ``names_at_once``: open alerts about new fields of one source,
    and about new headers.
    """

    enabled: bool
    version: Count
    window: Duration
    at_least: Count
    limits: ContractLimits
    rise: Thousandths
    past: Count
    memory: Count
    learning: Count
    gone_after: Duration
    usual_after: Duration
    names_at_once: Count


class SourceSilence(Struct, frozen=True):
    """A source by name. ``limit``: the longest silence; ``stage``: orders wait before that one when it is silent."""

    limit: Duration | None = None
    stage: str | None = None


class JobSilence(Struct, frozen=True):
    """A scheduled job by name. ``stage``: orders wait before that one when the job does not run."""

    period: Duration
    grace: Duration | None = None
    stage: str | None = None


class SilenceSettings(Struct, frozen=True):
    """What stops producing. Counts are taken per ``step``; against the usual rate, silence counts from ``shortest`` on.

    ``expected``: so many would usually have come. The usual number of an hour of the week is the median of its last
    ``weeks``, known once there are ``history`` of them. ``most``: of sources, and of jobs, that are watched.
    """

    enabled: bool
    version: Count
    step: Duration
    shortest: Duration
    expected: Count
    weeks: Count
    history: Count
    grace: Duration
    most: Count
    forget_after: Duration
    all_sources: bool
    sources: dict[str, SourceSilence]
    jobs: dict[str, JobSilence]


class DetectorSettings(Struct, frozen=True):
    """Every detector's own settings."""

    stage_timeout: StageTimeoutSettings
    order_timeout: OrderTimeoutSettings
    no_progress: NoProgressSettings
    illegal_transition: IllegalTransitionSettings
    card_burst: CardBurstSettings
    merge_candidate: MergeCandidateSettings
    resonance: ResonanceSettings
    silence: SilenceSettings
    contract: ContractSettings


class VersionSettings(Struct, frozen=True):
    """Versions of orders (``orders.versions.v1``)."""

    enabled: bool


class DiffSettings(Struct, frozen=True):
    """Sync diffs. ``targets``: per target system the fields that it wants (a field, or a module like ``address``).

    ``echo``: whether a system is sent back what it reported itself.
    """

    enabled: bool
    echo: bool
    targets: dict[str, tuple[str, ...]]


class PrivacySettings(Struct, frozen=True):
    """``hash_key_env``: the environment variable with the key of the keyed hashes of phones and addresses."""

    hash_key_env: str


class TopicSettings(Struct, frozen=True):
    """Names of the topics."""

    orders: str
    behaviour: str
    actions: str
    rules: str
    alerts: str
    diffs: str
    versions: str
    holds: str
    late: str
    dlq_suffix: str


class KafkaSettings(Struct, frozen=True):
    """The broker. ``client`` goes to librdkafka as it is; ``${NAME}`` in a value is read from the environment."""

    bootstrap: str
    group: str
    start: str
    batch: Count
    partitions: Count
    replication: Count
    topics: TopicSettings
    client: dict[str, str]


class RedisSettings(Struct, frozen=True):
    """The read model. ``${NAME}`` in ``url`` is read from the environment."""

    url: str
    prefix: str
    ttl: Duration
    closed_ttl: Duration
    feed_length: Count
    recent_orders: Count


class RecoverySettings(Struct, frozen=True):
    """Snapshots. ``interval``: between two; ``keep``: for how long older ones stay; ``files``: of a new store."""

    interval: Duration
    keep: Duration
    files: Count


class SupervisorSettings(Struct, frozen=True):
    """Several processes on one machine. ``restarts``: how many within ``restart_window`` before it gives up."""

    first_pause: Duration
    longest_pause: Duration
    restarts: Annotated[int, Meta(ge=0)]
    restart_window: Duration
    stop_within: Duration


class DeadLetterLimits(Struct, frozen=True):
    """From when on dead letters are more than an accident: ``share`` of the last ``window`` records, or in a row."""

    window: Count
    share: Thousandths
    consecutive: Count
    action: Literal["alert", "stop"]


class BacklogLimits(Struct, frozen=True):
    """From when on the flow is behind: records not read yet, or event time behind wall time."""

    records: Count
    delay: Duration


class UnreachableLimits(Struct, frozen=True):
    """A partition whose leader does not answer: when that is an alert, and when time goes on without it (0: never)."""

    alert_after: Duration
    leave_out_after: Duration


class PlatformSettings(Struct, frozen=True):
    """Limits of the platform itself."""

    dead_letters: DeadLetterLimits
    backlog: BacklogLimits
    unreachable: UnreachableLimits


class MetricsSettings(Struct, frozen=True):
    """Where ``/metrics``, ``/healthz`` and ``/readyz`` are served. Port 0 in a file: not at all."""

    host: str
    port: Port


class IntakeSignature(Struct, frozen=True):
    """How a platform signs that no other scheme knows.

    ``header``: where the signature stands, behind ``prefix``. ``of``: what is signed, with ``{body}``, ``{secret}``,
    ``{app_id}`` and headers in braces. ``time_header``: a signed moment, for the replay window. ``id_header``: the
    platform's id of a delivery. ``accepted``: the body of the answer that it wants to a delivery that is kept.
    """

    header: Annotated[str, Meta(min_length=1)]
    method: SignatureMethod
    of: str = "{body}"
    encoding: Literal["hex", "base64"] = "hex"
    prefix: str = ""
    time_header: str | None = None
    time_format: Literal["epoch_s", "epoch_ms"] = "epoch_s"
    id_header: str | None = None
    accepted: str = ""


class IntakeRoute(Struct, frozen=True):
    """One platform's webhooks: ``/hooks/<route>`` -> its raw topic, and the profile that maps them.

    ``secret_env``: environment variables with the secrets that may have signed (several while one is changed).
    ``key_files``: a platform's public keys or certificates, by the serial that its messages name. ``resource_key_env``:
    the variable with the key of an encrypted body (``wechatpay``). ``raw_topic``: instead of ``intake.raw_topic``.
    ``signature``: how it is made, for the scheme ``declared``.
    """

    profile: str
    scheme: SignatureScheme
    signature: IntakeSignature | None = None
    secret_env: tuple[str, ...] = ()
    app_id_env: str | None = None
    key_files: dict[str, str] = {}
    resource_key_env: str | None = None
    raw_topic: str | None = None
    ip_ranges: tuple[str, ...] = ()


class IntakePoll(Struct, frozen=True):
    """One platform's interface to ask for what webhooks left out; what it gives goes the way of ``route``.

    ``headers`` and ``query`` may hold ``${NAME}`` (environment) and, in ``query``, ``{since}`` and ``{page}``.
    Fields that are not set are those of the adapter.
    """

    route: str
    adapter: PollAdapter
    url: str
    interval: Duration
    headers: dict[str, str] = {}
    query: dict[str, str] = {}
    records: str | None = None
    updated: str | None = None
    since_format: SinceFormat | None = None
    page_size: Count | None = None
    start: Instant | None = None


class IntakeContract(Struct, frozen=True):
    """What ``intake map`` counts of raw records, for the rule ``contract``. ``slice``: of arrival, for one count.

    ``names``: of fields and headers, in one count, at most. ``traits``: the fields and headers whose values tell of a
    scheme or a version. ``ahead``, ``behind``: how far an event's time may be from its arrival.
    """

    enabled: bool
    slice: Duration
    names: Count
    traits: tuple[str, ...]
    ahead: Duration
    behind: Duration


class IntakeSettings(Struct, frozen=True):
    """Webhook intake. ``body_limit`` is in bytes; ``{route}`` in ``raw_topic`` is the route's name."""

    host: str
    port: Port
    trusted_proxies: tuple[str, ...]
    body_limit: Count
    body_timeout: Duration
    replay_window: Duration
    remembered: Count
    acknowledge_within: Duration
    retry_after: Duration
    queue: Count
    connections: Count
    raw_topic: str
    raw_retention: Duration
    map_group: str
    map_batch: Count
    poll_overlap: Duration
    contract: IntakeContract
    routes: dict[str, IntakeRoute]
    polls: dict[str, IntakePoll]


class FallbackSettings(Struct, frozen=True):
    """Orders taken while their system is down, and their merging when it is back: docs/fallback.md.

    ``enabled``: whether the flow merges. ``source``: that of fallback orders. ``keys``: what must agree beside the
    phone. ``window``: how far apart the two may be. ``merged_stage``: where an order ends whose place another takes.
    The others are those of ``orderpulse fallback``. ``high_amount`` (fen): above it an order is urgent. ``token_env``:
    the variable with the operators' token. ``journal_orders``: how many may wait for the broker. ``batch``: what one
    exported file covers. Notices to buyers may name ``{order_id}``, ``{product}``, ``{quantity}``, ``{amount}``.
    """

    enabled: bool
    version: Count
    source: Annotated[str, Meta(min_length=1, max_length=64)]
    keys: tuple[Literal["product", "quantity", "amount"], ...]
    window: Duration
    merged_stage: str
    high_amount: Annotated[int, Meta(ge=0)]
    host: str
    port: Port
    token_env: str
    acknowledge_within: Duration
    journal_orders: Count
    batch: Duration
    notice_zh: str
    notice_en: str


class OutcomeSettings(Struct, frozen=True):
    """What says that an order failed, and what says that it was fine: conditions, see docs/backtest.md."""

    failed: tuple[str, ...]
    fine: tuple[str, ...]


class BacktestSettings(Struct, frozen=True):
    """How a backtest judges alerts by what became of the orders; no run looks at it.

    ``delivered``: the stages in which an order is delivered; none: what the chain tells. ``judged_by``: rule ->
    outcome.
    """

    delivered: tuple[str, ...]
    outcomes: dict[str, OutcomeSettings]
    judged_by: dict[str, str]


class FeedbackFailures(Struct, frozen=True):
    """When an order counts as failed. ``cancelled``: in a stage that cancels, after payment (``paid``), or ``any``.

    ``stages``: entered; ``statuses``: system -> its raw statuses; ``scans``: of carriers.
    """

    cancelled: Literal["paid", "any", "never"]
    stages: tuple[str, ...]
    statuses: dict[str, tuple[str, ...]]
    scans: tuple[str, ...]


class FeedbackSettings(Struct, frozen=True):
    """What reviews and failed orders say about rules: docs/feedback.md.

    ``step``: of event time, after which counts that changed are given out. ``window``: for how long an order's alerts
    are remembered. ``alerts_of``: rules whose alerts on an order are reviewed even where nothing is held.
    """

    enabled: bool
    step: Duration
    window: Duration
    alerts_of: tuple[str, ...]
    failures: FeedbackFailures


class Settings(Struct, frozen=True):
    """The effective settings of a run."""

    zone: str
    chain: str
    key_groups: Annotated[int, Meta(ge=1, le=4096)]
    live_keys: Annotated[int, Meta(ge=1, le=1_000_000)]
    compiled: bool
    time: TimeSettings
    stages: dict[str, StageSettings]
    flow: FlowSettings
    status: StatusSettings
    calendars: dict[str, CalendarSettings]
    detectors: DetectorSettings
    versions: VersionSettings
    diffs: DiffSettings
    privacy: PrivacySettings
    kafka: KafkaSettings
    redis: RedisSettings
    metrics: MetricsSettings
    recovery: RecoverySettings
    supervisor: SupervisorSettings
    platform: PlatformSettings
    intake: IntakeSettings
    fallback: FallbackSettings
    feedback: FeedbackSettings
    baselines: BaselineSettings
    lists: dict[str, ListSettings]
    composite: dict[str, CompositeRule]
    backtest: BacktestSettings
