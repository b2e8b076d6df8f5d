"""The manifests build, fit the schemas of Kubernetes, refer to nothing that is not there, and hold
configurations that the programs take."""

import os
import re
import subprocess

import kubernetes_validate
import pytest
import yaml

from support.fake_provider.authority import Authority
from support.manifests import DEPLOY, build, container_ports, kustomizations, pod, pod_labels
from support.programs import REPOSITORY, gateway_binary, ratelimitd_binary

OLDEST_KUBERNETES = "1.30"
CUSTOM_KINDS = {"ServiceMonitor", "PrometheusRule"}  # the Prometheus operator's
BINARIES = {"gateway": gateway_binary(), "ratelimitd": ratelimitd_binary()}
# Named in the README for the operator to create: no manifest holds a secret.
OPERATORS_SECRETS = {"provider-keys": "/run/secrets/candor", "redis": "/run/secrets/redis"}
# By hand or by cert-manager, whose names of the files these are.
CERTIFICATES = {
    name: f"/run/secrets/{name}" for name in ("gateway-tls", "gateway-client-tls", "ratelimitd-tls")
}
KIB, MIB = 1024, 1024 * 1024
CERTIFICATE_FILES = {"tls.crt", "tls.key", "ca.crt"}

every_kustomization = pytest.mark.parametrize("directory", kustomizations())


def named(item):
    return f"{item['kind']}/{item['metadata']['name']}"


def test_there_is_a_base_and_every_overlay_is_found():
    assert "base" in kustomizations()
    assert {p.name for p in (DEPLOY / "overlays").iterdir()} == {
        d.removeprefix("overlays/") for d in kustomizations() if d.startswith("overlays/")
    }


@every_kustomization
@pytest.mark.parametrize("version", [OLDEST_KUBERNETES, kubernetes_validate.latest_version()])
def test_every_object_fits_its_schema(directory, version):
    for item in build(directory).objects:
        if item["kind"] not in CUSTOM_KINDS:
            kubernetes_validate.validate(item, version, strict=True)


@every_kustomization
def test_everything_is_in_one_namespace(directory):
    for item in build(directory).objects:
        where = item["metadata"]["name" if item["kind"] == "Namespace" else "namespace"]
        assert where == "candor", named(item)


@every_kustomization
def test_volumes_and_accounts_refer_to_what_exists(directory):
    manifests = build(directory)
    for workload in manifests.workloads():
        spec = pod(workload)
        assert manifests.one("ServiceAccount", spec["serviceAccountName"])
        claims = workload["spec"].get("volumeClaimTemplates", [])
        volumes = {v["name"] for v in spec.get("volumes", [])} | {
            c["metadata"]["name"] for c in claims
        }
        mounted = {m["name"] for c in spec["containers"] for m in c["volumeMounts"]}
        assert mounted == volumes, named(workload)
        for volume in spec.get("volumes", []):
            if "configMap" in volume:
                assert manifests.one("ConfigMap", volume["configMap"]["name"]), volume
            if "secret" in volume:
                path = {**OPERATORS_SECRETS, **CERTIFICATES}[volume["secret"]["secretName"]]
                mounts = [m for c in spec["containers"] for m in c["volumeMounts"]]
                assert path in [m["mountPath"] for m in mounts if m["name"] == volume["name"]]
        for container in spec["containers"]:
            assert "envFrom" not in container
            assert all("value" in variable for variable in container.get("env", []))


@every_kustomization
def test_files_that_the_configuration_names_are_mounted(directory):
    for workload in build(directory).workloads():
        mounts = [m["mountPath"] for c in pod(workload)["containers"] for m in c["volumeMounts"]]
        text = config_of(directory, workload)
        named_files = re.findall(r"(?:_file|path): *\"?(/[^\s\"},]+)", text)
        config_path = pod(workload)["containers"][0]["args"][-1]
        for path in [*named_files, config_path]:
            assert path.rsplit("/", 1)[0] in mounts, f"{path} of {named(workload)}"


