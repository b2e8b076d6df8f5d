"""What kustomize makes of a directory under deploy/, with verbs to look around in it."""

import functools
import shutil
import subprocess

import yaml

from support.programs import REPOSITORY, tool

DEPLOY = REPOSITORY / "deploy"


def kustomizations():
    """Directories, relative to deploy/, that can be applied as they are."""
    found = [path.parent for path in DEPLOY.rglob("kustomization.yaml")]
    return sorted(
        str(path.relative_to(DEPLOY))
        for path in found
        if yaml.safe_load((path / "kustomization.yaml").read_text())["kind"] == "Kustomization"
    )


@functools.cache
def build(directory):
    """`directory`: relative to deploy/."""
    command = ["kubectl", "kustomize"] if shutil.which("kubectl") else [tool("kustomize"), "build"]
    done = subprocess.run([*command, DEPLOY / directory], capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    return Manifests(yaml.safe_load_all(done.stdout))


class Manifests:
    def __init__(self, objects):
        self.objects = list(objects)

    def of_kind(self, *kinds):
        return [o for o in self.objects if o["kind"] in kinds]

    def one(self, kind, name):
        """The object, or None."""
        return next((o for o in self.of_kind(kind) if o["metadata"]["name"] == name), None)

    def workloads(self):
        return self.of_kind("Deployment", "StatefulSet")

    def selected_by(self, labels):
        """Workloads whose pods bear all of `labels`."""
        return [w for w in self.workloads() if labels.items() <= pod_labels(w).items()]


def pod(workload):
    return workload["spec"]["template"]["spec"]


def pod_labels(workload):
    return workload["spec"]["template"]["metadata"]["labels"]


def container_ports(workload):
    """{name: number} over all containers."""
    return {
        port["name"]: port["containerPort"]
        for container in pod(workload)["containers"]
        for port in container.get("ports", [])
    }
