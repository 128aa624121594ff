"""The files in `config/examples/`: read as their readers read them, with every setting and command in them tried."""

import configparser
import json
import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import botocore.session
import kubernetes_validate
import pytest
import yaml
from botocore.validate import ParamValidator
from support.environment import ROOT

from proxy import __version__
from proxy.cli.arguments import parse
from proxy.settings import Loaded, leaves, load

EXAMPLES = ROOT / "config" / "examples"
FILES = sorted(path.name for path in EXAMPLES.iterdir() if path.name != "README.md")
DEPLOYMENT, JOB = "kubernetes-deployment.yaml", "kubernetes-job.yaml"
NATIVE_SIDECARS = "1.29"
"""The first version of Kubernetes that has them without being asked."""
VARIABLE = re.compile(r"\bUL_PROXY_[A-Z0-9_]+\b")
OF_COMPOSE = {"UL_PROXY_USER"}
"""Not a setting: what the Compose file asks the shell for."""


def text_of(name: str) -> str:
    return (EXAMPLES / name).read_text("utf-8")


def parsed(name: str) -> Any:
    return json.loads(text_of(name)) if name.endswith(".json") else yaml.safe_load(text_of(name))


def unit(name: str) -> dict[str, list[tuple[str, str]]]:
    """A unit file by section; a name may come more than once."""
    reader = configparser.RawConfigParser(strict=False, delimiters="=", comment_prefixes="#", interpolation=None)
    reader.optionxform = str  # type: ignore[assignment,method-assign]  # configparser's own idiom
    reader.read_string(text_of(name))
    sections: dict[str, list[tuple[str, str]]] = {}
    section = ""
    for line in text_of(name).splitlines():
        if line.startswith("["):
            section = line.strip("[]")
            sections[section] = []
        elif line and not line.startswith("#"):
            key, _, value = line.partition("=")
            sections[section].append((key, value))
    assert {name: {key for key, _ in pairs} for name, pairs in sections.items()} == {
        name: set(reader[name]) for name in reader.sections()
    }
    return sections


def pod(name: str) -> Any:
    return parsed(name)["spec"]["template"]["spec"]


def sidecar(name: str) -> Any:
    (found,) = pod(name)["initContainers"]
    return found


def task() -> Any:
    return {container["name"]: container for container in parsed("ecs-task-definition.json")["containerDefinitions"]}


def service() -> dict[str, str]:
    return dict(unit("ul-proxy.service")["Service"])


# ---- what they set, and what they run


def environments() -> dict[str, Mapping[str, str]]:
    """What each example tells the proxy; where its value comes from elsewhere, something of the kind stands here."""

    def of_list(given: list[dict[str, Any]]) -> dict[str, str]:
        return {item["name"]: item.get("value", "something") for item in given}

    container = task()["ul-proxy"]
    own = [value for key, value in unit("ul-proxy.service")["Service"] if key == "Environment"]
    return {
        "compose.yaml": {
            name: re.sub(r"\$\{.*\}", "something", value)
            for name, value in parsed("compose.yaml")["services"]["ul-proxy"]["environment"].items()
        },
        DEPLOYMENT: of_list(sidecar(DEPLOYMENT)["env"]),
        JOB: of_list(sidecar(JOB)["env"]),
        "ecs-task-definition.json": of_list(container["secrets"] + container.get("environment", [])),
        "ul-proxy.service": dict(word.split("=", 1) for value in own for word in shlex.split(value)),
    }


def commands() -> Iterator[tuple[str, list[str]]]:
    """Every command line of ul-proxy in the examples."""
    yield "compose.yaml", parsed("compose.yaml")["services"]["ul-proxy"]["healthcheck"]["test"][1:]
    for name in (DEPLOYMENT, JOB):
        yield name, sidecar(name)["startupProbe"]["exec"]["command"]
    yield "ecs-task-definition.json", task()["ul-proxy"]["healthCheck"]["command"][1:]
    program, *rest = shlex.split(service()["ExecStart"])
    yield "ul-proxy.service", [Path(program).name, *rest]


@pytest.mark.parametrize("name", FILES)
def test_every_setting_exists(name: str) -> None:
    """No example names a variable that the proxy does not know."""
    known = {leaf.variable for leaf in leaves()} | {leaf.variable + "_FILE" for leaf in leaves() if leaf.secret}
    assert set(VARIABLE.findall(text_of(name))) - OF_COMPOSE <= known