@every_kustomization
def test_secrets_are_created_by_the_readme(directory):
    readme = re.sub(r"\\\n *", "", (DEPLOY / "README.md").read_text())
    manifests = build(directory)
    for secret, path in OPERATORS_SECRETS.items():
        created = [
            set(re.findall(r"--from-(?:literal|file)=([\w.-]+)=", command))
            for command in re.findall(rf"create secret generic {secret} .*", readme)
        ]
        for workload in manifests.workloads():
            keys = set(re.findall(rf"{path}/([\w.-]+)", config_of(directory, workload)))
            assert any(keys <= keys_of_command for keys_of_command in created), secret


@every_kustomization
def test_certificates_are_created_by_the_readme(directory):
    readme = (DEPLOY / "README.md").read_text()
    for workload in build(directory).workloads():
        for secret, path in CERTIFICATES.items():
            files = re.findall(rf"{path}/([\w.]+)", config_of(directory, workload))
            assert set(files) <= CERTIFICATE_FILES
            assert not files or re.search(rf"for name in .*{secret.removesuffix('-tls')}\b", readme)
    for file in CERTIFICATE_FILES:
        assert f"--from-file={file}=" in readme


@every_kustomization
def test_nothing_is_in_plain_text_where_there_is_tls(directory):
    if not directory.endswith("tls"):
        return
    manifests = build(directory)
    gateway, ratelimitd = (manifests.selected_by(labelled(n))[0] for n in BINARIES)
    config = yaml.safe_load(config_of(directory, gateway))
    assert config["tls"] and {"ca_file", "cert_file", "key_file"} <= set(config["ratelimitd"]["tls"])
    assert yaml.safe_load(config_of(directory, ratelimitd))["tls"]["client_ca_file"]
    assert set(container_ports(gateway)) == {"https", "admin"}
    # Neither the kubelet nor its certificate is known to ratelimitd.
    assert "grpc" not in pod(ratelimitd)["containers"][0]["readinessProbe"]
    assert variables(ratelimitd).get("CANDOR_REDIS_URL", "rediss://").startswith("rediss://")


@every_kustomization
def test_gateways_expect_a_name_that_the_certificate_has(directory):
    """By whichever of its Services ratelimitd is reached."""
    config = yaml.safe_load(config_of(directory, gateway_of(directory)))["ratelimitd"]
    if "tls" not in config:
        return
    host = ratelimitd_target(directory).removeprefix("dns:///").split(":")[0]
    expected = config["tls"].get("server_name", host)
    readme = (DEPLOY / "README.md").read_text()
    names = re.search(r"subjectAltName=([^\"]+)", readme).group(1).replace("$name", "ratelimitd")
    assert f"DNS:{expected}" in names.split(",")


@every_kustomization
def test_overlays_configure_nothing_else_than_the_base(directory):
    """But for what they are there for."""
    for workload in build(directory).workloads():
        ours, base = (
            without_transport(yaml.safe_load(config_of(d, workload))) for d in (directory, "base")
        )
        assert ours == base, named(workload)


