"""The service unit and the Kubernetes manifest that ship: they hold together, with the command and its settings.

Neither is run here: the manifest is checked against the API's own schema, the unit by systemd where it is installed.
"""

import json
import re
import shutil
import subprocess
import sys
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import typer
import yaml

from config.loader import load_settings
from config.settings import Settings
from config.units import Duration
from console.main import app
from console.places import place_of

ROOT = Path(__file__).resolve().parents[2]
UNIT = ROOT / "config/deploy/systemd/orderpulse.service"
MANIFEST = ROOT / "config/deploy/kubernetes/orderpulse.yaml"
SCHEMA = ROOT / "tests/support/kubernetes-1.34.json"


def parsed(arguments: Sequence[str]) -> dict[str, Any]:
    """The options of ``orderpulse run`` as these arguments give them; nothing is run."""
    name, *rest = arguments
    command: Any = typer.main.get_command(app)
    options: dict[str, Any] = command.commands[name].make_context(name, list(rest)).params
    return options


@cache
def objects() -> dict[str, Any]:
    """The objects of the manifest by their kind."""
    found = list(yaml.safe_load_all(MANIFEST.read_text(encoding="utf-8")))
    return {each["kind"]: each for each in found if each}


def pod() -> dict[str, Any]:
    spec: dict[str, Any] = objects()["StatefulSet"]["spec"]["template"]["spec"]
    return spec


def container() -> dict[str, Any]:
    (only,) = pod()["containers"]
    found: dict[str, Any] = only
    return found


def settings(tmp_path: Path) -> Settings:
    """The settings in the manifest, over the defaults."""
    path = tmp_path / "orderpulse.toml"
    path.write_text(objects()["ConfigMap"]["data"]["orderpulse.toml"], encoding="utf-8")
    return load_settings(path)


def arguments_of_pod(index: int) -> list[str]:
    return [argument.replace("$(POD_INDEX)", str(index)) for argument in container()["args"]]


@pytest.mark.parametrize("kind", ["ConfigMap", "Service", "StatefulSet"])
def test_each_object_is_one_that_kubernetes_takes(kind: str) -> None:
    schema = json.loads(SCHEMA.read_text(encoding="utf-8"))
    (name,) = [each for each in schema["$defs"] if each.endswith(f".v1.{kind}")]

    jsonschema.Draft202012Validator({"$ref": f"#/$defs/{name}", **schema}).validate(objects()[kind])


def test_the_schema_refuses_what_kubernetes_refuses() -> None:
    schema = json.loads(SCHEMA.read_text(encoding="utf-8"))
    (name,) = [each for each in schema["$defs"] if each.endswith(".v1.StatefulSet")]
    wrong = json.loads(json.dumps(objects()["StatefulSet"]))
    wrong["spec"]["template"]["spec"]["containers"][0]["livenessprobe"] = {}

    with pytest.raises(jsonschema.ValidationError, match="livenessprobe"):
        jsonschema.Draft202012Validator({"$ref": f"#/$defs/{name}", **schema}).validate(wrong)


def test_every_pod_runs_a_process_that_the_addresses_name() -> None:
    stateful = objects()["StatefulSet"]
    replicas, name = stateful["spec"]["replicas"], stateful["metadata"]["name"]
    for index in range(replicas):
        options = parsed(arguments_of_pod(index))
        place = place_of(options["processes"], options["process_id"], options["addresses"])

        service, port = objects()["Service"]["metadata"]["name"], container()["ports"][0]["containerPort"]
        assert place.process_id == index
        assert place.addresses == tuple(f"{name}-{number}.{service}:{port}" for number in range(replicas))
    assert stateful["spec"]["serviceName"] == objects()["Service"]["metadata"]["name"]


def test_the_processes_find_each_other_before_they_are_ready() -> None:
    service = objects()["Service"]["spec"]

    assert service["clusterIP"] == "None"
    assert service["publishNotReadyAddresses"] is True
    assert objects()["StatefulSet"]["spec"]["podManagementPolicy"] == "Parallel"
    labels = objects()["StatefulSet"]["spec"]["template"]["metadata"]["labels"]
    assert service["selector"].items() <= labels.items()
    assert objects()["StatefulSet"]["spec"]["selector"]["matchLabels"].items() <= labels.items()


