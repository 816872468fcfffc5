"""deploy/kubernetes: valid by the published schemas, and true to the product."""

import shutil
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from proxy import __version__
from proxy.errors import ConfigurationError
from tests.deploy.product import ROOT, image_environment, serving

FOLDER = ROOT / "deploy" / "kubernetes"
#: From the first with native sidecars and a preStop that sleeps, both switched on, to the newest known: None.
VERSIONS = ("1.30", None)
KEYS = {"client-key": "sk-of-a-test", "localai-key": "sk-of-localai"}
Object = dict[str, Any]


def rendered(folder: Path) -> list[Object]:
    """Do what `kubectl kustomize` does with the few fields that these files use; others fail."""
    settings = yaml.safe_load((folder / "kustomization.yaml").read_text("utf-8"))
    assert set(settings) <= {"apiVersion", "kind", "resources", "configMapGenerator"}
    objects = []
    for name in settings["resources"]:
        path = (folder / name).resolve()
        objects += rendered(path) if path.is_dir() else yaml.safe_load_all(path.read_text("utf-8"))
    for generator in settings.get("configMapGenerator", []):
        data = {name: (folder / name).read_text("utf-8") for name in generator["files"]}
        metadata = {"name": generator["name"]}
        objects.append({"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata, "data": data})
    return objects


def rendered_by_kubectl(folder: Path) -> list[Object]:
    ran = subprocess.run(["kubectl", "kustomize", folder], capture_output=True, text=True, check=True)
    return list(yaml.safe_load_all(ran.stdout))


RENDERERS: list[Callable[[Path], list[Object]]] = [rendered]
if shutil.which("kubectl"):  # no package of Debian's brings one that is new enough
    RENDERERS.append(rendered_by_kubectl)


@pytest.fixture(params=["sidecar", "gateway", "monitoring"])
def folder(request) -> Path:
    return FOLDER / request.param


@pytest.fixture(params=RENDERERS, ids=lambda render: render.__name__)
def objects(request, folder) -> list[Object]:
    return request.param(folder)


def of_kind(objects: list[Object], kind: str) -> list[Object]:
    return [each for each in objects if each["kind"] == kind]


def pods(objects: list[Object]) -> Iterator[Object]:
    return (deployment["spec"]["template"] for deployment in of_kind(objects, "Deployment"))


def proxy_of(pod: Object) -> Object:
    spec = pod["spec"]
    (container,) = [
        each
        for each in [*spec.get("initContainers", []), *spec["containers"]]
        if each["name"] == "straightwire"
    ]
    return container


@pytest.mark.parametrize("version", VERSIONS)
def test_each_object_is_valid_by_the_published_schema(objects, version):
    import kubernetes_validate  # a second's work, and every worker collects this module

    version = version or kubernetes_validate.latest_version()
    for each in objects:
        if each["apiVersion"] != "monitoring.coreos.com/v1":  # the operator's, which Kubernetes does not know
            kubernetes_validate.validate(each, version, strict=True)


def test_a_service_monitor_finds_the_admin_listener():
    objects = rendered(FOLDER / "monitoring")
    (monitor,) = of_kind(objects, "ServiceMonitor")
    assert set(monitor["spec"]) == {"selector", "endpoints"}
    (endpoint,) = monitor["spec"]["endpoints"]
    wanted = monitor["spec"]["selector"]["matchLabels"].items()
    (service,) = [
        each for each in of_kind(objects, "Service") if wanted <= each["metadata"]["labels"].items()
    ]
    assert endpoint["port"] in [port["name"] for port in service["spec"]["ports"]]
    assert endpoint["path"] == "/metrics"


def volume(pod: Object, name: str) -> Object:
    (found,) = [each for each in pod["spec"]["volumes"] if each["name"] == name]
    return found


def sources(pod: Object, kind: str) -> dict[str, str]:
    """Return which objects of a kind the pod mounts, by the volume's name."""
    named = {"configMap": "name", "secret": "secretName"}[kind]
    return {each["name"]: each[kind][named] for each in pod["spec"]["volumes"] if kind in each}


@pytest.fixture
def configuration(objects, tmp_path, monkeypatch):
    """What straightwire makes of the first pod's variables, files and keys."""
    (pod,) = pods(objects)
    environ = image_environment()
    for entry in proxy_of(pod)["env"]:
        reference = entry.get("valueFrom", {}).get("secretKeyRef")
        environ[entry["name"]] = KEYS[reference["key"]] if reference else entry["value"]
    file = environ.pop("STRAIGHTWIRE_CONFIG", None)
    if file is None:
        return serving(environ, monkeypatch)
    (config,) = of_kind(objects, "ConfigMap")
    mounts = {mount["name"]: Path(mount["mountPath"]) for mount in proxy_of(pod)["volumeMounts"]}
    assert Path(file).parent == mounts["config"]
    assert sources(pod, "configMap") == {"config": config["metadata"]["name"]}
    (secret,) = of_kind(objects, "Secret")
    assert sources(pod, "secret") == {"keys": secret["metadata"]["name"]}
    for item in volume(pod, "keys")["secret"]["items"]:
        (tmp_path / item["path"]).write_text(KEYS[item["key"]])
    text = config["data"][Path(file).name].replace(f"file:{mounts['keys']}", f"file:{tmp_path}")
    (tmp_path / "config.yaml").write_text(text)
    return serving(environ, monkeypatch, tmp_path / "config.yaml")


def test_straightwire_understands_its_configuration(configuration):
    assert configuration.upstreams
    assert (configuration.log.format, configuration.log.output) == ("json", "stdout")


def test_ports_are_where_straightwire_listens(objects, configuration):
    (pod,) = pods(objects)
    ports = {port["name"]: port["containerPort"] for port in proxy_of(pod)["ports"]}
    assert ports == {"openai": configuration.listen.port, "admin": configuration.admin.port}
    assert {configuration.listen.host, configuration.admin.host} == {"0.0.0.0"}


def test_services_lead_to_straightwire(objects):
    (pod,) = pods(objects)
    names = {port["name"] for port in proxy_of(pod)["ports"]}
    for service in of_kind(objects, "Service"):
        assert service["spec"]["selector"].items() <= pod["metadata"]["labels"].items()
        assert {port["targetPort"] for port in service["spec"]["ports"]} <= names


def test_probes_ask_pages_that_exist(objects):
    (pod,) = pods(objects)
    asked = {
        probe: (proxy_of(pod)[probe]["httpGet"]["path"], proxy_of(pod)[probe]["httpGet"]["port"])
        for probe in ("startupProbe", "livenessProbe", "readinessProbe")
    }
    assert asked == {
        "startupProbe": ("/healthz", "admin"),  # LocalAI, behind a sidecar, starts after it
        "livenessProbe": ("/healthz", "admin"),  # a dead upstream is no reason to end its proxy
        "readinessProbe": ("/readyz", "admin"),
    }


def test_streams_have_time_to_end(objects, configuration):
    (pod,) = pods(objects)
    waits = [
        container["lifecycle"]["preStop"]["sleep"]["seconds"]
        for container in [*pod["spec"].get("initContainers", []), *pod["spec"]["containers"]]
        if "lifecycle" in container
    ]
    assert pod["spec"]["terminationGracePeriodSeconds"] > sum(waits) + configuration.drain


def test_it_runs_confined_and_in_this_version(objects):
    (pod,) = pods(objects)
    container = proxy_of(pod)
    assert container["image"] == f"straightwire:{__version__}"
    assert container["securityContext"] == {
        "runAsNonRoot": True,
        "readOnlyRootFilesystem": True,
        "allowPrivilegeEscalation": False,
        "capabilities": {"drop": ["ALL"]},
    }
    assert pod["spec"]["automountServiceAccountToken"] is False, "it asks Kubernetes for nothing"
    assert pod["spec"]["securityContext"] == {"seccompProfile": {"type": "RuntimeDefault"}}
    assert pod["spec"]["enableServiceLinks"] is False, "STRAIGHTWIRE_… is the proxy's own"


def test_what_selects_pods_selects_these():
    objects = rendered(FOLDER / "gateway")
    (pod,) = pods(objects)
    labels = pod["metadata"]["labels"]
    (deployment,) = of_kind(objects, "Deployment")
    (policy,) = of_kind(objects, "NetworkPolicy")
    (budget,) = of_kind(objects, "PodDisruptionBudget")
    (scaler,) = of_kind(objects, "HorizontalPodAutoscaler")
    (spread,) = pod["spec"]["topologySpreadConstraints"]
    assert deployment["spec"]["selector"]["matchLabels"] == labels
    assert policy["spec"]["podSelector"]["matchLabels"] == labels
    assert budget["spec"]["selector"]["matchLabels"] == labels
    assert spread["labelSelector"]["matchLabels"] == labels
    assert scaler["spec"]["scaleTargetRef"]["name"] == deployment["metadata"]["name"]
    assert "replicas" not in deployment["spec"], "it would undo what the autoscaler does"


def test_the_network_policy_admits_what_the_gateway_has_to_reach():
    objects = rendered(FOLDER / "gateway")
    (policy,) = of_kind(objects, "NetworkPolicy")
    ports = [port["port"] for rule in policy["spec"]["egress"] for port in rule["ports"]]
    (service,) = of_kind(rendered(FOLDER / "sidecar"), "Service")
    assert service["spec"]["ports"][0]["port"] in ports
    (names,) = [rule["ports"] for rule in policy["spec"]["egress"] if "kube-dns" in str(rule["to"])]
    assert names == [{"port": 53, "protocol": "UDP"}, {"port": 53, "protocol": "TCP"}]
    assert {port["port"] for rule in policy["spec"]["ingress"] for port in rule["ports"]} == {
        "openai",
        "admin",
    }


def test_the_keys_of_the_repository_open_nothing(tmp_path, monkeypatch):
    (secret,) = of_kind(rendered(FOLDER / "gateway"), "Secret")
    assert set(secret["stringData"]) == set(KEYS)
    assert set(secret["stringData"].values()) == {""}
    (tmp_path / "client-key").write_text("")
    text = (FOLDER / "gateway" / "config.yaml").read_text("utf-8")
    (tmp_path / "config.yaml").write_text(text.replace("/run/secrets/straightwire", str(tmp_path)))
    with pytest.raises(ConfigurationError) as mistakes:
        serving({"LOCALAI_API_KEY": ""}, monkeypatch, tmp_path / "config.yaml")
    assert "api_key: the variable LOCALAI_API_KEY is empty" in str(mistakes.value)
    assert "clients.api_keys" in str(mistakes.value)


def test_the_sidecar_is_a_sidecar():
    (pod,) = pods(rendered(FOLDER / "sidecar"))
    (sidecar,) = pod["spec"]["initContainers"]
    (localai,) = pod["spec"]["containers"]
    assert sidecar["restartPolicy"] == "Always"
    (address,) = [entry["value"] for entry in localai["env"] if entry["name"] == "LOCALAI_ADDRESS"]
    (url,) = [entry["value"] for entry in sidecar["env"] if entry["name"] == "STRAIGHTWIRE_UPSTREAM"]
    assert url == f"http://{address}"
    assert address.startswith("127.0.0.1:"), "nobody gets past straightwire"