@every_kustomization
def test_selectors_select(directory):
    manifests = build(directory)
    for workload in manifests.workloads():
        assert workload["spec"]["selector"]["matchLabels"].items() <= pod_labels(workload).items()
        for spread in pod(workload).get("topologySpreadConstraints", []):
            assert manifests.selected_by(spread["labelSelector"]["matchLabels"]) == [workload]
    for service in manifests.of_kind("Service"):
        (workload,) = manifests.selected_by(service["spec"]["selector"])
        for port in service["spec"]["ports"]:
            assert port["targetPort"] in container_ports(workload), named(service)
    for budget in manifests.of_kind("PodDisruptionBudget"):
        assert len(manifests.selected_by(budget["spec"]["selector"]["matchLabels"])) == 1
    for scaler in manifests.of_kind("HorizontalPodAutoscaler"):
        reference = scaler["spec"]["scaleTargetRef"]
        target = manifests.one(reference["kind"], reference["name"])
        assert "replicas" not in target["spec"], "the autoscaler's number would be overwritten"
    for stateful_set in manifests.of_kind("StatefulSet"):
        service = manifests.one("Service", stateful_set["spec"]["serviceName"])
        assert service["spec"]["clusterIP"] == "None"
    for monitor in manifests.of_kind("ServiceMonitor"):
        wanted = monitor["spec"]["selector"]["matchLabels"].items()
        (service,) = [
            s for s in manifests.of_kind("Service") if wanted <= s["metadata"]["labels"].items()
        ]
        ports = {port["name"] for port in service["spec"]["ports"]}
        assert {e["port"] for e in monitor["spec"]["endpoints"]} <= ports


@every_kustomization
def test_every_container_is_confined(directory):
    for workload in build(directory).workloads():
        spec = pod(workload)
        assert spec["automountServiceAccountToken"] is False
        assert spec["securityContext"]["runAsNonRoot"] is True
        assert spec["securityContext"]["runAsUser"] > 0
        assert spec["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
        for container in spec["containers"]:
            context = container["securityContext"]
            assert context["readOnlyRootFilesystem"] is True
            assert context["allowPrivilegeEscalation"] is False
            assert context["capabilities"] == {"drop": ["ALL"]}
            resources = container["resources"]
            assert set(resources["requests"]) == set(resources["limits"]) == {"cpu", "memory"}


@every_kustomization
def test_a_gateway_may_have_the_memory_that_its_limits_allow_it(directory):
    """By the figures of the README."""
    gateway = gateway_of(directory)
    limits = yaml.safe_load(config_of(directory, gateway))["limits"]
    inflight, connections = limits.get("inflight", 4096), limits.get("connections", 20000)
    needed = 20 * MIB + binary_bytes(limits.get("memory", "1GiB"))
    needed += inflight * 130 * KIB + (connections - inflight) * 20 * KIB
    allowed = pod(gateway)["containers"][0]["resources"]["limits"]["memory"]
    assert binary_bytes(allowed) >= 1.1 * needed


@every_kustomization
def test_no_volume_is_mounted_in_a_way_that_hides_its_changes(directory):
    for workload in build(directory).workloads():
        for container in pod(workload)["containers"]:
            assert not any("subPath" in mount for mount in container["volumeMounts"])


@every_kustomization
def test_every_container_is_probed(directory):
    for workload in build(directory).workloads():
        ports = container_ports(workload)
        for container in pod(workload)["containers"]:
            for probe in ("startupProbe", "livenessProbe", "readinessProbe"):
                asked = container[probe]
                if "grpc" in asked:
                    assert asked["grpc"]["port"] == ports["grpc"]
                else:
                    wanted = "/readyz" if probe == "readinessProbe" else "/healthz"
                    assert asked["httpGet"] == {"path": wanted, "port": "admin"}
                    assert "admin" in ports


@every_kustomization
def test_pods_get_the_time_to_drain(directory):
    manifests = build(directory)
    for workload in manifests.workloads():
        config = yaml.safe_load(config_of(directory, workload))
        drain = config["limits"]["drain"] if "limits" in config else config.get("drain", "2s")
        for container in pod(workload)["containers"]:
            before = container["lifecycle"]["preStop"]["sleep"]["seconds"]
            assert before >= 5
            needed = before + seconds(drain)
            assert pod(workload)["terminationGracePeriodSeconds"] >= needed + 10, named(workload)


@every_kustomization
def test_configured_addresses_are_the_declared_ports(directory):
    for workload in build(directory).workloads():
        config = yaml.safe_load(config_of(directory, workload))
        ports = set(container_ports(workload).values())
        assert {int(config[key].rsplit(":", 1)[1]) for key in ("listen", "admin")} == ports


@every_kustomization
def test_gateways_ask_a_service_of_ratelimitd(directory):
    manifests = build(directory)
    target = ratelimitd_target(directory)
    name, port = re.fullmatch(r"dns:///([a-z-]+):(\d+)", target).groups()
    service = manifests.one("Service", name)
    (workload,) = manifests.selected_by(service["spec"]["selector"])
    assert workload["metadata"]["name"] == "ratelimitd"
    assert int(port) in {p["port"] for p in service["spec"]["ports"]}
    is_alone = workload["spec"]["replicas"] == 1
    # Round robin needs the address of every pod; one pod is found faster by the Service's own.
    assert (service["spec"].get("clusterIP") != "None") == is_alone


@every_kustomization
def test_policies_let_through_what_is_needed_and_nothing_else(directory):
    manifests = build(directory)
    gateway, ratelimitd = gateway_of(directory), manifests.selected_by(labelled("ratelimitd"))[0]
    everything = manifests.one("NetworkPolicy", "nothing-by-default")["spec"]
    assert everything == {"podSelector": {}, "policyTypes": ["Ingress", "Egress"]}

    assert callers(manifests, ratelimitd, 50051) == [{"podSelector": {"matchLabels": labelled("gateway")}}]
    monitoring = {"namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": "monitoring"}}}
    assert callers(manifests, ratelimitd, 9091) == [monitoring]
    assert callers(manifests, gateway, 9090) == [monitoring]
    (api,) = {n for name, n in container_ports(gateway).items() if name in ("http", "https")}
    assert callers(manifests, gateway, api) == [
        {"namespaceSelector": {"matchLabels": {"candor-client": "true"}}}
    ]
    for policy in manifests.of_kind("NetworkPolicy"):
        for rule in policy["spec"].get("ingress", []):
            assert rule.get("from") and rule.get("ports"), named(policy)
        for rule in policy["spec"].get("egress", []):
            assert rule.get("to") and rule.get("ports"), named(policy)
            for peer in rule["to"]:
                if "podSelector" in peer:
                    (workload,) = manifests.selected_by(peer["podSelector"]["matchLabels"])
                    assert {p["port"] for p in rule["ports"]} <= set(
                        container_ports(workload).values()
                    )


