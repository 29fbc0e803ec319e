"""What servers/ says to docker compose and to Kubernetes is right by their own models, and gives no secret away."""

import asyncio
import json
import re
import uuid
from pathlib import Path
from typing import Any

import pytest
import yaml

SERVERS = Path(__file__).parents[1] / "servers"
KUBERNETES = SERVERS / "kubernetes"
COMPOSE: dict[str, Any] = yaml.safe_load((SERVERS / "compose.yaml").read_text())
CONSTRAINTS = (SERVERS.parent / "constraints.txt").read_text()
PREFECT_KUBERNETES_WANTS = ("completions", "parallelism")
"""Its model insists on these two in the pod's spec, where Kubernetes knows none (its API drops them with a warning)."""


def validate(manifest: dict[str, Any]) -> None:
    """Pass if Kubernetes knows every field of ``manifest``."""
    kubernetes = pytest.importorskip("kubernetes_validate", reason="pip install -e '.[servers-test]'")
    kubernetes.validate(manifest, "1.33", strict=True)


def documents(name: str) -> list[dict[str, Any]]:
    return list(yaml.safe_load_all((KUBERNETES / name).read_text()))


def test_every_image_has_a_version_and_the_servers_that_of_their_clients() -> None:
    images = {name: service["image"].rsplit(":", 1)[1] for name, service in COMPOSE["services"].items()}
    assert all(re.match(r"v?\d+\.\d+", tag) for tag in images.values()), images
    assert f"\nprefect=={images['prefect'].removesuffix('-python3.11')}\n" in CONSTRAINTS
    assert f"\nmlflow=={images['mlflow'].removeprefix('v').removesuffix('-full')}\n" in CONSTRAINTS


def test_every_port_is_on_loopback_unless_told() -> None:
    ports = [port for service in COMPOSE["services"].values() for port in service.get("ports", [])]
    assert ports and all(port.startswith("${R1_HOST:-127.0.0.1}:") for port in ports)
    assert "ports" not in COMPOSE["services"]["postgres"]


def test_compose_asks_for_its_secrets_by_names_that_the_example_has_without_a_value() -> None:
    asked = set(re.findall(r"\$\{(\w+):\?", (SERVERS / "compose.yaml").read_text()))
    example = dict(
        line.split("=", 1)
        for line in (SERVERS / "env.example").read_text().splitlines()
        if "=" in line and not line.startswith("#")
    )
    assert asked == {"R1_POSTGRES_PASSWORD", "AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"} <= example.keys()
    assert example["R1_POSTGRES_PASSWORD"] == example["AWS_SECRET_ACCESS_KEY"] == ""


def test_a_flow_run_on_kubernetes_is_a_job_with_the_repository_the_keys_and_the_gpus() -> None:
    worker = pytest.importorskip("prefect_kubernetes.worker", reason="pip install -e '.[servers]'")
    from prefect.client.schemas.objects import FlowRun

    async def render() -> Any:
        template = json.loads((KUBERNETES / "job-template.json").read_text())
        job = await worker.KubernetesWorkerJobConfiguration.from_template_and_values(template, {"gpus": 8})
        job.prepare_for_flow_run(FlowRun(id=uuid.uuid4(), flow_id=uuid.uuid4(), name="grave-owl"))
        return job.job_manifest

    job = asyncio.run(render())
    pod = job["spec"]["template"]["spec"]
    for field in PREFECT_KUBERNETES_WANTS:
        pod.pop(field)
    validate(job)
    (container,) = pod["containers"]
    assert container["args"] == ["prefect", "flow-run", "execute"]
    assert container["resources"]["limits"]["nvidia.com/gpu"] == 8
    assert container["envFrom"] == [{"secretRef": {"name": "r1"}}]
    assert container["workingDir"] == container["volumeMounts"][0]["mountPath"] == "/r1"
    assert pod["volumes"][0]["persistentVolumeClaim"]["claimName"] in names("PersistentVolumeClaim")


def names(kind: str) -> list[str]:
    """Names of the objects of one kind in worker.yaml."""
    return [document["metadata"]["name"] for document in documents("worker.yaml") if document["kind"] == kind]


def test_kubernetes_knows_every_field_of_the_worker_and_of_the_pods_of_ray() -> None:
    for document in documents("worker.yaml"):
        validate(document)
    (ray,) = documents("ray.yaml")
    for group in (ray["spec"]["headGroupSpec"], *ray["spec"]["workerGroupSpecs"]):
        validate({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "r1-ray"}, **group["template"]})