def test_probes_and_scrapes_ask_where_the_settings_serve(tmp_path: Path) -> None:
    served = settings(tmp_path).metrics
    ports = {port["name"]: port["containerPort"] for port in container()["ports"]}
    paths = {name: container()[name]["httpGet"]["path"] for name in ("startupProbe", "livenessProbe", "readinessProbe")}

    assert served.host == "0.0.0.0"
    assert ports["metrics"] == served.port
    assert {container()[name]["httpGet"]["port"] for name in paths} == {"metrics"}
    assert paths == {"startupProbe": "/healthz", "livenessProbe": "/healthz", "readinessProbe": "/readyz"}
    annotations = objects()["StatefulSet"]["spec"]["template"]["metadata"]["annotations"]
    assert annotations["prometheus.io/port"] == str(served.port)


def test_a_pod_has_time_to_end_before_it_is_killed(tmp_path: Path) -> None:
    assert pod()["terminationGracePeriodSeconds"] * 1000 > settings(tmp_path).supervisor.stop_within


def test_the_store_is_on_the_volume_that_stays_and_the_settings_are_mounted() -> None:
    options = parsed(arguments_of_pod(0))
    mounts = {mount["name"]: Path(mount["mountPath"]) for mount in container()["volumeMounts"]}
    (claim,) = objects()["StatefulSet"]["spec"]["volumeClaimTemplates"]
    volumes = {volume["name"] for volume in pod()["volumes"]}

    assert options["recovery"].is_relative_to(mounts[claim["metadata"]["name"]])
    assert options["config"].parent == mounts["configuration"]
    assert options["config"].name in objects()["ConfigMap"]["data"]
    assert mounts.keys() == {*volumes, claim["metadata"]["name"]}
    assert mounts["scratch"] == Path("/tmp")  # the root file system is read-only


def test_the_pod_is_the_images_own_user_and_has_the_hash_key(tmp_path: Path) -> None:
    dockerfile = (ROOT / "Dockerfile").read_text(encoding="utf-8")
    user = re.search(r"--uid (\d+)", dockerfile)
    names = {variable["name"] for variable in container()["env"]}

    assert user is not None
    assert pod()["securityContext"]["runAsUser"] == pod()["securityContext"]["fsGroup"] == int(user[1])
    assert names == {"POD_INDEX", settings(tmp_path).privacy.hash_key_env}


def unit() -> dict[str, str]:
    """The settings of the unit; of one that is given twice the last."""
    lines = UNIT.read_text(encoding="utf-8").splitlines()
    return dict(line.split("=", 1) for line in lines if "=" in line and not line.startswith("#"))


def test_the_unit_runs_a_command_that_exists_on_a_store_that_stays() -> None:
    program, *arguments = unit()["ExecStart"].split()
    options = parsed(arguments)

    assert Path(program).name == "orderpulse"
    assert options["processes"] > 1
    assert options["recovery"].is_relative_to(Path("/var/lib", unit()["StateDirectory"]))


def test_the_unit_leaves_the_supervisor_time_and_its_processes_to_it() -> None:
    within = load_settings(None).supervisor.stop_within

    assert Duration.parse(unit()["TimeoutStopSec"]) > within
    assert unit()["KillMode"] == "mixed"
    assert unit()["OOMPolicy"] == "continue"
    assert (unit()["Type"], unit()["Restart"], unit()["RestartPreventExitStatus"]) == ("exec", "on-failure", "2")


def test_systemd_finds_nothing_wrong_with_the_unit(tmp_path: Path) -> None:
    program = shutil.which("systemd-analyze")
    if program is None:
        pytest.skip("systemd is not installed")
    # It asks for the files that the unit names, which are not on this machine.
    text = UNIT.read_text(encoding="utf-8").replace("/opt/orderpulse/bin/orderpulse", sys.executable)
    text = re.sub(r"^EnvironmentFile=.*\n|^(User|Group)=.*\n", "", text, flags=re.MULTILINE)
    copy = tmp_path / UNIT.name
    copy.write_text(text, encoding="utf-8")

    verified = subprocess.run([program, "verify", "--man=no", copy], capture_output=True, text=True, check=False)

    about_it = [line for line in verified.stderr.splitlines() if UNIT.name in line]
    assert (verified.returncode, about_it) == (0, []), verified.stderr
