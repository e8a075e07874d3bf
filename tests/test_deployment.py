"""What ships to run OrderPulse fits together: image, compose file, configuration, Prometheus, Grafana.

None of these is executed here; each names things of the others, and a name that is off shows only in production.
"""

import json
import re
import tomllib
from functools import cache
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import typer
import yaml
from typer.core import TyperGroup
from typer.exceptions import TyperException

from config.loader import load_settings
from config.settings import Settings
from config.units import Duration
from console.main import app
from sinks.metrics import METRICS, MetricDefinition
from tests.support.kafka_broker import kafka_version

ROOT = Path(__file__).resolve().parent.parent
CONFIGURATION = ROOT / "config/docker/orderpulse.toml"
DASHBOARD = ROOT / "config/grafana/dashboards/orderpulse.json"

# What Prometheus itself adds: whether a scrape went well, and the labels of each scraped series.
PROMETHEUS_METRICS = {"up": {"job", "instance"}}
PROMETHEUS_LABELS = {"job", "instance"}

PROMQL_PARTS = re.compile(
    r"""
    "[^"]*"
    | \{(?P<matchers>[^}]*)\}
    | \[[^\]]*\]  # a range
    | \boffset\s+\w+
    | \b(?:by|without|on|ignoring|group_left|group_right)\s*\((?P<labels>[^)]*)\)
    | \b(?:and|or|unless|bool|inf|nan)\b
    | \b\d[\w.]*  # a number
    | [A-Za-z_:][\w:]*\s*(?=\(|by\b|without\b)  # a function
    | (?P<metric>[A-Za-z_:][\w:]*)
    """,
    re.VERBOSE,
)


@cache
def _yaml(path: str) -> dict[str, Any]:
    loaded: dict[str, Any] = yaml.safe_load((ROOT / path).read_text(encoding="utf-8"))
    return loaded


def _compose() -> dict[str, Any]:
    return _yaml("docker-compose.yml")


def _services() -> dict[str, dict[str, Any]]:
    services: dict[str, dict[str, Any]] = _compose()["services"]
    return services


def _settings() -> Settings:
    return load_settings(CONFIGURATION)


def _instructions(name: str) -> list[str]:
    """The arguments of each instruction of that name in the Dockerfile."""
    text = re.sub(r"\\\n\s*", "", (ROOT / "Dockerfile").read_text(encoding="utf-8"))
    return re.findall(rf"^{name} (.*)$", text, flags=re.MULTILINE)


def _copied() -> set[str]:
    """What the Dockerfile takes from the project."""
    from_the_project = [copy for copy in _instructions("COPY") if not copy.startswith("--from")]
    return {source for copy in from_the_project for source in copy.split()[:-1]}


def _mounts(service: dict[str, Any]) -> dict[str, str]:
    """Where each source, a path or a volume's name, stands in a service's container."""
    pairs = [volume.split(":")[:2] for volume in service.get("volumes", [])]
    return {target: source for source, target in pairs}


def _host_path(service: str, path: str) -> Path:
    """The project's file behind a path in a service's container."""
    for target, source in _mounts(_services()[service]).items():
        if source.startswith(".") and Path(path).is_relative_to(target):
            return ROOT / source / Path(path).relative_to(target)
    pytest.fail(f"{service}: no file of the project stands at {path}")


def _own_services() -> list[str]:
    """The services whose commands are OrderPulse's own."""
    return sorted(name for name, service in _services().items() if "build" in service)


def _on_a_volume(service: str, path: str) -> bool:
    """Whether a path in a service's container stands on a volume, which outlives the container."""
    mounts = _mounts(_services()[service])
    return any(source in _compose()["volumes"] and Path(path).is_relative_to(at) for at, source in mounts.items())


def _on_this_host(service: str, argument: str) -> str:
    """An argument with the project's file in place of a path in a service's container; what a volume keeps stays."""
    inside = argument.startswith("/") and not _on_a_volume(service, argument)
    return str(_host_path(service, argument)) if inside else argument


def _parsed(arguments: list[str]) -> Any:
    """The context of the command that these arguments call, which is not run; raises what the command line raises."""
    name, command, context = "orderpulse", typer.main.get_command(app), None
    while isinstance(command, TyperGroup):
        context = command.make_context(name, list(arguments), parent=context)
        if command.invoke_without_command and not context.args:
            return context  # the group itself does something
        found, called, arguments = command.resolve_command(context, arguments)
        assert found is not None
        assert called is not None
        name, command = found, called
    return command.make_context(name, list(arguments), parent=context)