@pytest.fixture(scope="module")
def certificate_files(tmp_path_factory):
    authority = Authority(tmp_path_factory.mktemp("authority"))
    certificate, key = authority.issue("candor")
    paths = {"tls.crt": certificate, "tls.key": key, "ca.crt": authority.ca_path}
    return {name: path.read_bytes() for name, path in paths.items()}


@every_kustomization
def test_the_programs_take_their_configuration(directory, tmp_path, certificate_files):
    """Mounted secrets are looked for where the test has put them."""
    workloads = build(directory).workloads()
    assert {w["metadata"]["name"] for w in workloads} == set(BINARIES)
    for workload in workloads:
        name = workload["metadata"]["name"]
        text = config_of(directory, workload)
        for secret in re.findall(r"/run/secrets/[\w./-]+", text):
            (tmp_path / secret[1:]).parent.mkdir(parents=True, exist_ok=True)
            content = certificate_files.get(secret.rsplit("/", 1)[1], b"not-a-key")
            (tmp_path / secret[1:]).write_bytes(content)
        path = tmp_path / f"{name}.yaml"
        path.write_text(text.replace("/run/secrets", f"{tmp_path}/run/secrets"))
        done = subprocess.run(
            [BINARIES[name], "--check", "--config", path],
            env=variables(workload),
            capture_output=True,
            text=True,
            timeout=30,
        )
        assert done.returncode == 0, done.stderr


