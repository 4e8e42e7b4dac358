"""The compose file and what it mounts: every file, variable, port, service and command that it names is there."""

import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psycopg
import pytest
import yaml

from cowrie_pipeline_tests.deploy.files import (
    COMPOSE,
    DEPLOY,
    PROGRAMS,
    ROOT,
    document,
    instructions,
    is_known,
    of_the_pipeline,
    services,
    version,
)
from cowrie_pipeline_tests.postgresql import OwnServer, free_port, programs

FILE = COMPOSE / "compose.yaml"
EXAMPLE = COMPOSE / ".env.example"
WITH_SECRETS = COMPOSE / "with-secrets"
SECRETS = "/run/secrets"
OF_SERVICES = pytest.mark.parametrize("name", list(services()))
OF_THE_PIPELINE = pytest.mark.parametrize("name", list(of_the_pipeline()))
# made by the operator, as docs/containers.md says
MADE_BY_HAND = {"./config"}


def mounts(service: dict[str, Any]) -> Iterator[tuple[str, str, str]]:
    """Yield the volumes of a service: what is mounted, where, and how."""
    for volume in service.get("volumes", []):
        # an interpolation has colons of its own
        source, target, *options = re.sub(r"\$\{\w+:\?[^}]*\}", "$HOST", volume).split(":")
        yield source, target, ",".join(options)


def asked(service: dict[str, Any]) -> list[str]:
    """Return the words of the command that a health check runs, without what a shell then does with its output."""
    kind, *words = service["healthcheck"]["test"]
    return shlex.split(words[0].partition(" | ")[0]) if kind == "CMD-SHELL" else words