@pytest.mark.parametrize(("name", "environment"), list(environments().items()))
def test_the_settings_load(
    name: str, environment: Mapping[str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The proxy takes every value, says nothing about them, and has a whole login."""
    (tmp_path / "secret").write_text("something")
    (tmp_path / "secret").chmod(0o600)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))
    for variable, value in environment.items():
        if variable.startswith("UL_PROXY_"):
            monkeypatch.setenv(variable, "secret" if variable.endswith("_FILE") else value)
    if name == "ul-proxy.service":  # whose user name is in the config file
        monkeypatch.setenv("UL_PROXY_USERNAME", "something")
    loaded = load({})
    assert loaded.warnings == ()
    assert loaded.options().profile.login_lacks == ()


@pytest.mark.parametrize(("name", "command"), list(commands()))
def test_every_command_exists(name: str, command: list[str]) -> None:
    """What the examples run, the command line takes."""
    program, *argv = command
    assert program == "ul-proxy"
    assert parse(argv).command == argv[0]


@pytest.fixture
def config(tmp_path: Path) -> Loaded:
    """The annotated config file, read where the files that it names are."""
    copied = shutil.copy(EXAMPLES / "ul-proxy.toml", tmp_path)
    for name in re.findall(r'_file = "(\S+)"', text_of("ul-proxy.toml")):
        (tmp_path / name).write_text("something")
        (tmp_path / name).chmod(0o600)
    return load({}, str(copied))


def test_the_config_file_loads(config: Loaded) -> None:
    """Every key of it is known and every value good; both logins are whole."""
    assert config.warnings == ()
    profiles = config.options().profiles
    assert {name: profile.login_lacks for name, profile in profiles.items()} == {"default": (), "survey": ()}


def test_commented_settings_load(tmp_path: Path) -> None:
    """What is commented out can be used as it stands."""
    lines = [line.removeprefix("# ") for line in text_of("ul-proxy.toml").splitlines() if re.match(r"# \w+ = ", line)]
    assert lines
    (tmp_path / "totp-secret").write_text("JBSWY3DPEHPK3PXP")
    (tmp_path / "totp-secret").chmod(0o600)
    (tmp_path / "ul-proxy.toml").write_text("\n".join(lines))
    assert load({}, str(tmp_path / "ul-proxy.toml")).warnings == ()


# ---- published schemas


def test_compose_schema() -> None:
    """The Compose file is one by the Compose specification's schema."""
    command = [sys.executable, "-m", "check_jsonschema", "--builtin-schema", "vendor.compose-spec"]
    done = subprocess.run(
        [*command, str(EXAMPLES / "compose.yaml")], capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize("version", [NATIVE_SIDECARS, ".".join(kubernetes_validate.latest_version().split(".")[:2])])
@pytest.mark.parametrize("name", [DEPLOYMENT, JOB])
def test_kubernetes_schema(name: str, version: str) -> None:
    """The manifests are whole and have no field that Kubernetes does not know."""
    kubernetes_validate.validate(parsed(name), version, strict=True)


def test_ecs_schema() -> None:
    """RegisterTaskDefinition takes the task definition, as AWS describes that call."""
    model = botocore.session.get_session().get_service_model("ecs")
    shape = model.operation_model("RegisterTaskDefinition").input_shape
    assert ParamValidator().validate(parsed("ecs-task-definition.json"), shape).generate_report() == ""


def test_systemd_verifies(tmp_path: Path) -> None:
    """Systemd finds nothing to say about the units; the one change is a program that this machine has."""
    verifier = shutil.which("systemd-analyze")
    if verifier is None:
        pytest.skip("no systemd-analyze: install Debian's package systemd")
    for name in ("ul-proxy.service", "ul-proxy.socket"):
        (tmp_path / name).write_text(text_of(name).replace("/opt/ul-proxy/bin/ul-proxy", "/bin/true"))
    units = [str(tmp_path / "ul-proxy.service"), str(tmp_path / "ul-proxy.socket")]
    done = subprocess.run(
        [verifier, "verify", "--man=no", *units], capture_output=True, text=True, timeout=60, check=False
    )
    assert (done.returncode, done.stderr) == (0, "")


# ---- what must fit together


@pytest.mark.parametrize("name", FILES)
def test_three_lines(name: str) -> None:
    """Every example is explained at its head, JSON in the folder's README."""
    if name.endswith(".json"):
        lines = [line for line in text_of("README.md").splitlines() if line.startswith("- ")]
    else:
        lines = []
        for line in text_of(name).splitlines():
            if not line.startswith("# "):
                break
            lines.append(line)
    assert len(lines) == 3


def test_the_readme_names_all() -> None:
    """The table of the examples is whole."""
    assert sorted(set(re.findall(r"\]\((\S+)\)", text_of("README.md")))) == FILES


@pytest.mark.parametrize("name", FILES)
def test_one_version(name: str) -> None:
    """Wherever the proxy's image has a tag, it is this version."""
    assert set(re.findall(r"/?ul-proxy:(\d[\w.-]*)", text_of(name))) <= {__version__}


def drain() -> float:
    settings = load({}).settings
    return settings.drain_delay + settings.timeouts.drain


def seconds(text: str) -> float:
    return float(text.removesuffix("s"))


def test_time_to_drain() -> None:
    """Nobody kills a proxy that still answers its last requests."""
    compose = parsed("compose.yaml")["services"]["ul-proxy"]
    given = {
        "compose": seconds(compose["stop_grace_period"]),
        "deployment": pod(DEPLOYMENT)["terminationGracePeriodSeconds"],
        "job": pod(JOB)["terminationGracePeriodSeconds"],
        "ecs": task()["ul-proxy"]["stopTimeout"],
        "systemd": seconds(service()["TimeoutStopSec"]),
    }
    assert {name: limit for name, limit in given.items() if limit < drain() + 5} == {}


@pytest.mark.parametrize("name", [DEPLOYMENT, JOB])
def test_sidecars(name: str) -> None:
    """The proxy is a native sidecar, whose secret is a file that its group may read, at the place that is named."""
    proxy, spec = sidecar(name), pod(name)
    assert proxy["restartPolicy"] == "Always"
    user = re.search(r"^USER (\d+):(\d+)$", (ROOT / "Dockerfile").read_text("utf-8"), re.MULTILINE)
    assert user is not None
    assert spec["securityContext"]["fsGroup"] == int(user[2])
    (volume,) = spec["volumes"]
    (mount,) = proxy["volumeMounts"]
    assert mount["name"] == volume["name"]
    assert volume["secret"]["defaultMode"] == 0o440
    file = f"{mount['mountPath']}/{volume['secret']['items'][0]['path']}"
    assert {"name": "UL_PROXY_PASSWORD_FILE", "value": file} in proxy["env"]


@pytest.mark.parametrize("name", [DEPLOYMENT, JOB])
def test_waiting_fits_its_probe(name: str) -> None:
    """The command gives up, and says why, before the kubelet ends it; the proxy has an hour to become ready."""
    probe = sidecar(name)["startupProbe"]
    waited = seconds(probe["exec"]["command"][-1])
    assert waited + 5 <= probe["timeoutSeconds"]
    assert waited * probe["failureThreshold"] >= 3600


def test_probes_ask_where_the_proxy_listens() -> None:
    """The kubelet's requests go to the port of admin_listen, for a path that it has."""
    proxy = sidecar(DEPLOYMENT)
    ports = {port["name"]: port["containerPort"] for port in proxy["ports"]}
    (listening,) = (item["value"] for item in proxy["env"] if item["name"] == "UL_PROXY_ADMIN_LISTEN")
    assert listening == f"0.0.0.0:{ports['admin']}"
    asked = [proxy[probe]["httpGet"] for probe in ("livenessProbe", "readinessProbe")]
    assert asked == [{"path": "/-/live", "port": "admin"}, {"path": "/-/ready", "port": "admin"}]
    annotations = parsed(DEPLOYMENT)["spec"]["template"]["metadata"]["annotations"]
    assert annotations["prometheus.io/port"] == str(ports["admin"])


def test_compose_waits_for_the_proxy() -> None:
    """The tool shares the proxy's network, and begins when it is healthy; the secret is where it is looked for."""
    document = parsed("compose.yaml")
    proxy, tool = document["services"]["ul-proxy"], document["services"]["tool"]
    assert tool["network_mode"] == "service:ul-proxy"
    assert tool["depends_on"] == {"ul-proxy": {"condition": "service_healthy"}}
    (secret,) = proxy["secrets"]
    assert proxy["environment"]["UL_PROXY_PASSWORD_FILE"] == f"/run/secrets/{secret}"
    assert secret in document["secrets"]
    assert (EXAMPLES / proxy["build"] / "Dockerfile").is_file()


def test_ecs_waits_for_the_proxy() -> None:
    """Every other container begins when the proxy is healthy."""
    others = [container for name, container in task().items() if name != "ul-proxy"]
    assert others
    assert all({"containerName": "ul-proxy", "condition": "HEALTHY"} in other["dependsOn"] for other in others)


def test_the_unit_has_its_credential() -> None:
    """The password that systemd loads is the one that the proxy looks for; the socket is the service's."""
    own = service()
    name = own["LoadCredential"].partition(":")[0]
    assert ("Environment", f"UL_PROXY_PASSWORD_FILE=%d/{name}") in unit("ul-proxy.service")["Service"]
    assert own["Type"] == "notify"
    (listening,) = (value for key, value in unit("ul-proxy.socket")["Socket"] if key == "ListenStream")
    assert [listening] == load({}).settings.listen
