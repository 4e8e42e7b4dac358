"""The values for Dagster's Helm chart, and what stands beside it, as Kubernetes and Dagster read them.

The chart itself is in no package. What its values become is: objects of Kubernetes, which its client knows, the pod of
a run, which Dagster makes, and Dagster's instance, whose configuration Dagster checks. The names of the chart's own
values were read in its schema.
"""

import re
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import dagster as dg
import pytest
import yaml
from dagster._config import process_config, resolve_to_config_type
from dagster._core.instance.config import dagster_instance_config
from dagster_k8s import K8sRunLauncher
from dagster_k8s.container_context import K8sContainerContext
from dagster_k8s.job import construct_dagster_k8s_job
from kubernetes.client import ApiClient, models
from sqlalchemy.engine import make_url

from cowrie_pipeline_tests.deploy.files import DEPLOY, PROGRAMS, document, is_known, version

FOLDER = DEPLOY / "k8s"
VALUES = document(FOLDER / "values.yaml")
OBJECTS = list(yaml.safe_load_all((FOLDER / "resources.yaml").read_text(encoding="utf-8")))
CODE = VALUES["dagster-user-deployments"]["deployments"][0]
LAUNCHER = VALUES["runLauncher"]["config"]["k8sRunLauncher"]
# what the chart's values of each part may be called (dagster-io/dagster, helm/dagster/schema)
OF_THE_CHART = {
    "": {
        *(
            "global",
            "generatePostgresqlPasswordSecret",
            "generateCeleryConfigSecret",
            "postgresql",
            "rabbitmq",
            "redis",
        ),
        *("runLauncher", "dagster-user-deployments", "dagsterWebserver", "dagsterDaemon", "ingress", "telemetry"),
        *("computeLogManager", "retention", "additionalInstanceConfig"),
    },
    "postgresql": {
        *("enabled", "image", "postgresqlScheme", "postgresqlHost", "postgresqlUsername", "postgresqlPassword"),
        *("postgresqlDatabase", "postgresqlParams", "service"),
    },
    "dagsterWebserver": {
        *(
            "replicaCount",
            "image",
            "service",
            "env",
            "envSecrets",
            "podSecurityContext",
            "securityContext",
            "resources",
        ),
        *("volumes", "volumeMounts", "livenessProbe", "readinessProbe", "startupProbe"),
    },
    "dagsterDaemon": {
        *("enabled", "image", "env", "envSecrets", "podSecurityContext", "securityContext", "resources", "volumes"),
        *("volumeMounts", "livenessProbe", "readinessProbe", "startupProbe", "runMonitoring", "runRetries"),
    },
    "dagster-user-deployments": {"enabled", "enableSubchart", "imagePullSecrets", "deployments"},
}
OF_A_DEPLOYMENT = {
    *("name", "image", "dagsterApiGrpcArgs", "codeServerArgs", "port", "includeConfigInLaunchedRuns", "env"),
    *("envConfigMaps", "envSecrets", "podSecurityContext", "securityContext", "resources", "startupProbe"),
    *("livenessProbe", "readinessProbe", "volumes", "volumeMounts"),
}
KINDS = {
    "podSecurityContext": "V1PodSecurityContext",
    "securityContext": "V1SecurityContext",
    "resources": "V1ResourceRequirements",
    "volumes": "list[V1Volume]",
    "volumeMounts": "list[V1VolumeMount]",
    "livenessProbe": "V1Probe",
    "readinessProbe": "V1Probe",
}


def unknown(found: Any, kind: str, where: str) -> Iterator[str]:
    """Yield what Kubernetes does not know in an object that should be of a kind, as its client describes it."""
    if listed := re.fullmatch(r"list\[(.+)\]", kind):
        for index, each in enumerate(found):
            yield from unknown(each, listed[1], f"{where}[{index}]")
    elif mapped := re.fullmatch(r"dict\[str, (.+)\]", kind):
        for name, each in found.items():
            yield from unknown(each, mapped[1], f"{where}.{name}")
    elif (model := getattr(models, kind, None)) is not None:
        names = {shown: name for name, shown in model.attribute_map.items()}
        for name, each in found.items():
            if name not in names:
                yield f"{where}.{name}"
            else:
                yield from unknown(each, model.openapi_types[names[name]], f"{where}.{name}")
    elif kind in ("str", "int", "bool"):
        if type(found).__name__ != kind:
            yield f"{where}: {found!r} is no {kind}"
    elif kind != "object":
        yield f"{where}: {kind} is not known"