def _names(expression: str) -> tuple[set[str], set[str]]:
    """The metrics and the labels that a PromQL expression names."""
    metrics: set[str] = set()
    labels: set[str] = set()
    for part in PROMQL_PARTS.finditer(expression):
        if part["metric"]:
            metrics.add(part["metric"])
        if part["matchers"]:
            labels.update(re.findall(r"(\w+)\s*(?:=~|!~|!=|=)", part["matchers"]))
        if part["labels"]:
            labels.update(re.findall(r"\w+", part["labels"]))
    return metrics, labels


def _series(metric: MetricDefinition) -> dict[str, set[str]]:
    """The series that Prometheus stores for a metric, with their labels."""
    labels = set(metric.labels)
    if metric.kind == "histogram":
        counts = {f"{metric.name}_{suffix}": labels for suffix in ("count", "sum")}
        return {f"{metric.name}_bucket": labels | {"le"}, **counts}
    return {metric.name: labels}


def _unknown(expression: str) -> set[str]:
    """What an expression names that OrderPulse does not export."""
    known = PROMETHEUS_METRICS | {name: labels for metric in METRICS for name, labels in _series(metric).items()}
    metrics, labels = _names(expression)
    possible = PROMETHEUS_LABELS.union(*(known.get(metric, set()) for metric in metrics))
    return (metrics - known.keys()) | (labels - possible)


def _alerts() -> list[dict[str, Any]]:
    return [rule for group in _yaml("config/prometheus/alerts.yml")["groups"] for rule in group["rules"]]


def _panels() -> list[dict[str, Any]]:
    panels: list[dict[str, Any]] = json.loads(DASHBOARD.read_text(encoding="utf-8"))["panels"]
    return panels


def _charts() -> list[dict[str, Any]]:
    return [panel for panel in _panels() if panel["type"] != "row"]


# The image


def test_the_image_holds_every_package_that_is_installed() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    included = project["tool"]["setuptools"]["packages"]["find"]["include"]
    packages = {pattern for pattern in included if "." not in pattern}
    assert packages
    assert packages <= _copied()


@pytest.mark.parametrize("source", sorted(_copied()))
def test_what_the_image_takes_is_there_and_reaches_the_build(source: str) -> None:
    assert (ROOT / source).exists()
    assert f"!{source}" in (ROOT / ".dockerignore").read_text(encoding="utf-8").splitlines()


def test_nothing_else_reaches_the_build() -> None:
    lines = (ROOT / ".dockerignore").read_text(encoding="utf-8").splitlines()
    assert next(line for line in lines if not line.startswith("#")) == "*"
    assert {line[1:] for line in lines if line.startswith("!")} == _copied()


def test_the_image_does_not_run_as_root() -> None:
    assert _instructions("USER") == ["orderpulse"]


def test_the_image_asks_for_health_where_the_flow_serves_it() -> None:
    (check,) = _instructions("HEALTHCHECK")
    assert f"http://127.0.0.1:{_settings().metrics.port}/healthz" in check


def test_every_file_of_the_configuration_is_shipped() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    config = ROOT / "config"
    shipped = {path for glob in project["tool"]["setuptools"]["package-data"]["config"] for path in config.glob(glob)}
    files = {path for path in config.rglob("*") if path.is_file() and "__pycache__" not in path.parts}
    assert {path for path in files - shipped if path.suffix != ".py"} == set()


# The compose file


def test_the_compose_file_follows_the_compose_specification() -> None:
    schema = json.loads((ROOT / "tests/support/compose-spec.json").read_text(encoding="utf-8"))
    errors = jsonschema.Draft202012Validator(schema).iter_errors(_compose())
    assert [f"{error.json_path}: {error.message}" for error in errors] == []


@pytest.mark.parametrize("name", sorted(_services()))
def test_what_a_service_mounts_is_there(name: str) -> None:
    sources = _mounts(_services()[name]).values()
    paths = {source for source in sources if source.startswith(".")}
    assert [path for path in paths if not (ROOT / path).exists()] == []
    assert set(sources) - paths <= _compose()["volumes"].keys()


@pytest.mark.parametrize("name", sorted(_services()))
def test_what_a_service_waits_for_can_come(name: str) -> None:
    for other, wait in _services()[name].get("depends_on", {}).items():
        service = _services()[other]
        healthcheck = service.get("healthcheck", {"disable": "build" not in service})  # the image has one itself
        match wait["condition"]:
            case "service_healthy":
                assert not healthcheck.get("disable"), f"{other} has no health check"
            case "service_completed_successfully":
                assert service["restart"].startswith(("no", "on-failure")), f"{other} never ends"


