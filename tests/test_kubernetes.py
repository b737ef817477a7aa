"""The Kubernetes files: valid for the API and for KEDA, hardened, no secrets in them, in step with the compose file."""

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jsonschema
import kubernetes_validate
import pytest
import yaml
from compose_file import COMPOSE, check_command

from contracts.settings import Settings

FOLDER = Path(__file__).parent.parent / "deploy" / "kubernetes"
VERSIONS = ("1.31", "1.37")
Resource = dict[str, Any]


def read_kustomization(folder: Path) -> dict[str, Any]:
    found: dict[str, Any] = yaml.safe_load((folder / "kustomization.yaml").read_text())
    return found


def list_resources(folder: Path) -> Iterator[Resource]:
    """Everything that a kustomization puts together, as written."""
    for name in read_kustomization(folder).get("resources", []):
        path = folder / name
        yield from list_resources(path) if path.is_dir() else yaml.safe_load_all(path.read_text())


COMPONENTS = sorted(path for path in (FOLDER / "components").iterdir())
BASE = list(list_resources(FOLDER / "base"))
RESOURCES = [*BASE, *(one for component in COMPONENTS for one in list_resources(component))]
WORKLOADS = [one for one in RESOURCES if one["kind"] in ("Deployment", "StatefulSet", "Job")]
OURS = [one for one in WORKLOADS if one["spec"]["template"]["spec"]["containers"][0]["image"] == "emotrace"]


def name_of(resource: Resource) -> str:
    return f"{resource['kind']}-{resource['metadata']['name']}"


def read_container(resource: Resource) -> dict[str, Any]:
    (container,) = resource["spec"]["template"]["spec"]["containers"]
    assert isinstance(container, dict)
    return container


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("resource", RESOURCES, ids=name_of)
def test_a_resource_keeps_the_api(resource: Resource, version: str) -> None:
    if "keda.sh" not in resource["apiVersion"]:
        kubernetes_validate.validate(resource, version, strict=True)


@pytest.mark.parametrize("resource", [one for one in RESOURCES if "keda.sh" in one["apiVersion"]], ids=name_of)
def test_a_resource_of_keda_keeps_its_api(resource: Resource) -> None:
    from cloudcoil.models.keda import v1alpha1

    schema = getattr(v1alpha1, resource["kind"]).model_json_schema(by_alias=True)
    # As generated it lets unknown names pass.
    for part in (schema, *schema["$defs"].values()):
        if "properties" in part:
            part["additionalProperties"] = False
    jsonschema.validate(resource, schema)
    for trigger in resource["spec"].get("triggers", []):
        needed = {"prometheus": {"serverAddress", "query", "threshold"}, "redis": {"address", "listName", "listLength"}}
        assert needed[trigger["type"]] == set(trigger["metadata"])
        assert all(isinstance(value, str) for value in trigger["metadata"].values()), "KEDA's metadata are texts"


def test_every_file_is_part_of_a_kustomization() -> None:
    for kustomization in FOLDER.rglob("kustomization.yaml"):
        folder, found = kustomization.parent, read_kustomization(kustomization.parent)
        known = {"apiVersion", "kind", "namespace", "labels", "resources", "components", "images", "patches"}
        assert set(found) <= known
        assert found["kind"] == ("Component" if folder.parent.name == "components" else "Kustomization")
        files = {path.name for path in folder.glob("*.yaml")} - {"kustomization.yaml"}
        assert files == {name for name in found.get("resources", []) if name.endswith(".yaml")}
        assert all((folder / name).is_dir() for name in found.get("components", []))
    # What is commented out there exists too.
    named = set(re.findall(r"components/\w+", (FOLDER / "kustomization.yaml").read_text()))
    assert named == {f"components/{component.name}" for component in COMPONENTS}


@pytest.mark.parametrize("component", COMPONENTS, ids=lambda path: path.name)
def test_a_patch_changes_something_that_is_there(component: Path) -> None:
    for patch in read_kustomization(component).get("patches", []):
        target = patch["target"]
        (place,) = (one for one in BASE if (one["kind"], one["metadata"]["name"]) == (target["kind"], target["name"]))
        for operation in yaml.safe_load(patch["patch"]):
            found: Any = place
            for step in operation["path"].strip("/").split("/"):
                found = found[int(step)] if isinstance(found, list) else found[step]
            if operation["value" if "value" in operation else "op"] == "cuda":
                assert found == "cpu"