def test_the_compose_specification_allows_what_the_file_says() -> None:
    command = [sys.executable, "-m", "check_jsonschema", "--builtin-schema", "vendor.compose-spec", str(FILE)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stdout


def test_the_compose_specification_would_find_a_mistake(tmp_path: Path) -> None:
    wrong = tmp_path / "compose.yaml"
    wrong.write_text(FILE.read_text(encoding="utf-8").replace("stop_grace_period:", "stop_graceperiod:"))
    command = [sys.executable, "-m", "check_jsonschema", "--builtin-schema", "vendor.compose-spec", str(wrong)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 1
    assert "stop_graceperiod" in done.stdout


@OF_SERVICES
def test_a_service_waits_only_for_services_that_can_be_so(name: str) -> None:
    for needed, wanted in services()[name].get("depends_on", {}).items():
        other = services()[needed]
        if wanted["condition"] == "service_healthy":
            assert other["healthcheck"]["test"]
        if wanted["condition"] == "service_completed_successfully":
            assert other["restart"] == "no"


@OF_SERVICES
def test_an_image_is_of_one_version(name: str) -> None:
    image = services()[name]["image"]
    assert re.fullmatch(r"[a-z_]+(/[a-z]+)?:v?\d+\.\d+(\.\d+)?(-[a-z]+)?", image)
    if image.startswith("cowrie_pipeline:"):
        assert image == f"cowrie_pipeline:{version()}"


@OF_SERVICES
def test_a_port_is_published_to_this_machine_alone(name: str) -> None:
    for port in services()[name].get("ports", []):
        assert re.fullmatch(r"127\.0\.0\.1:\d+:\d+", port)
        # the port inside is one that the service is told, or Grafana's own
        inside = port.rsplit(":", 1)[1]
        assert inside in " ".join(map(str, (*services()[name].get("command", []), *asked(services()[name]))))


def test_no_two_services_publish_the_same_port() -> None:
    published = [port.split(":")[1] for service in services().values() for port in service.get("ports", [])]
    assert sorted(published) == ["3000", "3001", "9090", "9464"]
    assert len(set(published)) == len(published)


def test_what_is_not_published_is_on_a_network_that_leads_nowhere() -> None:
    assert document(FILE)["networks"]["data"] == {"internal": True}
    assert {name for name, service in services().items() if service["networks"] == ["data"]} == {"postgres", "redis"}


@OF_SERVICES
def test_a_service_has_no_right_that_it_does_not_need(name: str) -> None:
    service = services()[name]
    assert not {"privileged", "cap_add", "devices", "pid", "ipc", "network_mode", "userns_mode"} & service.keys()
    assert service["security_opt"] == ["no-new-privileges:true"]
    if name != "postgres":
        # whose image begins as root, to give the volume to its user
        assert service["cap_drop"] == ["ALL"]
        assert service["read_only"] is True
    assert not any("docker.sock" in source for source, _, _ in mounts(service))


@OF_THE_PIPELINE
def test_the_pipeline_is_not_root_and_writes_its_state_alone(name: str) -> None:
    service = of_the_pipeline()[name]
    user = dict(instructions(COMPOSE / "Dockerfile"))["USER"]
    assert service["user"] == user == "10001:10001"
    writable = [target for _, target, options in mounts(service) if "ro" not in options.split(",")]
    assert writable == ["/var/lib/cowrie_pipeline"]


@OF_THE_PIPELINE
def test_logs_are_mounted_read_only_where_they_are_looked_for(name: str) -> None:
    service = of_the_pipeline()[name]
    logs = [(target, options) for source, target, options in mounts(service) if source == "$HOST"]
    assert logs == [(service["environment"]["COWRIE_LOGS"], "ro")]


@OF_SERVICES
def test_what_is_mounted_is_there(name: str) -> None:
    volumes = document(FILE)["volumes"]
    for source, _, options in mounts(services()[name]):
        if source.startswith("."):
            assert options == "ro", source
            assert source in MADE_BY_HAND or (COMPOSE / source).is_file(), source
        elif source != "$HOST":
            assert source in volumes


@OF_SERVICES
def test_a_variable_of_a_service_is_one_that_somebody_reads(name: str) -> None:
    set_here = services()[name].get("environment", {})
    ours = {variable for variable in set_here if variable.startswith("COWRIE_")}
    assert [variable for variable in ours if not is_known(variable)] == []
    of_dagster = {variable for variable in set_here if variable.startswith("DAGSTER_")}
    if name in of_the_pipeline():
        instance = (DEPLOY / "celery" / "dagster.yaml").read_text(encoding="utf-8")
        assert of_dagster == set(re.findall(r"env: (DAGSTER_\w+)", instance))


def test_the_example_of_settings_sets_or_offers_what_somebody_reads() -> None:
    text = FILE.read_text(encoding="utf-8")
    interpolated = set(re.findall(r"(?<!\$)\$\{(\w+)", text))
    offered = re.findall(r"^#?([A-Z][A-Z0-9_]*)=", EXAMPLE.read_text(encoding="utf-8"), re.MULTILINE)
    assert interpolated <= set(offered)
    assert [name for name in offered if name not in interpolated and not is_known(name)] == []
    # what the compose file sets itself would not be heard
    assert not set(offered) & set(of_the_pipeline()["code"]["environment"])
    # without the one that has no default nothing starts
    assert re.findall(r"\$\{(\w+):\?", text) == ["LOGS_FOLDER"]
    assert "\nLOGS_FOLDER=/" in EXAMPLE.read_text(encoding="utf-8")


def test_no_password_stands_in_a_file_of_the_project() -> None:
    for name, service in services().items():
        for variable, value in service.get("environment", {}).items():
            if re.search("PASSWORD|SECRET|TOKEN|KEY", variable):
                assert value == "" or value.startswith(f"{SECRETS}/"), (name, variable)
    for secret in document(FILE)["secrets"].values():
        done = subprocess.run(
            ["git", "check-ignore", "--quiet", "--no-index", f"deploy/compose/{secret['file']}"],
            cwd=ROOT,
            check=False,
        )
        assert done.returncode == 0
    assert {name for service in services().values() for name in service.get("secrets", [])} == set(
        document(FILE)["secrets"]
    )


@OF_THE_PIPELINE
def test_a_command_and_its_options_are_there(name: str) -> None:
    service = of_the_pipeline()[name]
    commands = [service["command"]]
    if service["healthcheck"] != {"disable": True}:
        commands.append([word for word in asked(service) if word != "with-secrets"])
    for command in commands:
        if command[0] == "sh":
            commands += [part.split() for part in command[2].split(" && ")]
            continue
        if command[0] == "python":
            compile(command[2], name, "exec")
            continue
        words = [word for word in command[1:] if not word.startswith("--")]
        options = {word.partition("=")[0] for word in command[1:] if word.startswith("--")}
        shown = subprocess.run(
            [PROGRAMS / command[0], *words, "--help"], capture_output=True, text=True, timeout=120, check=False
        )
        assert shown.returncode == 0, shown.stderr
        assert [option for option in options if option not in shown.stdout] == []


def test_the_daemon_and_the_web_page_look_for_definitions_where_they_are() -> None:
    server = document(COMPOSE / "workspace.yaml")["load_from"][0]["grpc_server"]
    command = services()[server["host"]]["command"]
    assert f"--port={server['port']}" in command
    assert f"--location-name={server['location_name']}" in command


def test_dagster_with_workers_differs_in_how_many_runs_there_are_at_a_time() -> None:
    ours, usual = (document(DEPLOY / folder / "dagster.yaml") for folder in ("celery", "postgres"))
    assert ours["concurrency"]["runs"].pop("max_concurrent_runs") > usual["concurrency"]["runs"].pop(
        "max_concurrent_runs"
    )
    assert ours == usual


def test_monitoring_differs_in_its_addresses_alone() -> None:
    ours, usual = document(COMPOSE / "prometheus.yml"), document(DEPLOY / "monitoring" / "prometheus.yml")
    host, port = ours["scrape_configs"][0]["static_configs"][0].pop("targets")[0].split(":")
    assert usual["scrape_configs"][0]["static_configs"][0].pop("targets") == [f"127.0.0.1:{port}"]
    assert f"--port={port}" in services()[host]["command"]
    assert ours == usual

    grafana = DEPLOY / "monitoring" / "grafana"
    ours, usual = document(COMPOSE / "grafana-datasource.yml"), document(grafana / "datasource.yml")
    url = ours["datasources"][0].pop("url")
    assert usual["datasources"][0].pop("url").replace("127.0.0.1", "prometheus") == url
    assert ours == usual
    # where the provider of dashboards looks for them
    folder = document(grafana / "dashboards.yml")["providers"][0]["options"]["path"]
    assert any(target.startswith(f"{folder}/") for _, target, _ in mounts(services()["grafana"]))


@pytest.mark.skipif(shutil.which("promtool") is None, reason="needs promtool (Debian package prometheus)")
def test_prometheus_takes_its_configuration(tmp_path: Path) -> None:
    for source, target, _ in mounts(services()["prometheus"]):
        if source.startswith("."):
            shutil.copy(COMPOSE / source, tmp_path / Path(target).name)
    command = ["promtool", "check", "config", str(tmp_path / "prometheus.yml")]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr
    assert "1 rule files found" in done.stdout


def secrets_in(folder: Path, **values: str) -> Path:
    folder.mkdir()
    for name, value in values.items():
        (folder / name).write_text(f"{value}\n", encoding="utf-8")
    return folder


def test_passwords_of_files_reach_the_command_and_no_list_of_processes(tmp_path: Path) -> None:
    folder = secrets_in(tmp_path / "secrets", postgres_password="p w", redis_password="r-1")
    script = tmp_path / "with-secrets"
    script.write_text(WITH_SECRETS.read_text(encoding="utf-8").replace(SECRETS, str(folder)), encoding="utf-8")
    command = ["/bin/sh", str(script), "sh", "-c", "env; echo; tr '\\0' ' ' < /proc/$$/cmdline"]
    done = subprocess.run(
        command, capture_output=True, text=True, timeout=30, check=True, env={"PATH": "/usr/bin:/bin"}
    )
    environment, _, arguments = done.stdout.partition("\n\n")
    assert {
        "PGPASSWORD=p w",
        "COWRIE_CELERY_BROKER=redis://:r-1@redis:6379/0",
        "COWRIE_CELERY_BACKEND=redis://:r-1@redis:6379/1",
    } <= set(environment.splitlines())
    assert "env; echo" in arguments
    assert "r-1" not in arguments
    exported = re.findall(r"\b(COWRIE_\w+)=", WITH_SECRETS.read_text(encoding="utf-8"))
    assert [name for name in exported if not is_known(name)] == []


def test_a_command_without_secrets_runs_as_it_is(tmp_path: Path) -> None:
    script = tmp_path / "with-secrets"
    script.write_text(WITH_SECRETS.read_text(encoding="utf-8").replace(SECRETS, str(tmp_path)), encoding="utf-8")
    done = subprocess.run(["/bin/sh", str(script), "env"], capture_output=True, text=True, check=True, env={})
    assert "PASSWORD" not in done.stdout
    assert "CELERY" not in done.stdout


def test_a_new_server_gets_a_user_and_two_databases(tmp_path: Path) -> None:
    folder = secrets_in(tmp_path / "secrets", postgres_password='it\'s "one" of $(x)')
    script = (COMPOSE / "postgres-init.sql").read_text(encoding="utf-8").replace(SECRETS, str(folder))
    server = OwnServer()
    server.start()
    try:
        subprocess.run(
            [programs() / "psql", "--no-psqlrc", f"postgresql://postgres@127.0.0.1:{server.port}/postgres"],
            input=script,
            capture_output=True,
            text=True,
            timeout=60,
            check=True,
        )
        settings = of_the_pipeline()["code"]["environment"]
        for database in (settings["DAGSTER_PG_DB"], settings["COWRIE_DB_URL"].rpartition("/")[2]):
            with psycopg.connect(
                host="127.0.0.1",
                port=server.port,
                dbname=database,
                user=settings["DAGSTER_PG_USER"],
                password='it\'s "one" of $(x)',
            ) as connection:
                connection.execute("CREATE TABLE mine (text text)")
                row = connection.execute("SHOW server_encoding").fetchone()
                assert row == ("UTF8",)
    finally:
        server.stop()
        shutil.rmtree(server.folder, ignore_errors=True)


@pytest.mark.skipif(shutil.which("redis-server") is None, reason="needs redis-server (Debian package redis-server)")
def test_redis_wants_its_password_and_shows_it_nobody(tmp_path: Path) -> None:
    folder = secrets_in(tmp_path / "secrets", redis_password="r-1")
    data = tmp_path / "data"
    data.mkdir()
    port = free_port()
    service = services()["redis"]

    def here(line: str) -> str:
        line = line.replace("$$", "$").replace(SECRETS, str(folder)).replace("dir /data", f"dir {data}")
        return line.replace("'appendonly yes'", f"'appendonly yes' 'port {port}' 'bind 127.0.0.1'")

    words = [here(word) for word in service["command"]]
    check = here(service["healthcheck"]["test"][1]).replace("redis-cli", f"redis-cli -p {port}")
    with subprocess.Popen(words, stdout=subprocess.DEVNULL) as server:
        try:
            tries = (
                subprocess.run(["/bin/sh", "-c", check], check=False, stderr=subprocess.DEVNULL) for _ in range(600)
            )
            assert any(done.returncode == 0 for done in tries)
            refused = subprocess.run(
                ["redis-cli", "-p", str(port), "ping"], capture_output=True, text=True, check=False
            )
            assert "NOAUTH" in refused.stdout
            shown = subprocess.run(["ps", "-A", "-o", "args"], capture_output=True, text=True, check=True).stdout
            assert "redis-server" in shown
            assert "r-1" not in shown
        finally:
            server.terminate()


def test_anchors_leave_no_service_half_made() -> None:
    # a merge replaces whole lists: what a service lists anew must hold what it needs of the common part
    metrics = services()["metrics"]
    assert set(metrics["networks"]) >= {"data", "outside"}
    assert yaml.safe_load(FILE.read_text(encoding="utf-8"))["x-pipeline"]["read_only"] is True