@pytest.mark.parametrize("name", sorted(_services()))
def test_a_service_comes_back_by_itself(name: str) -> None:
    assert _services()[name]["restart"] in {"unless-stopped", "on-failure:3"}


@pytest.mark.parametrize("name", sorted(_services()))
def test_a_service_runs_a_stated_version(name: str) -> None:
    tag = _services()[name]["image"].partition(":")[2]
    assert tag not in {"", "latest"}


@pytest.mark.parametrize("name", sorted(_services()))
def test_a_service_is_open_to_its_own_host_alone(name: str) -> None:
    assert all(port.startswith("127.0.0.1:") for port in _services()[name].get("ports", []))


@pytest.mark.parametrize("name", sorted(_services()))
def test_no_secret_stands_in_the_compose_file(name: str) -> None:
    environment = _services()[name].get("environment", {})
    secrets = {key: value for key, value in environment.items() if re.search("KEY|PASSWORD|SECRET|TOKEN", key)}
    assert [key for key, value in secrets.items() if not re.fullmatch(rf"\${{{key}:\?[^}}]+}}", value)] == []


def test_the_flow_is_given_the_key_of_its_hashes() -> None:
    assert _settings().privacy.hash_key_env in _services()["flow"]["environment"]


def test_the_flow_keeps_its_recovery_store_on_a_volume_that_is_the_images_own() -> None:
    command = _services()["flow"]["command"]
    assert _on_a_volume("flow", command[command.index("--recovery") + 1])
    # A new volume gets owner and rights of the directory that the image has there.
    (made,) = re.findall(r"install --directory --owner orderpulse \S+ \S+ (\S+)", " ".join(_instructions("RUN")))
    assert made in _mounts(_services()["flow"])


def test_the_flow_has_time_to_end_before_it_is_killed() -> None:
    assert Duration.parse(_services()["flow"]["stop_grace_period"]) > _settings().supervisor.stop_within


def test_webhooks_reach_the_intake_and_only_when_it_was_asked_for() -> None:
    intake, settings = _services()["intake"], _settings().intake
    assert intake["ports"] == [f"127.0.0.1:{settings.port}:{settings.port}"]
    assert settings.host == "0.0.0.0", "callers come from outside of the container"
    in_profiles = {name for name, service in _services().items() if service.get("profiles") == ["intake"]}
    assert in_profiles == {"intake", "intake-map", "raw-topics"}


def test_the_stack_runs_the_kafka_that_tests_run_against() -> None:
    assert _services()["kafka"]["image"] == f"apache/kafka:{kafka_version()}"


def test_the_flow_finds_kafka_and_redis() -> None:
    settings = _settings()
    advertised = _services()["kafka"]["environment"]["KAFKA_ADVERTISED_LISTENERS"].split(",")
    assert f"INTERNAL://{settings.kafka.bootstrap}" in advertised
    assert settings.redis.url == "redis://redis:6379/0"


def test_programs_on_the_host_find_kafka_with_the_defaults() -> None:
    advertised = _services()["kafka"]["environment"]["KAFKA_ADVERTISED_LISTENERS"].split(",")
    assert f"HOST://{load_settings().kafka.bootstrap}" in advertised


@pytest.mark.parametrize("name", _own_services())
def test_a_command_reads_the_shipped_configuration(name: str) -> None:
    command = _services()[name]["command"]
    assert _host_path(name, command[command.index("--config") + 1]) == CONFIGURATION


@pytest.mark.parametrize("name", _own_services())
def test_a_command_is_one_that_the_command_line_takes(name: str) -> None:
    arguments = [_on_this_host(name, argument) for argument in _services()[name]["command"]]
    _parsed(arguments)


@pytest.mark.parametrize("name", _own_services())
def test_a_command_asks_for_nothing_that_is_still_to_come(name: str) -> None:
    arguments = [_on_this_host(name, argument) for argument in _services()[name]["command"]]
    command = _parsed(arguments).command
    given = [option for option in command.params if not {*option.opts}.isdisjoint(arguments)]
    assert [option.name for option in given if "not available yet" in (getattr(option, "help", "") or "")] == []


@pytest.mark.parametrize(
    "arguments", [["walk"], ["run", "--no-such-option"], ["topics"], ["topics", "create", "--retention"]]
)
def test_a_command_that_the_command_line_does_not_take_is_found(arguments: list[str]) -> None:
    with pytest.raises((TyperException, typer.Exit)):
        _parsed(arguments)