@pytest.mark.parametrize("resource", OURS, ids=name_of)
def test_a_container_runs_a_command_of_emotrace(resource: Resource) -> None:
    check_command(read_container(resource)["args"])


@pytest.mark.parametrize("resource", WORKLOADS, ids=name_of)
def test_a_pod_is_hardened_and_bounded(resource: Resource) -> None:
    pod, container = resource["spec"]["template"]["spec"], read_container(resource)
    assert pod["securityContext"]["runAsNonRoot"] is True and pod["securityContext"]["runAsUser"] > 0
    assert pod["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
    assert pod["automountServiceAccountToken"] is False
    assert pod["enableServiceLinks"] is False, "a Service's variables may look like unknown settings of emotrace"
    context = container["securityContext"]
    assert context["readOnlyRootFilesystem"] is True and context["allowPrivilegeEscalation"] is False
    assert context["capabilities"] == {"drop": ["ALL"]}
    assert container["resources"]["limits"]["memory"]
    assert resource["kind"] == "Job" or "readinessProbe" in container
    mounted = {mount["name"] for mount in container["volumeMounts"]}
    claims = {claim["metadata"]["name"] for claim in resource["spec"].get("volumeClaimTemplates", [])}
    assert mounted == {volume["name"] for volume in pod["volumes"]} | claims


@pytest.mark.parametrize("resource", WORKLOADS, ids=name_of)
def test_secrets_are_files_of_a_secret_that_the_operator_makes(resource: Resource) -> None:
    assert not [one for one in RESOURCES if one["kind"] == "Secret"]
    container = read_container(resource)
    for variable in container.get("env", []):
        assert "valueFrom" not in variable, "a variable of a Secret shows in the process's environment"
    secrets = [volume["secret"] for volume in resource["spec"]["template"]["spec"]["volumes"] if "secret" in volume]
    assert [secret["secretName"] for secret in secrets] in ([], ["emotrace"])
    assert all(secret["defaultMode"] == 0o440 for secret in secrets)


def test_settings_exist_and_hold_no_password() -> None:
    (settings,) = (one["data"] for one in BASE if one["kind"] == "ConfigMap")
    own = {variable["name"] for one in OURS for variable in read_container(one).get("env", [])}
    for name in settings | dict.fromkeys(own, ""):
        assert name == "OMP_NUM_THREADS" or name.removeprefix("EMOTRACE_").lower() in Settings.model_fields
    assert not re.search(r"://[^/@\s]*:[^/@\s]*@", json.dumps(settings))


def test_a_process_is_given_the_files_that_its_settings_name() -> None:
    (settings,) = (one["data"] for one in BASE if one["kind"] == "ConfigMap")
    for resource in OURS:
        container, pod = read_container(resource), resource["spec"]["template"]["spec"]
        effective = settings | {variable["name"]: variable["value"] for variable in container.get("env", [])}
        named = {value for name, value in effective.items() if name.endswith("_FILE") and value}
        (volume,) = (volume["secret"] for volume in pod["volumes"] if "secret" in volume)
        assert named == {f"/run/secrets/emotrace/{item['path']}" for item in volume["items"]}, name_of(resource)


def test_compose_and_kubernetes_run_the_same_servers_and_commands() -> None:
    services = COMPOSE["services"]
    for resource in WORKLOADS:
        name, container = resource["metadata"]["name"], read_container(resource)
        if resource in OURS:
            words = [word for word in services[name]["command"] if not word.startswith("${")]
            assert words == [word for word in container["args"] if not word.isdigit() or word == "9400"]
        else:
            assert container["image"] == services[name]["image"]
    (valkey,) = (read_container(one) for one in WORKLOADS if one["metadata"]["name"] == "valkey")
    assert valkey["command"] == [word.replace("$$", "$") for word in services["valkey"]["command"]]


def test_policies_select_pods_that_exist() -> None:
    labels = [one["spec"]["template"]["metadata"]["labels"] for one in WORKLOADS]
    for policy in (one for one in RESOURCES if one["kind"] in ("NetworkPolicy", "PodDisruptionBudget")):
        selector = policy["spec"].get("podSelector") or policy["spec"].get("selector") or {}
        for key, value in selector.get("matchLabels", {}).items():
            assert any(found.get(key) == value for found in labels), name_of(policy)
    scaled = {one["spec"]["scaleTargetRef"]["name"] for one in RESOURCES if one["kind"] == "ScaledObject"}
    assert scaled == {"ingest", "inference"}
