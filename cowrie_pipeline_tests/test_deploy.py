"""What an operator installs: units, example of settings, guide. They name files, settings and commands that exist."""

import re
import shlex
import shutil
import subprocess
from pathlib import Path

import pytest
import typer
from typer.testing import CliRunner

from cowrie_pipeline.cli.enrich import app as enrich
from cowrie_pipeline.cli.main import app as pipeline
from cowrie_pipeline.settings import Settings
from cowrie_pipeline_tests.deploy.files import is_known

ROOT = Path(__file__).resolve().parents[1]
DEPLOY, DOCS = ROOT / "deploy", ROOT / "docs"
PAGES = [
    DOCS / f"{name}.md"
    for name in ("containers", "guide", "postgresql", "observability", "operations", "alerts", "status", "workers")
]
PAGES += [DEPLOY / name / "README.md" for name in ("celery", "k8s")]
OF_PAGES = pytest.mark.parametrize("page", PAGES, ids=lambda page: f"{page.parent.name}/{page.stem}")
UNITS = sorted(
    path
    for folder in ("celery", "systemd")
    for path in (DEPLOY / folder).iterdir()
    if path.suffix in (".service", ".target", ".timer")
)
ENV_EXAMPLE = DEPLOY / "systemd" / "cowrie-pipeline.env.example"
INSTALLED = "/opt/cowrie_pipeline"
# what is not ours in the example: Dagster's, and the C library of PostgreSQL's
OTHERS = {
    "DAGSTER_HOME",
    "DAGSTER_PG_DB",
    "DAGSTER_PG_HOST",
    "DAGSTER_PG_PASSWORD",
    "DAGSTER_PG_PORT",
    "DAGSTER_PG_USER",
    "PGHOST",
    "PGPASSFILE",
}
COMMANDS: dict[str, typer.Typer] = {"cowrie-pipeline": pipeline, "cowrie-enrich": enrich}


def code_of(page: Path) -> str:
    """Return a page's blocks of shell code, each command on one line."""
    blocks = re.findall(r"^```sh\n(.*?)^```", page.read_text(encoding="utf-8"), re.DOTALL | re.MULTILINE)
    return "\n".join(blocks).replace("\\\n", " ")


def commands_of(page: Path) -> set[tuple[tuple[str, ...], tuple[str, ...]]]:
    """Return our commands that a page names, in blocks and in the text: program with subcommands, and options."""
    lines = code_of(page).splitlines() + re.findall(r"`([^`\n]+)`", page.read_text(encoding="utf-8"))
    found = set()
    for line in lines:
        for match in re.finditer(
            r"(?:^|[\s/])(cowrie-pipeline|cowrie-enrich)((?: [a-z][a-z-]*)*)(?=$|[\s)'\"])([^#]*)", line
        ):
            options = tuple(re.findall(r"(?<=\s)--[a-z-]+", match[3]))
            if match[2] or options:
                found.add(((match[1], *match[2].split()), options))
    return found


def installed_copies(folder: Path) -> list[Path]:
    """Write the units with programs that are there, and return them."""
    programs = folder / "opt" / ".venv" / "bin"
    programs.mkdir(parents=True)
    (folder / "cowrie-pipeline.env").write_bytes(ENV_EXAMPLE.read_bytes())
    copies = []
    for unit in UNITS:
        text = unit.read_text(encoding="utf-8")
        for program in re.findall(rf"^Exec\w+={INSTALLED}/\.venv/bin/(\S+)", text, re.MULTILINE):
            path = programs / program
            path.write_text("#!/bin/sh\n", encoding="utf-8")
            path.chmod(0o755)
        copy = folder / unit.name
        copy.write_text(text.replace(INSTALLED, str(folder / "opt")), encoding="utf-8")
        copies.append(copy)
    return copies


@pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="needs systemd-analyze (Debian package systemd)")
def test_systemd_finds_nothing_wrong_with_the_units(tmp_path: Path) -> None:
    command = ["systemd-analyze", "verify", "--man=no", *map(str, installed_copies(tmp_path))]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    # other units of this machine are loaded too, and what is wrong with them is not ours to say
    ours = [line for line in done.stderr.splitlines() if "cowrie" in line]
    assert (done.returncode, ours) == (0, [])


@pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="needs systemd-analyze (Debian package systemd)")
def test_systemd_would_find_a_mistake(tmp_path: Path) -> None:
    daemon = next(copy for copy in installed_copies(tmp_path) if copy.name == "cowrie-pipeline-daemon.service")
    daemon.write_text(daemon.read_text(encoding="utf-8").replace("dagster-daemon run", "no-such run"), encoding="utf-8")
    command = ["systemd-analyze", "verify", "--man=no", str(daemon)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert "no-such" in done.stderr


def test_a_service_runs_what_the_project_installs_and_as_its_own_user() -> None:
    for unit in UNITS:
        if unit.suffix != ".service":
            continue
        lines = unit.read_text(encoding="utf-8").splitlines()
        assert "User=cowrie_pipeline" in lines, unit.name
        assert "NoNewPrivileges=yes" in lines, unit.name
        assert "ProtectSystem=strict" in lines, unit.name
        started = next(line for line in lines if line.startswith("ExecStart="))
        program, *arguments = shlex.split(started.removeprefix("ExecStart=").removesuffix("\\"))
        assert Path(program).name in {"dagster", "dagster-daemon", "dagster-webserver", "cowrie-pipeline"}
        for argument in arguments:
            if argument.startswith(INSTALLED):
                assert (ROOT / argument.removeprefix(f"{INSTALLED}/")).exists()


@pytest.mark.parametrize("name", ["webserver", "metrics"])
def test_what_is_served_is_served_to_this_machine_alone(name: str) -> None:
    unit = (DEPLOY / "systemd" / f"cowrie-pipeline-{name}.service").read_text(encoding="utf-8")
    started = next(line for line in unit.splitlines() if line.startswith("ExecStart="))
    assert "--host 127.0.0.1" in started


def test_what_the_example_of_settings_sets_or_offers_is_known() -> None:
    names = re.findall(r"^#?([A-Z][A-Z0-9_]*)=", ENV_EXAMPLE.read_text(encoding="utf-8"), re.MULTILINE)
    assert {"DAGSTER_HOME", "COWRIE_STATE_DIR", "COWRIE_LOGS"} <= set(names)
    assert [name for name in names if not is_known(name) and name not in OTHERS] == []


def test_the_example_of_settings_reads_the_same_by_a_shell() -> None:
    # with what it offers switched on; systemd and sh differ in quotes and blanks
    offered = re.sub(r"^#(?=[A-Z][A-Z0-9_]*=)", "", ENV_EXAMPLE.read_text(encoding="utf-8"), flags=re.MULTILINE)
    plain = dict(re.findall(r'^([A-Z0-9_]+)="?(.*?)"?$', offered, re.MULTILINE))
    script = f"set -a\n{offered}\nenv -0"
    done = subprocess.run(["/bin/sh", "-eu"], input=script, capture_output=True, text=True, timeout=30, check=True)
    seen = dict(entry.split("=", 1) for entry in done.stdout.split("\0") if entry)
    assert {name: seen.get(name) for name in plain} == plain
    settings = {name: value for name, value in plain.items() if not name.endswith("_FILE")}
    assert Settings.from_environment(settings).log_paths == ("/var/log/cowrie/cowrie.json*",)


def test_dagster_on_postgresql_differs_in_its_storage_alone() -> None:
    # the rest of both files, from the part that follows the storage
    usual, other = (
        path.read_text(encoding="utf-8").partition("\nlocal_artifact_storage:")
        for path in (ROOT / "dagster.yaml", DEPLOY / "postgres" / "dagster.yaml")
    )
    assert other[1:] == usual[1:]
    assert other[1]
    assert "\n      scheme: postgresql+psycopg2\n" in other[0]
    assert "\n      password: {env: DAGSTER_PG_PASSWORD}\n" in other[0]


@OF_PAGES
def test_a_page_names_commands_and_options_that_exist(page: Path) -> None:
    commands = commands_of(page)
    assert commands
    wrong = []
    for (program, *words), options in sorted(commands):
        shown = CliRunner().invoke(COMMANDS[program], [*words, "--help"])
        if shown.exit_code != 0 or any(option not in shown.stdout for option in options):
            wrong.append(" ".join((program, *words, *options)))
    assert wrong == []


@OF_PAGES
def test_the_links_of_a_page_lead_somewhere(page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    anchors = {
        re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-")
        for title in re.findall(r"^#+ (.+)$", text, re.MULTILINE)
    }
    for target in re.findall(r"\]\(([^)\s]+)\)", text):
        path, _, anchor = target.partition("#")
        if target.startswith("https://"):
            continue
        if path:
            assert (page.parent / path).exists(), target
        else:
            assert anchor in anchors, target


@OF_PAGES
def test_a_page_names_files_of_the_project_that_exist(page: Path) -> None:
    named = set(re.findall(rf"{INSTALLED}/((?:deploy|docs|sql)/[\w./@-]+)", page.read_text(encoding="utf-8")))
    named |= set(re.findall(r"(?<![\w/])(deploy/[\w./@-]+\w)", page.read_text(encoding="utf-8")))
    assert [name for name in sorted(named) if not (ROOT / name).exists()] == []