# Prometheus


def test_prometheus_asks_the_flow_where_it_serves() -> None:
    (job,) = [
        job for job in _yaml("config/prometheus/prometheus.yml")["scrape_configs"] if job["job_name"] == "orderpulse"
    ]
    metrics = _settings().metrics
    assert job["static_configs"] == [{"targets": [f"flow:{metrics.port}"]}]
    assert metrics.host == "0.0.0.0", "other containers do not reach a loopback address"


def test_prometheus_finds_its_rules() -> None:
    rules = _yaml("config/prometheus/prometheus.yml")["rule_files"]
    assert all(_host_path("prometheus", f"/etc/prometheus/{rule}").exists() for rule in rules)


def test_each_alert_has_a_name_of_its_own() -> None:
    names = [alert["alert"] for alert in _alerts()]
    assert names
    assert len(set(names)) == len(names)


@pytest.mark.parametrize("alert", _alerts(), ids=lambda alert: alert["alert"])
def test_an_alert_says_what_is_wrong_and_what_to_do(alert: dict[str, Any]) -> None:
    assert alert["labels"]["severity"] in {"info", "warning", "critical"}
    assert alert["annotations"].keys() == {"summary", "description"}


@pytest.mark.parametrize("alert", _alerts(), ids=lambda alert: alert["alert"])
def test_an_alert_watches_what_the_flow_exports(alert: dict[str, Any]) -> None:
    assert _unknown(alert["expr"]) == set()


# Grafana


@pytest.mark.parametrize("panel", _charts(), ids=lambda panel: panel["title"])
def test_a_panel_shows_what_the_flow_exports(panel: dict[str, Any]) -> None:
    assert panel["targets"]
    for target in panel["targets"]:
        _, labels = _names(target["expr"])
        assert _unknown(target["expr"]) == set()
        assert set(re.findall(r"{{(\w+)}}", target["legendFormat"])) <= labels


def test_each_metric_is_on_the_dashboard() -> None:
    shown = {name for panel in _charts() for target in panel["targets"] for name in _names(target["expr"])[0]}
    assert [metric.name for metric in METRICS if shown.isdisjoint(_series(metric))] == []


def test_panels_ask_the_data_source_that_is_set_up() -> None:
    (source,) = _yaml("config/grafana/provisioning/datasources/prometheus.yml")["datasources"]
    asked = {target["datasource"]["uid"] for panel in _charts() for target in [panel, *panel["targets"]]}
    assert asked == {source["uid"]}
    assert source["url"] == "http://prometheus:9090"


def test_panels_lie_beside_each_other() -> None:
    taken: set[tuple[int, int]] = set()
    for panel in _panels():
        at = panel["gridPos"]
        cells = {(at["x"] + right, at["y"] + down) for right in range(at["w"]) for down in range(at["h"])}
        assert taken.isdisjoint(cells), panel["title"]
        assert at["x"] + at["w"] <= 24, panel["title"]
        taken |= cells
    assert len({panel["id"] for panel in _panels()}) == len(_panels())


def test_grafana_finds_the_dashboard() -> None:
    (provider,) = _yaml("config/grafana/provisioning/dashboards/orderpulse.yml")["providers"]
    home = _services()["grafana"]["environment"]["GF_DASHBOARDS_DEFAULT_HOME_DASHBOARD_PATH"]
    assert _host_path("grafana", provider["options"]["path"]) == DASHBOARD.parent
    assert _host_path("grafana", home) == DASHBOARD


# The check of expressions itself


@pytest.mark.parametrize(
    ("expression", "unknown"),
    [
        ('sum by (rule) (rate(orderpulse_alerts_total{step="opened"}[5m] offset 1d)) * 60 > 1e3', set()),
        ("histogram_quantile(0.9, sum by (le) (rate(orderpulse_sink_write_seconds_bucket[$__rate_interval])))", set()),
        ('up{job="orderpulse"} == 0 and on (instance) orderpulse_open_alerts', set()),
        ("orderpulse_sink_write_seconds", {"orderpulse_sink_write_seconds"}),
        ("rate(orderpulse_event_total[5m])", {"orderpulse_event_total"}),
        ('orderpulse_open_alerts{step="opened"}', {"step"}),
        ("sum by (topic) (orderpulse_buffered_events)", {"topic"}),
    ],
)
def test_a_name_that_does_not_exist_is_found(expression: str, unknown: set[str]) -> None:
    assert _unknown(expression) == unknown