def test_the_overlay_that_the_readme_shows_builds(tmp_path):
    readme = (DEPLOY / "README.md").read_text()
    text = re.search(r"```\n(apiVersion: kustomize.*?)```", readme, re.S).group(1)
    text = text.replace("../candor/deploy", os.path.relpath(DEPLOY, tmp_path))
    (tmp_path / "kustomization.yaml").write_text(text)
    (tmp_path / "gateway.yaml").write_text("# mine")

    manifests = build(str(tmp_path))

    assert manifests.one("ConfigMap", "gateway")["data"] == {"gateway.yaml": "# mine"}
    assert manifests.of_kind("PrometheusRule")
    ratelimitd = manifests.one("Deployment", "ratelimitd")
    assert variables(ratelimitd)["CANDOR_REDIS_URL"] == "redis://redis.databases:6379/0"
    assert pod(ratelimitd)["containers"][0]["image"].startswith("registry.example.com/candor-")


@every_kustomization
def test_images_are_of_this_version(directory):
    version = re.search(r"candor VERSION ([\d.]+)", (REPOSITORY / "CMakeLists.txt").read_text()).group(1)
    for workload in build(directory).workloads():
        for container in pod(workload)["containers"]:
            assert container["image"] == f"candor-{container['name']}:{version}"


@every_kustomization
def test_gateways_survive_a_rollout_and_a_lost_node(directory):
    manifests = build(directory)
    gateway = gateway_of(directory)
    (scaler,) = manifests.of_kind("HorizontalPodAutoscaler")
    assert scaler["spec"]["minReplicas"] >= 3
    assert gateway["spec"]["strategy"]["rollingUpdate"] == {"maxUnavailable": 0, "maxSurge": 1}
    spread = {c["topologyKey"] for c in pod(gateway)["topologySpreadConstraints"]}
    assert spread == {"topology.kubernetes.io/zone", "kubernetes.io/hostname"}
    budgets = {b["metadata"]["name"]: b["spec"] for b in manifests.of_kind("PodDisruptionBudget")}
    assert budgets["gateway"]["maxUnavailable"] == 1


def labelled(name):
    return {"app.kubernetes.io/name": name}


def gateway_of(directory):
    (workload,) = build(directory).selected_by(labelled("gateway"))
    return workload


def config_of(directory, workload):
    name = workload["metadata"]["name"]
    return build(directory).one("ConfigMap", name)["data"][f"{name}.yaml"]


def without_transport(config):
    """A configuration without where it listens, whom it trusts and where it keeps its state."""
    for key in ("listen", "tls", "store"):
        config.pop(key, None)
    config.get("ratelimitd", {}).pop("tls", None)
    return config


def ratelimitd_target(directory):
    """What the gateway's configuration comes to with the variables of its container."""
    gateway = gateway_of(directory)
    text = yaml.safe_load(config_of(directory, gateway))["ratelimitd"]["target"]
    variable, default = re.fullmatch(r"\$\{(\w+):-(.*)\}", text).groups()
    return variables(gateway).get(variable, default)


def variables(workload):
    return {v["name"]: v["value"] for v in pod(workload)["containers"][0].get("env", [])}


def callers(manifests, workload, port):
    """Peers that some policy lets reach the port of the workload's pods."""
    return [
        peer
        for policy in manifests.of_kind("NetworkPolicy")
        if (labels := policy["spec"]["podSelector"].get("matchLabels", {})).items()
        <= pod_labels(workload).items()
        and labels
        for rule in policy["spec"].get("ingress", [])
        if port in {p["port"] for p in rule["ports"]}
        for peer in rule["from"]
    ]


def binary_bytes(text):
    """Of "512Mi" or "512MiB"."""
    number, unit = re.fullmatch(r"(\d+)([KMG])iB?", text).groups()
    return int(number) * {"K": KIB, "M": MIB, "G": 1024 * MIB}[unit]


def seconds(duration):
    number, unit = re.fullmatch(r"(\d+)(ms|s|m|h)", duration).groups()
    return int(number) * {"ms": 0.001, "s": 1, "m": 60, "h": 3600}[unit]
