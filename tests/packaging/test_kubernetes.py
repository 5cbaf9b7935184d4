"""The manifests: each is valid, and what they say agrees with the farm, its image and its network guard."""

import json
import shutil
import subprocess
import tomllib
from ipaddress import IPv4Network, IPv6Network, ip_network
from pathlib import Path
from typing import Any

import jsonschema
import kubernetes_validate
import pytest
import yaml

from farm.egress import guard
from farm.settings.commands import RunSettings
from farm.settings.load import load
from tests.e2e.farm_process import until
from tests.tree import ROOT, relative

DOCKER = ROOT / "docker"
BASE, KEDA = DOCKER / "kubernetes/base", DOCKER / "kubernetes/keda"
FOLDERS = (BASE, KEDA, DOCKER / "prometheus", DOCKER / "seccomp")
VERSIONS = ("1.28", "1.34")


def parts(folder: Path) -> dict[str, Any]:
    """Return the kustomization of a folder."""
    return dict(yaml.safe_load((folder / "kustomization.yaml").read_text()))


def manifests() -> list[dict[str, Any]]:
    """Return the objects of all files that the kustomizations name."""
    files = [
        folder / name for folder in FOLDERS for name in parts(folder)["resources"] if name.endswith(".yaml")
    ]
    return [one for file in files for one in yaml.safe_load_all(file.read_text())]


def named(kind: str, name: str = "farm") -> dict[str, Any]:
    """Return one object."""
    [found] = [one for one in manifests() if (one["kind"], one["metadata"]["name"]) == (kind, name)]
    return found


POD = named("Deployment")["spec"]["template"]["spec"]
CONTAINER = POD["containers"][0]
SCALED = named("ScaledObject")


@pytest.mark.parametrize("version", VERSIONS)
def test_every_manifest_is_valid(version: str) -> None:
    """By the schemas of an old and of a new Kubernetes; a field that is misspelt is no field of theirs."""
    checked = [one for one in manifests() if not one["apiVersion"].startswith("keda.sh/")]
    for one in checked:
        kubernetes_validate.validate(one, version, strict=True)
    assert {one["kind"] for one in checked} >= {
        "Deployment",
        "NetworkPolicy",
        "PodDisruptionBudget",
        "Service",
    }
    checked[-1]["spec"]["misspelt"] = 1
    with pytest.raises(kubernetes_validate.ValidationError):
        kubernetes_validate.validate(checked[-1], version, strict=True)


def test_the_scaled_object_is_valid() -> None:
    """By KEDA's fields; how fast it scales is said in those of Kubernetes."""
    jsonschema.validate(SCALED, json.loads((Path(__file__).parent / "scaled_object.json").read_text()))
    spec = SCALED["spec"]
    scaler = {
        "apiVersion": "autoscaling/v2",
        "kind": "HorizontalPodAutoscaler",
        "metadata": {"name": "farm"},
        "spec": {
            "scaleTargetRef": {"kind": "Deployment", "apiVersion": "apps/v1", **spec["scaleTargetRef"]},
            "maxReplicas": spec["maxReplicaCount"],
            **spec["advanced"]["horizontalPodAutoscalerConfig"],
        },
    }
    kubernetes_validate.validate(scaler, VERSIONS[-1], strict=True)


def test_a_node_is_scaled_up_for_as_many_contexts_as_it_has() -> None:
    """The threshold and the settings say the same; the number of nodes is left to the scaler."""
    [trigger] = SCALED["spec"]["triggers"]
    settings = tomllib.loads((BASE / "farm.toml").read_text())
    assert int(trigger["metadata"]["threshold"]) == settings["contexts"]
    assert SCALED["spec"]["scaleTargetRef"]["name"] == named("Deployment")["metadata"]["name"]
    [patch] = parts(KEDA)["patches"]
    assert yaml.safe_load(patch["patch"]) == [{"op": "remove", "path": "/spec/replicas"}]
    prometheus = named("Service", "prometheus")
    namespace, port = parts(BASE)["namespace"], prometheus["spec"]["ports"][0]["port"]
    assert trigger["metadata"]["serverAddress"] == f"http://prometheus.{namespace}:{port}"


