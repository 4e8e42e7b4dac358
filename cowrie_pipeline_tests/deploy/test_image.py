"""The Dockerfile: what it copies is there, what it does not need stays out, and nobody in it is root."""

import re
import shutil
import subprocess
import tomllib
from pathlib import Path

import pytest

from cowrie_pipeline_tests.deploy.files import COMPOSE, PROGRAMS, ROOT, instructions, services

FILE = COMPOSE / "Dockerfile"
IGNORE = COMPOSE / "Dockerfile.dockerignore"


def copied() -> list[str]:
    """Return what is copied from the project."""
    return [
        source
        for name, text in instructions(FILE)
        if name == "COPY" and not text.startswith("--from=")
        for source in text.split()[:-1]
    ]


def test_the_linter_of_dockerfiles_finds_nothing() -> None:
    done = subprocess.run([PROGRAMS / "hadolint", FILE], capture_output=True, text=True, timeout=60, check=False)
    assert (done.returncode, done.stdout) == (0, "")


def test_the_linter_of_dockerfiles_would_find_a_mistake(tmp_path: Path) -> None:
    wrong = tmp_path / "Dockerfile"
    wrong.write_text(FILE.read_text(encoding="utf-8").replace("USER 10001:10001", "USER root"), encoding="utf-8")
    done = subprocess.run([PROGRAMS / "hadolint", wrong], capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 1
    assert "DL3002" in done.stdout


def test_both_stages_begin_with_the_same_python_of_one_version() -> None:
    images = {text.split()[0] for name, text in instructions(FILE) if name == "FROM"}
    assert len(images) == 1
    image = images.pop()
    found = re.fullmatch(r"python:(\d+\.\d+)\.\d+-slim-[a-z]+", image)
    assert found
    minimum = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]["requires-python"]
    assert minimum == f">={found[1]}"


def test_what_is_copied_is_there_and_what_a_build_sees_is_copied() -> None:
    assert [source for source in copied() if not (ROOT / source).exists()] == []
    everything, *lines = [line for line in IGNORE.read_text(encoding="utf-8").splitlines() if not line.startswith("#")]
    # all is kept out but what is copied
    assert everything == "*"
    assert {line.removeprefix("!") for line in lines if line.startswith("!")} == set(copied())
    assert [line for line in lines if not line.startswith("!")] == ["**/__pycache__"]


def test_the_extras_are_those_of_the_project() -> None:
    extras = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]["optional-dependencies"]
    default = next(text for name, text in instructions(FILE) if name == "ARG")
    name, _, value = default.partition("=")
    assert name == "EXTRAS"
    assert set(value.split(",")) <= extras.keys()
    # the compose file's workers need it
    assert "celery" in value.split(",")


def test_the_last_user_is_a_number_and_no_root() -> None:
    names = [name for name, _ in instructions(FILE)]
    assert names.index("USER") > max(index for index, name in enumerate(names) if name in ("RUN", "COPY"))
    assert dict(instructions(FILE))["USER"] == "10001:10001"


def test_no_secret_is_given_to_a_build_or_kept_in_the_image() -> None:
    for name, text in instructions(FILE):
        if name in ("ARG", "ENV"):
            assert not re.search(r"PASSWORD|SECRET|TOKEN|_KEY|_URL", text), text
    assert services()["code"]["build"].keys() == {"context", "dockerfile"}


def test_what_the_image_starts_is_started_with_its_secrets() -> None:
    said = dict(instructions(FILE))
    assert said["ENTRYPOINT"] == '["with-secrets"]'
    assert (COMPOSE / "with-secrets").stat().st_mode & 0o111 == 0o111


def test_the_check_of_health_tells_a_database_that_is_there_from_one_that_is_not(tmp_path: Path) -> None:
    entry, program, *words = re.findall(r'"([^"]+)"', dict(instructions(FILE))["HEALTHCHECK"])
    assert entry == "with-secrets"

    def code(*arguments: str) -> int:
        environment = {"PATH": "/usr/bin:/bin", "COWRIE_STATE_DIR": str(tmp_path)}
        return subprocess.run([PROGRAMS / program, *arguments], env=environment, timeout=120, check=False).returncode

    assert code(*words) == 3
    assert code("db", "upgrade") == 0
    assert code(*words) == 0


@pytest.mark.skipif(shutil.which("dash") is None, reason="needs dash, which is /bin/sh in the image")
def test_the_script_is_one_that_the_image_s_shell_reads() -> None:
    done = subprocess.run(["dash", "-n", COMPOSE / "with-secrets"], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