def launched() -> dict[str, Any]:
    """Return the launcher's configuration as the chart's template writes it."""
    runs = LAUNCHER["runK8sConfig"]
    return {
        "load_incluster_config": LAUNCHER["loadInclusterConfig"],
        "job_namespace": "default",
        "image_pull_policy": LAUNCHER["imagePullPolicy"],
        "service_account_name": "dagster",
        "dagster_home": VALUES["global"]["dagsterHome"],
        "instance_config_map": "dagster-instance",
        "postgres_password_secret": VALUES["global"]["postgresqlSecretName"],
        "security_context": LAUNCHER["securityContext"],
        "run_k8s_config": {
            "pod_spec_config": runs["podSpecConfig"],
            "job_spec_config": runs["jobSpecConfig"],
        },
    }


def handed_on() -> dict[str, Any]:
    """Return what the deployment hands on to the pods of runs, as the chart's template writes it."""
    return {
        "image_pull_policy": CODE["image"]["pullPolicy"],
        "env_secrets": [secret["name"] for secret in CODE["envSecrets"]],
        "volume_mounts": CODE["volumeMounts"],
        "volumes": CODE["volumes"],
        "resources": CODE["resources"],
        "env": CODE["env"],
        "namespace": "default",
        "service_account_name": "dagster",
    }


@pytest.mark.parametrize("part", OF_THE_CHART, ids=lambda part: part or "all")
def test_the_chart_has_values_of_these_names(part: str) -> None:
    found = VALUES[part] if part else VALUES
    assert set(found) - OF_THE_CHART[part] == set()


def test_a_deployment_has_values_of_these_names() -> None:
    assert len(VALUES["dagster-user-deployments"]["deployments"]) == 1
    assert set(CODE) - OF_A_DEPLOYMENT == set()


@pytest.mark.parametrize("part", ["dagsterWebserver", "dagsterDaemon", "code"])
def test_parts_of_pods_are_what_kubernetes_knows(part: str) -> None:
    values = CODE if part == "code" else VALUES[part]
    wrong = [each for name, kind in KINDS.items() if name in values for each in unknown(values[name], kind, name)]
    assert wrong == []
    names = {volume["name"] for volume in values["volumes"]}
    assert {mount["name"] for mount in values["volumeMounts"]} == names


def test_what_kubernetes_does_not_know_would_be_found() -> None:
    security = {"runAsNonRoot": "yes", "runAsUzer": 1}
    assert list(unknown(security, "V1PodSecurityContext", "it")) == [
        "it.runAsNonRoot: 'yes' is no bool",
        "it.runAsUzer",
    ]


@pytest.mark.parametrize("index", range(len(OBJECTS)), ids=[each["kind"] + str(n) for n, each in enumerate(OBJECTS)])
def test_an_object_beside_the_chart_is_what_kubernetes_knows(index: int) -> None:
    found = OBJECTS[index]
    assert list(unknown(found, f"V1{found['kind']}", found["kind"])) == []
    group, _, _ = found["apiVersion"].rpartition("/")
    assert group == ("apps" if found["kind"] == "Deployment" else "")