def test_every_file_belongs_to_a_kustomization() -> None:
    """And every one that is named is there."""
    for folder in FOLDERS:
        told = parts(folder)
        makers = [*told.get("configMapGenerator", ()), *told.get("secretGenerator", ())]
        files = [
            *told["resources"],
            *(name for one in makers for name in [*one.get("files", ()), *one.get("envs", ())]),
        ]
        assert [name for name in files if not (folder / name).exists()] == []
        inside = {name for name in files if "/" not in name}
        assert {path.name for path in folder.iterdir()} == {"kustomization.yaml", *inside}, relative(folder)


@pytest.mark.skipif(shutil.which("kubectl") is None, reason="there is no kubectl")
def test_kubectl_makes_the_whole_of_them() -> None:
    """Every object in the namespace, with the names that the generators gave."""
    made = subprocess.run(
        ["kubectl", "kustomize", KEDA], capture_output=True, text=True, check=True, timeout=60
    ).stdout
    found = list(yaml.safe_load_all(made))
    assert len(found) > len(manifests())
    assert {one["metadata"].get("namespace") for one in found if one["kind"] != "Namespace"} == {"crawl-farm"}
    [deployment] = [one for one in found if (one["kind"], one["metadata"]["name"]) == ("Deployment", "farm")]
    assert "replicas" not in deployment["spec"]
    settings = deployment["spec"]["template"]["spec"]["volumes"][0]["configMap"]["name"]
    assert settings in {one["metadata"]["name"] for one in found if one["kind"] == "ConfigMap"}


def test_the_settings_are_the_farms(monkeypatch: pytest.MonkeyPatch) -> None:
    """Read as the farm reads them in the container: its folder, its secrets, its arguments."""
    monkeypatch.chdir(BASE)
    lines = [line for line in (BASE / "secrets.env").read_text().splitlines() if line and line[0] != "#"]
    secrets = dict(line.split("=", 1) for line in lines)
    for name, value in secrets.items():
        if name.startswith("FARM_"):
            monkeypatch.setenv(name, value)
    assert CONTAINER["args"] == ["run"]
    settings = load(RunSettings, [], "farm run", "")
    assert settings.contexts == 40
    assert settings.redis.reveal() == f"redis://:{secrets['REDIS_PASSWORD']}@redis:6379/0"
    assert settings.drain_timeout < POD["terminationGracePeriodSeconds"] - 10
    mounts = {one["mountPath"]: one["name"] for one in CONTAINER["volumeMounts"]}
    assert str(settings.seeds) == f"{CONTAINER['workingDir']}/seeds.txt"
    assert any(str(settings.output).startswith(f"{path}/") for path in mounts)
    # Chromium shares memory by files (tests/browser/test_engine.py).
    assert "/dev/shm" not in mounts
    ports = {one["name"]: one["containerPort"] for one in CONTAINER["ports"]}
    assert ports["metrics"] == settings.metrics_port
    assert settings.metrics_host == "0.0.0.0"


def test_the_image_is_one_of_a_registry_by_a_tag_of_its_own() -> None:
    """The bare name would be looked for among the images of Docker Hub, and `latest` is another one each day."""
    [image] = parts(BASE)["images"]
    assert image["name"] == CONTAINER["image"]
    assert image["newName"].partition("/")[0].count(".") == 1
    assert image["newTag"] == "change-me"


def test_the_namespace_admits_what_stands_in_it() -> None:
    """A folder of the machine is mounted by the DaemonSet, which Kubernetes' levels below `privileged` refuse."""
    volumes = named("DaemonSet", "seccomp-profile")["spec"]["template"]["spec"]["volumes"]
    assert any("hostPath" in one for one in volumes)
    labels = named("Namespace", parts(BASE)["namespace"])["metadata"]["labels"]
    assert labels == {"pod-security.kubernetes.io/enforce": "privileged"}


def test_proxies_are_a_secret_that_need_not_be_there() -> None:
    """The lines that are to be taken in fit each other: the file, its folder, the setting."""
    settings = (BASE / "farm.toml").read_text().replace("# proxies =", "proxies =")
    given = Path(tomllib.loads(settings)["proxies"])
    made = (
        (BASE / "kustomization.yaml")
        .read_text()
        .replace("  # - name", "  - name")
        .replace("  #   files", "    files")
    )
    [_, secret] = yaml.safe_load(made)["secretGenerator"]
    [volume] = [one for one in POD["volumes"] if one.get("secret", {}).get("secretName") == secret["name"]]
    assert volume["secret"]["optional"] is True
    [mount] = [one for one in CONTAINER["volumeMounts"] if one["name"] == volume["name"]]
    assert (str(given.parent), [given.name]) == (mount["mountPath"], secret["files"])


