"""What `deploy/` says, for the tests of it: compose file, Dockerfile, values; and which settings there are."""

import re
import sys
import tomllib
from pathlib import Path
from typing import Any

import yaml

from cowrie_pipeline.settings import Settings, describe_settings

ROOT = Path(__file__).resolve().parents[2]
DEPLOY, DOCS = ROOT / "deploy", ROOT / "docs"
COMPOSE = DEPLOY / "compose"
# where pip puts programs: those of the project, and those of its libraries
PROGRAMS = Path(sys.executable).parent

_FOLDED = re.compile(r"\\\n\s*")


def version() -> str:
    """Return the project's version."""
    found: str = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]["version"]
    return found


def document(path: Path) -> Any:
    """Return a file of YAML, its anchors resolved."""
    return yaml.safe_load(path.read_text(encoding="utf-8"))


def services() -> dict[str, dict[str, Any]]:
    """Return the services of the compose file by name."""
    found: dict[str, dict[str, Any]] = document(COMPOSE / "compose.yaml")["services"]
    return found


def of_the_pipeline() -> dict[str, dict[str, Any]]:
    """Return those that are the image of this project."""
    return {name: service for name, service in services().items() if service["image"].startswith("cowrie_pipeline:")}


def instructions(path: Path) -> list[tuple[str, str]]:
    """Return the instructions of a Dockerfile: each with its text on one line, without comments."""
    text = re.sub(r"^#.*\n", "", path.read_text(encoding="utf-8"), flags=re.MULTILINE)
    lines = _FOLDED.sub(" ", text).splitlines()
    return [(line.split(None, 1)[0], line.split(None, 1)[1]) for line in lines if line.strip()]


def known_variables() -> set[str]:
    """Return the variables of all settings, those of each service included."""
    listed = {setting.variable for setting in describe_settings()}
    names = [name.upper() for name in Settings.from_environment({}).services]
    for variable in [each for each in listed if "<SERVICE>" in each]:
        listed |= {variable.replace("<SERVICE>", name) for name in names}
    return listed


def is_known(variable: str) -> bool:
    """Return whether a variable is a setting, or names the file that holds one."""
    known = known_variables()
    return variable in known or variable.removesuffix("_FILE") in known