@pytest.mark.parametrize("part", ["dagsterWebserver", "dagsterDaemon", "code", "runs", "metrics"])
def test_no_pod_is_root_or_writes_its_own_files(part: str) -> None:
    if part == "runs":
        pod, container = LAUNCHER["runK8sConfig"]["podSpecConfig"]["security_context"], LAUNCHER["securityContext"]
    elif part == "metrics":
        spec = next(each for each in OBJECTS if each["kind"] == "Deployment")["spec"]["template"]["spec"]
        pod, container = spec["securityContext"], spec["containers"][0]["securityContext"]
    else:
        values = CODE if part == "code" else VALUES[part]
        pod, container = values["podSecurityContext"], values["securityContext"]
    assert (pod["runAsNonRoot"], pod["runAsUser"]) == (True, 10001)
    assert container == {
        "allowPrivilegeEscalation": False,
        "readOnlyRootFilesystem": True,
        "capabilities": {"drop": ["ALL"]},
    }


def test_dagster_takes_the_launcher_s_configuration() -> None:
    checked = process_config(resolve_to_config_type(K8sRunLauncher.config_type()), launched())
    assert checked.success, checked.errors


def test_the_pod_of_a_run_has_what_the_values_say(tmp_path: Path) -> None:
    # a cluster that nobody asks
    cluster = {"clusters": [{"name": "c", "cluster": {"server": "https://127.0.0.1:1"}}], "current-context": "c"}
    cluster |= {
        "contexts": [{"name": "c", "context": {"cluster": "c", "user": "u"}}],
        "users": [{"name": "u", "user": {"token": "t"}}],
    }
    (tmp_path / "config").write_text(yaml.safe_dump(cluster), encoding="utf-8")
    launcher = K8sRunLauncher(
        **launched() | {"load_incluster_config": False, "kubeconfig_file": str(tmp_path / "config")}
    )
    run = dg.DagsterRun("daily", run_id="0" * 8)
    context = K8sContainerContext.create_for_run(run, launcher, include_run_tags=False)
    context = context.merge(K8sContainerContext.create_from_config({"k8s": handed_on()}))
    image = f"{CODE['image']['repository']}:{CODE['image']['tag']}"
    job = construct_dagster_k8s_job(
        job_config=context.get_k8s_job_config(job_image=image, run_launcher=launcher),
        args=["dagster", "api", "execute_run"],
        job_name="a-run",
        user_defined_k8s_config=context.run_k8s_config,
    )
    job = ApiClient().sanitize_for_serialization(job)
    assert list(unknown(job, "V1Job", "job")) == []
    pod = job["spec"]["template"]["spec"]
    container = pod["containers"][0]
    assert pod["securityContext"] == CODE["podSecurityContext"]
    assert container["securityContext"] == CODE["securityContext"]
    assert container["image"] == image
    assert container["resources"] == CODE["resources"]
    assert [given for given in CODE["env"] if given not in container["env"]] == []
    assert {"secretRef": {"name": "cowrie-keys"}} in container["envFrom"]
    assert [mount for mount in CODE["volumeMounts"] if mount not in container["volumeMounts"]] == []
    assert [volume for volume in CODE["volumes"] if volume not in pod["volumes"]] == []
    assert pod["terminationGracePeriodSeconds"] == 300
    assert job["spec"]["ttlSecondsAfterFinished"] == 86_400


def test_dagster_takes_the_instance_s_configuration(tmp_path: Path) -> None:
    retention = VALUES["retention"]
    monitoring, retries = VALUES["dagsterDaemon"]["runMonitoring"], VALUES["dagsterDaemon"]["runRetries"]
    instance = {
        "run_launcher": {"module": "dagster_k8s", "class": "K8sRunLauncher", "config": launched()},
        "run_coordinator": {"module": "dagster.core.run_coordinator", "class": "QueuedRunCoordinator"},
        "run_monitoring": {
            "enabled": monitoring["enabled"],
            "free_slots_after_run_end_seconds": monitoring["freeSlotsAfterRunEndSeconds"],
        },
        "run_retries": {"enabled": retries["enabled"], "max_retries": retries["maxRetries"]},
        "telemetry": VALUES["telemetry"],
        "retention": {
            "schedule": {"purge_after_days": retention["schedule"]["purgeAfterDays"]},
            "sensor": {"purge_after_days": retention["sensor"]["purgeAfterDays"]},
        },
        **VALUES["additionalInstanceConfig"],
    }
    (tmp_path / "dagster.yaml").write_text(yaml.safe_dump(instance), encoding="utf-8")
    taken, _ = dagster_instance_config(str(tmp_path))
    usual = document(DEPLOY / "postgres" / "dagster.yaml")
    for part in ("concurrency", "telemetry", "nux", "code_servers"):
        assert taken[part] == usual[part]
    for part in ("run_monitoring", "run_retries"):
        assert taken[part].items() <= usual[part].items()
    assert retention["sensor"]["purgeAfterDays"].items() >= usual["retention"]["sensor"]["purge_after_days"].items()
    # the driver that Dagster speaks
    assert VALUES["postgresql"]["postgresqlScheme"] == usual["storage"]["postgres"]["postgres_db"]["scheme"]