def test_each_probe_asks_for_what_the_farm_serves() -> None:
    """A pod is started again where its event loop hangs, not where it waits for Redis."""
    paths = {
        probe: CONTAINER[probe]["httpGet"]["path"]
        for probe in ("startupProbe", "livenessProbe", "readinessProbe")
    }
    assert paths == {"startupProbe": "/healthz", "livenessProbe": "/healthz", "readinessProbe": "/readyz"}


def test_every_pod_has_no_more_rights_than_it_needs() -> None:
    """No root, no capability, no token of the cluster, a limit of memory and a profile of system calls."""
    for one in manifests():
        if one["kind"] not in {"Deployment", "StatefulSet", "DaemonSet"}:
            continue
        pod = one["spec"]["template"]["spec"]
        assert pod["automountServiceAccountToken"] is False
        assert pod["securityContext"]["seccompProfile"]["type"] in {"RuntimeDefault", "Localhost"}
        for container in pod["containers"]:
            own = container["securityContext"]
            assert own["capabilities"] == {"drop": ["ALL"]}
            assert own["allowPrivilegeEscalation"] is False
            assert {**pod["securityContext"], **own}["runAsNonRoot"] is True
            assert "memory" in container["resources"]["limits"]


def test_the_pods_profile_is_the_one_that_is_brought_to_the_machines() -> None:
    """By its name in the folder in which the kubelet looks."""
    pod = named("DaemonSet", "seccomp-profile")["spec"]["template"]["spec"]
    [install] = pod["initContainers"]
    folder = next(one for one in pod["volumes"] if "hostPath" in one)["hostPath"]["path"]
    profile = POD["securityContext"]["seccompProfile"]["localhostProfile"]
    assert folder == "/var/lib/kubelet/seccomp"
    assert install["command"][-2:] == ["/profile/seccomp.json", f"/seccomp/{profile}"]
    assert parts(DOCKER / "seccomp")["configMapGenerator"] == [
        {"name": "seccomp-profile", "files": ["seccomp.json"]}
    ]


def is_within(one: guard.IPNetwork, other: guard.IPNetwork) -> bool:
    """Whether a network is a part of another one, of whatever version."""
    if isinstance(one, IPv4Network):
        return isinstance(other, IPv4Network) and one.subnet_of(other)
    return isinstance(other, IPv6Network) and one.subnet_of(other)


def test_the_farm_reaches_no_private_network_of_the_cluster() -> None:
    """What the guard refuses as inside is not reached by way of the cluster's network either."""
    egress = named("NetworkPolicy")["spec"]["egress"]
    blocks = [to["ipBlock"] for rule in egress for to in rule["to"] if "ipBlock" in to]
    outside = [ip_network(network) for block in blocks for network in block["except"]]
    inside = {"metadata", "private", "carrier-grade NAT", "link-local"}
    known: list[tuple[guard.IPNetwork, str]] = [*guard._INSIDE_V4, *guard._INSIDE_V6]
    networks = [network for network, reason in known if reason in inside]
    reached = [one for one in networks if not any(is_within(one, other) for other in outside)]
    assert reached == []
    assert named("NetworkPolicy")["spec"]["policyTypes"] == ["Ingress", "Egress"]


def test_redis_keeps_every_write_and_throws_nothing_away(tmp_path: Path) -> None:
    """With the arguments of the manifest, on a real server."""
    [container] = named("StatefulSet", "redis")["spec"]["template"]["spec"]["containers"]
    arguments = [one.replace("$(REDIS_PASSWORD)", "secret") for one in container["args"]]
    socket = tmp_path / "s"
    server = subprocess.Popen(
        ["redis-server", *arguments, "--port", "0", "--unixsocket", str(socket), "--dir", str(tmp_path)],
        stdout=subprocess.DEVNULL,
    )

    def told() -> str:
        ask = ["redis-cli", "-s", str(socket), "--no-auth-warning", "-a", "secret"]
        line = [*ask, "CONFIG", "GET", "maxmemory-policy", "appendonly"]
        return subprocess.run(line, capture_output=True, text=True, check=False).stdout

    try:
        until(lambda: "maxmemory-policy" in told(), "an answer of Redis", 20)
        settings = told().split()
    finally:
        server.kill()
        server.wait(10)
    assert dict(zip(settings[::2], settings[1::2], strict=True)) == {
        "maxmemory-policy": "noeviction",
        "appendonly": "yes",
    }