def test_every_image_of_ours_is_of_the_project_s_version() -> None:
    images = [CODE["image"], VALUES["dagsterWebserver"]["image"], VALUES["dagsterDaemon"]["image"]]
    assert {str(image["tag"]) for image in images} == {version()}
    metrics = next(each for each in OBJECTS if each["kind"] == "Deployment")["spec"]["template"]["spec"]["containers"][
        0
    ]
    assert metrics["image"] == f"{images[0]['repository']}:{version()}"


def test_variables_are_settings_and_no_password_is_among_them() -> None:
    metrics = next(each for each in OBJECTS if each["kind"] == "Deployment")["spec"]["template"]["spec"]["containers"][
        0
    ]
    for given in (*CODE["env"], *metrics["env"]):
        assert is_known(given["name"]) or given["name"] == "PGPASSWORD"
        if given["name"] == "PGPASSWORD":
            assert given["valueFrom"]["secretKeyRef"]["name"] == VALUES["global"]["postgresqlSecretName"]
        if given["name"] == "COWRIE_DB_URL":
            assert make_url(given["value"]).password is None
    assert "postgresqlPassword" not in VALUES["postgresql"]
    assert VALUES["generatePostgresqlPasswordSecret"] is False


def test_logs_are_read_only() -> None:
    mount = next(mount for mount in CODE["volumeMounts"] if mount["name"] == "logs")
    logs = next(given["value"] for given in CODE["env"] if given["name"] == "COWRIE_LOGS")
    assert mount == {"name": "logs", "mountPath": logs, "readOnly": True}
    volume = next(volume for volume in CODE["volumes"] if volume["name"] == "logs")
    assert volume["persistentVolumeClaim"]["readOnly"] is True


def test_volumes_of_pods_are_claimed_and_services_find_their_pods() -> None:
    claims = {each["metadata"]["name"] for each in OBJECTS if each["kind"] == "PersistentVolumeClaim"}
    deployment = next(each for each in OBJECTS if each["kind"] == "Deployment")["spec"]["template"]
    volumes = [*CODE["volumes"], *deployment["spec"]["volumes"]]
    assert {
        volume["persistentVolumeClaim"]["claimName"] for volume in volumes if "persistentVolumeClaim" in volume
    } == claims
    service = next(each for each in OBJECTS if each["kind"] == "Service")["spec"]
    assert service["selector"].items() <= deployment["metadata"]["labels"].items()
    assert service["type"] == VALUES["dagsterWebserver"]["service"]["type"] == "ClusterIP"


def test_commands_of_pods_are_there() -> None:
    metrics = next(each for each in OBJECTS if each["kind"] == "Deployment")["spec"]["template"]["spec"]["containers"][
        0
    ]
    for command in (metrics["args"], ["dagster", "api", "grpc", *CODE["dagsterApiGrpcArgs"]]):
        words = [word for word in command[1:3] if not word.startswith("-")]
        options = {word.partition("=")[0] for word in command if word.startswith("--")}
        shown = subprocess.run(
            [PROGRAMS / command[0], *words, "--help"], capture_output=True, text=True, timeout=120, check=True
        )
        assert [option for option in options if option not in shown.stdout] == []
